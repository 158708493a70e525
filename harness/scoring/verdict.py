"""From a suite and predictions to verdicts.

All predictions of an example run on its databases first (see ``trial``). Only then, and only for those whose
results are the gold's everywhere, canonical form, proof and attack say how sure that is; the others get their
cause from the parsed queries.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness.databases import Failure, Sandbox, Suite
from harness.databases.readers import Readers
from harness.outcomes import Assumption, Outcome
from harness.records import Verdict
from harness.scoring.attack import ASSUMED, ATTACKS, Attacker
from harness.scoring.cause import CLAUSES, causes, summary
from harness.scoring.proof import proof
from harness.scoring.trial import Trial, attempt, execute, expected, nothing, signature, translate, trial_of
from harness.sql import Untranspilable

log = logging.getLogger(__name__)
ALARM = "alarm: the canonical forms are equal, and a fair database parts the two"
"""What is said where a form is at fault: the report counts these."""

ALIKE, REPEATS = 24, 3
"""Databases without repeated names on which a prediction must answer as the gold does, and on how many of
them the gold must find something: more are made until it does.
"""

_NULL_TEST = re.compile(r"\b(?:IS\s+(?:NOT\s+)?NULL|ISNULL|NOTNULL|COALESCE|IFNULL)\b", re.I)
_NAMES = ("no such table", "no such column")
_PREPARED = {"execution_error", "schema_error"}


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
    verdicts: dict[str | None, Verdict] = {}
    if None in sqls:
        verdicts[None] = _refused(suite, Outcome.MISSING, "there is no SQL")
    trials: dict[str, Trial] = {}
    for sql in dict.fromkeys(sqls):
        if sql is not None:
            try:
                trials[sql] = trial_of(suite, sql)
            except Untranspilable as error:
                verdicts[sql] = _refused(suite, Outcome.UNTRANSPILABLE, str(error))
            except Exception as error:
                verdicts[sql] = harness_error(suite, sql, error)
    started = {trial.text: trial for trial in trials.values()}
    try:
        readers = Readers(suite)
        alike = partial(_is_alike, suite, readers=readers)
        execute(suite, list(started.values()), box, real=real, alike=alike, everything=signatures)
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
    outcome, differing, detail = _outcome(suite, trial, readers, attacker, attacks)
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
        cause=next(iter(differing), None),
        clauses=sum(clause in CLAUSES for clause in differing),
        detail=detail,
        reading=min(trial.readings, default=0),
        signature=signature(trial, suite) if signatures else "",
        widened=suite.widened,
    )


def _outcome(
    suite: Suite, trial: Trial, readers: Readers, attacker: Attacker, attacks: int
) -> tuple[Outcome, tuple[str, ...], str]:
    """The outcome, the causes of a wrong one, that first which weighs most, and a line for people.

    Execution outranks texts: an equal form or a proof confirms what the databases show, and overrules none.
    """
    if trial.failure and (suite.databases or not trial.ran):
        return _failed(trial.failure)
    equal = _equal_form(suite, trial.text, readers)
    parted = trial.lost is not None and trial.lost.kind != "unstable"
    if equal == -1 or (equal is not None and not parted and not trial.assumed - {"ties"}):
        trial.readings = {max(equal, 0)}
        return Outcome.EXACT, (), "canonical form"
    if trial.failure:  # of what is not a gold that does not run
        return _failed(trial.failure)
    shown = _shown(suite, trial, readers) if trial.accepted and equal is None else None
    if trial.accepted and equal is None and shown is None:
        count, late = _attacked(trial, attacker, attacks)
        if late:
            return _failed(late)
        if trial.accepted and not trial.assumed:
            return Outcome.INDISTINGUISHABLE, (), f"on {count} databases"
    if shown and not trial.assumed:
        if shown.nulls:
            return Outcome.EQUIVALENT, (), shown.text
        if suite.rules.nulls == "forgive" and not _asks_for_null(suite.gold, trial.text):
            return Outcome.EQUIVALENT, (), f"{shown.text}, where nothing is NULL"
        trial.assumed.add("nulls")
    alone = (
        trial.agreed or shown or "ties" not in trial.assumed
    )  # else nothing shows that ties alone part them
    held = _held(trial) if alone else []
    if held and all(getattr(suite.rules, assumption.rule) == "forgive" for _, assumption in held):
        outcome, assumption = held[0]
        return outcome, (), f"differs only {assumption.where}{_also(shown)}"
    if equal is not None and trial.lost is not None:
        log.error("alarm: equal forms, and a fair database parts %.500r and %.500r", suite.gold, trial.text)
        return Outcome.WRONG, ("other",), ALARM
    repeated = _repeats(suite, trial, attacker)
    if repeated is Outcome.REPEAT_GOLD:
        return repeated, (), "differs only where names that the gold goes by repeat"
    trial.readings = set()
    gold, other = readers.forms(trial.text)
    found = causes(gold, other)
    if repeated is not None:
        return repeated, found, "differs only where names that it goes by repeat"
    if not suite.databases:
        reason = "gold does not run" if suite.schema is not None else "context cannot be read"
        return Outcome.WRONG, found, f"the {reason}"
    if held:
        return Outcome.WRONG, found, f"differs {held[0][1].where}"
    return Outcome.WRONG, found, summary(found, gold, other)


def _held(trial: Trial) -> list[tuple[Outcome, Assumption]]:
    """The outcomes whose assumptions excuse where a prediction differed, the one that names it first."""
    assumed = trial.assumed if trial.accepted else ()
    held = [(outcome, of) for outcome in Outcome if (of := outcome.assumes) and of.kind in assumed]
    return sorted(held, key=lambda one: one[1].kind != "ties")  # a tie is never called a matter of NULLs


def _equal_form(suite: Suite, text: str, readers: Readers) -> int | None:
    """The number of the gold's reading that a query is written like; what has no form is only like itself.

    -1: the gold as it stands, which is no reading where another one alone makes sense.
    """
    form = readers.basic.form(text)
    for number, reading in enumerate(_golds(suite)):
        same = readers.basic.text(text) == readers.basic.text(reading) if form is not None else None
        if same or text == reading:
            return number if number < len(suite.readings) else -1
    return None


def _is_alike(suite: Suite, text: str, *, readers: Readers) -> bool:
    return _equal_form(suite, text, readers) is not None


def _repeats(suite: Suite, trial: Trial, attacker: Attacker) -> Outcome | None:
    """The outcome of a prediction that differs only where columns that name things repeat.

    It must answer as the gold does on databases on which no name repeats, and just one of the two may go by
    a name; a DISTINCT that is dropped or added is neither.
    """
    if suite.rules.names == "count" or trial.lost is None or trial.failure or not suite.readings:
        return None
    names = attacker.names
    gold = names.relied_on(suite.readings[0], counted=False)
    other = names.relied_on(trial.text)
    if not (gold ^ other) or names.distinct(suite.readings[0]) != names.distinct(trial.text):
        return None
    if not names.keyed(trial.text, gold - other):
        return None
    fresh, told = Trial(trial.text, set(range(len(suite.readings)))), 0
    for number, database in enumerate(attacker.without_repeats(trial.text)):
        if number >= ALIKE and told >= REPEATS:
            break
        attempt(suite, fresh, database, expected(suite, database), attacker.box)
        if not fresh.accepted or fresh.assumed:
            return None
        told += not nothing(database, fresh.readings)
    if told < REPEATS:
        return None
    if gold - other and not other - gold:
        trial.readings = fresh.readings
        return Outcome.REPEAT_GOLD
    return Outcome.REPEAT_PREDICTION


def _asks_for_null(*queries: str) -> bool:
    """Whether a query tests for NULL: then its databases hold NULLs, else the rules say that none are."""
    return any(_NULL_TEST.search(query) for query in queries)


def _golds(suite: Suite) -> Iterator[str]:
    """The gold's readings and its own text, which may be none of them where it says nothing as it stands."""
    yield from suite.readings
    with suppress(Untranspilable):
        yield translate(suite, suite.gold)


def _failed(failure: Failure) -> tuple[Outcome, tuple[str, ...], str]:
    outcome = Outcome(failure.kind)
    return outcome, (outcome.words,), failure.message


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
