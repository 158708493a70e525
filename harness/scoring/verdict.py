"""From a suite and predictions to verdicts.

All predictions of an example run on its databases one database at a time, without a parse. Only then, and
only for those whose results are the gold's everywhere, canonical form, proof and attack say how sure that
is; the others get their cause from the parsed queries.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from harness.databases import Database, Failure, Result, Sandbox, Suite, populate
from harness.databases.limits import LONGEST
from harness.databases.readers import Readers
from harness.databases.results import Expected
from harness.databases.suite import DatabaseKind
from harness.errors import SchemaError
from harness.records import SAME, Outcome, Verdict
from harness.scoring.attack import ASSUMED, ATTACKS, Attacker
from harness.scoring.cause import causes, summary
from harness.scoring.proof import proof
from harness.sql import Untranspilable
from harness.sql.dialect import strip_distinct

log = logging.getLogger(__name__)
DECIDING = ("fair", "unstable")
"""Kinds of databases on which a difference makes a prediction wrong."""

ASSUMPTIONS: Mapping[DatabaseKind, tuple[Outcome, str, str]] = {
    "ties": (Outcome.TIE_ONLY, "ties", "where the superlative is tied"),
    "nulls": (Outcome.NULL_ONLY, "nulls", "where values are NULL"),
    "keys": (Outcome.KEY_ONLY, "guesses", "where a guessed key repeats or dangles"),
}
"""Each kind of probe with the outcome that it grants, the rule that can withdraw it, and what it shows.

Of several the first names the outcome: a tie is never called a matter of NULLs."""

ALARM = "alarm: the canonical forms are equal, and a fair database parts the two"
"""What is said where a form is at fault: the report counts these."""

REPEATS = 3
"""Databases without repeated names on which the gold must find something, and a prediction answer alike."""

_EXPRESSION = re.compile(r"(\)\s*(?:==?|<>|!=|[<>]=?)\s*'(?:[^']|'')*')(?!\s*COLLATE)", re.I)
_NULL_TEST = re.compile(r"\b(?:IS\s+(?:NOT\s+)?NULL|ISNULL|NOTNULL|COALESCE|IFNULL)\b", re.I)
_NAMES = ("no such table", "no such column")
_PREPARED = {"execution_error", "schema_error"}


@dataclass(slots=True)
class Trial:
    """One prediction's way through the databases.

    ``readings`` are the gold's readings whose results it has matched so far; ``lost`` is the database on
    which the last of them was refuted. ``assumed`` are the kinds of probes on which it differed, ``agreed``
    whether it answered as the gold does on a database that decides.
    """

    text: str
    readings: set[int]
    failure: Failure | None = None
    error: Exception | None = None
    lost: Database | None = None
    assumed: set[str] = field(default_factory=set)
    agreed: bool = False
    ran: bool = False
    result: Result | None = None
    results: list[Result | None] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether its results were the gold's on every fair database so far."""
        return bool(self.readings) and self.failure is None and self.error is None


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
    verdicts: dict[str | None, Verdict] = {None: _refused(suite, Outcome.MISSING, "there is no SQL")}
    trials: dict[str, Trial] = {}
    for sql in dict.fromkeys(sqls):
        if sql is not None:
            try:
                trials[sql] = _trial(suite, sql)
            except Untranspilable as error:
                verdicts[sql] = _refused(suite, Outcome.UNTRANSPILABLE, str(error))
            except Exception as error:
                verdicts[sql] = harness_error(suite, sql, error)
    started = {trial.text: trial for trial in trials.values()}
    try:
        execute(suite, list(started.values()), box, real=real, everything=signatures)
        readers = Readers(suite)
        attacker = Attacker(suite, box, readers)
    except Exception as error:  # what all of them need
        verdicts.update({sql: harness_error(suite, sql, error) for sql in trials})
        return [verdicts[sql] for sql in sqls]
    for sql, trial in trials.items():
        try:
            if (failed := started[trial.text].error) is not None:
                raise failed
            verdicts[sql] = _verdict(suite, sql, started[trial.text], readers, attacker, attacks, signatures)
        except Exception as error:
            verdicts[sql] = harness_error(suite, sql, error)
    return [verdicts[sql] for sql in sqls]


