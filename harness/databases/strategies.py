"""How a column is filled in one database: the first strategy that fits, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

from harness.chance import Chance
from harness.databases.columns import PlannedColumn
from harness.databases.modes import FEW, LARGE, ODDS, Mode
from harness.databases.plan import Plan, PlannedTable
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


class Place(NamedTuple):
    """A column in its table, and what any filling of the plan may do with it.

    ``parent``: the key that it refers to. ``alone``: it is a key by itself. ``strange``: it may hold
    constants of other columns, and ``blank`` NULLs. Of the ``strategies`` the first that fits fills it.
    """

    column: PlannedColumn
    parent: Ref | None
    alone: bool
    strange: bool
    blank: bool
    strategies: tuple[Strategy, ...]


class Case:
    """A column that is to be filled with ``count`` rows, beside what this database holds already.

    ``drawn`` are the values of the key that it refers to (empty where there are none yet). ``kept`` of them
    are referred to; its own values begin at ``offset``.
    """

    __slots__ = ("chance", "column", "count", "drawn", "kept", "mode", "offset", "parent", "place", "plan")

    def __init__(
        self, plan: Plan, mode: Mode, chance: Chance, place: Place, count: int, drawn: list[Value]
    ) -> None:
        self.plan, self.mode, self.chance, self.place = plan, mode, chance, place
        self.column, self.parent, self.count, self.drawn = place.column, place.parent, count, drawn
        self.kept = self.offset = 0
        if drawn and not place.alone:
            share, more = ODDS.parents
            self.kept = max(1, len(drawn) * (share + chance.below(more)) // 100)
        elif not place.alone:
            self.offset = chance.below(7)

    def throws_groups(self) -> bool:
        """Whether chance will have its groups, if they are counted, around the threshold."""
        plan = self.plan
        if not plan.thresholds or self.column.ref not in plan.counted:
            return False
        return self.chance.hit(ODDS.grouped_large if plan.thresholds[-1] > LARGE else ODDS.grouped)

    @property
    def nulls(self) -> int:
        """Percent of NULLs."""
        if not self.place.blank:
            return 0
        return ODDS.nullable if self.column.nullable else self.mode.nulls

    @property
    def strange(self) -> int:
        """Percent of other columns' constants."""
        return self.mode.strange if self.place.strange else 0

    def usual(self, count: int) -> list[Value]:
        """So many of its own usual values."""
        return self.column.usual(self.offset, count)

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


class Traits(NamedTuple):
    """What is so of a column in all databases of a plan: the strategies go by it.

    ``refers``: to another table's key. ``ordered``: it is sorted by or asked for extremes. ``counted``: it is
    grouped by, and groups are compared with a number. ``compared``: with other columns. ``shared``: by two
    parts of a query. ``apart``: it is the part of a key beside one by which large groups are counted.
    ``asked``: conditions name constants of it. ``pooled``: it holds those, or others.
    """

    refers: bool
    ordered: bool
    counted: bool
    compared: bool
    shared: bool
    apart: bool
    asked: bool
    pooled: bool


class Strategy(NamedTuple):
    """One way of filling columns of a trait (empty: any); ``draw`` gives None where chance is against it."""

    name: str
    reason: str
    trait: str
    draw: Callable[[Case], Drawer | None]


