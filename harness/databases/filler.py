"""Draws the rows of one database from a plan: keys first, then what conditions ask for, then the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.chance import Chance
from harness.databases.modes import LARGE
from harness.sql.dialect import Value, stored
from harness.sql.profile import Conditions
from harness.sql.schema import Ref, Table

if TYPE_CHECKING:
    from harness.databases.modes import Mode
    from harness.databases.populate import Plan, PlannedColumn

Wanted = dict[Ref, list[Value]]
_NOTHING: Wanted = {}


class _Drawer(NamedTuple):
    """How a column is filled this time.

    ``style``: "unique", "distinct", "skewed" (few, the first ones often) or "any" of ``values``.
    ``parent``: the key that it refers to. ``strange``, ``nulls``: percent of constants of
    other columns, and of NULLs.
    """

    planned: PlannedColumn
    style: str
    values: list[Value]
    parent: Ref | None = None
    strange: int = 0
    nulls: int = 0


class Filler:
    """One filling. ``good`` rows satisfy all conditions of the gold, as do their parents."""

    def __init__(self, plan: Plan, mode: Mode, chance: Chance) -> None:
        self.plan, self.mode, self.chance = plan, mode, chance
        self.foreign = plan.foreign
        self.rows: dict[str, list[list[Value]]] = {}
        self._drawn: dict[Ref, list[Value]] = {}
        self._good: dict[str, set[int]] = {}
        self._late: list[tuple[str, int, Ref]] = []  # references drawn before what they refer to

    def fill(self) -> dict[str, list[list[Value]]]:
        """The rows of each table, by its name in lower case."""
        for table in self.plan.schema.tables:
            self._table(table, ())
        for name, at, parent in self._late:
            keys = [v for v in self._drawn.get(parent, ()) if v is not None]
            for row in self.rows[name] if keys else ():
                row[at] = keys[self.chance.below(len(keys))]
        self._depend()
        if self.mode.nulls:
            self._blank()
        return self.rows

    def _count(self, name: str) -> int:
        low, high = self.mode.rows
        if name not in self.plan.used:
            constants = max((c.lead for c in self.plan.tables[name]), default=0)
            return min(4 + 2 * min(constants, 4), high)
        if low == 0 and name not in self.plan.children:
            low = 1
        count = low + self.chance.below(high - low + 1)
        if self.plan.thresholds and low > 4:
            most = self.plan.thresholds[-1]
            if most <= LARGE or self.mode.name in ("narrow", "full"):
                count = max(count, 2 * most + 3 + self.chance.below(6))
        return count

    def _table(self, table: Table, waiting: tuple[str, ...]) -> None:
        name = table.name.lower()
        if name in self.rows or name in waiting:
            return
        planned = self.plan.tables[name]
        if name in self.plan.idle:
            self.rows[name] = []
            return
        for column in planned:
            parent = self.foreign.get(column.ref)
            if parent is not None and parent[0] != name:
                target = self.plan.schema.table(parent[0])
                if target is not None:
                    self._table(target, (*waiting, name))
        count = self._count(name)
        key = self.plan.keys.primary.get(name, ())
        for at, column in enumerate(planned):
            parent = self.foreign.get(column.ref)
            if parent is not None and parent in self._drawn:
                count = count if any(v is not None for v in self._drawn[parent]) else 0
            elif parent is not None:
                self._late.append((name, at, parent))
        single = {u[0] for u in self.plan.unique.get(name, ()) if len(u) == 1}
        drawers = [self._drawer(c, (c.ref[1],) if c.ref[1] in single else key, count) for c in planned]
        rows = self.rows[name] = self._draw(name, drawers, key, count)
        for at, column in enumerate(planned):
            self._drawn[column.ref] = [row[at] for row in rows]

    def _drawer(self, column: PlannedColumn, key: tuple[str, ...], count: int) -> _Drawer:
        chance, mode, plan = self.chance, self.mode, self.plan
        parent = self.foreign.get(column.ref)
        alone = key == (column.ref[1],)
        blocks = 90 if plan.thresholds and plan.thresholds[-1] > LARGE else 55
        if parent is not None and self._drawn.get(parent):
            values: list[Value] = list(dict.fromkeys(v for v in self._drawn[parent] if v is not None))
            if alone or not values:
                return _Drawer(column, "unique", values, parent)
            keep = max(1, len(values) * (55 + chance.below(35)) // 100)
            if plan.thresholds and column.ref in plan.counted and chance.hit(blocks):
                return _Drawer(column, "distinct", self._blocks(values, count), parent)
            if plan.thresholds and chance.hit(70):
                keep = max(1, min(keep, count // (plan.thresholds[-1] + 1)))
            elif column.ref in plan.shared or parent in plan.shared or chance.hit(20):
                keep = min(keep, 1 + chance.below(4))
            start = chance.below(len(values))
            return _Drawer(column, "skewed", (values[start:] + values[:start])[:keep], parent)
        base, pool = column.base, column.pool
        if alone:
            lead, rest = pool[: column.lead], pool[column.lead :]
            start = chance.below(len(rest)) if rest else 0
            some = (rest[start:] + rest[:start])[: max(0, count // 2 - len(lead))]
            keys: list[Value] = [*lead, *some, *map(base, range(count + 4))]
            if column.kind == "integer" and not pool:
                gap, start = 1 + chance.below(3), 1 + chance.below(9)
                keys = [start + gap * i + (i > 2) + (i > 5) * 2 for i in range(count + 4)]
                if chance.hit(50):
                    keys = [keys[i] for i in shuffled(len(keys), chance)]
            return _Drawer(column, "unique", list(dict.fromkeys(keys)))
        inside = column.ref[1] in key
        nulls = (
            0
            if inside or parent is not None or column.column.not_null
            else 20
            if column.nullable
            else mode.nulls
        )
        offset = chance.below(7)
        if plan.thresholds and column.ref in plan.counted and chance.hit(blocks):
            values = self._blocks([base(offset + i) for i in range(12)], count)
            return _Drawer(column, "distinct", values, parent, 0, nulls)
        if column.group >= 0:
            if mode.narrow == 100:
                start = chance.below(len(pool)) if pool else 0
                few = [*(pool[start:] + pool[:start])[:2], base(0)]
                return _Drawer(column, "any", list(dict.fromkeys(few)), parent, 0, nulls)
            values = list(dict.fromkeys([*pool, *map(base, range(5))]))
            return _Drawer(column, "skewed" if chance.hit(50) else "any", values, parent, 0, nulls)
        free = column.ref[0] in plan.used and not inside and not column.closed
        strange = mode.strange if free else 0
        if column.ref in plan.shared and chance.hit(70):
            values = [*pool[:2], *map(base, range(offset, offset + 2 + chance.below(2)))]
            return _Drawer(column, "skewed", values, None, strange, nulls)
        if not (column.ordered and chance.hit(75)) and chance.hit(mode.narrow):
            values = list(map(base, range(offset, offset + 2 + chance.below(3))))
            return _Drawer(column, "skewed", values, None, strange, nulls)
        values = list(map(base, range(offset, offset + count + 3)))
        if pool and chance.hit(60):
            if not column.ordered:
                return _Drawer(column, "any", [*pool, *values[:4]], None, strange, nulls)
            values = list(dict.fromkeys([*pool[: count // 2 + 1], *values]))  # distinct: ties say nothing
        return _Drawer(column, "distinct", values, None, strange, nulls)

    def _blocks(self, values: list[Value], count: int) -> list[Value]:
        """Values for ``count`` rows in groups around the threshold: just so many, one more, one fewer, …"""
        most = self.plan.thresholds[self.chance.below(len(self.plan.thresholds))]
        sizes = [most, most + 1, max(1, most - 1), 1, 2]
        start = self.chance.below(3)
        sizes = sizes[start:3] + sizes[:start] + sizes[3:]
        found: list[Value] = []
        for number, value in enumerate(values):
            found += [value] * sizes[number % len(sizes)]
        return (found or values)[: max(1, count)]

    def _draw(self, name: str, drawers: list[_Drawer], key: tuple[str, ...], count: int) -> list[list[Value]]:
        chance, mode = self.chance, self.mode
        below, hit = chance.below, chance.hit
        scopes = self.plan.scopes.get(name, [])
        rows: list[list[Value]] = []
        seen: set[tuple[Value, ...]] = set()
        taken: set[Value] = set()
        names = [d.planned.ref[1] for d in drawers]
        keys = [[names.index(c) for c in k] for k in (key, *self.plan.unique.get(name, ())) if k]
        order = shuffled(count + 3, chance)
        disputed = self.plan.disputed
        for number in range(count):
            wanted, good, outlier = self._wanted(scopes)
            twin = rows[below(len(rows))] if rows and mode.twins and hit(mode.twins) else None
            change = below(len(drawers) + 1) if twin is not None else -1
            row: list[Value] = []
            for at, (planned, style, values, parent, strange, nulls) in enumerate(drawers):
                if style == "unique":
                    row.append(self._fresh(values, number, wanted.get(planned.ref), taken))
                    continue
                if twin is not None and at != change:
                    row.append(twin[at])
                    continue
                if nulls and hit(nulls):
                    row.append(None)
                    continue
                fitting = wanted.get(planned.ref)
                if disputed and planned.ref in disputed and hit(40):
                    fitting = disputed[planned.ref]
                if parent is not None:
                    if fitting:
                        fitting = [v for v in fitting if v in self._drawn.get(parent, ())]
                    elif good and parent[0] in self._good:
                        fitting = self._good_parents(parent)
                if fitting:
                    row.append(fitting[chance.skewed(len(fitting))])
                elif strange and hit(strange):
                    row.append(self._stranger(planned, values))
                elif planned.ordered and outlier and parent is None and hit(self.plan.outliers):
                    row.append(self._extreme(planned, values, number))
                elif style == "distinct":
                    row.append(values[order[number] % len(values)])
                else:
                    row.append(
                        values[chance.skewed(len(values)) if style == "skewed" else below(len(values))]
                    )
            if keys and not self._new(row, keys, seen):
                continue
            if good and twin is None:
                self._good.setdefault(name, set()).add(len(rows))
            rows.append(row)
        return rows

    @staticmethod
    def _new(row: list[Value], keys: list[list[int]], seen: set[tuple[Value, ...]]) -> bool:
        """Whether a row has keys of its own; then they are taken."""
        marks = [(number, *(row[i] for i in places)) for number, places in enumerate(keys)]
        if any(None in mark or mark in seen for mark in marks):
            return False
        seen.update(marks)
        return True

    def _fresh(
        self, values: list[Value], number: int, fitting: list[Value] | None, taken: set[Value]
    ) -> Value:
        """A key that is not taken; one that the conditions ask for where that can be."""
        value: Value = None
        if fitting and (number == 0 or self.chance.hit(30)):
            possible = [v for v in fitting if v not in taken and (v in values or not self._late)]
            if possible:
                value = possible[self.chance.below(len(possible))]
        if value is None:
            at = number
            while at < len(values) and values[at] in taken:
                at += 1
            if at < len(values):
                value = values[at]
            else:
                value = next((v for v in values if v not in taken), None)
        taken.add(value)
        return value

    def _wanted(self, scopes: list[Conditions]) -> tuple[Wanted, bool, bool]:
        """What conditions ask of a row's columns; is the row to satisfy the gold's; may it be an outlier."""
        chance, mode = self.chance, self.mode
        throw = chance.below(100)
        if not scopes:
            return _NOTHING, throw < mode.all, throw >= mode.all
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
        return _NOTHING, False, True

    def _good_parents(self, parent: Ref) -> list[Value]:
        drawn = self._drawn.get(parent, [])
        return [drawn[i] for i in sorted(self._good[parent[0]]) if i < len(drawn)]

    def _extreme(self, planned: PlannedColumn, values: list[Value], number: int) -> Value:
        """More or less than other rows have: a row that should not count then shows in MAX and LIMIT."""
        if planned.kind not in ("integer", "real"):
            texts = sorted(v for v in values if isinstance(v, str))
            return texts[-1 if self.chance.hit(50) else 0] if texts else values[0]
        numbers = [v for v in values if isinstance(v, (int, float))] or [1]
        low, high = min(numbers), max(numbers)
        return stored(high + 1 + number) if self.chance.hit(50) or low < 1 else max(0, low - 1 - number)

    def _stranger(self, planned: PlannedColumn, values: list[Value]) -> Value:
        pool = self.plan.strangers[planned.kind if planned.kind in ("integer", "real") else "text"] or values
        return pool[self.chance.below(len(pool))]

    def _depend(self) -> None:
        """Bare columns beside GROUP BY follow its columns, where both stand in one table."""
        for profile in self.plan.profiles:
            for keys, bare in profile.dependencies:
                for name in sorted({r[0] for r in bare}):
                    mine = [r[1] for r in keys if r[0] == name]
                    own = self.plan.keys.primary.get(name, ())
                    if not mine or name not in self.rows or (own and set(mine) >= set(own)):
                        continue
                    names = [c.ref[1] for c in self.plan.tables[name]]
                    free = [r for r in bare if r[0] == name and r[1] not in own and r not in self.foreign]
                    follow = [names.index(r[1]) for r in free]
                    lead = [names.index(c) for c in mine]
                    first: dict[tuple[Value, ...], list[Value]] = {}
                    for row in self.rows[name]:
                        model = first.setdefault(tuple([row[i] for i in lead]), row)
                        for i in follow:
                            row[i] = model[i]

    def _blank(self) -> None:
        """A NULL in every column that may hold one, in a row asked for unless it is asked for by that column.

        ``COUNT(name)`` and ``COUNT(*)`` part ways where a row that WHERE lets pass has no name.
        """
        for table in self.plan.schema.tables:
            name = table.name.lower()
            rows, plan = self.rows[name], self.plan
            keys = {c for k in (plan.keys.primary.get(name, ()), *plan.unique.get(name, ())) for c in k}
            asked = {atom.ref for scope in plan.scopes.get(name, ()) for atom in scope.atoms}
            deciding = [at for at, column in enumerate(plan.tables[name]) if column.ref in asked]
            good = [
                i for i in sorted(self._good.get(name, ())) if all(rows[i][at] is not None for at in deciding)
            ]
            good = good or list(range(len(rows)))
            others = [i for i in range(len(rows)) if i not in good] or good
            for at, column in enumerate(plan.tables[name]):
                if column.ref[1] in keys or column.ref in self.foreign or column.column.not_null:
                    continue
                places = others if column.ref in asked else good
                if places and all(rows[i][at] is not None for i in places):
                    rows[places[at % len(places)]][at] = None


def shuffled(n: int, chance: Chance) -> list[int]:
    """The numbers from 0 to n - 1 in a drawn order."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = chance.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order