def harness_error(suite: Suite, sql: str | None, error: Exception) -> Verdict:
    """The verdict of a prediction that the harness itself failed on; the log has the traceback."""
    log.error("harness_error on %.500r beside the gold %.500r", sql, suite.gold, exc_info=error)
    return _refused(suite, Outcome.HARNESS_ERROR, f"{type(error).__name__}: {error}"[:300])


def translate(suite: Suite, sql: str) -> str:
    """The prediction as SQLite is to run it under the suite's rules; raises Untranspilable.

    Columns ignore letter case by their collation; what a function makes of them needs to be told.
    """
    text = suite.sqlite(sql)
    text = strip_distinct(text) if suite.rules.distinct == "strip" else text
    if suite.rules.case == "ignore" and ")" in text:
        text = _EXPRESSION.sub(r"\1 COLLATE NOCASE", text)
    return text


def _trial(suite: Suite, sql: str) -> Trial:
    if len(sql) > LONGEST:  # nothing reads it
        failure = Failure("execution_error", f"the query is longer than {LONGEST} characters")
        return Trial(sql, set(), failure=failure)
    return Trial(translate(suite, sql), set(range(len(suite.readings))))


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
        open_ = [t for t in trials if (t.accepted or everything) and t.failure is None and t.error is None]
        if not open_:
            break
        todo = [t for t in open_ if everything or t.text not in own]
        if todo:
            box.load(database.image)
        answers = expected(suite, database)
        for trial in todo:
            try:
                attempt(suite, trial, database, answers, box)
            except Exception as error:  # that one's, not the others'
                trial.error = error
            if everything and trial.failure is None:
                trial.results.append(trial.result)
    if not suite.databases and suite.schema is not None:
        _try_out(suite, trials, box)
    for trial in trials:
        if not trial.ran or not suite.databases:
            trial.readings &= {n for n, text in enumerate(suite.readings) if text == trial.text}
    if real is not None and trials:
        _execute_real(suite, trials, box, real)


def _try_out(suite: Suite, trials: Sequence[Trial], box: Sandbox) -> None:
    """Run what is not the gold itself where the gold does not run, only to see whether it does."""
    assert suite.schema is not None
    try:
        box.load(populate(suite.schema, (), rules=suite.rules))
    except SchemaError:  # names that SQLite does not take: nothing can run
        return
    for trial in trials:
        if trial.text not in suite.readings:
            result = box.query(trial.text)
            trial.ran, trial.failure = True, result if isinstance(result, Failure) else None


def expected(suite: Suite, database: Database) -> list[Expected | None]:
    """The gold's answers on a database, ready to be compared with; None for a reading that failed there."""
    return [
        Expected(answer, ordered=suite.ordered, rules=suite.rules) if isinstance(answer, Result) else None
        for answer in database.answers
    ]


def attempt(
    suite: Suite, trial: Trial, database: Database, answers: Sequence[Expected | None], box: Sandbox
) -> None:
    """Run one trial on the database that is loaded."""
    result = box.query(trial.text)
    trial.ran = True
    if isinstance(result, Failure):
        trial.failure, trial.lost = result, database
        return
    trial.result = result
    if not trial.readings:
        return
    agreed = {n for n in trial.readings if (answer := answers[n]) is not None and answer.same(result)}
    if agreed:
        trial.readings = agreed
        trial.agreed = trial.agreed or database.kind in DECIDING
    elif database.kind in ("nulls", "keys"):
        trial.assumed.add(database.kind)
    elif database.kind == "ties" and suite.limited:
        others = (box.query(reading, backwards=True) for reading in suite.readings)
        if not any(
            isinstance(other, Result)
            and Expected(other, ordered=suite.ordered, rules=suite.rules).same(result)
            for other in others
        ):
            trial.assumed.add("ties")
    elif _nothing(database, trial.readings) and not _values(result):
        trial.assumed.add("nulls")
    else:
        trial.readings, trial.lost = set(), database


def _nothing(database: Database, readings: set[int]) -> bool:
    """Whether the gold finds nothing there: no rows, or NULLs alone."""
    answers = [database.answers[n] for n in readings]
    return all(isinstance(answer, Result) and not _values(answer) for answer in answers)


def _values(result: Result) -> bool:
    return any(value is not None for row in result.rows for value in row)


