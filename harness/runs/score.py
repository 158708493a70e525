"""Judge predictions of any origin: the way of the data, entered at the predictions."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.files import stem, write_text
from harness.log import LibraryLog, library_log
from harness.models.pair_plan import unique
from harness.records import VERDICT_VERSION, Benchmark, Prediction
from harness.runs.conclude import RunResult, conclude
from harness.runs.folder import RunFolder, digest
from harness.runs.official import OfficialScorers
from harness.runs.predictions import read_predictions
from harness.runs.progress import Progress, Silent
from harness.runs.samples import read_samples, samples_path
from harness.runs.selection import ScoreOptions
from harness.scoring.suspects import Suspect, suspects

_GOLDS = [
    "id",
    "question",
    "gold",
    "prediction",
    "agree",
    "of",
    "pairs",
    "gold_rows",
    "prediction_rows",
    "database",
]
"""The columns of the table of golds in doubt."""


def score(options: ScoreOptions, progress: Progress | None = None) -> RunResult:
    """Read, judge and write; needs no torch.

    Raises:
        DataError: a file of predictions cannot be read, or fits the examples nowhere.
    """
    with library_log() as log:
        return _score(options, progress or Silent(), log)


def _score(options: ScoreOptions, progress: Progress, log: LibraryLog) -> RunResult:
    benchmark = options.selection.load()
    files = dict(zip(pair_names(options.predictions), options.predictions, strict=True))
    with OfficialScorers(benchmark, options.scorers, options.official) as official:
        predictions: list[Prediction] = []
        notes: list[str] = []
        for name, path in files.items():
            read = read_predictions(path, benchmark, pair=name)
            predictions += read.predictions
            notes += [f"{name}: {note}" for note in read.notes()]
        for note in notes:
            progress.say(note)
        hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        facts = _fingerprint(options, benchmark, hashes)
        output = options.output or _default_output(benchmark, list(files), digest(facts))
        folder = RunFolder.open(output, facts, command=options.command)
        log.write_to(folder.path)
        pairs = {name: {"predictions": str(files[name]), "sha256": hash_} for name, hash_ in hashes.items()}
        with folder.lock():
            result = conclude(
                folder,
                benchmark,
                predictions,
                judging=options.judging,
                official=official,
                facts={"pairs": pairs, "command": options.command},
                progress=progress,
                notes=notes,
            )
    if options.golds:
        found = suspects(read_samples(samples_path(folder.path, benchmark.name, folder.time)))
        write_golds(options.golds, found)
        progress.say(f"{len(found)} golds in doubt: {options.golds}")
    return result


def _fingerprint(options: ScoreOptions, benchmark: Benchmark, hashes: Mapping[str, str]) -> dict[str, Any]:
    """All that the verdicts depend on."""
    return {
        "benchmark": {"name": benchmark.name, "split": benchmark.split, "data": benchmark.data_hash},
        "predictions": dict(hashes),
        "rules": asdict(benchmark.rules),
        "dialect": benchmark.dialect,
        "judging": {"databases": options.judging.databases, "seed": options.judging.seed},
        "verdicts": VERDICT_VERSION,
        "scorers": list(options.scorers),
        "official": asdict(options.official) if options.official else None,
    }


def write_golds(target: Path, found: Sequence[Suspect]) -> None:
    """Write golds in doubt, a line each, with the database that shows it; RunError where it cannot be."""
    lines = io.StringIO()
    rows = csv.writer(lines)
    rows.writerow(_GOLDS)
    for pairs, asked, sample in found:
        asked_for = (sample.id, sample.question, sample.gold, sample.prediction)
        witness = sample.witness
        shown = (witness.gold_rows, witness.prediction_rows, witness.script) if witness else ("", "", "")
        rows.writerow((*asked_for, len(pairs), asked, ", ".join(pairs), *map(str, shown)))
    write_text(target, lines.getvalue())


def pair_names(paths: Sequence[Path]) -> list[str]:
    """Stems without the endings that say their form; a second one of the same name gets ``-2``.

    >>> pair_names([Path("a/p.jsonl.gz"), Path("b/p.txt"), Path("q.1.sql")])
    ['p', 'p-2', 'q.1']
    """
    if not paths:
        raise UsageError("there are no predictions to score", "give --predictions FILE")
    return unique([stem(path) for path in paths])


def _default_output(benchmark: Benchmark, names: Sequence[str], fingerprint: str) -> Path:
    stem = re.sub(r"[^\w.+-]+", "_", "-".join([benchmark.name, *names]))[:80]
    return Path("reports", "runs", f"score-{stem}-{fingerprint[:8]}")
