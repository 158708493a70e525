"""Attack by pair: databases made to tell an accepted prediction from the gold.

First those that the databases room makes from both queries' profiles, then many tiny ones: one to a few
rows a table, every column narrow, its values the constants that either query compares it with, their
neighbours and one or two of its usual values. Keys stay sound, and a database on which the gold's answer
hangs on the order of rows or on ties does not count.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

from harness.databases import Database, Failure, Result, Sandbox, Suite, attack
from harness.databases.fairness import Fairness
from harness.databases.results import Expected
from harness.databases.values import holds
from harness.sql.dialect import LARGEST, is_whole, number_of, quote, stored
from harness.sql.profile import Atom, Profile, profile_of
from harness.sql.statement import Statement, statement

TINY = 240
"""Tiny databases made against one prediction."""

STEPS = 100_000_000
"""SQLite's steps that the tiny databases against one prediction may take together."""

Ref = tuple[str, str]
_SIZES = (2, 3, 4, 6, 9)
_MANY_ROWS = 12
_MOST_ROWS = 400


class Pool(NamedTuple):
    """Values for a column: constants of the queries, their neighbours, and what it usually holds."""

    exact: list[Any]
    near: list[Any]
    usual: list[Any]


class Attacker:
    """Makes databases against predictions of one suite; what predictions share is made once, when needed."""

    def __init__(self, suite: Suite, box: Sandbox) -> None:
        self.suite, self.box = suite, box

    def databases(self, sql: str, *, planned: int, tiny: int = TINY) -> Iterator[Database]:
        """Databases that may tell the prediction (SQLite text) from the gold, each loaded in the sandbox.

        Tiny ones are only given where they do tell it, and are fair or the first to differ on ties.
        """
        if not self.suite.databases or self.suite.schema is None:
            return
        for database in attack(self.suite, sql, count=planned):
            self.box.load(database.image)
            yield database
        tied, until = False, self.box.spent + STEPS
        for image in self._images(sql, tiny):
            if self.box.spent > until:
                return
            self.box.load(image)
            result = self.box.query(sql)
            answers = tuple(self.box.query(reading) for reading in self.suite.readings)
            ready = [self._expected(answer) for answer in answers]
            agree = isinstance(result, Result) and any(r is not None and r.same(result) for r in ready)
            if agree or ready[0] is None:
                continue
            kind = self._fairness.check(self.box, self.suite.readings[0], ready[0])
            if kind == "fair" or (kind == "ties" and not tied):
                tied = tied or kind == "ties"
                yield Database(image, "fair" if kind == "fair" else "ties", answers)

    def _expected(self, answer: Result | Failure) -> Expected | None:
        if isinstance(answer, Failure):
            return None
        return Expected(answer, ordered=self.suite.ordered, rules=self.suite.rules)

    @cached_property
    def _fairness(self) -> Fairness:
        return Fairness(self._statement(self.suite.readings[0]))

    @cached_property
    def _gold(self) -> Profile:
        gold = self._statement(self.suite.readings[0])
        return Profile() if gold is None else profile_of(gold)

    def _statement(self, sql: str) -> Statement | None:
        return statement(sql, self.suite.schema) if self.suite.schema is not None else None

    @cached_property
    def _shape(self) -> tuple[bytes, dict[str, str], dict[Ref, list[Any]]]:
        """The empty database, each table's own name, and usual values of each column."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.deserialize(self.suite.databases[0].image)
        names, values = {}, {}
        for table in self.suite.schema.tables if self.suite.schema else ():
            low, quoted = table.name.lower(), quote(table.name)
            names[low] = table.name
            for column in table.columns:
                found = connection.execute(f"SELECT DISTINCT {quote(column.name)} FROM {quoted} LIMIT 5")
                values[low, column.name.lower()] = [v for (v,) in found if v is not None]
            connection.execute(f"DELETE FROM {quoted}")
        image = connection.serialize()
        connection.close()
        return image, names, values

    @cached_property
    def _kinds(self) -> dict[Ref, str]:
        return {(t, c): kind for t, columns in self.suite.kinds for c, kind in columns}

    def _images(self, sql: str, count: int) -> Iterator[bytes]:
        query = self._statement(sql)
        if query is None:
            return
        empty, names, _ = self._shape
        other = profile_of(query)
        pools = self._pools(other)
        thresholds = sorted(n for n in self._gold.thresholds | other.thresholds if n < _MOST_ROWS)
        few = [n for n in thresholds if n < _MANY_ROWS]
        scopes: dict[str, list[tuple[Atom, ...]]] = {}
        for scope in [*self._gold.scopes, *other.scopes]:
            scopes.setdefault(scope.table, []).append(scope.atoms)
        order = self._order(self._gold.tables | other.tables)
        chance = random.Random(f"{self.suite.seed}/{sql}")
        connection = sqlite3.connect(":memory:", isolation_level=None)
        for number in range(count):
            connection.deserialize(empty)
            drawn: dict[Ref, list[Any]] = {}
            most = few[-1] + 2 if few and number % 3 == 0 else _SIZES[number % 5]
            bare = order[number // 4 % len(order)] if len(order) > 1 and number % 4 == 0 else ""
            crowd = thresholds[-1] if len(few) < len(thresholds) and number % 20 == 7 else 0
            for table in order:
                size = chance.randint(1, most) if table != bare else 0
                if crowd:  # one group of about as many rows as a large threshold says
                    size = crowd + chance.randint(-1, 2) if table == order[-1] else 1
                rows = self._rows(table, chance, pools, drawn, size, scopes.get(table, ()))
                self._insert(connection, table, names[table], rows, drawn)
            yield connection.serialize()
        connection.close()

    def _insert(
        self,
        connection: sqlite3.Connection,
        table: str,
        name: str,
        rows: list[list[Any]],
        drawn: dict[Ref, Any],
    ) -> None:
        """Put in the rows that the table's constraints take; ``drawn`` keeps the values of those."""
        if not rows:
            return
        statement = f"INSERT OR IGNORE INTO {quote(name)} VALUES ({','.join('?' * len(rows[0]))})"
        before = connection.total_changes
        with suppress(sqlite3.Error):  # a text for an integer key
            connection.executemany(statement, rows)
        if connection.total_changes - before < len(rows):
            kept = connection.execute(f"SELECT * FROM {quote(name)}").fetchall()
            for place, column in enumerate(c for t, c in self._shape[2] if t == table):
                drawn[table, column] = [row[place] for row in kept]

    def _order(self, tables: set[str]) -> list[str]:
        """The tables with those they refer to, parents first."""
        parents: dict[str, set[str]] = {}
        for (child, _), (parent, _) in self.suite.links:
            parents.setdefault(child, set()).add(parent)
        done: list[str] = []

        def visit(table: str, path: tuple[str, ...]) -> None:
            for parent in sorted(parents.get(table, ())):
                if parent not in path and parent not in done:
                    visit(parent, (*path, table))
            if table not in done:
                done.append(table)

        for table in sorted(tables):
            visit(table, ())
        return done

    def _pools(self, other: Profile) -> Mapping[Ref, Pool]:
        kinds = self._kinds
        exact: dict[Ref, list[Any]] = {}
        near: dict[Ref, list[Any]] = {}
        loose: list[float] = []
        for profile in (self._gold, other):
            for atom in profile.atoms:
                for value in atom.values:
                    first, *rest = _around(value, kinds.get(atom.ref, "")) or [None]
                    if first is not None:
                        exact.setdefault(atom.ref, []).append(first)
                        near.setdefault(atom.ref, []).extend(rest)
            loose += [n + d for n in profile.thresholds for d in (-1, 0, 1)]
        for a, b in [*self._gold.links, *self._gold.peers, *other.links, *other.peers, *self.suite.links]:
            for pool in (exact, near):
                if shared := pool.get(a, []) + pool.get(b, []):
                    pool[a] = pool[b] = list(dict.fromkeys(shared))
        return {
            ref: Pool(
                list(dict.fromkeys(exact.get(ref, []))),
                list(dict.fromkeys(near.get(ref, []))),
                [1, 2, *loose, *found[:2]] if kinds.get(ref) in {"integer", "real"} else found[:4],
            )
            for ref, found in self._shape[2].items()
        }

    def _rows(
        self,
        name: str,
        chance: random.Random,
        pools: Mapping[Ref, Pool],
        drawn: dict[Ref, list[Any]],
        count: int,
        scopes: Sequence[tuple[Atom, ...]],
    ) -> list[list[Any]]:
        table = self.suite.schema.table(name) if self.suite.schema else None
        if table is None:
            return []
        links = dict(self.suite.links)
        key = dict(self.suite.primary).get(name, ())
        columns: list[list[Any]] = []
        for column in table.columns:
            ref = (name, column.name.lower())
            pool = pools[ref]
            parent = links.get(ref)
            if parent is not None and parent[0] != name and parent in drawn:
                values: Sequence[Any] = drawn[parent]
                if not values:
                    return []
            elif key == (ref[1],):
                text = self._kinds.get(ref) not in {"integer", "real"}
                more = [f"k{n}" if text else n for n in range(1, count + 3)]
                known = list(dict.fromkeys([*pool.exact, *pool.near, *pool.usual, *more]))
                columns.append(chance.sample(known, min(count, len(known))))
                continue
            else:
                values = _narrow(pool, chance)
            picked = [chance.choice(values) for _ in range(count)]
            if ref in self._gold.nullable and not column.not_null and ref[1] not in key:
                picked = [None if chance.random() < 0.2 else value for value in picked]
            columns.append(picked)
        rows = [list(row) for row in zip(*columns, strict=False)]
        self._aim(name, rows, [c.name.lower() for c in table.columns], chance, pools, scopes)
        places = [i for i, column in enumerate(table.columns) if column.name.lower() in key]
        kept = {tuple(_mark(row[i]) for i in places) if places else n: row for n, row in enumerate(rows)}
        for i, column in enumerate(table.columns):
            drawn[name, column.name.lower()] = [row[i] for row in kept.values()]
        return list(kept.values())

    def _aim(
        self,
        name: str,
        rows: list[list[Any]],
        columns: list[str],
        chance: random.Random,
        pools: Mapping[Ref, Pool],
        scopes: Sequence[tuple[Atom, ...]],
    ) -> None:
        """Let most rows meet all conditions of one SELECT, or all but one."""
        fixed = {c for (t, c), _ in self.suite.links if t == name}
        fixed |= set(dict(self.suite.primary).get(name, ()))
        for row in rows if scopes else ():
            if chance.random() < 0.4:
                continue
            atoms = chance.choice(scopes)
            missed = chance.randrange(len(atoms)) if chance.random() < 0.6 else -1
            for number, atom in enumerate(atoms):
                column = atom.ref[1]
                if column in columns and column not in fixed:
                    pool = pools[name, column]
                    values = [v for v in (*pool.exact, *pool.near, *pool.usual) if v is not None]
                    fitting = [v for v in values if holds(atom, v) != (number == missed)]
                    if fitting:
                        row[columns.index(column)] = chance.choice(fitting)


