"""Makes databases for a gold, alone or together with another query, and says what each is to the gold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from harness.databases.answers import Expected, Failure, Result
from harness.databases.fairness import Fairness
from harness.databases.modes import AGAINST, ATTACK, LARGE
from harness.databases.plan import Plan
from harness.databases.populate import Populator
from harness.databases.sandbox import Sandbox
from harness.databases.suite import Database, Suite
from harness.sql.profile import Profile
from harness.sql.profile_reader import profile_of
from harness.sql.schema import Ref, Schema
from harness.sql.statement import statement


@dataclass(slots=True)
class Candidate:
    """A database, the gold's answer on it, and a bit of ``kills`` for each near miss that it tells."""

    database: Database
    expected: Expected
    kills: int = 0


class Maker:
    """Makes databases for the gold of a suite, each loaded in ``box`` when it is given.

    It stops when they have taken ``steps`` of SQLite's steps together.
    """

    def __init__(self, suite: Suite, schema: Schema, box: Sandbox, *, steps: int) -> None:
        self.suite, self.schema, self.box = suite, schema, box
        self._until = box.spent + steps
        self.statements = [statement(reading, schema) for reading in suite.readings]
        self.profiles = [profile_of(s) for s in self.statements if s is not None] or [Profile()]
        self._fairness = Fairness(self.statements[0])

    @property
    def exhausted(self) -> bool:
        """Whether the databases made so far have taken as many steps as they may."""
        return self.box.spent > self._until

    def candidate(
        self, populator: Populator, mode: str, number: int | str, *, seeded: bool = True
    ) -> tuple[Literal["fair", "ties", "unstable"], Candidate] | Failure:
        """A database of a plan with the gold's answers, and what it is to the gold.

        One that is not ``seeded`` hangs on what the gold says alone, under any seed.
        """
        drawn = (
            f"{self.suite.seed}/{number}/{self.suite.gold}" if seeded else f"{number}/{self.suite.forms[0]}"
        )
        image = populator.image(mode, drawn)
        self.box.load(image)
        answers = tuple(self.box.query(r) for r in self.suite.readings)
        answer = answers[0]
        if isinstance(answer, Failure):
            return answer
        kind = self.kind(self.suite.expects(answer))
        return kind, Candidate(Database(image, "fair", answers), self.suite.expects(answer, kind))

    def kind(self, answer: Expected) -> Literal["fair", "ties", "unstable"]:
        """What the database that is loaded is to the gold, which answers so there."""
        return self._fairness.check(self.box, self.suite.readings[0], answer)

    def tied(self, image: bytes, answers: tuple[Result | Failure, ...]) -> Database:
        """The database that is loaded, on which the gold's extreme is tied, with the ways to break that."""
        ways = self._fairness.ways(self.box, self.suite.readings[0]) if len(answers) == 1 else None
        return Database(image, "ties", answers, ways)

    def fair(
        self, sql: str, count: int, start: int, single: frozenset[Ref] = frozenset()
    ) -> Iterator[Candidate]:
        """Fair databases made from the gold and another query together; another ``start`` gives others.

        No value of the ``single`` columns is met twice; with any, no seed matters.
        """
        other = statement(sql, self.schema)
        if other is None:
            return
        profiles = [*self.profiles, profile_of(other)]
        populator = Populator(Plan(self.schema, profiles, self.suite.rules, sparse=True, single=single))
        given = 0
        for number in range(3 * count):
            if self.exhausted:
                return
            mode = AGAINST[number % len(AGAINST)]
            if populator.plan.thresholds and populator.plan.thresholds[-1] > LARGE:
                mode = "full" if number % 2 else "narrow"
            candidate = self.candidate(populator, mode, start + number, seeded=not single)
            if not isinstance(candidate, Failure) and candidate[0] == "fair":
                given += 1
                yield candidate[1]
                if given == count:
                    return

    def telling(self, sql: str, numbers: range, seed: str) -> Iterator[Database]:
        """Of the databases of these numbers, made from the gold and another query, those that tell the two.

        They are fair, but for the first that does so on ties alone. ``seed`` is what they hang on: what two
        spellings of one query have in common.
        """
        other = statement(sql, self.schema)
        if other is None:
            return
        profiles = [*self.profiles, _settled(profile_of(other))]
        texts = (*self.suite.readings, sql)
        plan = Plan(self.schema, profiles, self.suite.rules, sparse=True, texts=texts)
        populator, tied = Populator(plan), False
        for number in numbers:
            if self.exhausted:
                return
            mode = ATTACK[number % len(ATTACK)]
            if number % 8 == 7 and plan.thresholds and plan.thresholds[-1] > LARGE:
                mode = "group"
            image = populator.image(mode, f"{number}/{seed}")
            self.box.load(image)
            result = self.box.query(sql)
            answers = tuple(self.box.query(reading) for reading in self.suite.readings)
            ready = [self.suite.expects(a) if isinstance(a, Result) else None for a in answers]
            agree = isinstance(result, Result) and any(r is not None and r.same(result) for r in ready)
            if agree or ready[0] is None:
                continue
            kind = self.kind(ready[0])
            if kind == "fair" or (kind == "ties" and not tied):
                tied = tied or kind == "ties"
                yield self.tied(image, answers) if kind == "ties" else Database(image, kind, answers)


def _settled(profile: Profile) -> Profile:
    """A profile in which the order of what is said does not show."""
    return replace(
        profile,
        scopes=sorted((s._replace(atoms=tuple(sorted(s.atoms, key=repr))) for s in profile.scopes), key=repr),
        atoms=sorted(profile.atoms, key=repr),
        links=sorted(profile.links),
        peers=sorted(profile.peers),
    )
