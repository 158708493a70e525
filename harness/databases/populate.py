"""Puts rows into databases: the tables as SQLite is to hold them, and an image of each filling."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache
from typing import NamedTuple
from zlib import crc32

from harness.chance import Chance
from harness.databases.columns import PlannedColumn
from harness.databases.filler import Filler
from harness.databases.modes import MODES
from harness.databases.plan import Plan
from harness.databases.sandbox import Forge, blank
from harness.errors import SchemaError
from harness.records import Rules
from harness.sql.dialect import Value, literal, quote, to_sqlite
from harness.sql.profile import Profile
from harness.sql.schema import Schema, Table


def populate(
    schema: Schema,
    profiles: Sequence[Profile],
    *,
    mode: str = "mixed",
    seed: int | str = 0,
    rules: Rules | None = None,
) -> bytes:
    """The image of one SQLite database for queries with these profiles; same arguments, same image."""
    return Populator(Plan(schema, profiles, rules or Rules())).image(mode, seed)


class Populator:
    """Makes the databases of one plan; raises SchemaError where SQLite does not take the tables."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        statements = {t.name.lower(): self._statements(t) for t in plan.schema.tables}
        self._inserts = {name: s.insert for name, s in statements.items()}
        self._filler = Filler(plan)
        self._checked = any(t.checks for t in plan.schema.tables)
        empty = _empty(tuple(statements.values()))
        self._started = self._filled(empty, self._filler.alike) if self._filler.alike else empty

    def image(self, mode: str, seed: int | str) -> bytes:
        """The database of a mode and a seed."""
        return self._filled(self._started, self._filler.fill(MODES[mode], Chance(mode, seed)))

    def _filled(self, image: bytes, rows: Mapping[str, list[list[Value]]]) -> bytes:
        with _forge().opened(image) as connection:
            connection.execute("BEGIN")
            for name, values in rows.items():
                _put(connection, self._inserts[name], values)
            if self._checked:  # rows that broke a CHECK are not there; nor may be what refers to them
                for (table, column), (parent, key) in 2 * self.plan.keys.foreign:
                    connection.execute(
                        f"DELETE FROM {quote(table)} WHERE {quote(column)} NOT IN "
                        f"(SELECT {quote(key)} FROM {quote(parent)})"
                    )
            connection.execute("COMMIT")
            return connection.serialize()

    def _statements(self, table: Table) -> _Statements:
        name, plain = table.name.lower(), self.plan.plain
        columns = [self.plan.columns[name, c.name.lower()] for c in table.columns]
        marks = (
            [literal(c.base(0)) if c.ref in plain else "?" for c in columns] if plain else "?" * len(columns)
        )
        return _Statements(
            self._create(table, columns),
            self._create(replace(table, checks=()), columns) if table.checks else "",
            # what is drawn, and of a column that no query can mean its one value
            f"INSERT OR IGNORE INTO {quote(table.name)} VALUES ({', '.join(marks)})",
            sum(c.ref not in plain for c in columns),
        )

    def _create(self, table: Table, columns: Sequence[PlannedColumn]) -> str:
        """The CREATE statement of a table here: types as used, NOCASE where case is ignored."""
        rules = self.plan.rules
        collate = " COLLATE NOCASE" if rules.case == "ignore" else ""
        types = {"integer": "INTEGER", "real": "REAL"}
        parts = [f"{quote(c.column.name)} {types.get(c.kind, 'TEXT' + collate)}" for c in columns]
        key: Sequence[str] = table.primary_key if rules.keys != "loose" else ()
        if key and table.name.lower() in self.plan.keys.widened:
            key = self.plan.keys.primary.get(table.name.lower(), ())
        if key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quote, key))})")
        if rules.keys != "loose":
            parts += [f"UNIQUE ({', '.join(map(quote, columns))})" for columns in dict.fromkeys(table.unique)]
        parts += [f"CHECK ({to_sqlite(check)})" for check in table.checks]
        return f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})"


class _Statements(NamedTuple):
    """How a table is made, how without its CHECKs (empty where it has none), and filled."""

    create: str
    unchecked: str
    insert: str
    columns: int


@lru_cache(maxsize=32)
def _empty(tables: tuple[_Statements, ...]) -> bytes:
    """The image of a database with these tables and no rows: one for all plans of an example."""
    version = 0
    try:
        with _maker().opened(blank()) as connection:
            for table in tables:
                version = crc32(_created(connection, table).encode(), version)
            # SQLite knows by this number alone whether a prepared statement still fits an image
            connection.execute(f"PRAGMA schema_version = {version & 0x7FFFFFFF}")
            return connection.serialize()
    except (sqlite3.Error, UnicodeError) as error:
        raise SchemaError(f"SQLite does not take the tables: {error}") from error


def _created(connection: sqlite3.Connection, table: _Statements) -> str:
    """Create a table, without its CHECKs where they call what SQLite or the sandbox does not have."""
    statement = table.create
    if table.unchecked:
        try:
            connection.execute("BEGIN")
            connection.execute(statement)
            connection.execute(table.insert, (1,) * table.columns)
        except sqlite3.IntegrityError:  # a row that it runs for, and does not take
            pass
        except sqlite3.Error:
            statement = table.unchecked
        connection.execute("ROLLBACK")
    connection.execute(statement)
    return statement


def _put(connection: sqlite3.Connection, insert: str, rows: list[list[Value]]) -> None:
    try:
        connection.executemany(insert, rows)
    except sqlite3.IntegrityError:  # a text for an INTEGER PRIMARY KEY: that row is not there
        for row in rows:
            with suppress(sqlite3.IntegrityError):
                connection.execute(insert, row)


@cache
def _forge() -> Forge:
    """This process's forge for rows."""
    return Forge()


@cache
def _maker() -> Forge:
    """This process's forge for tables: a CREATE that is kept prepared fails once others are loaded."""
    return Forge(cached=0)
