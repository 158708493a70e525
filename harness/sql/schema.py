"""Schemas out of CREATE statements: tables, columns with SQLite's affinity, keys and checks.

Parsing is sqlglot's; what is added is tolerance for contexts as they are met: names that begin with a digit,
tables that occur twice, statements that are not CREATE TABLE, types of other dialects.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.errors import SchemaError
from harness.sql.parse import parse

Affinity = Literal["INTEGER", "REAL", "TEXT", "NUMERIC", "BLOB"]
Ref = tuple[str, str]
"""Table and column, both in lower case."""

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # "falling back to Command" is dealt with here

_DIGIT_NAME = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])|(?<![\w$.])(\d+[A-Za-z_]\w*)"""
)
_MYSQL = re.compile(r"\bAUTO_INCREMENT\b|\)\s*ENGINE\s*=|\bUNSIGNED\b|[(,]\s*KEY\s+`?\w+`?\s*\(", re.I)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LONGEST = 400_000
"""Most characters of a context."""

_FALLBACKS = ("sqlite", "mysql", "postgres", "tsql", "")


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``type`` is the declared text ("" if none), ``values`` those of an ENUM or the default."""

    name: str
    type: str = ""
    affinity: Affinity = "BLOB"
    not_null: bool = False
    values: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``columns`` of the table that holds this refer to ``target_columns`` of ``target``."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns in order, declared keys, and CHECK conditions as SQLite text."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of that name, without regard to case."""
        low = name.lower()
        return next((c for c in self.columns if c.name.lower() == low), None)


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables in the order of the context. ``namespaces`` are the qualifiers that names stood under."""

    tables: tuple[Table, ...]
    namespaces: tuple[str, ...] = ()

    def table(self, name: str) -> Table | None:
        """The table of that name, without regard to case."""
        low = name.lower()
        return next((t for t in self.tables if t.name.lower() == low), None)


def affinity_of(declared: str) -> Affinity:
    """SQLite's own rule (https://sqlite.org/datatype3.html, section 3.1) from a declared type.

    >>> affinity_of("VARCHAR(20)"), affinity_of("double precision"), affinity_of("DECIMAL(8,2)")
    ('TEXT', 'REAL', 'NUMERIC')
    """
    up = declared.upper()
    if "INT" in up:
        return "INTEGER"
    if any(word in up for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in up or not up:
        return "BLOB"
    if any(word in up for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


@lru_cache(maxsize=2048)
def parse_schema(context: str, *, dialect: str = "sqlite") -> Schema:
    """The schema that a context of CREATE statements describes.

    Raises SchemaError, with the reason, where no table can be read or a CREATE TABLE cannot be parsed.
    """
    _check(context)
    tables: dict[str, Table] = {}
    namespaces: dict[str, str] = {}
    for statement in _statements(context, dialect):
        if isinstance(statement, exp.Create) and (statement.kind or "").upper() == "TABLE":
            table, namespace = _table(statement)
            low = table.name.lower()
            if low.startswith("sqlite_"):
                continue  # SQLite's own, dumped with the others
            if namespace:
                if namespaces.get(low, namespace) != namespace:
                    raise SchemaError(
                        f"table {table.name!r} stands under two schemas", "give each table a name of its own"
                    )
                namespaces[low] = namespace
            tables[low] = _merged(tables[low], table) if low in tables else table
        elif isinstance(statement, exp.Alter):
            _alter(statement, tables)
    if not tables:
        raise SchemaError(
            "the context has no CREATE TABLE statement", "give the tables as CREATE TABLE name (…)"
        )
    return Schema(tuple(tables.values()), tuple(dict.fromkeys(namespaces.values())))


def _check(context: str) -> None:
    if len(context) > LONGEST:
        raise SchemaError(f"the context is longer than {LONGEST} characters", "give the tables in question")
    if found := _UNSTORABLE.search(context):
        raise SchemaError(
            f"the context holds a character that no database takes (U+{ord(found[0]):04X})", "mend the text"
        )


def _statements(context: str, dialect: str) -> list[exp.Expr]:
    text = _DIGIT_NAME.sub(lambda m: m[1] or f'"{m[2]}"', context)
    reason = ""
    first = ("mysql", dialect) if _MYSQL.search(context) else (dialect,)
    for read in dict.fromkeys((*first, *_FALLBACKS)):
        if read in ("mysql", "tsql") and text is not context:
            source = context  # these quote otherwise, and MySQL reads names that begin with a digit
        else:
            source = text
        try:
            found = parse(source, read or None)
        except SqlglotError as error:
            reason = reason or _one_line(error)
            continue
        failed = [s for s in found if isinstance(s, exp.Command) and "TABLE" in s.sql().upper()[:40]]
        if not failed and all(_readable(s) for s in found):
            return found
        reason = reason or "a CREATE TABLE statement is not in a form that can be read"
    raise SchemaError(
        f"the context cannot be parsed: {reason}", "give the tables as CREATE TABLE name (column TYPE, …)"
    )


def _readable(statement: exp.Expr) -> bool:
    if not isinstance(statement, exp.Create) or (statement.kind or "").upper() != "TABLE":
        return True
    return isinstance(statement.this, exp.Schema) and any(
        isinstance(e, (exp.ColumnDef, exp.Identifier)) for e in statement.this.expressions
    )


def _one_line(error: Exception) -> str:
    return re.sub(
        r"\x1b\[\d+m", "", str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    )


def _table(create: exp.Create) -> tuple[Table, str]:
    body = create.this
    name = body.this.name
    columns: dict[str, Column] = {}
    keys = _Keys()
    for item in body.expressions:
        if isinstance(item, exp.ColumnDef):
            columns.setdefault(item.name.lower(), _column(item, keys))
        elif isinstance(item, exp.Identifier):  # a column without a type
            columns.setdefault(item.name.lower(), Column(item.name))
        else:
            keys.read(item)
    if not name or not columns:
        raise SchemaError("a CREATE TABLE statement has no name or no columns")
    return keys.table(name, columns.values()), body.this.db


class _Keys:
    """Collects the constraints of one table."""

    def __init__(self) -> None:
        self.primary: tuple[str, ...] = ()
        self.unique: list[tuple[str, ...]] = []
        self.foreign: list[ForeignKey] = []
        self.checks: list[str] = []

    def read(self, item: exp.Expr) -> None:
        """Take in a table constraint."""
        parts: Iterable[exp.Expr] = item.expressions if isinstance(item, exp.Constraint) else (item,)
        for part in parts:
            if isinstance(part, exp.PrimaryKey):
                self.primary = _names(part.expressions)
            elif isinstance(part, (exp.UniqueColumnConstraint, exp.UniqueKeyProperty)):
                this = part.this
                self.unique.append(
                    _names(this.expressions if isinstance(this, exp.Schema) else part.expressions)
                )
            elif isinstance(part, exp.ForeignKey):
                self.refer(_names(part.expressions), part.args.get("reference"))
            elif isinstance(part, (exp.CheckColumnConstraint, exp.Check)):
                self.checks.append(part.this.sql("sqlite"))

    def refer(self, columns: tuple[str, ...], reference: exp.Expr | None) -> None:
        """Take in a REFERENCES clause."""
        target = reference.this if isinstance(reference, exp.Reference) else None
        if isinstance(target, exp.Schema):
            self.foreign.append(ForeignKey(columns, target.this.name, _names(target.expressions)))
        elif isinstance(target, exp.Table):
            self.foreign.append(ForeignKey(columns, target.name, ()))

    def table(self, name: str, columns: Iterable[Column]) -> Table:
        """The table with all that was collected."""
        known = {c.name.lower(): c.name for c in columns}
        primary = tuple(known[c.lower()] for c in self.primary if c.lower() in known)
        unique = tuple(u for u in self.unique if u and all(c.lower() in known for c in u))
        foreign = tuple(f for f in self.foreign if f.columns and all(c.lower() in known for c in f.columns))
        return Table(name, tuple(columns), primary, unique, foreign, tuple(self.checks))


def _names(items: Iterable[exp.Expr]) -> tuple[str, ...]:
    return tuple(i.this.name if isinstance(i, exp.Ordered) else i.name for i in items)


def _column(item: exp.ColumnDef, keys: _Keys) -> Column:
    kind = item.kind
    declared = ""
    values: tuple[str, ...] = ()
    if kind is not None:
        declared = kind.sql("sqlite") if isinstance(kind, exp.DataType) else str(kind)
        if isinstance(kind, exp.DataType) and kind.this in (exp.DataType.Type.ENUM, exp.DataType.Type.SET):
            values = tuple(v.name for v in kind.expressions)
            declared = "TEXT"
        elif declared.upper() in ("SERIAL", "BIGSERIAL", "SMALLSERIAL"):
            declared = "INTEGER"
    not_null, default = False, None
    for constraint in item.constraints:
        what = constraint.kind
        if isinstance(what, exp.PrimaryKeyColumnConstraint):
            keys.primary = (item.name,)
        elif isinstance(what, exp.NotNullColumnConstraint):
            not_null = not what.args.get("allow_null")
        elif isinstance(what, exp.UniqueColumnConstraint):
            keys.unique.append((item.name,))
        elif isinstance(what, exp.Reference):
            keys.refer((item.name,), what)
        elif isinstance(what, exp.CheckColumnConstraint):
            keys.checks.append(what.this.sql("sqlite"))
        elif isinstance(what, exp.DefaultColumnConstraint) and isinstance(what.this, exp.Literal):
            default = what.this.name
    return Column(item.name, declared, affinity_of(declared), not_null, values, default)


def _merged(first: Table, second: Table) -> Table:
    known = {c.name.lower() for c in first.columns}
    return replace(
        first,
        columns=first.columns + tuple(c for c in second.columns if c.name.lower() not in known),
        primary_key=first.primary_key or second.primary_key,
        unique=first.unique + second.unique,
        foreign_keys=first.foreign_keys + second.foreign_keys,
        checks=first.checks + second.checks,
    )


def _alter(statement: exp.Alter, tables: dict[str, Table]) -> None:
    table = tables.get(statement.this.name.lower()) if isinstance(statement.this, exp.Table) else None
    if table is None:
        return
    keys = _Keys()
    for action in statement.args.get("actions") or ():
        for item in _constraints(action):
            keys.read(item)
    tables[table.name.lower()] = _merged(table, keys.table(table.name, table.columns))


def _constraints(action: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(action, exp.AddConstraint):
        yield from action.expressions
