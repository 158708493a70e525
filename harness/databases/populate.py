"""Fills databases: rows that satisfy a query, rows that just miss it, and what its mistakes could touch."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from zlib import crc32

from harness.chance import Chance
from harness.databases.filler import Filler
from harness.databases.keys import Groups, KeyMap, keys_of
from harness.databases.modes import MODES
from harness.databases.sandbox import Forge
from harness.databases.values import (
    Kind,
    dates_with,
    holds,
    kind_of,
    like_samples,
    near,
    quantity_like,
    sequence,
)
from harness.errors import SchemaError
from harness.records import Rules
from harness.sql.dialect import Value, fold_text, is_whole, number_of, quote, stored, to_sqlite
from harness.sql.profile import VALUES, Atom, Conditions, Profile, profile_of
from harness.sql.schema import Column, Ref, Schema, Table
from harness.sql.statement import statement

TEXT = 2_000
"""Most bytes of a constant that a column takes up."""


@dataclass(slots=True)
class PlannedColumn:
    """What a column holds: a kind, a function to believable values, a pool of constants and near misses.

    The pool's first ``lead`` values are the constants themselves. ``group`` numbers columns that share a
    pool (-1: none); ``ordered`` ones are sorted by or asked for extremes; ``closed`` ones hold
    what an ENUM or a CHECK allows; for ``asked`` ones the gold names constants.
    """

    column: Column
    ref: Ref
    kind: Kind
    base: Callable[[int], Value]
    pool: list[Value]
    lead: int = 0
    group: int = -1
    ordered: bool = False
    nullable: bool = False
    closed: bool = False
    asked: bool = False


def populate(
    schema: Schema,
    profiles: Sequence[Profile],
    *,
    mode: str = "mixed",
    seed: int | str = 0,
    rules: Rules | None = None,
) -> bytes:
    """The image of one SQLite database for queries with these profiles; same arguments, same image."""
    return Plan(schema, profiles, rules or Rules()).image(mode, seed)


class Plan:
    """What all databases of a few queries share: kinds of columns, pools of values, keys."""

    def __init__(
        self,
        schema: Schema,
        profiles: Sequence[Profile],
        rules: Rules,
        *,
        sparse: bool = False,
        single: frozenset[Ref] = frozenset(),
    ) -> None:
        self.schema = schema
        profiles = profiles or (Profile(),)
        self.profiles = profiles
        self.rules = rules
        self.keys: KeyMap = keys_of(schema, profiles[0], rules)
        self.foreign = dict(self.keys.foreign)
        self.used = {t for p in profiles for t in p.tables}
        self.idle = self._idle() if sparse else frozenset()  # tables that stay empty
        self.thresholds = sorted({n for p in profiles for n in p.thresholds if n > 0})
        numeric = dict(profiles[0].numeric)  # the gold says what is a number, and which keys there are
        self.grouped = {r for p in profiles for r in p.grouped}
        parents = {self.foreign.get(r, r) for r in self.grouped}
        self.counted = self.grouped | {c for c, parent in self.foreign.items() if parent in parents}
        self._checks = _check_atoms(schema)
        self._checked = any(t.checks for t in schema.tables)
        self.unique = {
            t.name.lower(): [tuple(c.lower() for c in u) for u in t.unique]
            for t in schema.tables
            if t.unique and rules.keys != "loose"
        }
        for ref in sorted(single):
            self.unique.setdefault(ref[0], []).append((ref[1],))
        self.columns: dict[Ref, PlannedColumn] = {}
        for table in schema.tables:
            for column in table.columns:
                self._plan_column(table, column, numeric)
        self._groups = Groups()
        for number, p in enumerate(profiles):
            for a, b in (*p.links, *p.peers, *(() if number else self.keys.foreign)):
                kinds = [c.kind for r in (a, b) if (c := self.columns.get(r)) is not None]
                if number == 0 or kinds[1:] == kinds[:1]:
                    self._groups.join(a, b)
        self._share_groups()
        self.scopes: dict[str, list[Conditions]] = {}
        for p in profiles:
            for scope in p.scopes:
                self.scopes.setdefault(scope.table, []).append(scope)
        self.shared = {r for p in profiles for r in p.shared}
        self.focus = _differences(profiles)
        self.disputed = self._disputed()
        self.outliers = 50 if self.focus else 30  # percent of rows that miss a condition and stand out
        self.children = {child[0] for child in self.foreign}
        self.tables = {
            t.name.lower(): [self.columns[t.name.lower(), c.name.lower()] for c in t.columns]
            for t in schema.tables
        }
        self._fits: dict[tuple[tuple[Atom, ...], int], dict[Ref, list[Value]]] = {}
        self.strangers = self._strangers()
        self.template, self.inserts = self._template()

    def _disputed(self) -> dict[Ref, list[Value]]:
        """Values on which a condition of the gold and one of the last query, on the same column, disagree."""
        found: dict[Ref, list[Value]] = {}
        mine, theirs = (
            [a for a in p.atoms if a in self.focus] for p in (self.profiles[0], self.profiles[-1])
        )
        for ref in {a.ref for a in mine} & {a.ref for a in theirs} & self.columns.keys():
            sides = [[a for a in atoms if a.ref == ref] for atoms in (mine, theirs)]
            values = [
                v for v in self.columns[ref].pool if len({any(holds(a, v) for a in s) for s in sides}) == 2
            ]
            if values:
                found[ref] = values
        return found

    def _idle(self) -> frozenset[str]:
        """Tables that no query names and that nothing named refers to."""
        needed, front = set(self.used), set(self.used)
        while front:
            front = {p[0] for c, p in self.foreign.items() if c[0] in front} - needed
            needed |= front
        return frozenset(t.name.lower() for t in self.schema.tables) - needed

    def _plan_column(self, table: Table, column: Column, numeric: dict[Ref, bool]) -> None:
        ref = (table.name.lower(), column.name.lower())
        profiles = self.profiles
        atoms = [a for p in profiles for a in p.atoms if a.ref == ref]
        gold = profiles[0]  # the kind is the gold's to say: another query must not change what a column holds
        constants = [v for a in gold.atoms if a.ref == ref for v in a.values if v is not None]
        use: bool | None = numeric.get(ref)
        plain = [v for a in gold.atoms if a.ref == ref and a.op != "near" for v in a.values]
        if use and column.affinity == "INTEGER" and not any(map(_has_decimals, plain)):
            use = False  # a real that it is computed with makes no real of it: n / t > 0.3
        texts = [v for v in constants if isinstance(v, str) and number_of(v) is None]
        extreme = any(ref in p.extremes or ref in p.ordered for p in profiles)
        if self.rules.types == "declared":
            use = None
        elif use is None and not texts and column.affinity in ("TEXT", "NUMERIC", "BLOB"):
            keyed = ref in self.foreign or self.keys.primary.get(ref[0]) == (ref[1],)
            sorted_by = ref in gold.extremes or ref in gold.ordered
            use = False if (sorted_by or keyed) and quantity_like(column.name) else None
        kind = kind_of(column.name, column.affinity, column.type, use)
        dated = any(ref in p.dated for p in profiles) and column.affinity != "INTEGER"
        if dated and kind in ("text", "date"):
            kind = "datetime"
        elif texts and kind not in ("text",) and use is None:
            kind = "text"
        if kind == "integer" and self.rules.types == "inferred" and any(map(_has_decimals, plain)):
            kind = "real"
        base = sequence(column.name, kind)
        bounds = self._checks.get(ref, [])
        lead, pool = self._pool([*atoms, *bounds], kind)
        if any(ref in p.signed for p in profiles) and kind in ("integer", "real"):
            pool += [-3, -8, -1]
        if column.default is not None and column.affinity == "TEXT":
            pool.append(column.default)
        if column.values or bounds:
            usual = column.values or [
                v for v in (*lead, *pool, *map(base, range(20))) if _all_hold(bounds, v)
            ]
            if usual:
                lead, pool, base = [], list(usual), _cycle(tuple(usual))
        elif lead or pool:
            pool += map(base, range(3))
        lead, pool = ([self._stored(v, kind) for v in values] for values in (lead, pool))
        unfit: tuple[type, ...] = (float,) if kind == "integer" else ()
        if kind in ("integer", "real") and not texts:
            unfit = (*unfit, str)
        lead, pool = ([v for v in values if not isinstance(v, unfit)] for values in (lead, pool))
        keyed = ref in self.foreign or ref[1] in self.keys.primary.get(ref[0], ())
        nullable = any(ref in p.nullable for p in profiles) and not keyed and not column.not_null
        lead = list(dict.fromkeys(lead))
        pool = list(dict.fromkeys([*lead, *pool]))
        self.columns[ref] = PlannedColumn(
            column,
            ref,
            kind,
            base,
            pool,
            len(lead),
            -1,
            extreme,
            nullable,
            bool(column.values or bounds),
            bool(constants),
        )

    def _stored(self, value: Value, kind: Kind) -> Value:
        """A value as a column of that kind holds it under the rules."""
        if kind in ("integer", "real"):
            return _as_number(value, kind)
        return fold_text(value) if isinstance(value, str) and self.rules.case == "ignore" else value

    def _pool(self, atoms: Sequence[Atom], kind: Kind) -> tuple[list[Value], list[Value]]:
        """The constants that conditions name, and their near misses."""
        lead: list[Value] = []
        others: list[list[Value]] = []
        for atom in atoms:
            for value in atom.values:
                if (
                    isinstance(value, str)
                    and (len(value) > TEXT or not value.isascii())
                    and not _storable(value)
                ):
                    continue
                if atom.op.endswith("like") and isinstance(value, str):
                    hits, misses = like_samples(value)
                    lead.append(hits[0])
                    others.append([*hits[1:], *misses])
                elif atom.op == "near" and kind in ("date", "datetime") and YEAR.match(str(value)):
                    year, time = int(str(value)), " 10:20:00" if kind == "datetime" else ""
                    lead.append(f"{year}-05-17{time}")
                    others.append(
                        [f"{year + 1}-01-01{time}", f"{year - 1}-12-31{time}", f"{year}-12-31{time}"]
                    )
                elif atom.op == "near" and kind == "datetime" and isinstance(value, str):
                    dates = dates_with(value)
                    lead += dates[:1]
                    others.append(list(dates[1:]))
                elif value is not None:
                    lead.append(value)
                    others.append(list(near(value, kind, exact_case=self.rules.case == "exact")))
            if atom.op.endswith("between") and len(atom.values) == 2:
                low, high = atom.values
                numbers = [v for v in (low, high) if isinstance(v, (int, float)) and math.isfinite(v)]
                if len(numbers) == 2 and numbers[1] > numbers[0]:
                    others.append([sum(numbers) / 2 if kind == "real" else stored(sum(numbers) // 2)])
        mixed = [v for values in zip_longest(*others) for v in values if v is not None]
        return lead[:VALUES], mixed[: 4 * VALUES]

    def _share_groups(self) -> None:
        """Columns that are compared with one another hold the same kind of values, from one pool."""
        for number, members in enumerate(self._groups.sets()):
            columns = [self.columns[r] for r in members if r in self.columns]
            if not columns:
                continue
            kinds = {c.kind for c in columns}
            first = next((c for c in columns if c.asked), columns[0])
            kind = first.kind
            if len(kinds) > 1:
                texts = any(c.asked for c in columns if c.kind == "text")
                kind = "integer" if kinds & {"integer", "real"} and not texts else "text"
            lead = list(dict.fromkeys(v for c in columns for v in c.pool[: c.lead]))
            pool = list(dict.fromkeys([*lead, *(v for c in columns for v in c.pool[c.lead :])]))
            for column in columns:
                column.kind, column.pool, column.lead, column.group = kind, pool, len(lead), number
                column.base = sequence(first.column.name, kind)

    def _template(self) -> tuple[bytes, dict[str, str]]:
        inserts: dict[str, str] = {}
        version = 0
        try:
            with closing(Forge()) as forge, forge.opened() as connection:
                connection.execute("PRAGMA page_size = 512")
                for table in self.schema.tables:
                    marks = ",".join("?" * len(table.columns))
                    insert = f"INSERT OR IGNORE INTO {quote(table.name)} VALUES ({marks})"
                    inserts[table.name.lower()] = insert
                    version = crc32(self._created(connection, table, insert).encode(), version)
                # SQLite knows by this number alone whether a prepared statement still fits an image
                connection.execute(f"PRAGMA schema_version = {version & 0x7FFFFFFF}")
                return connection.serialize(), inserts
        except (sqlite3.Error, UnicodeError) as error:
            raise SchemaError(f"SQLite does not take the tables: {error}") from error

    def _created(self, connection: sqlite3.Connection, table: Table, insert: str) -> str:
        """Create a table, without its CHECKs where they call what SQLite or the sandbox does not have."""
        statement = self.create(table)
        if table.checks:
            try:
                connection.execute("BEGIN")
                connection.execute(statement)
                connection.execute(insert, (1,) * len(table.columns))
            except sqlite3.IntegrityError:  # a row that it runs for, and does not take
                pass
            except sqlite3.Error:
                statement = self.create(replace(table, checks=()))
            connection.execute("ROLLBACK")
        connection.execute(statement)
        return statement

    def kinds(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """What each column holds: "integer", "real", "text", or "" where mixed; names in lower case."""
        found: dict[str, list[tuple[str, str]]] = {}
        for (table, name), column in self.columns.items():
            kind: str = column.kind if column.kind in ("integer", "real") else "text"
            types = {type(v) for v in column.pool}
            if (kind == "integer" and types - {int}) or (kind == "real" and types - {int, float}):
                kind = ""
            found.setdefault(table, []).append((name, kind))
        return tuple((table, tuple(columns)) for table, columns in found.items())

    def widened(self) -> Iterator[str]:
        """The tables that the gold uses and whose key of one column was widened, each with its key."""
        for table in self.schema.tables:
            low = table.name.lower()
            if low in self.keys.widened & self.used:
                key = self.keys.primary.get(low, ())
                names = [c.name for k in key for c in table.columns if c.name.lower() == k]
                yield f"{table.name} ({', '.join(names) or 'no key'})"

    def create(self, table: Table) -> str:
        """The CREATE statement of a table here: types as used, NOCASE where case is ignored."""
        collate = " COLLATE NOCASE" if self.rules.case == "ignore" else ""
        types = {"integer": "INTEGER", "real": "REAL"}
        parts = [
            f"{quote(c.column.name)} {types.get(c.kind, 'TEXT' + collate)}"
            for c in self.tables[table.name.lower()]
        ]
        key: Sequence[str] = table.primary_key if self.rules.keys != "loose" else ()
        if table.name.lower() in self.keys.widened:
            key = self.keys.primary.get(table.name.lower(), ()) if key else ()
        if key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quote, key))})")
        if self.rules.keys != "loose":
            parts += [f"UNIQUE ({', '.join(map(quote, columns))})" for columns in dict.fromkeys(table.unique)]
        parts += [f"CHECK ({to_sqlite(check)})" for check in table.checks]
        return f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})"

    def image(self, mode: str, seed: int | str) -> bytes:
        """The database of a mode and a seed."""
        rows = Filler(self, MODES[mode], Chance(mode, seed)).fill()
        with _forge().opened(self.template) as connection:
            connection.execute("BEGIN")
            for name, values in rows.items():
                _put(connection, self.inserts[name], values)
            if self._checked:  # rows that broke a CHECK are not there; nor may be what refers to them
                for (table, column), (parent, key) in 2 * self.keys.foreign:
                    connection.execute(
                        f"DELETE FROM {quote(table)} WHERE {quote(column)} NOT IN "
                        f"(SELECT {quote(key)} FROM {quote(parent)})"
                    )
            connection.execute("COMMIT")
            return connection.serialize()

    def fits(self, atoms: tuple[Atom, ...], mask: int) -> dict[Ref, list[Value]]:
        """Values of each column for which just those of its conditions hold whose bit is set in ``mask``."""
        found = self._fits.get((atoms, mask))
        if found is not None:
            return found
        found = {}
        for ref in {a.ref for a in atoms}:
            column = self.columns.get(ref)
            if column is None:
                continue
            mine = [(mask >> i & 1 == 1, a) for i, a in enumerate(atoms) if a.ref == ref]
            pool = [*column.pool, None] if column.nullable else column.pool
            good = [v for v in pool if all(holds(a, v) == wanted for wanted, a in mine)]
            if not good:
                good = [v for v in pool if any(wanted and holds(a, v) for wanted, a in mine)]
            if not good:
                good = [v for v in pool if any(not wanted and not holds(a, v) for wanted, a in mine)]
            if good:
                found[ref] = good
        self._fits[atoms, mask] = found
        return found

    def _strangers(self) -> dict[str, list[Value]]:
        """Constants that the queries compare other columns with, by the kind that could hold them."""
        constants = [
            v
            for p in self.profiles
            for a in p.atoms
            for v in a.values
            if v is not None and a.op != "like" and _storable(str(v))
        ]
        numbers = [n for v in constants if (n := number_of(v) if isinstance(v, str) else v) is not None]
        ignore = self.rules.case == "ignore"
        texts: list[Value] = [fold_text(str(v)) if ignore else str(v) for v in constants]
        whole: list[Value] = [n for n in numbers if is_whole(n)]
        return {"integer": [_as_number(n, "integer") for n in whole], "real": list(numbers), "text": texts}


def _put(connection: sqlite3.Connection, insert: str, rows: list[list[Value]]) -> None:
    try:
        connection.executemany(insert, rows)
    except sqlite3.IntegrityError:  # a text for an INTEGER PRIMARY KEY: that row is not there
        for row in rows:
            with suppress(sqlite3.IntegrityError):
                connection.execute(insert, row)


@cache
def _forge() -> Forge:
    """This process's forge."""
    return Forge()


