"""Draws the rows of one database from a plan: keys first, then what conditions ask for, then the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from harness.chance import Chance
from harness.databases.columns import PlannedColumn
from harness.databases.modes import LARGE, MODES, ODDS, Mode
from harness.databases.plan import Plan, PlannedScope, PlannedTable
from harness.databases.strategies import Case, Drawer, drawer_for, places_of
from harness.sql.dialect import Value, stored
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


_MET = Aim(_NOTHING, True, False)
_MISSED = Aim(_NOTHING, False, True)


class Filler:
    """Fills the tables of one plan, as often as databases are wanted.

    Tables that no query names and that refer to nothing hold the same rows in each database, unless what
    refers to them is compared with constants: nothing is asked of them but that they be there.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.places = {table.name: places_of(plan, table) for table in plan.tables.values()}
        self.alike: dict[str, list[list[Value]]] = {}
        asked = {child for child in plan.foreign if child[0] in plan.used and plan.columns[child].pool}
        while more := {plan.foreign[ref] for ref in asked if ref in plan.foreign} - asked:
            asked |= more
        needed = plan.used.union(table for table, _ in asked)
        for table in plan.tables.values():
            if table.name not in needed and not table.late and not any(table.parents):
                filling = _Filling(self, MODES["few"], Chance("alike", table.name))
                self.alike[table.name] = filling.drawn(table)

    def fill(self, mode: Mode, chance: Chance) -> dict[str, list[list[Value]]]:
        """The rows of each table that is not ``alike`` everywhere, by its name in lower case."""
        return _Filling(self, mode, chance).fill()


