"""What every kind of question of the starter benchmark draws from: columns, values, conditions, phrasings."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import phrases
from .domains import Domain, DomainColumn, DomainTable, value


class Question(NamedTuple):
    """A question in words and its gold."""

    question: str
    answer: str


class Condition(NamedTuple):
    """A condition in words and in SQL."""

    words: str
    sql: str


class Draw:
    """The choices that one question makes within one domain."""

    def __init__(self, domain: Domain, rng: random.Random) -> None:
        self.domain = domain
        self.rng = rng

    def table(self) -> DomainTable:
        """Any table."""
        return self.rng.choice(self.domain.tables)

    def column(
        self, table: DomainTable, *, kind: str = "any", besides: Sequence[DomainColumn] = ()
    ) -> DomainColumn | None:
        """A column that means something of its own: "text", "number", "choices" or any."""
        wanted: dict[str, Callable[[DomainColumn], bool]] = {
            "text": lambda column: column.text,
            "number": lambda column: column.number,
            "choices": lambda column: bool(column.choices) or column.pool in {"city", "country"},
            "any": lambda column: column.text or column.number,
        }
        found = [column for column in table.columns if wanted[kind](column) and column not in besides]
        return self.rng.choice(found) if found else None

    def literal(self, column: DomainColumn, *, inside: bool = False) -> str:
        """A value of the column, bare as a question has it; ``inside`` keeps off both ends of its range."""
        if column.text:
            return value(column, self.domain.split, self.rng)
        room = (column.high - column.low) // 5 if inside else 0
        return str(self.rng.randint(column.low + room, column.high - room))

    def literals(self, column: DomainColumn, count: int) -> list[str]:
        """``count`` different values, or fewer where the column has no more."""
        found: dict[str, None] = {}
        for _ in range(count * 6):
            found[self.literal(column)] = None
        return list(found)[:count]

    def say(self, templates: Sequence[str], **parts: str) -> str:
        """One of the templates, filled; a condition that is left empty leaves no gap."""
        text = self.rng.choice(templates)
        for name, part in parts.items():
            text = text.replace("{" + name + "}", part)
        text = re.sub(r" +(?=[?.,]| )", "", text)
        return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)

    def condition(
        self, table: DomainTable, operator: str = "", *, besides: Sequence[DomainColumn] = ()
    ) -> Condition | None:
        """A comparison with a literal; without an operator any of ``= <> < >`` (``=`` most often)."""
        operator = operator or self.rng.choice(("=", "=", "=", "<>", ">", "<", ">", "<"))
        column = self.column(table, kind="number" if operator in "<>" else "any", besides=besides)
        if column is None:
            return None
        literal = self.literal(column, inside=operator in "<>")
        words = self.say(
            phrases.EQUAL if operator == "=" else phrases.CONDITIONS[operator], c=column.phrase, v=literal
        )
        return Condition(words, f"{column.name} {operator} {quoted(column, literal)}")

    def select(self, table: DomainTable, condition: Condition) -> Question | None:
        """A question for one or two columns, or the number of rows, under a condition."""
        if self.rng.random() < 0.12:
            words = self.say(phrases.COUNT, ts=table.plural, **{"if": condition.words})
            return Question(words, f"SELECT COUNT(*) FROM {table.name} WHERE {condition.sql}")
        used = [column for column in table.columns if column.name in condition.sql.split()]
        columns = self.columns(table, besides=used)
        words = self.say(
            phrases.SELECT, c=listed(columns), ts=table.plural, t=table.phrase, **{"if": condition.words}
        )
        return Question(words, f"SELECT {names(columns)} FROM {table.name} WHERE {condition.sql}")

    def columns(self, table: DomainTable, *, besides: Sequence[DomainColumn] = ()) -> list[DomainColumn]:
        """One column, sometimes two; ``besides`` only where there is no other."""
        meaningful = [column for column in table.columns if column.text or column.number]
        found = [column for column in meaningful if column not in besides] or meaningful
        return self.rng.sample(found, min(len(found), 2 if self.rng.random() < 0.25 else 1))


def where(condition: Condition | None) -> str:
    """The WHERE clause, or nothing."""
    return f" WHERE {condition.sql}" if condition else ""


def names(columns: Sequence[DomainColumn]) -> str:
    """Columns as a SELECT lists them."""
    return ", ".join(column.name for column in columns)


def listed(columns: Sequence[DomainColumn]) -> str:
    """Columns as a sentence lists them."""
    *most, last = [column.phrase for column in columns]
    return f"{', '.join(most)} and {last}" if most else last


def quoted(column: DomainColumn, literal: str) -> str:
    """A value as SQL writes it."""
    return f"'{literal}'" if column.text else literal