def _execute_real(suite: Suite, trials: Sequence[Trial], box: Sandbox, real: bytes | Path) -> None:
    box.load(real)
    answers = tuple(box.query(reading) for reading in suite.readings)
    database = Database(b"", "fair", answers)
    if not answers or any(isinstance(answer, Failure) for answer in answers):
        return
    ready = expected(suite, database)
    for trial in trials:
        if trial.accepted and trial.text not in suite.readings:
            attempt(suite, trial, database, ready, box)


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
        cause=outcome.words,
        detail=detail,
        gold_status=suite.gold_status,
        gold_reason=suite.reason,
        suite_strength=suite.strength,
        widened=suite.widened,
    )


def _verdict(
    suite: Suite, sql: str, trial: Trial, readers: Readers, attacker: Attacker, attacks: int, signatures: bool
) -> Verdict:
    outcome, cause, detail = _outcome(suite, trial, readers, attacker, attacks)
    valid, adheres = _runs(suite, trial, readers)
    return Verdict(
        id="",
        pair="",
        outcome=outcome,
        exact_match=outcome is Outcome.EXACT,
        raw_match=_raw(sql) == _raw(suite.gold),
        valid_sql=valid,
        schema_adherence=adheres,
        gold_status=suite.gold_status,
        gold_reason=suite.reason,
        suite_strength=suite.strength,
        cause=cause,
        detail=detail,
        reading=min(trial.readings, default=0),
        signature=_signature(trial, suite) if signatures else "",
        widened=suite.widened,
    )


def _outcome(
    suite: Suite, trial: Trial, readers: Readers, attacker: Attacker, attacks: int
) -> tuple[Outcome, str | None, str]:
    """The outcome, the cause of a wrong one, and a line for people.

    Execution outranks texts: an equal form or a proof confirms what the databases show, and overrules none.
    """
    if trial.failure and (suite.databases or not trial.ran):
        return _failed(trial.failure)
    equal = _equal_form(suite, trial, readers)
    parted = trial.lost is not None and trial.lost.kind != "unstable"
    if equal == -1 or (equal is not None and not parted and not trial.assumed - {"ties"}):
        trial.readings = {max(equal, 0)}
        return Outcome.EXACT, None, "canonical form"
    if trial.failure:  # of what is not a gold that does not run
        return _failed(trial.failure)
    shown = _shown(suite, trial, readers) if trial.accepted and equal is None else None
    if trial.accepted and equal is None and shown is None:
        count, late = _attacked(trial, attacker, attacks)
        if late:
            return _failed(late)
        if trial.accepted and not trial.assumed:
            return Outcome.INDISTINGUISHABLE, None, f"on {count} databases"
    if shown and not trial.assumed:
        if shown.nulls:
            return Outcome.EQUIVALENT, None, shown.text
        if suite.rules.nulls == "forgive" and not _asks_for_null(suite.gold, trial.text):
            return Outcome.EQUIVALENT, None, f"{shown.text}, where nothing is NULL"
        trial.assumed.add("nulls")
    held = [ASSUMPTIONS[kind] for kind in ASSUMPTIONS if kind in trial.assumed] if trial.accepted else []
    if "ties" in trial.assumed and not (trial.agreed or shown):  # nothing shows that ties alone part them
        held = []
    if held and all(getattr(suite.rules, rule) == "forgive" for _, rule, _ in held):
        outcome, _, where = held[0]
        return outcome, None, f"differs only {where}{_also(shown)}"
    if equal is not None and trial.lost is not None:
        log.error("alarm: equal forms, and a fair database parts %.500r and %.500r", suite.gold, trial.text)
        return Outcome.WRONG, "other", ALARM
    repeated = _repeats(suite, trial, attacker)
    if repeated is Outcome.REPEAT_GOLD:
        return repeated, None, "differs only where names that the gold goes by repeat"
    trial.readings = set()
    gold, other = readers.forms(trial.text)
    found = causes(gold, other)
    if repeated is not None:
        return repeated, found[0], "differs only where names that it goes by repeat"
    if not suite.databases:
        reason = "gold does not run" if suite.schema is not None else "context cannot be read"
        return Outcome.WRONG, found[0], f"the {reason}"
    if held:
        return Outcome.WRONG, found[0], f"differs {held[0][2]}"
    return Outcome.WRONG, found[0], summary(found, gold, other)


def _equal_form(suite: Suite, trial: Trial, readers: Readers) -> int | None:
    """The number of the gold's reading that the trial is written like; what has no form is only like itself.

    -1: the gold as it stands, which is no reading where another one alone makes sense.
    """
    form = readers.basic.form(trial.text)
    for number, reading in enumerate(_golds(suite)):
        same = readers.basic.text(trial.text) == readers.basic.text(reading) if form is not None else None
        if same or trial.text == reading:
            return number if number < len(suite.readings) else -1
    return None


