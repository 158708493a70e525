"""From a suite and predictions to verdicts.

All predictions of an example run on its databases one database at a time, without a parse. Only then, and
only for those whose results are the gold's everywhere, canonical form, proof and attack say how sure that
is; the others get their cause from the parsed queries.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from harness.databases import Database, Failure, Result, Sandbox, Suite, Untranspilable, same
from harness.databases.canonical import Canonicaliser
from harness.records import Outcome, Verdict
from harness.scoring._interim import attack
from harness.scoring.cause import BY_OUTCOME, causes, summary
from harness.scoring.proof import proof

ATTACKS = 6
"""Databases made from gold and prediction together for a prediction that was not proved."""

_COLUMNS = """
    SELECT t.name, c.name, c.type FROM sqlite_master AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'
"""
_NAMES = ("no such table", "no such column")
_DISTINCT = re.compile(r"('(?:[^']|'')*'|`[^`]*`|\[[^\]]*\])|\bdistinct\b", re.I)


@dataclass(slots=True)
class Trial:
    """One prediction's way through the databases.

    ``readings`` are the gold's readings whose results it has matched so far; ``lost`` is the database on
    which the last of them was refuted.
    """

    text: str
    readings: set[int]
    failure: Failure | None = None
    lost: Database | None = None
    nulls: bool = False
    ties: bool = False
    ran: bool = False
    results: list[object] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether its results were the gold's on every fair database so far."""
        return bool(self.readings) and self.failure is None


class Readers:
    """The two canonical readers of a suite's schema."""

    def __init__(self, suite: Suite) -> None:
        tables = kinds(suite)
        self.basic = Canonicaliser(tables, case=suite.rules.case)
        self.strong = Canonicaliser(tables, case=suite.rules.case, strong=True)


def kinds(suite: Suite) -> Mapping[str, Mapping[str, str]]:
    """Each table's columns with the kind of value that its databases hold: "integer", "real" or "text"."""
    if not suite.databases:
        tables = suite.schema.tables if suite.schema else ()
        return {table.name: dict.fromkeys((column.name for column in table.columns), "") for table in tables}
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(suite.databases[0].image)
        columns = connection.execute(_COLUMNS).fetchall()
    finally:
        connection.close()
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        found.setdefault(table, {})[column] = kind.lower() if kind in {"INTEGER", "REAL", "TEXT"} else ""
    return found


def judge(
    suite: Suite,
    sqls: Sequence[str | None],
    *,
    box: Sandbox | None = None,
    real: bytes | Path | None = None,
    attacks: int = ATTACKS,
    signatures: bool = False,
) -> list[Verdict]:
    """A verdict for each SQL text (None: the model gave none), in their order; never raises on SQL.

    ``real`` is a database with the benchmark's own rows on which results must agree as well. ``attacks``
    is the number of databases made against each accepted prediction that is not proved equal.
    ``signatures`` fills ``Verdict.signature``. The verdicts' ``id`` and ``pair`` are empty.
    """
    if box is None:
        with Sandbox() as own:
            return judge(suite, sqls, box=own, real=real, attacks=attacks, signatures=signatures)
    trials: dict[str, Trial | str] = {}
    for sql in sqls:
        if sql is not None and sql not in trials:
            trials[sql] = _trial(suite, sql)
    started = {trial.text: trial for trial in trials.values() if isinstance(trial, Trial)}
    execute(suite, list(started.values()), box, real=real, everything=signatures)
    readers = Readers(suite)
    verdicts = {
        sql: _verdict(suite, sql, started[trial.text], readers, box, attacks, signatures)
        if isinstance(trial, Trial)
        else _refused(suite, Outcome.UNTRANSPILABLE, trial)
        for sql, trial in trials.items()
    }
    return [_refused(suite, Outcome.MISSING, "there is no SQL") if s is None else verdicts[s] for s in sqls]


def translate(suite: Suite, sql: str) -> str:
    """The prediction as SQLite is to run it under the suite's rules; raises Untranspilable."""
    text = suite.sqlite(sql)
    return _DISTINCT.sub(r"\1", text) if suite.rules.distinct == "strip" else text


def _trial(suite: Suite, sql: str) -> Trial | str:
    try:
        return Trial(translate(suite, sql), set(range(len(suite.readings))))
    except Untranspilable as error:
        return str(error)


def execute(
    suite: Suite,
    trials: Sequence[Trial],
    box: Sandbox,
    *,
    real: bytes | Path | None = None,
    everything: bool = False,
) -> None:
    """Run the trials on the suite's databases, and note in them what came of it. The hot path."""
    own = dict.fromkeys(suite.readings)
    for database in suite.databases:
        open_ = [t for t in trials if (t.accepted or everything) and t.failure is None]
        if not open_:
            break
        todo = [t for t in open_ if everything or t.text not in own]
        if todo:
            box.load(database.image)
        for trial in todo:
            attempt(suite, trial, database, box, keep=everything)
    for trial in trials:
        if not trial.ran and trial.failure is None:
            trial.readings &= {n for n, text in enumerate(suite.readings) if text == trial.text}
    if real is not None and trials:
        _execute_real(suite, trials, box, real)


