"""How a column is filled in one database: the first strategy that fits, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness.chance import Chance
from harness.databases.columns import PlannedColumn
from harness.databases.modes import LARGE, ODDS, Mode
from harness.databases.plan import Plan
from harness.sql.dialect import Value
from harness.sql.schema import Ref

Style = Literal["unique", "distinct", "skewed", "any"]


class Drawer(NamedTuple):
    """How a column is filled this time.

    ``style``: "unique", "distinct", "skewed" (few, the first ones often) or "any" of ``values``.
    ``parent``: the key that it refers to. ``strange``, ``nulls``: percent of constants of
    other columns, and of NULLs.
    """

    planned: PlannedColumn
    style: Style
    values: list[Value]
    parent: Ref | None = None
    strange: int = 0
    nulls: int = 0


@dataclass(slots=True)
class Case:
    """A column that is to be filled with ``count`` rows, beside what this database holds already.

    ``key`` are the columns that together are its table's key, ``drawn`` the values of the key that it
    refers to (empty where there are none yet). ``kept`` of them are referred to; its own values begin at
    ``offset``.
    """

    plan: Plan
    mode: Mode
    chance: Chance
    column: PlannedColumn
    key: tuple[str, ...]
    count: int
    parent: Ref | None
    drawn: list[Value]
    kept: int = 0
    offset: int = 0

    def __post_init__(self) -> None:
        if self.drawn:
            share, more = ODDS.parents
            if not self.alone:
                self.kept = max(1, len(self.drawn) * (share + self.chance.below(more)) // 100)
        elif not self.alone:
            self.offset = self.chance.below(7)

    @property
    def alone(self) -> bool:
        """Whether the column is a key by itself."""
        return self.key == (self.column.ref[1],)

    def throws_groups(self) -> bool:
        """Whether its groups are counted, and chance will have them around the threshold."""
        plan = self.plan
        if not plan.thresholds or self.column.ref not in plan.counted:
            return False
        return self.chance.hit(ODDS.grouped_large if plan.thresholds[-1] > LARGE else ODDS.grouped)

    @property
    def nulls(self) -> int:
        """Percent of NULLs."""
        column = self.column
        if column.ref[1] in self.key or self.parent is not None or column.column.not_null:
            return 0
        return ODDS.nullable if column.nullable else self.mode.nulls

    @property
    def strange(self) -> int:
        """Percent of other columns' constants."""
        free = self.column.ref[0] in self.plan.used and self.column.ref[1] not in self.key
        return self.mode.strange if free and not self.column.closed else 0

    def usual(self, count: int) -> list[Value]:
        """So many of its own usual values."""
        return list(map(self.column.base, range(self.offset, self.offset + count)))

    def groups(self, values: list[Value]) -> list[Value]:
        """Values for the rows in groups around a threshold: just so many, one more, one fewer, …"""
        thresholds = self.plan.thresholds
        most = thresholds[self.chance.below(len(thresholds))]
        sizes = [most, most + 1, max(1, most - 1), 1, 2]
        start = self.chance.below(3)
        sizes = sizes[start:3] + sizes[:start] + sizes[3:]
        found: list[Value] = []
        for number, value in enumerate(values):
            found += [value] * sizes[number % len(sizes)]
        return (found or values)[: max(1, self.count)]


class Strategy(NamedTuple):
    """One way of filling a column; ``draw`` gives None where it does not fit."""

    name: str
    reason: str
    draw: Callable[[Case], Drawer | None]


def _each_parent_once(case: Case) -> Drawer | None:
    return Drawer(case.column, "unique", case.drawn, case.parent) if case.drawn and case.alone else None


def _counted_children(case: Case) -> Drawer | None:
    if not case.drawn or not case.throws_groups():
        return None
    return Drawer(case.column, "distinct", case.groups(case.drawn), case.parent)


