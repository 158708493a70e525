"""The test suite of an example: databases on which the gold and its near misses part ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.databases.populate import Plan
from harness.databases.profile import Profile, profile_of
from harness.databases.results import Failure, Result, same
from harness.databases.sandbox import Sandbox
from harness.databases.schema import Schema, parse_schema
from harness.databases.sqltext import Untranspilable, to_sqlite
from harness.errors import SchemaError
from harness.records import GoldStatus, Rules

CYCLE = ("mixed", "near", "narrow", "twins", "wide", "full", "mixed", "tiny")
DatabaseKind = Literal["fair", "nulls", "ties"]


@dataclass(frozen=True, slots=True)
class Database:
    """One database and the gold's answers on it, one for each reading.

    "fair" ones decide; "nulls" and "ties" are probes that only mark an accepted prediction.
    """

    image: bytes
    kind: DatabaseKind
    answers: tuple[Result | Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What an example is judged by; picklable, and the same for the same arguments everywhere.

    ``readings`` are the gold as SQLite runs it, the literal reading first. ``strength`` is the share of
    the ``mutants`` (near misses that are not equivalent) that some fair database tells from the gold.
    ``schema`` is None where the context cannot be read; ``reason`` then says why.
    """

    schema: Schema | None
    gold: str
    readings: tuple[str, ...] = ()
    ordered: bool = False
    databases: tuple[Database, ...] = ()
    strength: float | None = None
    mutants: int = 0
    gold_status: GoldStatus = "ok"
    reason: str = ""
    rules: Rules = field(default_factory=Rules)
    dialect: str = "sqlite"
    seed: int = 0
    database: Path | None = None

    def sqlite(self, sql: str) -> str:
        """A prediction as it is to be run on these databases; raises Untranspilable."""
        return to_sqlite(
            sql,
            dialect=self.dialect,
            namespaces=self.schema.namespaces if self.schema else (),
            fold=self.rules.case == "ignore",
        )


def build_suite(
    context: str,
    gold: str,
    *,
    rules: Rules | None = None,
    dialect: str = "sqlite",
    size: int = 8,
    seed: int = 0,
    database: Path | None = None,
    operators: Sequence[Any] | None = None,
) -> Suite:
    """Build the suite of one example. Never raises on data: what cannot be built is a "broken" suite with a reason."""
    rules = rules or Rules()
    try:
        schema = parse_schema(context, dialect=dialect)
    except SchemaError as error:
        return Suite(schema=None, gold=gold, gold_status="broken", reason=error.problem, rules=rules, dialect=dialect)
    bare = Suite(schema=schema, gold=gold, rules=rules, dialect=dialect, seed=seed, database=database)
    return _Builder(bare, size).build()


@cache
def _box() -> Sandbox:
    return Sandbox()


class _Builder:
    def __init__(self, bare: Suite, size: int) -> None:
        self.bare, self.size = bare, size
        self.box = _box()

    def build(self) -> Suite:
        from dataclasses import replace

        bare = self.bare
        try:
            text = bare.sqlite(bare.gold)
        except Untranspilable as error:
            return replace(bare, gold_status="broken", reason=f"the gold cannot be said in SQLite: {error}")
        try:
            tree = sqlglot.parse_one(text, read="sqlite")
        except (SqlglotError, RecursionError):
            tree = None
        profile = profile_of(tree, bare.schema) if tree is not None and bare.schema else Profile()
        plan = Plan(bare.schema, [profile], bare.rules)  # type: ignore[arg-type]
        ordered = isinstance(tree, exp.Query) and tree.args.get("order") is not None
        found: list[Database] = []
        failure: Failure | None = None
        for number, mode in enumerate(self._modes()):
            image = plan.image(mode, f"{bare.seed}/{number}/{bare.gold}")
            answer = self.box.run(image, text)
            if isinstance(answer, Failure):
                failure = answer
                break
            found.append(Database(image, "fair", (answer,)))
            if len(found) == self.size:
                break
        status: GoldStatus = "ok"
        reason = ""
        if failure:
            status, reason = "broken", failure.message
        elif len({repr(d.answers[0].rows) for d in found if isinstance(d.answers[0], Result)}) < 2:
            status, reason = "uninformative", "the gold's answer is the same on every database"
        return replace(
            bare, readings=(text,), ordered=ordered, databases=tuple(found), gold_status=status, reason=reason
        )

    def _modes(self) -> Iterator[str]:
        for number in range(4 * self.size):
            yield CYCLE[number % len(CYCLE)]


__all__ = ["Database", "Suite", "build_suite", "same"]
