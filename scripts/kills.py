"""Kill a run at random moments, start it again, and see that the results are those of an undisturbed run.

    python scripts/kills.py [--kills 50] [--limit 60]

The run is the starter pair on its benchmark, with the 4-bit values expanded (``--dequantize yes``: what is
faster here is left to no clock). Two in five of the kills fall while completions are generated, in a folder
that was empty; the others while they are judged and written, in a folder that holds what was generated.
SIGKILL goes to all processes of the run at once, and each has a cache of suites of its own, empty at first.
Then the same command runs to its end. Samples (byte for byte), metrics and the journal's completions must be
those of the undisturbed run. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from harness.runs import journal

_EVERY = 0.02  # seconds between two looks at the folder
_STAGES = ("starting", "generating", "judging", "writing", "over")
SHARES = (2, 2, 1)  # of the kills, for generating, judging and writing


class Outcome(NamedTuple):
    """What a finished run left: samples, metrics, and completions by (pair, id, sample)."""

    samples: bytes
    results: dict[str, Any]
    completions: dict[journal.Key, str]


class Run:
    """The command on one folder, with a cache of its own."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.said, self._limit = folder / "run", folder / "said", limit
        self._command = [sys.executable, "-m", "harness", "run", "--output", str(self.folder), "--json"]
        self._command += ["--limit", str(limit), "--dequantize", "yes", "--workers", "2", "--no-policy"]
        self._environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        folder.mkdir()

    def generated(self, folder: Path) -> Run:
        """Another one that has generated what this one has, and nothing more."""
        other = Run(folder, self._limit)
        other.folder.mkdir()
        for kept in ("run.json", "journal.jsonl", "starts.jsonl"):
            shutil.copy(self.folder / kept, other.folder)
        return other

    def start(self) -> subprocess.Popen[bytes]:
        """The command in a session of its own; what it says goes to ``said``."""
        with self.said.open("wb") as said:
            return subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self._environment,
                start_new_session=True,
            )

    def finish(self) -> tuple[Outcome, dict[str, float]]:
        """Run to the end: the outcome, and seconds from the start to the first word of each stage."""
        begun, seen = time.monotonic(), dict[str, float]()
        with self.start() as running:
            while running.poll() is None:
                seen.setdefault(self.stage(), time.monotonic() - begun)
                time.sleep(_EVERY)
            seen["over"] = time.monotonic() - begun
            out = running.stdout.read() if running.stdout else b""
        if running.returncode:
            raise SystemExit(f"exit {running.returncode}: {self.said.read_text('utf-8', 'replace')}")
        (samples,) = self.folder.glob("samples_*.jsonl")
        completions = {key: done.text for key, done in journal.read(self.folder).items()}
        return Outcome(samples.read_bytes(), json.loads(out.splitlines()[-1])["results"], completions), seen

    def kill(self, stage: str, after: float) -> str:
        """Start, kill all of it so many seconds after a stage has begun; the stage that it was at then."""
        with self.start() as running:
            while running.poll() is None and _STAGES.index(self.stage()) < _STAGES.index(stage):
                time.sleep(_EVERY)
            try:
                running.wait(after)
                return "over"
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
        return self.stage()

    def stage(self) -> str:
        """What the run is at, by what it has said and written."""
        said = self.said.read_text("utf-8", "replace")
        if "Witnesses: " in said:
            return "writing"
        if "Generating \u00b7 starter: " in said or "Going on: " in said:
            return "judging"
        book = self.folder / "journal.jsonl"
        return "generating" if book.exists() and book.stat().st_size else "starting"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    chance = random.Random(told.seed)
    killed: Counter[str] = Counter()
    unlike: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        whole = Run(Path(name, "whole"), told.limit)
        right, seen = whole.finish()
        ready = whole.generated(Path(name, "ready"))
        _, later = ready.finish()
        for what, stages in (("from nothing", seen), ("from the journal", later)):
            print(
                f"{what}: " + ", ".join(f"{stage} at {at:.1f} s" for stage, at in stages.items()), flush=True
            )
        number = 0
        while number < told.kills:
            stage = _STAGES[1 + chance.choices(range(3), SHARES)[0]]
            folder = Path(name, str(number))
            run = Run(folder, told.limit) if stage == "generating" else whole.generated(folder)
            stages = seen if stage == "generating" else later
            length = stages[_STAGES[_STAGES.index(stage) + 1]] - stages[stage]
            was = run.kill(stage, chance.uniform(0, length))
            if was != "over":  # else it was faster this time: drawn again
                left = len(journal.read(run.folder))
                killed[was] += 1
                found, _ = run.finish()
                same = [getattr(found, field) == getattr(right, field) for field in Outcome._fields]
                print(f"{number:3} killed while {was}, {left} completions there: {same}", flush=True)
                unlike += [number] * (not all(same))
                number += 1
            shutil.rmtree(folder)
    facts = {"kills": told.kills, "identical": told.kills - len(unlike), "at": dict(killed), "unlike": unlike}
    for key, value in facts.items():
        print(f"{key:10} {value}")
    print(json.dumps(facts))
    sys.exit(bool(unlike))


if __name__ == "__main__":
    main()
