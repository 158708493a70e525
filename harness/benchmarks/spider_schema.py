"""Spider's ``tables.json``: schemas by database, as CREATE statements and for finding a query's database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.benchmarks import forms
from harness.errors import DataError
from harness.files import read_text

_TYPES = {"text": "TEXT", "number": "NUMERIC", "time": "DATETIME", "boolean": "BOOLEAN", "others": "TEXT"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name and Spider's type (text, number, time, boolean, others)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class SpiderSchema:
    """One database: tables with their columns, primary keys, and foreign keys as (table, column) pairs."""

    db_id: str
    tables: Mapping[str, tuple[Column, ...]]
    primary: Mapping[str, tuple[str, ...]]
    foreign: tuple[tuple[tuple[str, str], tuple[str, str]], ...]

    def create(self) -> str:
        """CREATE statements with keys, joined by "; "; names are quoted where SQLite needs it."""
        statements = []
        for table, columns in self.tables.items():
            if table.startswith("sqlite_"):  # SQLite's own, listed by Spider where a key counts up
                continue
            parts = [f"{quote(column.name)} {_TYPES.get(column.type, 'TEXT')}" for column in columns]
            if keys := self.primary.get(table):
                parts.append(f"PRIMARY KEY ({', '.join(map(quote, keys))})")
            parts += [
                f"FOREIGN KEY ({quote(name)}) REFERENCES {quote(other)} ({quote(other_name)})"
                for (here, name), (other, other_name) in self.foreign
                if here == table
            ]
            statements.append(f"CREATE TABLE {quote(table)} ({', '.join(parts)})")
        return "; ".join(statements)


class SpiderTables:
    """The schemas of a ``tables.json`` by database, and which of them a query's tables may belong to."""

    def __init__(self, schemas: Sequence[SpiderSchema]) -> None:
        self.schemas = {schema.db_id: schema for schema in schemas}
        self._names = {
            schema.db_id: {
                table.lower(): {column.name.lower() for column in columns}
                for table, columns in schema.tables.items()
            }
            for schema in schemas
        }
        self._contexts: dict[str, str] = {}
        self._with_table: dict[str, set[str]] = {}
        for db_id, tables in self._names.items():
            for table in tables:
                self._with_table.setdefault(table, set()).add(db_id)

    def context(self, db_id: str) -> str:
        """The CREATE statements of a database, made once."""
        if db_id not in self._contexts:
            self._contexts[db_id] = self.schemas[db_id].create()
        return self._contexts[db_id]

    def match(self, tables: Sequence[forms.Table]) -> tuple[str, ...]:
        """Databases that have these tables with these columns; a context's lone ``Id`` counts as none."""
        if not tables:
            return ()
        named = [
            (
                forms.unquote(table.name).lower(),
                {forms.unquote(name).lower() for name, _ in table.columns} - {"id"},
            )
            for table in tables
        ]
        candidates = set.intersection(*(self._with_table.get(name, set()) for name, _ in named))
        exact = [db for db in candidates if all(columns <= self._names[db][name] for name, columns in named)]
        if not exact:  # a column that the set's author could not place stands in every table of its query
            wanted = set().union(*(columns for _, columns in named))
            exact = [db for db in candidates if wanted <= set().union(*self._names[db].values())]
        return tuple(sorted(exact))

    def header(self, db_id: str) -> str:
        """The hash of all columns of a database, by table."""
        from harness.benchmarks.origins import header_hash

        schema = self.schemas[db_id]
        return header_hash(
            f"{table} {column.name}" for table, columns in schema.tables.items() for column in columns
        )


@cache
def quote(name: str) -> str:
    """A name as SQLite takes it: quoted unless SQLite itself takes it bare.

    >>> quote("Airline"), quote("order"), quote("Net Worth")
    ('Airline', '"order"', '"Net Worth"')
    """
    if name.isascii() and name.isidentifier():
        with closing(sqlite3.connect(":memory:")) as connection, suppress(sqlite3.Error):
            connection.execute(f"CREATE TABLE {name} ({name} TEXT)")
            connection.execute(f"SELECT {name} FROM {name} WHERE {name} = 1 ORDER BY {name}")
            return name
    return '"' + name.replace('"', '""') + '"'


def read_tables(path: Path) -> SpiderTables:
    """The schemas in a ``tables.json`` (or .gz); DataError names the entry that has not its form."""
    try:
        entries = json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})", "fetch it again") from None
    schemas = []
    for number, entry in enumerate(entries, start=1):
        try:
            schemas.append(_schema(entry))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise DataError(
                f"{path}, item {number}: not an entry of tables.json ({error!r})", "fetch it again"
            ) from None
    return SpiderTables(schemas)


def _schema(entry: Mapping[str, Any]) -> SpiderSchema:
    names = [str(name) for name in entry["table_names_original"]]
    columns: dict[str, list[Column]] = {name: [] for name in names}
    placed: list[tuple[str, str]] = []
    for (table, column), kind in zip(entry["column_names_original"], entry["column_types"], strict=True):
        place = (names[table] if table >= 0 else "", str(column))
        placed.append(place)
        if table >= 0:
            columns[place[0]].append(Column(place[1], str(kind)))
    primary: dict[str, list[str]] = {}
    for keys in entry["primary_keys"]:
        for place in keys if isinstance(keys, list) else [keys]:
            primary.setdefault(placed[place][0], []).append(placed[place][1])
    return SpiderSchema(
        db_id=str(entry["db_id"]),
        tables={name: tuple(own) for name, own in columns.items()},
        primary={table: tuple(keys) for table, keys in primary.items()},
        foreign=tuple((placed[here], placed[there]) for here, there in entry["foreign_keys"]),
    )
