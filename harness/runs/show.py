"""One example of a run, explained: what ``show`` prints and ``export`` writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import RunError, UsageError
from harness.records import Judging, Rules, Sample, Witness
from harness.runs.results import BenchmarkResult, read_results
from harness.runs.samples import sample_row

_SHOWN_ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An example and what each pair made of it, each wrong answer with its witness."""

    samples: tuple[Sample, ...]

    def to_text(self) -> str:
        """For people: the question, then each pair's verdict and both results on the smallest database."""
        asked = self.samples[0]
        flag = "" if asked.counted else f"  [gold {asked.gold_status}: {asked.gold_reason}]"
        head = [
            f"{asked.id}: {asked.question}",
            f"schema       {asked.context}",
            f"gold         {asked.gold}{flag}",
        ]
        if asked.suite_strength is not None:
            told = f"{100 * asked.suite_strength:.1f} %"
            head.append(f"the test     its databases tell {told} of near misses from the gold")
        return "\n".join([*head, *(f"\n{_answer(sample)}" for sample in self.samples)])

    def to_json(self) -> dict[str, Any]:
        """The samples as their file has them."""
        return {"samples": [sample_row(sample) for sample in self.samples]}


def _answer(sample: Sample) -> str:
    lines = [
        f"── {sample.pair}: {sample.outcome}" + (f" ({sample.cause})" if sample.cause else ""),
        f"prediction   {sample.prediction}",
    ]
    if sample.detail:
        lines.append(f"detail       {sample.detail}")
    if (witness := sample.witness) is not None:
        lines += ["", "The smallest database found on which they differ:", witness.script.strip(), ""]
        lines += ["gold gives", _grid(witness.gold_columns, witness.gold_rows)]
        if witness.prediction_rows is None:
            lines.append(f"prediction fails: {witness.prediction_error}")
        else:
            lines += ["prediction gives", _grid(witness.prediction_columns or (), witness.prediction_rows)]
    return "\n".join(lines)


def show_example(folder: Path, id_: str, *, pair: str | None = None) -> Shown:
    """The example ``id_`` of a run; a witness that the run has not kept is made now as the run would have.

    Raises:
        UsageError: the run has no such example or pair.
        RunError: the folder holds no finished run.
        DataError: its files cannot be read.
    """
    results = read_results(folder)
    samples = [(side, sample) for side in results.benchmarks for sample in results.samples(side.name)]
    found = [(side, sample) for side, sample in samples if sample.id == id_]
    if not found:
        some = ", ".join(list(dict.fromkeys(sample.id for _, sample in samples))[:3])
        raise UsageError(f"{folder} has no example {id_!r}", f"its ids look like: {some}")
    chosen = [(side, sample) for side, sample in found if pair in (None, sample.pair)]
    if not chosen:
        names = ", ".join(dict.fromkeys(sample.pair for _, sample in found))
        raise UsageError(f"{folder} has no pair {pair!r}", f"its pairs are: {names}")
    return Shown(samples=tuple(replace(s, witness=_witness(s, side)) for side, s in chosen))


def export_witness(folder: Path, id_: str, target: Path, *, pair: str | None = None) -> None:
    """Write the witness of an example's first wrong pair to ``target`` (.sqlite, .db or .sql).

    Raises:
        UsageError: nothing is wrong with that example, or the suffix is another.
    """
    if target.suffix not in {".sqlite", ".db", ".sql"}:
        raise UsageError(f"{target} is neither .sqlite nor .sql", "give --output one of these suffixes")
    shown = show_example(folder, id_, pair=pair)
    witness = next((s.witness for s in shown.samples if s.witness is not None), None)
    if witness is None:
        raise UsageError(
            f"no database tells {id_!r} from its gold", "export one that is counted wrong: see report.md"
        )
    if target.exists():
        raise UsageError(f"{target} exists already", "remove it, or give --output another file")
    try:
        if target.suffix == ".sql":
            target.write_text(witness.script, "utf-8")
        else:
            with closing(sqlite3.connect(target)) as connection:
                connection.executescript(witness.script)
                connection.commit()
    except (OSError, sqlite3.OperationalError) as error:
        raise RunError(f"{target} cannot be written ({error})", "give --output another file") from error


def _witness(sample: Sample, side: BenchmarkResult) -> Witness | None:
    if sample.execution_match or not sample.prediction or sample.witness:
        return sample.witness
    from harness.scoring import witnesses

    config = side.config
    judging = Judging(
        rules=Rules(**config["rules"]),
        dialect=config["dialect"],
        databases=config["databases"],
        seed=config["seed"],
    )
    ((_, witness),) = witnesses([(sample.example, sample.prediction)], judging)
    return witness


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    shown = [tuple("NULL" if cell is None else str(cell) for cell in row) for row in rows[:_SHOWN_ROWS]]
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)] if columns else []
    lines = [
        "  " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (tuple(columns), *shown)
    ]
    if not rows:
        lines.append("  (no rows)")
    if len(rows) > _SHOWN_ROWS:
        lines.append(f"  … {len(rows) - _SHOWN_ROWS} more rows")
    return "\n".join(lines)