def _each_parent_once(case: Case) -> Drawer | None:
    return Drawer(case.column, "unique", case.drawn, case.parent) if case.drawn and case.place.alone else None


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
    if not case.place.alone:
        return None
    column, chance, count = case.column, case.chance, case.count
    lead, rest = column.pool[: column.lead], column.pool[column.lead :]
    start = chance.below(len(rest)) if rest else 0
    some = (rest[start:] + rest[:start])[: max(0, count // 2 - len(lead))]
    keys: list[Value] = [*lead, *some, *column.usual(0, count + 4)]
    if column.kind == "integer" and not column.pool:
        gap, start = 1 + chance.below(3), 1 + chance.below(9)
        keys = [start + gap * i + (i > 2) + (i > 5) * 2 for i in range(count + 4)]
        if chance.hit(ODDS.scattered):
            keys = [keys[i] for i in chance.shuffled(len(keys))]
    return Drawer(column, "unique", list(dict.fromkeys(keys)))


def _tied(case: Case) -> Drawer | None:
    if not case.mode.tied:
        return None
    values = list(dict.fromkeys([*case.column.pool[:2], *case.usual(2)]))
    return Drawer(case.column, "any", values, case.parent, 0, case.nulls)


def _counted(case: Case) -> Drawer | None:
    if not case.throws_groups():
        return None
    return Drawer(case.column, "distinct", case.groups(case.usual(12)), case.parent, 0, case.nulls)


def _apart(case: Case) -> Drawer | None:
    if not case.chance.hit(ODDS.apart):
        return None
    return Drawer(case.column, "distinct", case.usual(case.count + 3), None, 0, case.nulls)


def _compared_and_scarce(case: Case) -> Drawer | None:
    if case.mode.narrow < 100:
        return None
    pool = case.column.pool
    start = case.chance.below(len(pool)) if pool else 0
    few = [*(pool[start:] + pool[:start])[:2], case.column.base(0)]
    return Drawer(case.column, "any", list(dict.fromkeys(few)), case.parent, 0, case.nulls)


def _compared(case: Case) -> Drawer:
    values = list(dict.fromkeys([*case.column.pool, *case.column.usual(0, 5)]))
    style: Style = "skewed" if case.chance.hit(ODDS.skewed) else "any"
    return Drawer(case.column, style, values, case.parent, 0, case.nulls)


def _met_again(case: Case) -> Drawer | None:
    if not case.chance.hit(ODDS.met_again):
        return None
    values = [*case.column.pool[:2], *case.usual(2 + case.chance.below(2))]
    return Drawer(case.column, "skewed", values, None, case.strange, case.nulls)


def _asked_and_scarce(case: Case) -> Drawer | None:
    column, chance = case.column, case.chance
    if not case.mode.asked or not chance.hit(case.mode.asked):
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
    if not case.chance.hit(ODDS.constants):
        return None
    if not case.column.ordered:
        return Drawer(case.column, "any", [*pool, *case.usual(4)], None, case.strange, case.nulls)
    values = list(dict.fromkeys([*pool[: case.count // 2 + 1], *case.usual(case.count + 3)]))
    return Drawer(case.column, "distinct", values, None, case.strange, case.nulls)


def _varied(case: Case) -> Drawer:
    return Drawer(case.column, "distinct", case.usual(case.count + 3), None, case.strange, case.nulls)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "each parent once", "a key that refers to another table's key: 1:1", "refers", _each_parent_once
    ),
    Strategy(
        "counted children", "HAVING and LIMIT show at groups just as large", "refers", _counted_children
    ),
    Strategy(
        "children", "some parents have many, some none: inner and outer joins part ways", "refers", _children
    ),
    Strategy("key", "what is left by references: constants first, so that they are met", "", _key),
    Strategy("tied", "an extreme that several rows share", "ordered", _tied),
    Strategy("counted", "as for children, in a column that is grouped by itself", "counted", _counted),
    Strategy("apart", "beside a counted part of a key: large groups need as many of it", "apart", _apart),
    Strategy(
        "compared and scarce",
        "two columns meet often only where both hold few",
        "compared",
        _compared_and_scarce,
    ),
    Strategy(
        "compared", "columns that are compared hold one pool, else no row matches", "compared", _compared
    ),
    Strategy(
        "met again",
        "INTERSECT and IN find something where both parts hold the same few",
        "shared",
        _met_again,
    ),
    Strategy(
        "asked and scarce",
        "against one query: what either asks for, little else",
        "asked",
        _asked_and_scarce,
    ),
    Strategy("narrow", "few values: groups, duplicates, DISTINCT", "", _narrow),
    Strategy(
        "constants",
        "what conditions name, met by chance also; sorted ones are distinct",
        "pooled",
        _constants,
    ),
    Strategy("varied", "nothing asks for more: different values, so that a column shows", "", _varied),
)


def places_of(plan: Plan, table: PlannedTable) -> list[Place]:
    """The columns of a table as any database of the plan is to fill them."""
    places, used, grouped = [], table.name in plan.used, bool(plan.thresholds)
    large = grouped and plan.thresholds[-1] > FEW
    for at, column in enumerate(table.columns):
        ref, parent = column.ref, plan.foreign.get(column.ref)
        own = at in table.single or ref[1] in table.key
        traits = Traits(
            refers=parent is not None,
            ordered=column.ordered,
            counted=grouped and ref in plan.counted,
            compared=column.group >= 0,
            shared=ref in plan.shared,
            apart=large and ref not in plan.counted and ref[1] in table.key and len(table.key) > 1,
            asked=column.lead > 0,
            pooled=bool(column.pool),
        )
        places.append(
            Place(
                column,
                parent,
                alone=at in table.single or table.key == (ref[1],),
                strange=used and not own and not column.closed,
                blank=not own and parent is None and not column.column.not_null,
                strategies=_strategies(traits),
            )
        )
    return places


@cache
def _strategies(traits: Traits) -> tuple[Strategy, ...]:
    return tuple(s for s in STRATEGIES if not s.trait or getattr(traits, s.trait))


def drawer_for(case: Case) -> Drawer:
    """How the column is filled."""
    return next(found for strategy in case.place.strategies if (found := strategy.draw(case)) is not None)


def some(values: list[Value], most: int, chance: Chance) -> list[Value]:
    """One to ``most`` of the values that follow one another, from any of them on."""
    start = chance.below(len(values))
    return (values[start:] + values[:start])[: 1 + chance.below(most)]