def _children(case: Case) -> Drawer | None:
    if not case.drawn:
        return None
    plan, chance, keep = case.plan, case.chance, case.kept
    if plan.thresholds and chance.hit(ODDS.few_groups):
        keep = max(1, min(keep, case.count // (plan.thresholds[-1] + 1)))
    elif case.column.ref in plan.shared or case.parent in plan.shared or chance.hit(ODDS.few_parents):
        keep = min(keep, 1 + chance.below(4))
    start = chance.below(len(case.drawn))
    return Drawer(case.column, "skewed", (case.drawn[start:] + case.drawn[:start])[:keep], case.parent)


def _key(case: Case) -> Drawer | None:
    if not case.alone:
        return None
    column, chance, count = case.column, case.chance, case.count
    lead, rest = column.pool[: column.lead], column.pool[column.lead :]
    start = chance.below(len(rest)) if rest else 0
    some = (rest[start:] + rest[:start])[: max(0, count // 2 - len(lead))]
    keys: list[Value] = [*lead, *some, *map(column.base, range(count + 4))]
    if column.kind == "integer" and not column.pool:
        gap, start = 1 + chance.below(3), 1 + chance.below(9)
        keys = [start + gap * i + (i > 2) + (i > 5) * 2 for i in range(count + 4)]
        if chance.hit(ODDS.scattered):
            keys = [keys[i] for i in shuffled(len(keys), chance)]
    return Drawer(column, "unique", list(dict.fromkeys(keys)))


def _counted(case: Case) -> Drawer | None:
    if not case.throws_groups():
        return None
    return Drawer(case.column, "distinct", case.groups(case.usual(12)), case.parent, 0, case.nulls)


def _compared_and_scarce(case: Case) -> Drawer | None:
    if case.column.group < 0 or case.mode.narrow < 100:
        return None
    pool = case.column.pool
    start = case.chance.below(len(pool)) if pool else 0
    few = [*(pool[start:] + pool[:start])[:2], case.column.base(0)]
    return Drawer(case.column, "any", list(dict.fromkeys(few)), case.parent, 0, case.nulls)


def _compared(case: Case) -> Drawer | None:
    if case.column.group < 0:
        return None
    values = list(dict.fromkeys([*case.column.pool, *map(case.column.base, range(5))]))
    style: Style = "skewed" if case.chance.hit(ODDS.skewed) else "any"
    return Drawer(case.column, style, values, case.parent, 0, case.nulls)


def _met_again(case: Case) -> Drawer | None:
    if case.column.ref not in case.plan.shared or not case.chance.hit(ODDS.met_again):
        return None
    values = [*case.column.pool[:2], *case.usual(2 + case.chance.below(2))]
    return Drawer(case.column, "skewed", values, None, case.strange, case.nulls)


def _asked_and_scarce(case: Case) -> Drawer | None:
    column, chance = case.column, case.chance
    if not column.lead or not case.mode.asked or not chance.hit(case.mode.asked):
        return None
    if column.ordered and chance.hit(ODDS.sorted_apart):
        return None
    values = some(column.pool[: column.lead], 3, chance)
    near = column.pool[column.lead :]
    if near and chance.hit(ODDS.neighbours):
        values += some(near, 2, chance)
    if chance.hit(ODDS.usual):
        values.append(column.base(chance.below(2)))
    return Drawer(column, "any", values, case.parent, case.strange, case.nulls)


def _narrow(case: Case) -> Drawer | None:
    chance = case.chance
    if (case.column.ordered and chance.hit(ODDS.sorted_apart)) or not chance.hit(case.mode.narrow):
        return None
    return Drawer(case.column, "skewed", case.usual(2 + chance.below(3)), None, case.strange, case.nulls)


def _constants(case: Case) -> Drawer | None:
    pool = case.column.pool
    if not pool or not case.chance.hit(ODDS.constants):
        return None
    if not case.column.ordered:
        return Drawer(case.column, "any", [*pool, *case.usual(4)], None, case.strange, case.nulls)
    values = list(dict.fromkeys([*pool[: case.count // 2 + 1], *case.usual(case.count + 3)]))
    return Drawer(case.column, "distinct", values, None, case.strange, case.nulls)


def _varied(case: Case) -> Drawer:
    return Drawer(case.column, "distinct", case.usual(case.count + 3), None, case.strange, case.nulls)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("each parent once", "a key that refers to another table's key: 1:1", _each_parent_once),
    Strategy("counted children", "HAVING and LIMIT show at groups just as large", _counted_children),
    Strategy("children", "some parents have many, some none: inner and outer joins part ways", _children),
    Strategy("key", "what is left by references: constants first, so that they are met", _key),
    Strategy("counted", "as for children, in a column that is grouped by itself", _counted),
    Strategy("compared and scarce", "two columns meet often only where both hold few", _compared_and_scarce),
    Strategy("compared", "columns that are compared hold one pool, else no row matches", _compared),
    Strategy("met again", "INTERSECT and IN find something where both parts hold the same few", _met_again),
    Strategy("asked and scarce", "against one query: what either asks for, little else", _asked_and_scarce),
    Strategy("narrow", "few values: groups, duplicates, DISTINCT", _narrow),
    Strategy("constants", "what conditions name, met by chance also; sorted ones are distinct", _constants),
    Strategy("varied", "nothing asks for more: different values, so that a column shows", _varied),
)


def drawer_for(case: Case) -> Drawer:
    """How the column is filled."""
    return next(found for strategy in STRATEGIES if (found := strategy.draw(case)) is not None)


def some(values: list[Value], most: int, chance: Chance) -> list[Value]:
    """One to ``most`` of the values that follow one another, from any of them on."""
    start = chance.below(len(values))
    return (values[start:] + values[:start])[: 1 + chance.below(most)]


def shuffled(n: int, chance: Chance) -> list[int]:
    """The numbers from 0 to n - 1 in a drawn order."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = chance.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order
