"""Predictions' way through the databases of a suite: what each finds there, and where it parts from the gold.

All predictions of an example run on its databases one database at a time, without a parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from harness.databases import Database, Failure, Result, Sandbox, Suite, populate
from harness.databases.answers import Expected
from harness.databases.limits import LONGEST
from harness.errors import SchemaError
from harness.records import SAME
from harness.sql.dialect import strip_distinct

DECIDING = ("fair", "unstable")
"""Kinds of databases on which a difference makes a prediction wrong."""

_EXPRESSION = re.compile(r"(\)\s*(?:==?|<>|!=|[<>]=?)\s*'(?:[^']|'')*')(?!\s*COLLATE)", re.I)


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


def trial_of(suite: Suite, sql: str) -> Trial:
    """The trial of a prediction, held to all of the gold's readings; raises Untranspilable."""
    if len(sql) > LONGEST:  # nothing reads it
        failure = Failure("execution_error", f"the query is longer than {LONGEST} characters")
        return Trial(sql, set(), failure=failure)
    return Trial(translate(suite, sql), set(range(len(suite.readings))))


def translate(suite: Suite, sql: str) -> str:
    """The prediction as SQLite is to run it under the suite's rules; raises Untranspilable.

    Columns ignore letter case by their collation; what a function makes of them needs to be told.
    """
    text = suite.sqlite(sql)
    text = strip_distinct(text) if suite.rules.distinct == "strip" else text
    if suite.rules.case == "ignore" and ")" in text:
        text = _EXPRESSION.sub(r"\1 COLLATE NOCASE", text)
    return text


def execute(
    suite: Suite,
    trials: Sequence[Trial],
    box: Sandbox,
    *,
    real: bytes | Path | None = None,
    alike: Callable[[str], bool] = lambda text: False,
    everything: bool = False,
) -> None:
    """Run the trials on the suite's databases, and note in them what came of it. The hot path.

    Texts that are ``alike``, the gold in another writing, are spared the probes: no assumption is
    needed for them. With ``everything`` nothing is spared.
    """
    own = dict.fromkeys(suite.readings)
    spared = False
    for database in suite.databases:
        open_ = [t for t in trials if (t.accepted or everything) and t.failure is None and t.error is None]
        if not open_:
            break
        todo = [t for t in open_ if everything or t.text not in own]
        if not (everything or spared) and is_probe(suite, database):
            own |= dict.fromkeys(t.text for t in todo if alike(t.text))
            todo, spared = [t for t in todo if t.text not in own], True
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


def is_probe(suite: Suite, database: Database) -> bool:
    """Whether a difference on a database makes no prediction wrong by itself."""
    return database.kind in ("nulls", "keys") or (database.kind == "ties" and suite.limited)


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
        suite.expects(answer, database.kind) if isinstance(answer, Result) else None
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
    elif database.ways is not None and suite.rules.columns != "subset":
        if database.ways.admit(result):
            trial.assumed.add("ties")
        else:
            trial.readings, trial.lost = set(), database
    elif database.kind == "ties" and suite.limited:
        others = (box.query(reading, backwards=True) for reading in suite.readings)
        if not any(
            isinstance(other, Result) and suite.expects(other, "ties").same(result) for other in others
        ):
            trial.assumed.add("ties")
    elif nothing(database, trial.readings) and not _values(result):
        trial.assumed.add("nulls")
    else:
        trial.readings, trial.lost = set(), database


def nothing(database: Database, readings: set[int]) -> bool:
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


def signature(trial: Trial, suite: Suite) -> str:
    """What a trial's results on all databases come to; empty where it has none."""
    if trial.failure is not None:
        return ""
    shown = [repr(_signed(result, suite)) for result in trial.results if result is not None]
    told = blake2b("\n".join(shown).encode(), digest_size=8).hexdigest()
    return told if len(set(shown)) > 1 else SAME + told


def _signed(result: Result, suite: Suite) -> object:
    def plain(value: object) -> object:
        if isinstance(value, str) and suite.rules.case == "ignore":
            return value.lower()
        return float(f"{value:.9g}") if isinstance(value, float) else value

    rows = [tuple(map(plain, row)) for row in result.rows]
    return rows if suite.ordered else sorted(rows, key=repr)
