"""Examples of a run, explained: what ``show`` prints, and the database that it writes."""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import RunError, UsageError
from harness.records import Judging, Rules, Sample, Witness
from harness.runs.results import BenchmarkResult, Results, read_results
from harness.runs.samples import sample_row

_SHOWN_ROWS = 12
_WORDS = re.compile(r"(\s*)('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\w+|[<>=!|]+|\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An example and what each pair made of it, each wrong answer with its witness."""

    run: Path
    samples: tuple[Sample, ...]

    def to_text(self) -> str:
        """For people: the question, then each pair's verdict and both results on the smallest database."""
        asked = self.samples[0]
        flag = "" if asked.counted else f"  [gold {asked.gold_status}: {asked.gold_reason}]"
        head = [
            f"{asked.id}: {asked.question.strip() or '(no question)'}",
            f"run          {self.run}",
            "schema       " + asked.context.replace("; CREATE", f";\n{' ' * 13}CREATE"),
            f"gold         {asked.gold}{flag}",
        ]
        if asked.suite_strength is not None:
            told = f"{100 * asked.suite_strength:.1f} %"
            head.append(f"the test     its databases tell {told} of near misses from the gold")
        return "\n".join([*head, *(f"\n{_answer(sample)}" for sample in self.samples)])

    def to_json(self) -> dict[str, Any]:
        """The samples as their file has them."""
        return {"run": str(self.run), "samples": [sample_row(sample) for sample in self.samples]}

    def write_database(self, target: Path) -> None:
        """Write the witness of the first wrong pair to ``target`` (.sqlite, .db or .sql).

        Raises:
            UsageError: nothing is wrong with that example, the suffix is another, or the file exists.
            RunError: it cannot be written.
        """
        if target.suffix not in {".sqlite", ".db", ".sql"}:
            raise UsageError(f"{target} is neither .sqlite nor .sql", "give --database one of these suffixes")
        witness = next((sample.witness for sample in self.samples if sample.witness is not None), None)
        if witness is None:
            raise UsageError(
                f"no database tells {self.samples[0].id!r} from its gold",
                "choose one that is counted wrong: show --failed",
            )
        if target.exists():
            raise UsageError(f"{target} exists already", "remove it, or give --database another file")
        try:
            if target.suffix == ".sql":
                target.write_text(witness.script, "utf-8")
            else:
                with closing(sqlite3.connect(target)) as connection:
                    connection.executescript(witness.script)
                    connection.commit()
        except (OSError, sqlite3.OperationalError) as error:
            raise RunError(f"{target} cannot be written ({error})", "give --database another file") from error


def show_example(folder: Path, id_: str, *, pair: str | None = None) -> Shown:
    """The example ``id_`` of a run; a witness that the run has not kept is made now as the run would have.

    Raises:
        UsageError: the run has no such example or pair; the remedy names those that read like it.
        RunError: the folder holds no finished run.
        DataError: its files cannot be read.
    """
    samples = list(_samples(read_results(folder)))
    found = [(side, sample) for side, sample in samples if sample.id == id_]
    if not found:
        ids = list(dict.fromkeys(sample.id for _, sample in samples))
        near = difflib.get_close_matches(id_, ids, 3, 0.6)
        remedy = f"did you mean {', '.join(near)}?" if near else f"its ids look like: {', '.join(ids[:3])}"
        raise UsageError(f"{folder} has no example {id_!r}", remedy)
    _check_pair(folder, pair, found)
    return _shown(folder, [(side, sample) for side, sample in found if pair in (None, sample.pair)])


def show_failed(folder: Path, *, cause: str | None = None, pair: str | None = None) -> Iterator[Shown]:
    """Every wrong answer to a sound gold, one at a time, those of ``cause`` alone where one is named.

    A cause is named as the report does, blanks written as they are, or as - or _ ("wrong-column"), and so is
    an outcome ("schema_error"). Raises as ``show_example`` does, and for a cause that no answer has.
    """
    samples = list(_samples(read_results(folder)))
    _check_pair(folder, pair, samples)
    wrong = [
        (side, sample)
        for side, sample in samples
        if not sample.execution_match and sample.counted and pair in (None, sample.pair)
    ]
    wanted = cause and _plain(cause)
    chosen = [one for one in wrong if not wanted or wanted in _names(one[1])]
    if not chosen:
        causes = Counter(sample.cause or sample.outcome.words for _, sample in wrong)
        if not causes:
            raise UsageError(f"{folder} has no wrong answer to a sound gold", "nothing failed: see report.md")
        known = ", ".join(f"{name} ({number})" for name, number in causes.most_common())
        raise UsageError(f"no wrong answer has the cause {cause!r}", f"there are: {known}")
    return (_shown(folder, [one]) for one in chosen)


def _samples(results: Results) -> Iterator[tuple[BenchmarkResult, Sample]]:
    for side in results.benchmarks:
        yield from ((side, sample) for sample in results.samples(side.name))


def _check_pair(folder: Path, pair: str | None, found: Sequence[tuple[BenchmarkResult, Sample]]) -> None:
    names = list(dict.fromkeys(sample.pair for _, sample in found))
    if pair is not None and pair not in names:
        raise UsageError(f"{folder} has no pair {pair!r}", f"its pairs are: {', '.join(names)}")


def _shown(folder: Path, chosen: Sequence[tuple[BenchmarkResult, Sample]]) -> Shown:
    return Shown(run=folder, samples=tuple(replace(s, witness=find_witness(s, side)) for side, s in chosen))


def find_witness(sample: Sample, side: BenchmarkResult) -> Witness | None:
    """The sample's witness, made now where the run has not kept one; None where it is right or has no SQL."""
    if sample.execution_match or not sample.prediction or sample.witness:
        return sample.witness
    from harness.scoring import witnesses

    ((_, witness),) = witnesses([(sample.example, sample.prediction)], judging_of(side))
    return witness


def judging_of(side: BenchmarkResult) -> Judging:
    """How a benchmark of a run was judged."""
    config = side.config
    return Judging(
        rules=Rules(**config["rules"]),
        dialect=config["dialect"],
        databases=config["databases"],
        seed=config["seed"],
    )


def marked(gold: str, prediction: str) -> str:
    """Both queries as one text: ``[-what the gold alone has-]`` and ``{+what the prediction alone has+}``.

    Blanks make no difference, nor does the case of words outside quotes.

    >>> marked("SELECT a FROM t WHERE b='X'", "select c from t  WHERE b='x'")
    "select [-a-]{+c+} from t WHERE b=[-'X'-]{+'x'+}"
    """
    left, right = _WORDS.findall(gold), _WORDS.findall(prediction)
    before, after = (
        [word if word[0] in "'\"" else word.lower() for _, word in side] for side in (left, right)
    )
    parts: list[str] = []
    for what, a, b, c, d in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        old, new = _joined(left[a:b]), _joined(right[c:d])
        blank = " " if parts and (right[c:d] or left[a:b])[0][0] else ""
        changed = f"[-{old}-]" * bool(old) + f"{{+{new}+}}" * bool(new)
        parts.append(blank + (new if what == "equal" else changed))
    return "".join(parts)


def _joined(words: Sequence[tuple[str, str]]) -> str:
    return "".join((" " if blank else "") + word for blank, word in words).removeprefix(" ")


def _answer(sample: Sample) -> str:
    lines = [
        f"── {sample.pair}: {sample.outcome.words}" + (f" ({sample.cause})" if sample.cause else ""),
        f"prediction   {sample.prediction}",
    ]
    if sample.prediction and not sample.execution_match:
        lines.append(f"difference   {marked(sample.gold, sample.prediction)}")
    if sample.detail:
        lines.append(f"detail       {sample.detail}")
    if (witness := sample.witness) is not None:
        lines += ["", "The smallest database found on which they differ:", *_tables(witness.script)]
        lines += ["gold gives", _grid(witness.gold_columns, witness.gold_rows)]
        if witness.prediction_rows is None:
            lines.append(f"prediction fails: {witness.prediction_error}")
        else:
            lines += ["prediction gives", _grid(witness.prediction_columns or (), witness.prediction_rows)]
    return "\n".join(lines)


def _tables(script: str) -> Iterator[str]:
    """Every table of the database, as a table."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            found = connection.execute('SELECT * FROM "{}"'.format(name.replace('"', '""')))
            yield f"{name}\n{_grid([column[0] for column in found.description], found.fetchall())}\n"


def _names(sample: Sample) -> set[str]:
    return {_plain(sample.cause or ""), _plain(sample.outcome)}


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name).strip().casefold()


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    shown = [tuple("NULL" if cell is None else str(cell) for cell in row) for row in rows[:_SHOWN_ROWS]]
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)] if columns else []
    lines = [
        "  " + " │ ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (tuple(columns), *shown)
    ]
    lines.insert(1, "  " + "─┼─".join("─" * width for width in widths))
    if not rows:
        lines.append("  (no rows)")
    if len(rows) > _SHOWN_ROWS:
        lines.append(f"  … {len(rows) - _SHOWN_ROWS} more rows")
    return "\n".join(lines)
