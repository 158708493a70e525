"""The smallest database that shows why a prediction is wrong, for people to read.

Of the databases on which gold and prediction differ the one with the fewest rows is taken, and rows are
removed from it, whole tables first, then halves, then single rows, for as long as the two still differ and
the gold's answer stays a matter of rows, not of their order. Rows that refer to a removed row go with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from harness.databases import Failure, Result, Sandbox, Suite, same
from harness.databases.answers import Expected, ResultRow, Ways
from harness.databases.fairness import Fairness
from harness.databases.limits import LONGEST
from harness.databases.readers import Readers
from harness.errors import RunError
from harness.outcomes import DatabaseKind, Outcome
from harness.records import Verdict, Witness
from harness.scoring.attack import Attacker
from harness.scoring.cause import causes
from harness.scoring.trial import translate
from harness.scoring.verdict import harness_error, judge
from harness.sql.dialect import literal, quote
from harness.sql.statement import statement

STEPS = 200_000_000
"""SQLite's steps that making one database smaller may take."""

ROWS, CHARACTERS, VALUE = 100, 50_000, 2_000
"""What is kept of a result: rows, characters of all values, characters of one; a witness says what is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A verdict with its reason: ``causes`` are all clauses that differ, ``witness`` the database.

    Both are empty for a prediction that is right outright; of one that is right under an assumption the
    witness breaks that assumption. The witness is empty also where the prediction has no SQL, or where no
    database can be made for the gold.
    """

    verdict: Verdict
    causes: tuple[str, ...] = ()
    witness: Witness | None = None

    @property
    def cause(self) -> str | None:
        """The clause that weighs most."""
        return self.verdict.cause

    def export(self, path: Path) -> Path:
        """Write the witness as an SQLite file, or as SQL text where the name ends in ``.sql``; the path."""
        if self.witness is None:
            raise RunError("there is no counterexample to export", "only a wrong prediction has one")
        if path.suffix == ".sql":
            path.write_text(self.witness.script, "utf-8")
        else:
            path.write_bytes(self.witness.image)
        return path


def explain(suite: Suite, sql: str | None, *, box: Sandbox | None = None) -> Explanation:
    """Judge one prediction and say why it is wrong, with the smallest database found."""
    if box is None:
        with Sandbox() as own:
            return explain(suite, sql, box=own)
    (verdict,) = judge(suite, [sql], box=box)
    found: tuple[str, ...] = (verdict.cause,) if verdict.cause else ()
    if sql is None or not verdict.outcome.shows or verdict.outcome.counts == "right":
        return Explanation(verdict=verdict, causes=found)
    try:
        if verdict.outcome.marked:
            assumed = verdict.outcome.assumes
            breaks = find_witness(suite, sql, box, probe=assumed.kind if assumed else "fair")
            return Explanation(verdict=verdict, causes=found, witness=breaks)
        if verdict.outcome is Outcome.WRONG and suite.readings:
            found = causes(*Readers(suite).forms(translate(suite, sql)))
        return Explanation(verdict=verdict, causes=found, witness=find_witness(suite, sql, box))
    except Exception as error:
        return Explanation(verdict=harness_error(suite, sql, error), causes=found)


def find_witness(
    suite: Suite, sql: str, box: Sandbox, *, probe: DatabaseKind | None = None
) -> Witness | None:
    """The smallest database found on which the prediction fails or differs from every reading of the gold.

    ``probe`` has it be one of those that break an assumption. None where there is none, or where the gold
    has no reading: then no database can be made.
    """
    if not suite.readings or len(sql) > LONGEST:
        return None
    text = translate(suite, sql)
    counted = {"fair", "unstable", *([] if suite.limited else ["ties"])}
    assumptions = [of for one in Outcome if (of := one.assumes)]
    counted |= {of.kind for of in assumptions if getattr(suite.rules, of.rule) == "count"}
    counted = {probe} if probe else counted
    duel = _Duel(suite, text, box, forgiving="ties" not in counted)
    differing = [d for d in suite.databases if (d.kind in counted or d.ways) and duel.differs(d.image)]
    if not differing:
        found = Attacker(suite, box, Readers(suite)).databases(text)
        differing = list(islice((d for d in found if duel.differs(d.image)), 1))
    if not differing:
        return None
    with _Editor() as editor:
        start = min(differing, key=lambda d: (-duel.differs(d.image), editor.rows(d.image)))
        image = _shrunk(start.image, duel, editor, suite)
        image, script = editor.finish(image, f"{suite.readings[0]} {text}".lower())
    gold, other = duel.results(image)
    columns, rows = (gold.columns, gold.rows) if isinstance(gold, Result) else ((), [])
    failed = isinstance(other, Failure)
    kept = _kept(rows)
    shown = None if isinstance(other, Failure) else _kept(other.rows)
    cut = [
        f"the first {len(some)} of the {whose}'s {len(every):,} rows"
        for some, every, whose in ((kept, rows, "gold"), (shown or (), _rows(other), "prediction"))
        if len(some) < len(every)
    ]
    return Witness(
        script=script,
        image=image,
        gold_columns=columns,
        gold_rows=kept,
        prediction_columns=None if isinstance(other, Failure) else other.columns,
        prediction_rows=shown,
        prediction_error=other.message if isinstance(other, Failure) and failed else None,
        cut=", ".join(cut),
    )


def _rows(result: Result | Failure) -> list[ResultRow]:
    return result.rows if isinstance(result, Result) else []


