"""One example of a run, explained: what ``show`` prints and ``export`` writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import RunError, UsageError
from harness.records import Example, Prediction, Rules, Witness
from harness.runs.files import read_results, read_samples

_SHOWN_ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPair:
    """A pair's line of samples, with the witness of a wrong one."""

    row: Mapping[str, Any]
    witness: Witness | None

    def to_text(self) -> str:
        """For people: the verdict, and both results on the smallest database."""
        row = self.row
        lines = [
            f"── {row['pair']}: {row['outcome']}" + (f" ({row['cause']})" if row["cause"] else ""),
            f"prediction   {row['prediction']}",
        ]
        if row["detail"]:
            lines.append(f"detail       {row['detail']}")
        if self.witness is not None:
            lines += [
                "",
                "The smallest database found on which they differ:",
                self.witness.script.strip(),
                "",
            ]
            lines += ["gold gives", _grid(self.witness.gold_columns, self.witness.gold_rows)]
            if self.witness.prediction_rows is None:
                lines.append(f"prediction fails: {self.witness.prediction_error}")
            else:
                columns = self.witness.prediction_columns or ()
                lines += ["prediction gives", _grid(columns, self.witness.prediction_rows)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An example and what each pair made of it."""

    pairs: tuple[ShownPair, ...]

    def to_text(self) -> str:
        """For people."""
        row = self.pairs[0].row
        flag = f"  [gold {row['gold_status']}: {row['gold_reason']}]" if row["gold_status"] != "ok" else ""
        strength = row["suite_strength"]
        head = [
            f"{row['id']}: {row['question']}",
            f"schema       {row['context']}",
            f"gold         {row['gold']}{flag}",
        ]
        if strength is not None:
            head.append(
                f"the test     its databases tell {100 * strength:.1f} % of near misses from the gold"
            )
        return "\n".join([*head, *(f"\n{pair.to_text()}" for pair in self.pairs)])

    def to_json(self) -> dict[str, Any]:
        """The sample rows, each with its witness."""
        return {
            "samples": [
                {
                    **pair.row,
                    "witness": {k: v for k, v in asdict(pair.witness).items() if k != "image"}
                    if pair.witness
                    else None,
                }
                for pair in self.pairs
            ]
        }


def show_example(folder: Path, id_: str, *, pair: str | None = None) -> Shown:
    """The example ``id_`` of a run.

    Raises:
        UsageError: the run has no such example or pair.
        RunError: the folder is not a finished run.
    """
    results = read_results(folder)
    samples = read_samples(folder)
    rows = [row for row in samples if row["id"] == id_]
    if not rows:
        some = ", ".join(list(dict.fromkeys(str(row["id"]) for row in samples))[:3])
        raise UsageError(f"{folder} has no example {id_!r}", f"its ids look like: {some}")
    chosen = [row for row in rows if pair in (None, row["pair"])]
    if not chosen:
        names = ", ".join(dict.fromkeys(str(row["pair"]) for row in rows))
        raise UsageError(f"{folder} has no pair {pair!r}", f"its pairs are: {names}")
    config = next(iter(results["configs"].values()))
    return Shown(pairs=tuple(ShownPair(row=row, witness=_witness(row, config)) for row in chosen))


def export_witness(folder: Path, id_: str, target: Path, *, pair: str | None = None) -> None:
    """Write the witness of an example's first wrong pair to ``target`` (.sqlite, .db or .sql).

    Raises:
        UsageError: nothing is wrong with that example, or the suffix is another.
    """
    if target.suffix not in {".sqlite", ".db", ".sql"}:
        raise UsageError(f"{target} is neither .sqlite nor .sql", "give --output one of these suffixes")
    shown = show_example(folder, id_, pair=pair)
    witness = next((p.witness for p in shown.pairs if p.witness is not None), None)
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


def _witness(row: Mapping[str, Any], config: Mapping[str, Any]) -> Witness | None:
    """The witness that the run has kept, else one made now as the run would have."""
    if row["execution_match"] or not row["prediction"]:
        return None
    if kept := row.get("witness"):
        return Witness(
            script=kept["script"],
            image=b"",
            gold_columns=tuple(kept["gold_columns"]),
            gold_rows=tuple(map(tuple, kept["gold_rows"])),
            prediction_columns=kept["prediction_columns"] and tuple(kept["prediction_columns"]),
            prediction_rows=kept["prediction_rows"] and tuple(map(tuple, kept["prediction_rows"])),
            prediction_error=kept["prediction_error"],
        )
    from harness.scoring import witnesses

    example = Example(
        id=row["id"],
        question=row["question"],
        context=row["context"],
        gold=row["gold"],
        database=Path(row["database"]) if row.get("database") else None,
    )
    prediction = Prediction(id=row["id"], pair=row["pair"], sql=row["prediction"])
    ((_, witness),) = witnesses(
        [(example, prediction)],
        rules=Rules(**config["rules"]),
        dialect=config["dialect"],
        size=config["size"],
        seed=config["seed"],
    )
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
