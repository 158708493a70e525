"""The finished completions of a run, appended as they come: what a killed run keeps.

Each process writes a file of its own, ``journal.jsonl`` or ``journal-<rank>.jsonl``. A line is handed to
the operating system as soon as its example is finished (it survives ``kill -9``) and synced to the disk at
least ten times a second (so at most that is lost with the machine). A torn last line is dropped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.options import reason
from harness.records import Completion

STARTS = "starts.jsonl"
_SYNC_EVERY = 0.1
Key = tuple[str, str, int]


class Start(TypedDict):
    """What one start of a run was, and what it cost each pair: figures, and seconds by stage."""

    facts: dict[str, Any]
    cost: dict[str, dict[str, float | dict[str, float] | None]]


_COMPLETION = TypeAdapter(Completion)
_START = TypeAdapter(Start)


class Journal:
    """Appends completions to one file of a run's folder; a context manager."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.path = folder / (f"journal-{rank}.jsonl" if rank else "journal.jsonl")
        _drop_torn_line(self.path)
        self._file = self.path.open("ab", buffering=0)
        self._synced = 0.0

    def append(self, completion: Completion) -> None:
        """Write one finished completion."""
        line = json.dumps(asdict(completion), ensure_ascii=False, separators=(",", ":")) + "\n"
        self._file.write(line.encode("utf-8", "replace"))
        if time.monotonic() - self._synced > _SYNC_EVERY:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._sync()
        self._file.close()


def read(folder: Path, notify: Callable[[str], None] = lambda line: None) -> dict[Key, Completion]:
    """Every completion that the run's processes have journalled, by (pair, id, sample).

    A line that is no completion is passed over, so that its example is generated anew; ``notify`` gets a
    line that names it.
    """
    found: dict[Key, Completion] = {}
    for path in sorted(folder.glob("journal*.jsonl")):
        for completion in _lines(path, notify):
            found[completion.pair, completion.id, completion.sample] = completion
    return found


def examples_by_process(folder: Path, processes: int) -> dict[str, list[int]]:
    """How many examples of each pair every process has finished, by rank; earlier starts count too.

    An example that two have finished counts for the one whose completion ``read`` gives.
    """
    made: dict[tuple[str, str], int] = {}
    for path in sorted(folder.glob("journal*.jsonl")):
        rank = int(path.stem.partition("-")[2] or 0)
        made |= {(done.pair, done.id): rank for done in _lines(path) if done.sample == 0}
    processes = max([processes, *(rank + 1 for rank in made.values())])
    counts: dict[str, list[int]] = {pair: [0] * processes for pair, _ in made}
    for (pair, _), rank in made.items():
        counts[pair][rank] += 1
    return counts


def note_start(folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep what one start of the run was and cost, beside its journal."""
    with (folder / STARTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts, default=str) + "\n")


def starts(folder: Path) -> list[Start]:
    """What earlier starts have noted, oldest first; a line that is none is passed over."""
    path = folder / STARTS
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValidationError):
            found.append(_START.validate_json(line))
    return found


def _lines(path: Path, notify: Callable[[str], None] = lambda line: None) -> Iterator[Completion]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _COMPLETION.validate_json(line)
            except ValidationError as error:
                notify(
                    f"{path}, line {number}, is no completion ({reason(error)}): passed over, "
                    "its example is generated anew."
                )


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