YEAR = re.compile(r"(?:1[5-9]|20)\d\d\Z")


def _storable(text: str) -> bool:
    try:
        return len(text.encode()) <= TEXT
    except UnicodeEncodeError:  # half a character
        return False


def _has_decimals(value: Value) -> bool:
    number = number_of(value) if isinstance(value, str) else value
    return isinstance(number, float) and not is_whole(number)


def _as_number(value: Value, kind: Kind) -> Value:
    if isinstance(value, str):
        number = number_of(value)
        return value if number is None else number
    if kind == "integer" and isinstance(value, float) and is_whole(value):
        return int(value)
    return value


def _check_atoms(schema: Schema) -> dict[Ref, list[Atom]]:
    """The conditions that CHECK constraints put on columns, where they are plain conjunctions."""
    found: dict[Ref, list[Atom]] = {}
    for table in schema.tables:
        for check in table.checks:
            query = statement(f"SELECT 1 FROM {quote(table.name)} WHERE {check}", schema)
            for scope in profile_of(query).scopes if query is not None else ():
                for atom in scope.atoms if not scope.loose else ():
                    found.setdefault(atom.ref, []).append(atom)
    return found


def _all_hold(atoms: Sequence[Atom], value: Value) -> bool:
    return all(holds(a, value) for a in atoms)


def _cycle(values: tuple[Value, ...]) -> Callable[[int], Value]:
    return lambda i: values[i % len(values)]


def _differences(profiles: Sequence[Profile]) -> frozenset[Atom]:
    """Conditions that the gold and the last query do not have in common."""
    first, last = (set(p.atoms) for p in (profiles[0], profiles[-1]))
    return frozenset(first ^ last)
