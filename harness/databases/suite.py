"""What an example is judged by: databases, the gold's answers on them, and what is known of the gold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.databases.answers import Expected, Failure, Result, Ways
from harness.outcomes import DatabaseKind
from harness.records import GoldStatus, Rules
from harness.sql.dialect import to_sqlite
from harness.sql.readings import plain_numbers
from harness.sql.schema import Ref, Schema

Kinds = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

HARNESS_ERROR = "harness_error"
"""What the reason of a broken gold begins with where it is the harness that failed."""


@dataclass(frozen=True, slots=True)
class Database:
    """One database and the gold's answers on it, one for each reading.

    "fair" ones decide. So do "unstable" ones, where the gold's answer hangs on the order of rows on every
    database found: the gold in other words is right all the same. "ties" (the extreme that the gold asks for
    is met twice) decide where the gold has no LIMIT, else they only mark an accepted prediction, as "nulls"
    and "keys" (guessed keys repeat and dangle) always do. What an answer shows on one with ties must still be
    one of the gold's ``ways`` to break them, where those are known, or all that ties.
    """

    image: bytes
    kind: DatabaseKind
    answers: tuple[Result | Failure, ...]
    ways: Ways | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What an example is judged by; picklable, and the same for the same arguments everywhere.

    ``readings`` are the gold as SQLite runs it, the literal reading first, ``forms`` their canonical texts.
    ``strength`` is the share of the ``mutants`` (near misses that are not equivalent) that some deciding
    database tells from the gold. ``limited``: the gold has a LIMIT. ``kinds`` are what columns hold
    ("integer", "real", "text", "" for mixed), ``links`` the foreign keys that hold as (child, parent)
    columns, ``primary`` the keys of tables; all in lower case. ``widened`` names the tables of the gold whose
    key of one column was widened, each with its key. ``schema`` is None where the context cannot be
    read; ``reason`` says why a gold is not "ok".
    """

    schema: Schema | None
    gold: str
    readings: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    ordered: bool = False
    limited: bool = False
    databases: tuple[Database, ...] = ()
    strength: float | None = None
    mutants: int = 0
    gold_status: GoldStatus = "ok"
    reason: str = ""
    kinds: Kinds = ()
    links: tuple[tuple[Ref, Ref], ...] = ()
    primary: tuple[tuple[str, tuple[str, ...]], ...] = ()
    widened: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    dialect: str = "sqlite"
    seed: int = 0
    database: Path | None = None

    def expects(self, answer: Result, kind: DatabaseKind = "fair") -> Expected:
        """An answer of the gold on a database of that kind, ready to be compared.

        Its order counts where the gold orders and nothing ties: what ties may stand in any order.
        """
        ordered = self.ordered and kind not in ("ties", "unstable")
        return Expected(answer, ordered=ordered, rules=self.rules)

    def sqlite(self, sql: str) -> str:
        """A prediction as it is to be run on these databases; raises Untranspilable."""
        spaces = self.schema.namespaces if self.schema else ()
        text = to_sqlite(sql, dialect=self.dialect, namespaces=spaces, fold=self.rules.case == "ignore")
        if self.schema is None or self.rules.readings != "all" or "," not in text:
            return text
        numbers = {(t, c) for t, columns in self.kinds for c, kind in columns if kind in ("integer", "real")}
        return plain_numbers(text, self.schema, numbers)