def _kept(rows: Sequence[ResultRow]) -> tuple[ResultRow, ...]:
    """The first rows of a result, long values cut, as far as both limits go."""
    kept: list[ResultRow] = []
    left = CHARACTERS
    for row in rows[:ROWS]:
        short = tuple(v[:VALUE] + "…" if isinstance(v, str) and len(v) > VALUE else v for v in row)
        left -= sum(len(str(v)) for v in short)
        if left < 0 and kept:
            break
        kept.append(short)
    return tuple(kept)


class _Duel:
    """Gold and prediction on one database after the other; ``forgiving`` of ties broken otherwise."""

    def __init__(self, suite: Suite, text: str, box: Sandbox, *, forgiving: bool) -> None:
        self.suite, self.text, self.box, self.forgiving = suite, text, box, forgiving
        self.fairness = Fairness(statement(suite.readings[0], suite.schema) if suite.schema else None)

    def results(self, image: bytes) -> tuple[Result | Failure, Result | Failure]:
        """What the gold's literal reading and the prediction give."""
        self.box.load(image)
        return self.box.query(self.suite.readings[0]), self.box.query(self.text)

    def differs(self, image: bytes) -> int:
        """0 where they agree; else how well the difference shows.

        3: the gold's answer has a value other than 0; 2: only the prediction's has one; 1: there is
        nothing to see but how many rows and columns there are.
        """
        self.box.load(image)
        result = self.box.query(self.text)
        answers = [self.box.query(reading) for reading in self.suite.readings]
        if isinstance(result, Result) and any(
            isinstance(answer, Result)
            and same(answer, result, ordered=self.suite.ordered, rules=self.suite.rules)
            for answer in answers
        ):
            return 0
        if isinstance(result, Result) and (ways := self._ways()) is not None and ways.admit(result):
            return 0
        return 3 if _tells(answers[0]) else 2 if _tells(result) else 1

    def _ways(self) -> Ways | None:
        return self.fairness.ways(self.box, self.suite.readings[0]) if self.forgiving else None

    def fair(self) -> bool:
        """Whether the gold's answer on the database last asked for is a matter of its rows alone, or its ways
        to break a tie are.
        """
        gold = self.box.query(self.suite.readings[0])
        if isinstance(gold, Failure):
            return False
        ready = Expected(gold, ordered=self.suite.ordered, rules=self.suite.rules)
        kind = self.fairness.check(self.box, self.suite.readings[0], ready)
        return kind == "fair" or (kind == "ties" and self._ways() is not None)


def _tells(found: Result | Failure) -> bool:
    return isinstance(found, Result) and any(value for row in found.rows for value in row)


class _Rows(NamedTuple):
    table: str
    ids: tuple[int, ...]


class _Editor:
    """Removes rows from images."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)

    def __enter__(self) -> _Editor:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def rows(self, image: bytes) -> int:
        """How many rows a database has."""
        return sum(len(table.ids) for table in self.tables(image))

    def tables(self, image: bytes) -> list[_Rows]:
        """The tables of a database, the largest first."""
        self.connection.deserialize(image)
        names = [n for (n,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = [
            _Rows(name, tuple(n for (n,) in self.connection.execute(f"SELECT rowid FROM {quote(name)}")))
            for name in names
        ]
        return sorted(found, key=lambda table: -len(table.ids))

    def without(self, image: bytes, table: str, ids: tuple[int, ...], suite: Suite) -> bytes:
        """The database without some rows of a table, and without those that refer to them."""
        self.connection.deserialize(image)
        marks = ",".join(map(str, ids))
        self.connection.execute(f"DELETE FROM {quote(table)} WHERE rowid IN ({marks})")
        for _ in suite.links:
            before = self.connection.total_changes
            for (child, column), (parent, target) in suite.links:
                self.connection.execute(
                    f"DELETE FROM {quote(child)} WHERE {quote(column)} IS NOT NULL"
                    f" AND {quote(column)} NOT IN (SELECT {quote(target)} FROM {quote(parent)})"
                )
            if self.connection.total_changes == before:
                break
        return self.connection.serialize()

    def finish(self, image: bytes, queries: str) -> tuple[bytes, str]:
        """The database without the empty tables that no query names, as an image and as SQL text."""
        connection = self.connection
        connection.deserialize(image)
        for name, ids in self.tables(image):
            if not ids and name.lower() not in queries:
                connection.execute(f"DROP TABLE {quote(name)}")
        connection.execute("VACUUM")
        return connection.serialize(), "\n".join(self._script()) + "\n"

    def _script(self) -> Iterator[str]:
        tables = self.connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
        )
        for name, sql in tables.fetchall():
            yield f"{sql};"
            for row in self.connection.execute(f"SELECT * FROM {quote(name)}"):
                yield f"INSERT INTO {quote(name)} VALUES ({', '.join(map(literal, row))});"


def _shrunk(image: bytes, duel: _Duel, editor: _Editor, suite: Suite) -> bytes:
    tells, strict = duel.differs(image), duel.fair()

    until = duel.box.spent + STEPS

    def smaller(table: str, ids: tuple[int, ...]) -> bool:
        nonlocal image
        if duel.box.spent > until:
            return False
        left = editor.without(image, table, ids, suite)
        if duel.differs(left) >= tells and (not strict or duel.fair()):
            image = left
            return True
        return False

    for table, ids in editor.tables(image):
        if ids:
            smaller(table, ids)
    for table, _ in editor.tables(image):
        size = len(next(t.ids for t in editor.tables(image) if t.table == table)) // 2
        while size >= 1:
            for chunk in _chunks(editor, image, table, size):
                smaller(table, chunk)
            size //= 2
    return image


def _chunks(editor: _Editor, image: bytes, table: str, size: int) -> list[tuple[int, ...]]:
    ids = next((t.ids for t in editor.tables(image) if t.table == table), ())
    return [ids[n : n + size] for n in range(0, len(ids), size)]
