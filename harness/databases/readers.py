"""The canonical readers of a suite: what its columns hold and which keys hold in its databases, told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.databases.suite import Suite
from harness.sql.canonical import Canonicaliser
from harness.sql.schema import Ref, Schema
from harness.sql.terms import Form


@dataclass(eq=False)
class Readers:
    """The canonical readers of a suite's schema, each made when it is first asked for.

    ``basic`` is for exact match and knows the gold's readings already; ``strong`` is right with NULLs in
    columns that may hold them, ``filled`` where no value is NULL.
    """

    suite: Suite

    @cached_property
    def basic(self) -> Canonicaliser:
        """The reader of the same query, otherwise written."""
        reader = Canonicaliser(self.suite.schema or Schema(()), kinds=self._kinds, case=self.suite.rules.case)
        for text, form in zip(self.suite.readings, self.suite.forms, strict=False):
            reader.know(text, form)
        return reader

    @cached_property
    def strong(self) -> Canonicaliser:
        """The reader of the same meaning, with NULL or without."""
        return self._strong(tuple(_filled(self.suite)), None)

    @cached_property
    def filled(self) -> Canonicaliser:
        """The reader of the same meaning where no value is NULL."""
        return self._strong(None, self.strong)

    def forms(self, text: str) -> tuple[Form | None, Form | None]:
        """Gold and another query (as SQLite runs it), as far folded as they can be and differ."""
        gold = self.suite.readings[0] if self.suite.readings else None
        pairs = ((r.form(gold) if gold else None, r.form(text)) for r in (self.filled, self.strong))
        return next((pair for pair in pairs if pair[0] != pair[1]), (None, None))

    @cached_property
    def _kinds(self) -> dict[str, dict[str, str]]:
        return {table: dict(columns) for table, columns in self.suite.kinds}

    def _strong(self, filled: tuple[Ref, ...] | None, stricter: Canonicaliser | None) -> Canonicaliser:
        return Canonicaliser(
            self.suite.schema or Schema(()),
            kinds=self._kinds,
            case=self.suite.rules.case,
            strong=True,
            primary=self.suite.primary,
            links=self.suite.links,
            filled=filled,
            stricter=stricter,
        )


def _filled(suite: Suite) -> Iterator[Ref]:
    """The columns that are NULL on no database of the suite's rules."""
    yield from ((table, column) for table, key in suite.primary for column in key)
    yield from (child for child, _ in suite.links)
    for table in suite.schema.tables if suite.schema else ():
        yield from ((table.name.lower(), c.name.lower()) for c in table.columns if c.not_null)
