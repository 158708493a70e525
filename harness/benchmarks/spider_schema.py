"""Spider's ``tables.json``: schemas by database, as CREATE statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.files import read_json

_TYPES = {"text": "TEXT", "number": "NUMERIC", "time": "DATETIME", "boolean": "BOOLEAN", "others": "TEXT"}


@dataclass(frozen=True, slots=True)
class SpiderColumn:
    """A column of a table: its name and Spider's type (text, number, time, boolean, others)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class SpiderSchema:
    """One database: tables with their columns, primary keys, and foreign keys as (table, column) pairs."""

    db_id: str
    tables: Mapping[str, tuple[SpiderColumn, ...]]
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
    """The schemas of a ``tables.json`` by database."""

    def __init__(self, schemas: Sequence[SpiderSchema]) -> None:
        self.schemas = {schema.db_id: schema for schema in schemas}
        self._contexts: dict[str, str] = {}

    def context(self, db_id: str) -> str:
        """The CREATE statements of a database, made once."""
        if db_id not in self._contexts:
            self._contexts[db_id] = self.schemas[db_id].create()
        return self._contexts[db_id]


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
    entries = read_json(path)
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
    columns: dict[str, list[SpiderColumn]] = {name: [] for name in names}
    placed: list[tuple[str, str]] = []
    for (table, column), kind in zip(entry["column_names_original"], entry["column_types"], strict=True):
        place = (names[table] if table >= 0 else "", str(column))
        placed.append(place)
        if table >= 0:
            columns[place[0]].append(SpiderColumn(place[1], str(kind)))
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
