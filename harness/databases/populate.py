"""Fills databases: rows that satisfy a query, rows that just miss it, and what else its mistakes could touch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from zlib import crc32

from harness.databases.keys import KeyMap, keys_of
from harness.databases.profile import Atom, Conditions, Profile, Ref, Value, number_of
from harness.databases.schema import Column, Schema, Table, quote
from harness.databases.sqltext import fold_text
from harness.databases.values import Chance, Kind, holds, kind_of, like_samples, near, quantity_like, sequence
from harness.records import Rules


class Mode(NamedTuple):
    """How one database is filled; shares are in percent.

    ``rows`` of the tables that the query names; a row satisfies ``all`` conditions, misses ``one``, or draws
    from the pool. ``narrow``: columns that hold few values. ``twins``: rows copied but for one column.
    ``strange``: values that are constants of another column.
    """

    name: str
    rows: tuple[int, int]
    all: int
    one: int
    narrow: int
    twins: int
    nulls: int = 0
    strange: int = 6


MODES: dict[str, Mode] = {
    m.name: m
    for m in (
        Mode("mixed", (12, 20), 35, 40, 40, 15),
        Mode("near", (12, 20), 15, 80, 25, 15, strange=20),
        Mode("narrow", (12, 20), 45, 30, 85, 30),
        Mode("wide", (10, 18), 35, 40, 0, 0),
        Mode("full", (8, 14), 100, 0, 45, 25),
        Mode("few", (3, 6), 35, 55, 20, 10, strange=12),
        Mode("tiny", (1, 3), 60, 30, 20, 0),
        Mode("childless", (0, 3), 60, 30, 20, 0),
        Mode("twins", (10, 16), 50, 30, 40, 70),
        Mode("nulls", (12, 20), 35, 40, 30, 15, 18),
    )
}


@dataclass(slots=True)
class _Column:
    column: Column
    ref: Ref
    kind: Kind
    base: object
    pool: list[Value]
    group: int = -1
    ordered: bool = False
    nullable: bool = False


def populate(
    schema: Schema,
    profiles: Sequence[Profile],
    *,
    mode: str = "mixed",
    seed: int | str = 0,
    rules: Rules | None = None,
) -> bytes:
    """The image of one SQLite database for the queries with these profiles; the same for the same arguments."""
    return Plan(schema, profiles, rules or Rules()).image(mode, seed)


class Plan:
    """What all databases of a few queries share: kinds of columns, pools of values, keys."""

    def __init__(self, schema: Schema, profiles: Sequence[Profile], rules: Rules) -> None:
        self.schema = schema
        self.profiles = profiles
        self.rules = rules
        links = [link for p in profiles for link in p.links]
        peers = [link for p in profiles for link in p.peers]
        self.keys: KeyMap = keys_of(schema, profiles[0].links, rules)
        self.used = {t for p in profiles for t in p.tables}
        self.thresholds = sorted({n for p in profiles for n in p.thresholds if 0 < n <= 40})
        numeric = dict(profiles[0].numeric)  # the gold says what is a number, and which keys there are
        self._groups = _Union()
        for a, b in [*links, *peers, *self.keys.foreign]:
            self._groups.join(a, b)
        self.columns: dict[Ref, _Column] = {}
        for table in schema.tables:
            for column in table.columns:
                self._plan_column(table, column, numeric)
        self._share_groups()
        self.scopes: dict[str, list[Conditions]] = {}
        for p in profiles:
            for scope in p.scopes:
                self.scopes.setdefault(scope.table, []).append(scope)
        self.shared = {r for p in profiles for r in p.shared}
        self.focus = _differences(profiles)
        self._fits: dict[tuple[tuple[Atom, ...], int], dict[Ref, list[Value]]] = {}
        self.strangers = self._strangers()
        self.template, self.inserts = self._template()

    def _plan_column(self, table: Table, column: Column, numeric: dict[Ref, bool]) -> None:
        ref = (table.name.lower(), column.name.lower())
        profiles = self.profiles
        atoms = [a for p in profiles for a in p.atoms if a.ref == ref]
        constants = [v for a in atoms for v in a.values if v is not None]
        use: bool | None = numeric.get(ref)
        texts = [v for v in constants if isinstance(v, str) and number_of(v) is None]
        extreme = any(ref in p.extremes or ref in p.ordered for p in profiles)
        if self.rules.types == "declared":
            use = None
        elif use is None and not texts and column.affinity in ("TEXT", "NUMERIC", "BLOB"):
            if ((extreme or ref in dict(self.keys.foreign)) and quantity_like(column.name)) or (
                self.keys.primary.get(ref[0]) == (ref[1],) and quantity_like(column.name)
            ):
                use = False
        kind = kind_of(column.name, column.affinity, column.type, use)
        if texts and kind not in ("text",) and use is None:
            kind = "text"
        base = sequence(column.name, kind)
        ignore = self.rules.case == "ignore"
        pool: list[Value] = []
        for atom in atoms:
            for value in atom.values:
                if atom.op.endswith("like") and isinstance(value, str):
                    hits, misses = like_samples(value)
                    pool += hits + misses
                elif value is not None:
                    pool.append(value)
                    pool += near(value, kind, exact_case=not ignore)
            if atom.op.endswith("between") and len(atom.values) == 2:
                low, high = atom.values
                if isinstance(low, (int, float)) and isinstance(high, (int, float)) and high > low:
                    middle = (low + high) / 2
                    pool.append(middle if kind == "real" else int(middle))
        pool += column.values
        if column.default is not None and column.affinity == "TEXT":
            pool.append(column.default)
        if pool and not column.values:
            pool += [base(i) for i in range(3)]
        if kind in ("integer", "real"):
            pool = [_as_number(v, kind) for v in pool]
        pool = list(dict.fromkeys(fold_text(v) if ignore and isinstance(v, str) else v for v in pool))
        nullable = any(ref in p.nullable for p in profiles)
        keyed = ref in dict(self.keys.foreign) or ref[1] in self.keys.primary.get(ref[0], ())
        self.columns[ref] = _Column(
            column,
            ref,
            kind,
            base,
            pool,
            ordered=extreme,
            nullable=nullable and not keyed and not column.not_null,
        )

    def _share_groups(self) -> None:
        """Columns that are compared with one another hold the same kind of values, from one pool."""
        for number, members in enumerate(self._groups.sets()):
            columns = [self.columns[r] for r in members if r in self.columns]
            if not columns:
                continue
            kinds = {c.kind for c in columns}
            lead = next((c for c in columns if c.pool), columns[0])
            kind: Kind = (
                lead.kind
                if len(kinds) == 1
                else "text"
                if "text" in kinds and any(c.pool for c in columns if c.kind == "text")
                else "integer"
                if kinds & {"integer", "real"}
                else "text"
            )
            pool = list(dict.fromkeys(v for c in columns for v in c.pool))
            for column in columns:
                column.kind, column.pool, column.group = kind, pool, number
                column.base = sequence(lead.column.name, kind)

    def _template(self) -> tuple[bytes, dict[str, str]]:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("PRAGMA page_size = 512")
        inserts: dict[str, str] = {}
        version = 0
        for table in self.schema.tables:
            statement = self.create(table)
            try:
                connection.execute(statement)
            except sqlite3.Error:  # a CHECK in words that SQLite does not have
                statement = self.create(replace(table, checks=()))
                connection.execute(statement)
            version = crc32(statement.encode(), version)
            marks = ",".join("?" * len(table.columns))
            inserts[table.name.lower()] = f"INSERT OR IGNORE INTO {quote(table.name)} VALUES ({marks})"
        # SQLite knows by this number alone whether a prepared statement still fits what was deserialized
        connection.execute(f"PRAGMA schema_version = {version & 0x7FFFFFFF}")
        image = connection.serialize()
        connection.close()
        return image, inserts

    def kinds(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """What each column holds: "integer", "real", "text", or "" where that is mixed; all names in lower case."""
        found: dict[str, list[tuple[str, str]]] = {}
        for (table, name), column in self.columns.items():
            kind: str = column.kind if column.kind in ("integer", "real") else "text"
            types = {type(v) for v in column.pool}
            if (kind == "integer" and types - {int}) or (kind == "real" and types - {int, float}):
                kind = ""
            found.setdefault(table, []).append((name, kind))
        return tuple((table, tuple(columns)) for table, columns in found.items())

    def create(self, table: Table) -> str:
        """The CREATE statement of a table as its databases have it: types as used, NOCASE where case is ignored."""
        collate = " COLLATE NOCASE" if self.rules.case == "ignore" else ""
        types = {"integer": "INTEGER", "real": "REAL"}
        parts = [
            f"{quote(c.name)} {types.get(self.columns[table.name.lower(), c.name.lower()].kind, 'TEXT' + collate)}"
            for c in table.columns
        ]
        if table.primary_key and self.rules.keys != "loose":
            parts.append(f"PRIMARY KEY ({', '.join(map(quote, table.primary_key))})")
        if self.rules.keys != "loose":
            parts += [f"UNIQUE ({', '.join(map(quote, columns))})" for columns in dict.fromkeys(table.unique)]
        parts += [f"CHECK ({check})" for check in table.checks]
        return f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})"

    def image(self, mode: str, seed: int | str) -> bytes:
        """The database of a mode and a seed."""
        rows = _Filler(self, MODES[mode], Chance(mode, seed)).fill()
        forge = _forge()
        forge.deserialize(self.template)
        forge.execute("BEGIN")
        for name, values in rows.items():
            forge.executemany(self.inserts[name], values)
        forge.execute("COMMIT")
        return forge.serialize()

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
        """Constants that the queries compare some other column with, by the kind of column that could hold them."""
        constants = [
            v for p in self.profiles for a in p.atoms for v in a.values if v is not None and a.op != "like"
        ]
        numbers = [n for v in constants if (n := number_of(v) if isinstance(v, str) else v) is not None]
        ignore = self.rules.case == "ignore"
        texts: list[Value] = [fold_text(str(v)) if ignore else str(v) for v in constants]
        whole: list[Value] = [n for n in numbers if n == int(n)]
        return {"integer": [_as_number(n, "integer") for n in whole], "real": list(numbers), "text": texts}


_FORGE: list[sqlite3.Connection] = []


def _forge() -> sqlite3.Connection:
    if not _FORGE:
        _FORGE.append(sqlite3.connect(":memory:", isolation_level=None))
    return _FORGE[0]


def _as_number(value: Value, kind: Kind) -> Value:
    if isinstance(value, str):
        number = number_of(value)
        return value if number is None else number
    if kind == "integer" and isinstance(value, float) and value == int(value):
        return int(value)
    return value


def _differences(profiles: Sequence[Profile]) -> frozenset[Atom]:
    """Conditions that the gold and the last query do not have in common."""
    first, last = ({a for a in p.atoms} for p in (profiles[0], profiles[-1]))
    return frozenset(first ^ last)


class _Union:
    """Disjoint sets of columns."""

    def __init__(self) -> None:
        self._parent: dict[Ref, Ref] = {}

    def find(self, ref: Ref) -> Ref:
        parent = self._parent.setdefault(ref, ref)
        while parent != self._parent[parent]:
            parent = self._parent[parent]
        return parent

    def join(self, a: Ref, b: Ref) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self._parent[b] = a

    def sets(self) -> list[list[Ref]]:
        found: dict[Ref, list[Ref]] = {}
        for ref in self._parent:
            found.setdefault(self.find(ref), []).append(ref)
        return list(found.values())


class _Filler:
    """One filling: draws the rows of all tables, keys first."""

    def __init__(self, plan: Plan, mode: Mode, chance: Chance) -> None:
        self.plan, self.mode, self.chance = plan, mode, chance
        self.foreign = dict(plan.keys.foreign)
        self.drawn: dict[Ref, list[Value]] = {}
        self.good: dict[str, set[int]] = {}  # rows that satisfy all conditions, as do their parents
        self.rows: dict[str, list[list[Value]]] = {}

    def fill(self) -> dict[str, list[list[Value]]]:
        """The rows of each table, by its name in lower case."""
        for table in self.plan.schema.tables:
            self._table(table, ())
        self._depend()
        return self.rows

    def _count(self, name: str) -> int:
        low, high = self.mode.rows
        if name not in self.plan.used:
            return min(4, high)
        if low == 0 and not any(child[0] == name for child in self.foreign):
            low = 1
        count = low + self.chance.below(high - low + 1)
        if self.plan.thresholds and low > 4:
            count = max(count, min(60, 2 * self.plan.thresholds[-1] + 2 + self.chance.below(6)))
        return count

    def _table(self, table: Table, waiting: tuple[str, ...]) -> None:
        name = table.name.lower()
        if name in self.rows or name in waiting:
            return
        for column in table.columns:
            parent = self.foreign.get((name, column.name.lower()))
            if parent is not None and parent[0] != name:
                target = self.plan.schema.table(parent[0])
                if target is not None:
                    self._table(target, (*waiting, name))
        count = self._count(name)
        key = self.plan.keys.primary.get(name, ())
        drawers: list[tuple[_Column, str, list[Value]]] = []
        for column in table.columns:
            planned = self.plan.columns[name, column.name.lower()]
            drawers.append(self._style(planned, key, count))
        self.rows[name] = self._draw_rows(name, drawers, key, count)
        for at, (planned, _, _) in enumerate(drawers):
            self.drawn[planned.ref] = [row[at] for row in self.rows[name]]

    def _style(self, planned: _Column, key: tuple[str, ...], count: int) -> tuple[_Column, str, list[Value]]:
        """How a column is filled: its style, and the values to draw from."""
        chance = self.chance
        parent = self.foreign.get(planned.ref)
        if parent is not None and self.drawn.get(parent):
            values = list(dict.fromkeys(v for v in self.drawn[parent] if v is not None))
            keep = max(1, len(values) * (55 + chance.below(35)) // 100)
            if self.plan.thresholds and chance.hit(70):
                keep = max(1, min(keep, count // (self.plan.thresholds[-1] + 1)))
            elif planned.ref in self.plan.shared or parent in self.plan.shared or chance.hit(20):
                keep = min(keep, 1 + chance.below(4))
            start = chance.below(len(values))
            subset = [values[(start + i) % len(values)] for i in range(keep)]
            return (
                planned,
                "unique" if key == (planned.ref[1],) else "skewed",
                values if key == (planned.ref[1],) else subset,
            )
        base = planned.base
        if key == (planned.ref[1],):
            keys = [*planned.pool[: count // 2], *(base(i) for i in range(count + 4))]  # type: ignore[operator]
            if planned.kind == "integer" and not planned.pool:
                gap, start = 1 + chance.below(3), 1 + chance.below(9)
                keys = [start + gap * i + (i > 2) + (i > 5) * 2 for i in range(count + 4)]
                if chance.hit(50):
                    keys = [keys[i] for i in _shuffled(len(keys), chance)]
            return planned, "unique", list(dict.fromkeys(keys))
        offset = chance.below(7)
        if planned.group >= 0:
            values = [*planned.pool, *(base(i) for i in range(5))]  # type: ignore[operator]
            return planned, "skewed" if chance.hit(50) else "any", list(dict.fromkeys(values))
        if planned.ref in self.plan.shared and chance.hit(70):
            return (
                planned,
                "skewed",
                [*planned.pool[:2], *(base(offset + i) for i in range(2 + chance.below(2)))],
            )  # type: ignore[operator]
        if planned.ordered and chance.hit(75):
            values = [base(i + offset) for i in range(count + 3)]  # type: ignore[operator]
            return planned, "distinct", values
        if chance.hit(self.mode.narrow):
            return planned, "skewed", [base(offset + i) for i in range(2 + chance.below(3))]  # type: ignore[operator]
        values = [base(offset + i) for i in range(count + 3)]  # type: ignore[operator]
        if planned.pool and chance.hit(60):
            return planned, "any", [*planned.pool, *values[:4]]
        return planned, "distinct", values

    def _draw_rows(
        self, name: str, drawers: list[tuple[_Column, str, list[Value]]], key: tuple[str, ...], count: int
    ) -> list[list[Value]]:
        chance, mode = self.chance, self.mode
        scopes = self.plan.scopes.get(name, [])
        rows: list[list[Value]] = []
        seen: set[tuple[Value, ...]] = set()
        taken: set[Value] = set()
        places = [i for i, (c, _, _) in enumerate(drawers) if c.ref[1] in key]
        order = _shuffled(count + 4, chance)
        for number in range(count):
            wanted, satisfied, outlier = self._wanted(scopes)
            row: list[Value] = []
            twin = rows[chance.below(len(rows))] if rows and chance.hit(mode.twins) else None
            change = chance.below(len(drawers) + 1) if twin is not None else -1
            for at, (planned, style, values) in enumerate(drawers):
                if style == "unique":
                    fitting = wanted.get(planned.ref, []) if number == 0 or chance.hit(30) else []
                    fresh = [v for v in fitting if v not in taken] if fitting else []
                    value = fresh[chance.below(len(fresh))] if fresh else None
                    if value is None:
                        value = next((v for v in values[number:] + values[:number] if v not in taken), None)
                    taken.add(value)
                    row.append(value)
                    continue
                if twin is not None and at != change:
                    row.append(twin[at])
                    continue
                if self._null(planned, key):
                    row.append(None)
                    continue
                fitting = wanted.get(planned.ref, [])
                if not fitting and satisfied and planned.ref in self.foreign:
                    fitting = self._good_parents(self.foreign[planned.ref])
                if fitting:
                    row.append(fitting[chance.skewed(len(fitting))])
                elif (
                    planned.ref not in self.foreign
                    and planned.group < 0
                    and name in self.plan.used
                    and chance.hit(mode.strange)
                ):
                    row.append(self._stranger(planned, values))
                elif planned.ordered and outlier and chance.hit(50 if self.plan.focus else 30):
                    row.append(self._extreme(planned, values, number))
                elif style == "distinct":
                    row.append(values[order[number] % len(values)])
                elif style == "skewed":
                    row.append(values[chance.skewed(len(values))])
                else:
                    row.append(values[chance.below(len(values))])
            if places:
                mark = tuple(row[i] for i in places)
                if mark in seen or None in mark:
                    continue
                seen.add(mark)
            if satisfied and twin is None:
                self.good.setdefault(name, set()).add(len(rows))
            rows.append(row)
        return rows

    def _wanted(self, scopes: list[Conditions]) -> tuple[dict[Ref, list[Value]], bool, bool]:
        """What the conditions ask of a row's columns; is it to satisfy the gold's; may it be an outlier."""
        chance, mode = self.chance, self.mode
        throw = chance.below(100)
        if not scopes:
            return {}, throw < mode.all, throw >= mode.all
        scope = scopes[chance.below(len(scopes))]
        focus = self.plan.focus
        if focus and focus.isdisjoint(scope.atoms) and chance.hit(70):
            scope = next((s for s in scopes if not focus.isdisjoint(s.atoms)), scope)
        atoms = scope.atoms
        every = (1 << len(atoms)) - 1
        if throw < mode.all:
            return self.plan.fits(atoms, every), True, False
        if throw < mode.all + mode.one:
            place = chance.below(len(atoms))
            if scope.loose and chance.hit(70):
                mask = chance.below(every + 1) if chance.hit(60) else 1 << place
                return self.plan.fits(atoms, mask), False, True
            if focus and chance.hit(60):
                place = next((i for i, a in enumerate(atoms) if a in focus), place)
            return self.plan.fits(atoms, every ^ 1 << place), atoms[place] in focus, True
        return {}, False, True

    def _good_parents(self, parent: Ref) -> list[Value]:
        rows = self.good.get(parent[0])
        drawn = self.drawn.get(parent)
        return [drawn[i] for i in rows if i < len(drawn)] if rows and drawn else []

    def _extreme(self, planned: _Column, values: list[Value], number: int) -> Value:
        """More or less than other rows have, so that a row that should not count shows in MAX, MIN and LIMIT."""
        if planned.kind not in ("integer", "real"):
            texts = sorted(v for v in values if isinstance(v, str))
            return texts[-1 if self.chance.hit(50) else 0] if texts else values[0]
        numbers = [v for v in values if isinstance(v, (int, float))] or [1]
        low, high = min(numbers), max(numbers)
        return high + 1 + number if self.chance.hit(50) or low < 1 else max(0, low - 1 - number)

    def _stranger(self, planned: _Column, values: list[Value]) -> Value:
        strange = self.plan.strangers.get(planned.kind if planned.kind in ("integer", "real") else "text", [])
        pool = strange or values
        return pool[self.chance.below(len(pool))]

    def _null(self, planned: _Column, key: tuple[str, ...]) -> bool:
        if planned.nullable:
            return self.chance.hit(20)
        if not self.mode.nulls or planned.column.not_null or planned.ref[1] in key:
            return False
        return planned.ref not in self.foreign and self.chance.hit(self.mode.nulls)

    def _depend(self) -> None:
        """Bare columns beside GROUP BY follow its columns, where both stand in one table."""
        for profile in self.plan.profiles:
            for keys, bare in profile.dependencies:
                for name in {r[0] for r in bare}:
                    mine = [r[1] for r in keys if r[0] == name]
                    table = self.plan.schema.table(name)
                    if not mine or table is None:
                        continue
                    own = self.plan.keys.primary.get(name, ())
                    if set(mine) >= set(own) and own:
                        continue
                    names = [c.name.lower() for c in table.columns]
                    follow = [names.index(r[1]) for r in bare if r[0] == name and r[1] not in own]
                    lead = [names.index(c) for c in mine]
                    first: dict[tuple[Value, ...], list[Value]] = {}
                    for row in self.rows[name]:
                        model = first.setdefault(tuple(row[i] for i in lead), row)
                        for i in follow:
                            row[i] = model[i]


def _shuffled(n: int, chance: Chance) -> list[int]:
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = chance.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order