def _repeats(suite: Suite, trial: Trial, attacker: Attacker) -> Outcome | None:
    """The outcome of a prediction that differs only where columns that name things repeat.

    It must answer as the gold does on databases on which no name repeats, and just one of the two may go by
    a name; a DISTINCT that is dropped or added is neither.
    """
    if suite.rules.names == "count" or trial.lost is None or trial.failure or not suite.readings:
        return None
    names = attacker.names
    gold, other = (names.relied_on(text) for text in (suite.readings[0], trial.text))
    if not (gold ^ other) or names.distinct(suite.readings[0]) != names.distinct(trial.text):
        return None
    fresh, told = Trial(trial.text, set(range(len(suite.readings)))), 0
    for database in attacker.without_repeats(trial.text):
        attempt(suite, fresh, database, expected(suite, database), attacker.box)
        if not fresh.accepted or fresh.assumed:
            return None
        told += not _nothing(database, fresh.readings)
    if told < REPEATS:
        return None
    if gold - other and not other - gold:
        trial.readings = fresh.readings
        return Outcome.REPEAT_GOLD
    return Outcome.REPEAT_PREDICTION


def _asks_for_null(*queries: str) -> bool:
    """Whether a query tests for NULL: then its databases hold NULLs, else the rules say that none are."""
    return any(_NULL_TEST.search(query) for query in queries)


def _golds(suite: Suite) -> tuple[str, ...]:
    """The gold's readings and its own text, which may be none of them where it says nothing as it stands."""
    try:
        return (*suite.readings, translate(suite, suite.gold))
    except Untranspilable:
        return suite.readings


def _failed(failure: Failure) -> tuple[Outcome, str | None, str]:
    outcome = Outcome(failure.kind)
    return outcome, outcome.words, failure.message


class _Shown(NamedTuple):
    """A proof's name, and whether it holds with NULLs as well."""

    text: str
    nulls: bool


def _also(shown: _Shown | None) -> str:
    return f" ({shown.text} elsewhere)" if shown else ""


def _shown(suite: Suite, trial: Trial, readers: Readers) -> _Shown | None:
    """A proof that the trial equals a reading that it has matched, if it can be one that holds with NULLs."""
    for reader, nulls in ((readers.strong, True), (readers.filled, False)):
        other = reader.form(trial.text)
        for n in sorted(trial.readings) if nulls or suite.rules.nulls == "forgive" else ():
            if name := proof(reader.form(suite.readings[n]), other, nulls=nulls):
                return _Shown(f"proved: {name}", nulls)
    return None


def _attacked(trial: Trial, attacker: Attacker, attacks: int) -> tuple[int, Failure | None]:
    """Attack an accepted prediction: how many databases it was judged on, and its failure on one."""
    suite, made = attacker.suite, 0
    while made < attacks * (ASSUMED if trial.assumed else 1):
        for database in attacker.databases(trial.text, range(made, made + attacks)):
            attempt(suite, trial, database, expected(suite, database), attacker.box)
            if not trial.accepted:
                return made, trial.failure
        made += attacks
    return sum(database.kind == "fair" for database in suite.databases) + made, trial.failure


def _runs(suite: Suite, trial: Trial, readers: Readers) -> tuple[bool, bool]:
    """Whether it is valid SQL apart from unknown names, and whether it names only what exists."""
    if trial.failure is not None:
        names = trial.failure.message.startswith(_NAMES)
        late = trial.failure.kind == "timeout"
        return names or late, late or (trial.failure.kind in _PREPARED and not names)
    if trial.ran or (suite.databases and trial.text in suite.readings):
        return True, True
    form = readers.basic.form(trial.text)  # there is no database
    return form is not None, form is not None and "?." not in readers.basic.text(trial.text)


def _raw(sql: str) -> str:
    return sql.strip().rstrip("; \n\t")


def _signature(trial: Trial, suite: Suite) -> str:
    if trial.failure is not None:
        return ""
    shown = [repr(_signed(result, suite)) for result in trial.results if result is not None]
    told = blake2b("\n".join(shown).encode(), digest_size=8).hexdigest()
    return told if len(set(shown)) > 1 else SAME + told
