"""Attack by pair: databases made to tell an accepted prediction from the gold.

The databases room makes them from both queries: a few as for any suite, many of one to a few rows a table
whose values are the constants that either query compares them with, their neighbours and one or two usual
ones. Keys stay sound; a database on which the gold's answer hangs on the order of rows or on ties does not
count. They hang on the prediction's canonical text: however it is spelled, it meets the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.databases import Database, Result, Sandbox, Suite
from harness.databases.maker import Maker
from harness.databases.readers import Readers
from harness.scoring.names import Names
from harness.sql.dialect import quote

ATTACKS = 96
"""Databases made from gold and prediction together against a prediction that was not proved."""

ASSUMED = 3
"""So many times more where an assumption is held: what ties and NULLs excuse is looked at most closely."""

WITHOUT_REPEATS = 48
"""Most databases on which no name repeats that are made for one prediction."""

STEPS = 100_000_000
"""SQLite's steps that a batch of databases against one prediction may take together."""


@dataclass(eq=False)
class Attacker:
    """Makes databases against predictions of one suite."""

    suite: Suite
    box: Sandbox
    readers: Readers

    def databases(self, sql: str, numbers: range = range(ATTACKS)) -> Iterator[Database]:
        """Databases that tell the prediction (SQLite text) from the gold, each loaded in the sandbox.

        One of each number is made. Those given are fair, but for the first that tells them by ties alone.
        """
        if self.suite.databases and (maker := self._maker()) is not None:
            made = maker.telling(sql, numbers, self.readers.basic.text(sql))
            yield from (database for database in made if self._sound())

    def without_repeats(self, sql: str) -> Iterator[Database]:
        """Fair databases made from gold and prediction on which no name repeats, each loaded."""
        if (maker := self._maker()) is not None:
            for made in maker.fair(sql, WITHOUT_REPEATS, 5000, self.names.columns):
                yield made.database

    @cached_property
    def names(self) -> Names:
        """The columns of the schema that name things."""
        return Names(self.suite)

    def _maker(self) -> Maker | None:
        if self.suite.schema is None or not self.suite.readings:
            return None
        return Maker(self.suite, self.suite.schema, self.box, steps=STEPS)

    def _sound(self) -> bool:
        """Whether the keys of the suite hold in the database that is loaded: else it refutes nothing."""
        broken = [
            f"SELECT 1 FROM {quote(child)} WHERE {quote(column)} IS NOT NULL AND {quote(column)} NOT IN"
            f" (SELECT {quote(key)} FROM {quote(parent)}) LIMIT 1"
            for (child, column), (parent, key) in self.suite.links
        ] + [
            f"SELECT 1 FROM {quote(table)} GROUP BY {', '.join(map(quote, key))} HAVING COUNT(*) > 1 LIMIT 1"
            for table, key in self.suite.primary
        ]
        results = (self.box.query(sql) for sql in broken)
        return not any(isinstance(result, Result) and result.rows for result in results)