class _Filling:
    """One filling. ``good`` rows satisfy all conditions of the gold, as do their parents."""

    def __init__(self, filler: Filler, mode: Mode, chance: Chance) -> None:
        self.plan, self.filler, self.mode, self.chance = filler.plan, filler, mode, chance
        self.foreign = self.plan.foreign
        self._outliers = ODDS.outlier_aimed if self.plan.focus else ODDS.outlier
        self.rows: dict[str, list[list[Value]]] = {}
        self._drawn: dict[Ref, list[Value]] = {}  # what others refer to, a row each
        self._keys: dict[Ref, list[Value]] = {}  # … and each value once
        self._waiting = False  # whether anything refers to what is not filled yet
        self._good: dict[str, set[int]] = {}

    def fill(self) -> dict[str, list[list[Value]]]:
        for table in self.plan.tables.values():
            rows = self.filler.alike.get(table.name)
            if rows is None:
                rows = self.rows[table.name] = self.drawn(table)
            for at, column in enumerate(table.columns):
                if column.ref in self.plan.targets:
                    drawn = self._drawn[column.ref] = [row[at] for row in rows]
                    self._keys[column.ref] = [v for v in dict.fromkeys(drawn) if v is not None]
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

    def drawn(self, table: PlannedTable) -> list[list[Value]]:
        """The rows of a table."""
        self._waiting = table.waiting
        count = self._count(table)
        if any(parent is not None and not self._keys[parent] for parent in table.parents):
            count = 0  # there is nothing to refer to
        drawers = [
            drawer_for(
                Case(self.plan, self.mode, self.chance, place, count, self._keys[parent] if parent else [])
            )
            for place, parent in zip(self.filler.places[table.name], table.parents, strict=True)
        ]
        return self._draw(table, drawers, count)

    def _draw(self, table: PlannedTable, drawers: list[Drawer], count: int) -> list[list[Value]]:
        """Rows column by column; of those that would share a key the first one stays."""
        scopes = self.plan.scopes.get(table.name, [])
        asked = {atom.ref for scope in scopes for atom in scope.atoms}.union(self.plan.disputed)
        aims = [self._aim(scopes) for _ in range(count)]
        twins = self._twins(count, len(drawers))
        order = self.chance.shuffled(count + 3)
        columns: list[list[Value]] = []
        for at, drawer in enumerate(drawers):
            if drawer.style == "unique":
                columns.append(self._keys_for(drawer, aims))
                continue
            column = self._column(drawer, aims, order)
            if drawer.planned.ref in asked or drawer.parent is not None:
                self._fit(column, drawer, aims)
            for number in self.chance.hits(drawer.nulls, count) if drawer.nulls else ():
                column[number] = None
            for number, (model, change) in twins.items():
                if at != change:
                    column[number] = column[model]
            columns.append(column)
        rows = list(map(list, zip(*columns, strict=True))) if columns else [[] for _ in aims]
        own = [n for n, aim in enumerate(aims) if aim.good and n not in twins]
        if table.unique:
            kept = self._kept(rows, table.unique)
            places = {number: place for place, number in enumerate(kept)}
            rows, own = [rows[number] for number in kept], [places[n] for n in own if n in places]
        self._good[table.name] = set(own)
        return rows

    def _twins(self, count: int, columns: int) -> dict[int, tuple[int, int]]:
        """Which rows repeat an earlier one: its number, and the column that they do not repeat, if any."""
        chance = self.chance
        if not self.mode.twins:
            return {}
        return {
            number: (chance.below(number), chance.below(columns + 1))
            for number in chance.hits(self.mode.twins, count)
            if number
        }

    def _column(self, drawer: Drawer, aims: list[Aim], order: list[int]) -> list[Value]:
        """Values for a row each, whatever conditions ask; the rows come in ``order`` among different ones."""
        planned, style, values, parent, strange, _ = drawer
        chance, count = self.chance, len(aims)
        if style == "distinct":
            n = len(values)
            column = [values[place % n] for place in order[:count]]
        elif style == "skewed":
            column = chance.skewed_picks(values, count)
        else:
            column = chance.picks(values, count)
        if planned.ordered and parent is None:
            for number in chance.hits(self._outliers, count):
                if aims[number].outlier:
                    column[number] = self._extreme(planned, values, number)
        if strange:
            kind = planned.kind if planned.kind in ("integer", "real") else "text"
            pool = self.plan.strangers[kind] or values
            for number in chance.hits(strange, count):
                column[number] = pool[chance.below(len(pool))]
        return column

    def _fit(self, column: list[Value], drawer: Drawer, aims: list[Aim]) -> None:
        """Put in what the rows' aims ask of a column; of a reference, what there is to refer to."""
        chance, ref, parent = self.chance, drawer.planned.ref, drawer.parent
        disputed = self.plan.disputed.get(ref)
        drawn = self._drawn.get(parent, []) if parent is not None else []
        there = set(drawn)
        good = (
            [drawn[i] for i in sorted(self._good.get(parent[0], ()))] if parent is not None and drawn else []
        )
        for number, aim in enumerate(aims):
            fitting = aim.wanted.get(ref)
            if disputed and chance.hit(ODDS.disputed):
                fitting = disputed
            if parent is not None:
                fitting = [v for v in fitting if v in there] if fitting else good if aim.good else None
            if fitting:
                column[number] = fitting[chance.skewed(len(fitting))]

    def _keys_for(self, drawer: Drawer, aims: list[Aim]) -> list[Value]:
        """A value of its own for each row; None where there are no more."""
        taken: set[Value] = set()
        ref = drawer.planned.ref
        return [
            self._fresh(drawer.values, number, aim.wanted.get(ref), taken) for number, aim in enumerate(aims)
        ]

    @staticmethod
    def _kept(rows: list[list[Value]], keys: list[list[int]]) -> list[int]:
        """The numbers of the rows that have keys of their own: of equal ones the first."""
        kept: Iterable[int] = range(len(rows))
        for places in keys:
            seen: set[tuple[Value, ...]] = set()
            mine = []
            for number in kept:
                mark = tuple([rows[number][place] for place in places])
                if mark not in seen and None not in mark:
                    seen.add(mark)
                    mine.append(number)
            kept = mine
        return list(kept)

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

    def _aim(self, scopes: list[PlannedScope]) -> Aim:
        chance, mode = self.chance, self.mode
        throw = chance.below(100)
        if not scopes:
            return _MET if throw < mode.all else _MISSED
        scope = scopes[chance.below(len(scopes))]
        if self.plan.focus and not scope.parts and chance.hit(ODDS.aimed):
            scope = next((s for s in scopes if s.parts), scope)
        if throw < mode.all:
            return Aim(scope.fits(scope.every), True, False)
        if throw < mode.all + mode.one:
            place = chance.below(len(scope.atoms))
            if scope.loose and chance.hit(ODDS.loose):
                mask = chance.below(scope.every + 1) if chance.hit(ODDS.loose_mask) else 1 << place
                return Aim(scope.fits(mask), False, True)
            if scope.parts and chance.hit(ODDS.missed_aimed):
                place = scope.parts[0]
            return Aim(scope.fits(scope.every ^ 1 << place), place in scope.parts, True)
        return _MISSED

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
        for name, rows in self.rows.items():
            plan, table = self.plan, self.plan.tables[name]
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
