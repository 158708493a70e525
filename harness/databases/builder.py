"""Builds test suites: databases on which a gold and its near misses part ways."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from harness.databases.answers import Failure, Result
from harness.databases.keys import KeyMap, keys_of
from harness.databases.limits import LONGEST
from harness.databases.maker import Candidate, Maker
from harness.databases.modes import ATTACK, CYCLE
from harness.databases.plan import Plan
from harness.databases.populate import Populator
from harness.databases.readers import Readers
from harness.databases.sandbox import Sandbox
from harness.databases.suite import HARNESS_ERROR, Database, Suite
from harness.errors import SchemaError
from harness.outcomes import DatabaseKind
from harness.records import GoldStatus, Rules
from harness.sql.dialect import Untranspilable
from harness.sql.mutants import BUILDING, Mutant, mutants_of
from harness.sql.readings import degenerate, readings_of
from harness.sql.schema import Schema, parse_schema

_LIMIT = re.compile(r"\blimit\s+\d", re.I)
STEPS = 400_000_000
"""SQLite's steps that all queries for one suite may take together, some 8 s; a usual gold takes 1 million."""

TIED = 3
"""Probes on which a superlative ties: which of two answers a tie gives is chance on any one of them."""

TIES = ("tied", "tied", "narrow", "tied", "scarce", "tied")
"""How the databases are filled among which those probes are looked for."""

PROBES = ("twins", "narrow", "few", "mixed")
"""How the probes are filled on which guessed keys repeat and dangle; one alone misses one pair in ten."""

SEARCHED = 60
"""Databases made for a gold whose answer is the same on all candidates before it is called uninformative."""

log = logging.getLogger(__name__)
ENOUGH = 3  # databases that tell a near miss before it is looked at no more


def build_suite(
    context: str,
    gold: str,
    *,
    rules: Rules | None = None,
    dialect: str = "sqlite",
    size: int = 8,
    seed: int = 0,
    database: Path | None = None,
    operators: Sequence[str] | None = None,
) -> Suite:
    """Build the suite of one example: at most ``size`` fair databases, and a probe each for NULLs and ties.

    ``operators`` names the mutation operators (default: all BUILDING ones). ``database``, a real SQLite file,
    is only noted in the suite. Never raises on data: what cannot be built is a "broken" suite with a reason.
    """
    rules = rules or Rules()
    suite = Suite(schema=None, gold=gold, rules=rules, dialect=dialect, seed=seed, database=database)
    try:
        if len(gold) > LONGEST:
            return replace(suite, gold_status="broken", reason=f"it is longer than {LONGEST} characters")
        schema = parse_schema(context, dialect=dialect)
        suite = replace(suite, schema=schema)
        suite = replace(suite, readings=readings_of(gold, schema, rules, dialect))
        return Builder(suite, schema, size, operators).build()
    except SchemaError as error:
        return replace(suite, gold_status="broken", reason=error.problem)
    except Untranspilable as error:
        return replace(suite, gold_status="unsupported", reason=f"it cannot be said in SQLite: {error}")
    except Exception as error:  # the net: nothing in a gold or a context may end a run
        log.exception("harness_error while building the suite of the gold %.500r", gold)
        return replace(
            suite, gold_status="broken", reason=f"{HARNESS_ERROR}: {type(error).__name__}: {error}"[:300]
        )


@cache
def _box() -> Sandbox:
    return Sandbox()