def _narrow(pool: Pool, chance: random.Random) -> Sequence[Any]:
    """Few values for a column: mostly what the queries ask for."""

    def some(values: list[Any], most: int) -> list[Any]:
        return chance.sample(values, min(len(values), chance.randint(1, most)))

    if not pool.exact:
        return some(pool.usual, 3) if pool.usual else [None]
    return [
        *some(pool.exact, 3),
        *(some(pool.near, 2) if pool.near and chance.random() < 0.6 else ()),
        *(some(pool.usual, 1) if pool.usual and chance.random() < 0.4 else ()),
    ]


def _around(value: Any, kind: str) -> list[Any]:
    """A constant, then its neighbours, as a column of that kind holds them."""
    if kind in {"integer", "real"}:
        number = number_of(value) if isinstance(value, str) else value
        if number is None:
            return []
        if not is_whole(number) and (kind == "integer" or not math.isfinite(number)):
            number = max(-LARGEST, min(LARGEST, number))
        whole = int(number)
        around = [number, whole - 1, whole + 1, *([number + 0.5] if kind == "real" else [whole])]
        return [stored(n) for n in around]
    if value is None:
        return []
    text = str(value)
    bare = text.replace("%", "").replace("_", "x")
    return [text.replace("%", ""), f"{bare}x", f"x{bare}", bare[:-1] or "x", f"{bare[:-1]}0", f"{text} "]


def _mark(value: Any) -> Any:
    return str(value).lower()