def attempt(suite: Suite, trial: Trial, database: Database, box: Sandbox, *, keep: bool = False) -> None:
    """Run one trial on the database that is loaded."""
    result = box.query(trial.text)
    trial.ran = True
    if isinstance(result, Failure):
        trial.failure, trial.lost = result, database
        return
    if keep:
        trial.results.append(_signed(result, suite))
    if not trial.readings:
        return
    agreed = {
        n
        for n in trial.readings
        if isinstance(answer := database.answers[n], Result)
        and same(answer, result, ordered=suite.ordered, rules=suite.rules)
    }
    if agreed:
        trial.readings = agreed
    elif database.kind == "nulls":
        trial.nulls = True
    elif database.kind == "ties":
        trial.ties = True
    else:
        trial.readings, trial.lost = set(), database


def _execute_real(suite: Suite, trials: Sequence[Trial], box: Sandbox, real: bytes | Path) -> None:
    box.load(real)
    answers = tuple(box.query(reading) for reading in suite.readings)
    database = Database(b"", "fair", answers)
    if not answers or any(isinstance(answer, Failure) for answer in answers):
        return
    for trial in trials:
        if trial.accepted and trial.text not in suite.readings:
            attempt(suite, trial, database, box)


def _signed(result: Result, suite: Suite) -> object:
    def plain(value: object) -> object:
        if isinstance(value, str) and suite.rules.case == "ignore":
            return value.lower()
        return float(f"{value:.9g}") if isinstance(value, float) else value

    rows = [tuple(map(plain, row)) for row in result.rows]
    return rows if suite.ordered else sorted(rows, key=repr)


def _refused(suite: Suite, outcome: Outcome, detail: str) -> Verdict:
    return Verdict(
        id="",
        pair="",
        outcome=outcome,
        cause=BY_OUTCOME[outcome],
        detail=detail,
        gold_status=suite.gold_status,
        gold_reason=suite.reason,
        suite_strength=suite.strength,
    )


def _verdict(
    suite: Suite, sql: str, trial: Trial, readers: Readers, box: Sandbox, attacks: int, signatures: bool
) -> Verdict:
    outcome, cause, detail = _outcome(suite, trial, readers, box, attacks)
    names = trial.failure is not None and trial.failure.message.startswith(_NAMES)
    runs = trial.failure is None or trial.failure.kind == "timeout"
    return Verdict(
        id="",
        pair="",
        outcome=outcome,
        exact_match=outcome is Outcome.EXACT,
        raw_match=_raw(sql) == _raw(suite.gold),
        valid_sql=runs or names,
        schema_adherence=runs or (trial.failure is not None and _adheres(trial.failure)),
        gold_status=suite.gold_status,
        gold_reason=suite.reason,
        suite_strength=suite.strength,
        cause=cause,
        detail=detail,
        reading=min(trial.readings, default=0),
        signature=_signature(trial) if signatures else "",
    )


def _outcome(
    suite: Suite, trial: Trial, readers: Readers, box: Sandbox, attacks: int
) -> tuple[Outcome, str | None, str]:
    """The outcome, the cause of a wrong one, and a line for people."""
    if trial.failure is not None:
        outcome = Outcome(trial.failure.kind)
        return outcome, BY_OUTCOME[outcome], trial.failure.message
    if trial.accepted:
        basic = readers.basic.text(trial.text)
        for n in sorted(trial.readings):
            if basic == readers.basic.text(suite.readings[n]):
                return Outcome.EXACT, None, "canonical form"
        if trial.nulls and suite.rules.nulls == "forgive":
            return Outcome.NULL_ONLY, None, "differs only where values are NULL"
        if trial.ties and suite.rules.ties == "forgive":
            return Outcome.TIE_ONLY, None, "differs only where the superlative is tied"
        if not trial.nulls and not trial.ties:
            shown = _shown(suite, trial, readers)
            if shown:
                return Outcome.EQUIVALENT, None, shown
            count = _attacked(suite, trial, box, attacks)
            if trial.accepted and not trial.nulls and not trial.ties:
                return Outcome.INDISTINGUISHABLE, None, f"on {count} databases"
            if trial.accepted:
                return _outcome(suite, trial, readers, box, 0)
        trial.readings = set()
    gold, other = (
        readers.strong.form(suite.readings[0] if suite.readings else ""),
        readers.strong.form(trial.text),
    )
    found = causes(gold, other)
    if trial.nulls or trial.ties:
        return Outcome.WRONG, found[0], "differs where values are NULL" if trial.nulls else "differs on ties"
    return Outcome.WRONG, found[0], summary(found, gold, other)


def _shown(suite: Suite, trial: Trial, readers: Readers) -> str | None:
    other = readers.strong.form(trial.text)
    for n in sorted(trial.readings):
        if other is not None and (name := proof(readers.strong.form(suite.readings[n]), other)):
            return f"proved: {name}"
    return None


def _attacked(suite: Suite, trial: Trial, box: Sandbox, attacks: int) -> int:
    """Attack an accepted prediction; the number of databases it was judged on altogether."""
    count = sum(database.kind == "fair" for database in suite.databases)
    for database in attack(suite, trial.text, attacks) if attacks else ():
        box.load(database.image)
        attempt(suite, trial, database, box)
        count += database.kind == "fair"
        if not trial.accepted:
            break
    return count


def _adheres(failure: Failure) -> bool:
    return failure.kind in {"execution_error", "schema_error"} and not failure.message.startswith(_NAMES)


def _raw(sql: str) -> str:
    return sql.strip().rstrip("; \n\t")


def _signature(trial: Trial) -> str:
    if trial.failure is not None:
        return ""
    return blake2b(repr(trial.results).encode(), digest_size=8).hexdigest()