class Builder:
    """Builds one suite."""

    def __init__(self, bare: Suite, schema: Schema, size: int, operators: Sequence[str] | None) -> None:
        self.schema, self.size = schema, size
        self.operators = BUILDING if operators is None else operators
        self.box = _box()
        self.maker = Maker(bare, schema, self.box, steps=STEPS)
        self.maker.suite = replace(
            bare,
            ordered=any(
                s is not None and s.tree.args.get("order") is not None for s in self.maker.statements
            ),
            limited=any(has_limit(r) for r in bare.readings),
        )

    @property
    def suite(self) -> Suite:
        """As far as it is built."""
        return self.maker.suite

    def build(self) -> Suite:
        """The finished suite."""
        plan = Plan(self.schema, self.maker.profiles, self.suite.rules)
        populator = Populator(plan)
        self.maker.suite = replace(
            self.suite,
            kinds=plan.kinds(),
            links=plan.keys.foreign,
            primary=tuple(plan.keys.primary.items()),
            widened=tuple(plan.widened()),
        )
        reader = Readers(self.suite).basic
        self.maker.suite = replace(self.suite, forms=tuple(map(reader.text, self.suite.readings)))
        form = degenerate(self.maker.statements[0])
        found = self._candidates(populator, 4 if form else self.size + 2)
        if isinstance(found, Failure):
            foreign = found.message.startswith("no such function")
            status: GoldStatus = "unsupported" if foreign else "broken"
            return replace(self.suite, gold_status=status, reason=found.message)
        candidates, ties = found
        if not form and self._informed(populator, candidates, ties):
            return self._sound(populator, candidates, ties)
        return replace(
            self.suite,
            gold_status="broken" if form else "uninformative",
            reason=form or "its answer is the same on every database",
            databases=tuple(c.database for c in candidates[: self.size]),
        )

    def _sound(self, populator: Populator, candidates: list[Candidate], ties: list[Candidate]) -> Suite:
        """The suite of a gold whose answers tell something: the databases that tell most near misses."""
        mutants = self._mutants(candidates[0])
        if not self.suite.limited:
            candidates += ties[:3]
        told = [candidates[0].kills >> number & 1 for number in range(len(mutants))]
        for candidate in candidates[1:]:
            self._kill(mutants, candidate, told)
        survivors = self._survivors(mutants, candidates)
        equivalent = self._pursue(mutants, survivors, candidates)
        chosen = self._chosen(candidates, len(mutants))
        killed = 0
        for candidate in chosen:
            killed |= candidate.kills
        total = len(mutants) - len(equivalent)
        return replace(
            self.suite,
            databases=(
                *(c.database for c in chosen),
                *self._tied(populator),
                *self._nulls(populator),
                *self._keys(populator.plan.keys),
            ),
            strength=killed.bit_count() / total if total else None,
            mutants=total,
        )

    # ---- candidates ----

    def _candidates(
        self, populator: Populator, wanted: int
    ) -> tuple[list[Candidate], list[Candidate]] | Failure:
        fair: list[Candidate] = []
        ties: list[Candidate] = []
        unstable: list[Candidate] = []
        for number in range(4 * wanted):
            if self.maker.exhausted and number >= 3:
                break
            candidate = self.maker.candidate(populator, CYCLE[number % len(CYCLE)], number)
            if isinstance(candidate, Failure):
                return candidate
            kind, made = candidate
            if kind == "fair":
                fair.append(made)
                if len(fair) == wanted:
                    break
            elif kind == "ties":
                made.database = replace(made.database, kind="ties")
                ties.append(made)
            else:
                unstable.append(made)
        while len(fair) < min(3, wanted) and unstable:  # an answer that is never its own: better than no test
            fair.append(unstable.pop(0))
            fair[-1].database = replace(fair[-1].database, kind="unstable")
        while len(fair) < min(3, wanted) and ties:
            fair.append(ties.pop(0))
            fair[-1].database = replace(fair[-1].database, kind="unstable")
        return fair, ties

    def _informed(self, populator: Populator, candidates: list[Candidate], ties: list[Candidate]) -> bool:
        """Whether the gold has different answers; where it has one only, more is made to find another."""
        if self._informative([*candidates, *ties]):
            return True
        for number in range(SEARCHED):
            found = self.maker.candidate(populator, ATTACK[number % len(ATTACK)], f"search/{number}")
            if isinstance(found, Failure) or self.maker.exhausted:
                break
            kind, made = found
            if kind == "fair" and self._informative([*candidates, made, *ties]):
                candidates.insert(0, made)  # the one that shows something is never cut off
                return True
        return False

    def _informative(self, candidates: list[Candidate]) -> bool:
        """Keep the readings that have different answers (all of them where none has); is there one."""
        kept = []
        for number in range(len(self.suite.readings)):
            results = [a for c in candidates if isinstance(a := c.database.answers[number], Result)]
            if len(results) == len(candidates) and any(r.rows != results[0].rows for r in results[1:]):
                kept.append(number)
        if kept and len(kept) < len(self.suite.readings):
            readings, forms = ([side[i] for i in kept] for side in (self.suite.readings, self.suite.forms))
            self.maker.suite = replace(self.suite, readings=tuple(readings), forms=tuple(forms))
            self.maker.statements = [self.maker.statements[i] for i in kept]
            for candidate in candidates:
                answers = tuple(candidate.database.answers[i] for i in kept)
                candidate.database = replace(candidate.database, answers=answers)
                if isinstance(answers[0], Result):
                    candidate.expected = self.suite.expects(answers[0], candidate.database.kind)
        return bool(kept)

    # ---- near misses ----

    def _mutants(self, first: Candidate) -> list[Mutant]:
        """The near misses that run on a database, which tells some of them."""
        gold = self.maker.statements[0]
        runnable: list[Mutant] = []
        self.box.load(first.database.image)
        for mutant in mutants_of(gold, self.operators) if gold is not None else ():
            result = None if self.maker.exhausted else self.box.query(mutant.sql)
            if isinstance(result, Result):
                first.kills |= (not first.expected.same(result)) << len(runnable)
                runnable.append(mutant)
        return runnable

    def _kill(self, mutants: list[Mutant], candidate: Candidate, told: list[int]) -> None:
        """Find out which near misses a candidate tells; ``told`` counts by how many each was before."""
        self.box.load(candidate.database.image)
        for number, mutant in enumerate(mutants):
            if self.maker.exhausted:
                break
            if told[number] < ENOUGH and (candidate.database.kind != "ties" or not has_limit(mutant.sql)):
                result = self.box.query(mutant.sql)
                if isinstance(result, Failure) or not candidate.expected.same(result):
                    candidate.kills |= 1 << number
                    told[number] += 1

    def _survivors(self, mutants: list[Mutant], candidates: list[Candidate]) -> list[int]:
        killed = 0
        for candidate in candidates:
            killed |= candidate.kills
        return [i for i in range(len(mutants)) if not killed >> i & 1]

    def _pursue(self, mutants: list[Mutant], survivors: list[int], candidates: list[Candidate]) -> set[int]:
        """Make databases for near misses that no candidate tells from the gold; those that are equivalent."""
        equivalent: set[int] = set()
        if not survivors:
            return equivalent
        canon = Readers(self.suite).filled
        gold = canon.text(self.suite.readings[0])
        killed = 0
        for number in survivors:
            if killed >> number & 1:
                continue
            if self.maker.exhausted:
                break
            sql = mutants[number].sql
            if canon.text(sql) == gold:
                equivalent.add(number)
                continue
            for made in self.maker.fair(sql, 6, 1000):
                result = self.box.query(sql)
                if isinstance(result, Failure) or not made.expected.same(result):
                    self._kill(mutants, made, [0] * len(mutants))
                    killed |= made.kills
                    candidates.append(made)
                    break
        return equivalent

    # ---- the choice ----

    def _chosen(self, candidates: list[Candidate], mutants: int) -> list[Candidate]:
        """Greedy multicover: a near miss that is told once more counts a quarter of the time before."""
        left = list(candidates)
        chosen: list[Candidate] = []
        weights = [1.0] * mutants
        while left and len(chosen) < self.size:
            best = max(left, key=lambda c: sum(weights[i] for i in _bits(c.kills)))
            left.remove(best)
            chosen.append(best)
            for i in _bits(best.kills):
                weights[i] /= 4
        return chosen

    def _tied(self, populator: Populator) -> Iterator[Database]:
        """Probes on which the extreme that the gold asks for is tied, where it shows some of those alone."""
        left = TIED if self.suite.limited else 0
        for number, mode in enumerate(TIES):
            if not left:
                break
            image, answers = self._probe(populator, mode, f"ties/{number}")
            if isinstance(answers[0], Result) and self.maker.kind(self.suite.expects(answers[0])) == "ties":
                left -= 1
                yield self.maker.tied(image, answers)

    def _probe(
        self, populator: Populator, mode: str, name: str
    ) -> tuple[bytes, tuple[Result | Failure, ...]]:
        """A database that is loaded, with the gold's answers; it hangs on what the gold says, on no seed."""
        image = populator.image(mode, f"{name}/{self.suite.forms[0]}")
        self.box.load(image)
        return image, tuple(self.box.query(reading) for reading in self.suite.readings)

    def _nulls(self, populator: Populator) -> Iterator[Database]:
        """A probe with NULLs, if it can be had one on which the gold's answer is its own.

        Where the gold sorts by what is NULL, a single NULL a column ties nothing.
        """
        made = self._stable(populator, "nulls", "nulls") or self._stable(populator, "lone", "nulls")
        if made is not None:
            yield made
        elif not self.suite.ordered:
            image, answers = self._probe(populator, "nulls", "nulls")
            yield Database(image, "nulls", answers)

    def _keys(self, keys: KeyMap) -> Iterator[Database]:
        """A probe on which guessed keys repeat and dangle, where any were guessed."""
        rules = replace(self.suite.rules, keys="declared")
        if keys_of(self.schema, self.maker.profiles[0], rules) != keys:
            populator = Populator(Plan(self.schema, self.maker.profiles, rules))
            for mode in PROBES:
                if made := self._stable(populator, mode, "keys"):
                    yield made

    def _stable(self, populator: Populator, mode: str, kind: DatabaseKind) -> Database | None:
        for number in range(4):
            image, answers = self._probe(populator, mode, f"{kind}/{number}")
            if isinstance(answers[0], Failure):
                return None
            if self.maker.kind(self.suite.expects(answers[0])) == "fair":
                return Database(image, kind, answers)
        return None


def has_limit(sql: str) -> bool:
    """Whether a query has a LIMIT somewhere."""
    return _LIMIT.search(sql) is not None


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
