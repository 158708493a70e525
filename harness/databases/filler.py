"""Draws the rows of one database from a plan: keys first, then what conditions ask for, then the rest."""

from __future__ import annotations

from typing import NamedTuple

from harness.chance import Chance
from harness.databases.columns import PlannedColumn
from harness.databases.modes import LARGE, ODDS, Mode
from harness.databases.plan import Plan, PlannedTable
from harness.databases.strategies import Case, Drawer, drawer_for, shuffled
from harness.sql.dialect import Value, stored
from harness.sql.profile import Conditions
from harness.sql.schema import Ref

Wanted = dict[Ref, list[Value]]
_NOTHING: Wanted = {}


class Aim(NamedTuple):
    """What a row is to show: the values ``wanted`` of its columns so that conditions hold or just do not.

    A ``good`` row satisfies the gold's, or parts the queries; an ``outlier`` should not count, and shows.
    """

    wanted: Wanted
    good: bool
    outlier: bool


class Filler:
    """One filling. ``good`` rows satisfy all conditions of the gold, as do their parents."""

    def __init__(self, plan: Plan, mode: Mode, chance: Chance) -> None:
        self.plan, self.mode, self.chance = plan, mode, chance
        self.foreign = plan.foreign
        self._outliers = ODDS.outlier_aimed if plan.focus else ODDS.outlier
        self.rows: dict[str, list[list[Value]]] = {}
        self._drawn: dict[Ref, list[Value]] = {}  # what others refer to, a row each
        self._keys: dict[Ref, list[Value]] = {}  # … and each value once
        self._waiting = False  # whether anything refers to what is not filled yet
        self._good: dict[str, set[int]] = {}

    def fill(self) -> dict[str, list[list[Value]]]:
        """The rows of each table, by its name in lower case."""
        for table in self.plan.tables.values():
            self._table(table)
        for table in self.plan.tables.values():
            for at, parent in table.late:
                keys = [v for v in self._drawn.get(parent, ()) if v is not None]
                for row in self.rows[table.name] if keys else ():
                    row[at] = keys[self.chance.below(len(keys))]
        if not self.mode.loose:
            self._depend()
        self._balance()
        if self.mode.nulls:
            self._blank()
        return self.rows

    def _count(self, table: PlannedTable) -> int:
        plan, chance, (low, high) = self.plan, self.chance, self.mode.rows
        if table.name not in plan.used:
            constants = max((c.lead for c in table.columns), default=0)
            return min(4 + 2 * min(constants, 4), high)
        if self.mode.bare and len(plan.tables) > 1 and chance.hit(self.mode.bare):
            return 0
        if high == 1 and plan.thresholds and table.name in plan.leaves:  # one group of about the threshold
            return max(1, plan.thresholds[chance.below(len(plan.thresholds))] - 1 + chance.below(3))
        if low == 0 and table.name not in plan.children:
            low = 1
        count = low + chance.below(high - low + 1)
        if plan.thresholds and low > 4:
            most = plan.thresholds[-1]
            if most <= LARGE or self.mode.name in ("narrow", "full"):
                count = max(count, 2 * most + 3 + chance.below(6))
        return count

    def _table(self, table: PlannedTable) -> None:
        self._waiting = table.waiting
        count = self._count(table)
        if any(parent is not None and not self._keys[parent] for parent in table.parents):
            count = 0  # there is nothing to refer to
        drawers = []
        for at, (column, parent) in enumerate(zip(table.columns, table.parents, strict=True)):
            drawn = [] if parent is None else self._keys[parent]
            key = (column.ref[1],) if at in table.single else table.key
            case = Case(
                self.plan, self.mode, self.chance, column, key, count, self.foreign.get(column.ref), drawn
            )
            drawers.append(drawer_for(case))
        rows = self.rows[table.name] = self._draw(table, drawers, count)
        for at, column in enumerate(table.columns):
            if column.ref in self.plan.targets:
                drawn = self._drawn[column.ref] = [row[at] for row in rows]
                self._keys[column.ref] = [v for v in dict.fromkeys(drawn) if v is not None]

    def _draw(self, table: PlannedTable, drawers: list[Drawer], count: int) -> list[list[Value]]:
        chance, mode, name = self.chance, self.mode, table.name
        scopes = self.plan.scopes.get(name, [])
        rows: list[list[Value]] = []
        seen: set[tuple[Value, ...]] = set()
        taken: set[Value] = set()
        order = shuffled(count + 3, chance)
        for number in range(count):
            aim = self._aim(scopes)
            twin = rows[chance.below(len(rows))] if rows and mode.twins and chance.hit(mode.twins) else None
            change = chance.below(len(drawers) + 1) if twin is not None else -1
            row: list[Value] = []
            for at, drawer in enumerate(drawers):
                if drawer.style == "unique":
                    row.append(self._fresh(drawer.values, number, aim.wanted.get(drawer.planned.ref), taken))
                elif twin is not None and at != change:
                    row.append(twin[at])
                else:
                    row.append(self._cell(drawer, aim, number, order[number]))
            if table.unique and not self._new(row, table.unique, seen):
                continue
            if aim.good and twin is None:
                self._good.setdefault(name, set()).add(len(rows))
            rows.append(row)
        return rows

    def _cell(self, drawer: Drawer, aim: Aim, number: int, place: int) -> Value:
        """A value for row ``number``, which comes ``place``-th among different ones."""
        planned, style, values, parent, strange, nulls = drawer
        chance = self.chance
        if nulls and chance.hit(nulls):
            return None
        fitting = self._fitting(planned.ref, parent, aim)
        if fitting:
            return fitting[chance.skewed(len(fitting))]
        if strange and chance.hit(strange):
            return self._stranger(planned, values)
        if planned.ordered and aim.outlier and parent is None and chance.hit(self._outliers):
            return self._extreme(planned, values, number)
        if style == "distinct":
            return values[place % len(values)]
        return values[chance.skewed(len(values)) if style == "skewed" else chance.below(len(values))]

    def _fitting(self, ref: Ref, parent: Ref | None, aim: Aim) -> list[Value] | None:
        """What a row's aim asks of a column; of a reference, what there is to refer to."""
        fitting, disputed = aim.wanted.get(ref), self.plan.disputed
        if disputed and ref in disputed and self.chance.hit(ODDS.disputed):
            fitting = disputed[ref]
        if parent is None:
            return fitting
        drawn = self._drawn.get(parent, [])
        if fitting:
            return [v for v in fitting if v in drawn]
        if aim.good and parent[0] in self._good:
            return [drawn[i] for i in sorted(self._good[parent[0]]) if i < len(drawn)]
        return fitting

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
        if fitting and (number == 0 or self.chance.hit(ODDS.key_asked)):
            possible = [v for v in fitting if v not in taken and (v in values or not self._waiting)]
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

    def _aim(self, scopes: list[Conditions]) -> Aim:
        chance, mode, focus = self.chance, self.mode, self.plan.focus
        throw = chance.below(100)
        if not scopes:
            return Aim(_NOTHING, throw < mode.all, throw >= mode.all)
        scope = scopes[chance.below(len(scopes))]
        if focus and focus.isdisjoint(scope.atoms) and chance.hit(ODDS.aimed):
            scope = next((s for s in scopes if not focus.isdisjoint(s.atoms)), scope)
        atoms = scope.atoms
        every = (1 << len(atoms)) - 1
        if throw < mode.all:
            return Aim(self.plan.fits(atoms, every), True, False)
        if throw < mode.all + mode.one:
            place = chance.below(len(atoms))
            if scope.loose and chance.hit(ODDS.loose):
                mask = chance.below(every + 1) if chance.hit(ODDS.loose_mask) else 1 << place
                return Aim(self.plan.fits(atoms, mask), False, True)
            if focus and chance.hit(ODDS.missed_aimed):
                place = next((i for i, a in enumerate(atoms) if a in focus), place)
            return Aim(self.plan.fits(atoms, every ^ 1 << place), atoms[place] in focus, True)
        return Aim(_NOTHING, False, True)

    def _extreme(self, planned: PlannedColumn, values: list[Value], number: int) -> Value:
        """More or less than other rows have: a row that should not count then shows in MAX and LIMIT."""
        if planned.kind not in ("integer", "real"):
            texts = sorted(v for v in values if isinstance(v, str))
            return texts[-1 if self.chance.hit(ODDS.largest) else 0] if texts else values[0]
        numbers = [v for v in values if isinstance(v, (int, float))] or [1]
        low, high = min(numbers), max(numbers)
        return (
            stored(high + 1 + number)
            if self.chance.hit(ODDS.largest) or low < 1
            else max(0, low - 1 - number)
        )

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
                    own = (*own, *(c for u in self.plan.unique.get(name, ()) for c in u))
                    if not mine or name not in self.rows or (own and set(mine) >= set(own)):
                        continue
                    names = [c.ref[1] for c in self.plan.tables[name].columns]
                    free = [r for r in bare if r[0] == name and r[1] not in own and r not in self.foreign]
                    follow = [names.index(r[1]) for r in free]
                    lead = [names.index(c) for c in mine]
                    first: dict[tuple[Value, ...], list[Value]] = {}
                    for row in self.rows[name]:
                        model = first.setdefault(tuple([row[i] for i in lead]), row)
                        for i in follow:
                            row[i] = model[i]

    def _balance(self) -> None:
        """Groups whose sum or average is just what HAVING compares it with, one more, one less."""
        plan = self.plan
        for total in (t for p in plan.profiles for t in p.totals):
            name, column = total.ref[0], plan.columns.get(total.ref)
            rows = self.rows.get(name, [])
            if not rows or column is None or column.closed or not self.chance.hit(ODDS.balanced):
                continue
            planned = plan.tables[name].columns
            held = {c for k in (plan.keys.primary.get(name, ()), *plan.unique.get(name, ())) for c in k}
            lead = [i for i, c in enumerate(planned) if self._groups_by(c.ref, total.groups)]
            if not lead or total.ref[1] in held or total.ref in self.foreign:
                continue
            at = planned.index(column)
            good = sorted(self._good.get(name, ())) if plan.scopes.get(name) else range(len(rows))
            groups: dict[tuple[Value, ...], list[list[Value]]] = {}
            for row in (rows[i] for i in good):
                groups.setdefault(tuple([row[i] for i in lead]), []).append(row)
            for number, group in enumerate(groups.values()):
                numbers = [v for row in group[:-1] if isinstance(v := row[at], (int, float))]
                if number % 4 < 3:  # the fourth stays as it is
                    wanted = total.value * (len(group) if total.each else 1) + (0, 1, -1)[number % 4]
                    last = wanted - sum(numbers)
                    group[-1][at] = stored(round(last)) if column.kind == "integer" else stored(last)

    def _groups_by(self, ref: Ref, groups: tuple[Ref, ...]) -> bool:
        """Whether groups are told by a column, or by the table that it refers to."""
        parent = self.foreign.get(ref)
        return ref in groups or (parent is not None and any(parent[0] == g[0] != ref[0] for g in groups))

    def _blank(self) -> None:
        """A NULL in every column that may hold one, in a row asked for unless it is asked for by that column.

        ``COUNT(name)`` and ``COUNT(*)`` part ways where a row that WHERE lets pass has no name.
        """
        for name, table in self.plan.tables.items():
            rows, plan = self.rows[name], self.plan
            keys = {c for k in (plan.keys.primary.get(name, ()), *plan.unique.get(name, ())) for c in k}
            asked = {atom.ref for scope in plan.scopes.get(name, ()) for atom in scope.atoms}
            deciding = [at for at, column in enumerate(table.columns) if column.ref in asked]
            good = [
                i for i in sorted(self._good.get(name, ())) if all(rows[i][at] is not None for at in deciding)
            ]
            good = good or list(range(len(rows)))
            others = [i for i in range(len(rows)) if i not in good] or good
            for at, column in enumerate(table.columns):
                if column.ref[1] in keys or column.ref in self.foreign or column.column.not_null:
                    continue
                places = others if column.ref in asked else good
                if places and all(rows[i][at] is not None for i in places):
                    rows[places[at % len(places)]][at] = None
