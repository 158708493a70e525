"""What a query asks about: the columns, constants, links and thresholds that its databases must exercise.

``profile_reader`` reads a profile out of a query.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from harness.sql.dialect import Value
from harness.sql.schema import Ref

CONDITIONS, SCOPE, VALUES = 240, 24, 60
"""What a profile keeps of a longer query: its conditions, those of one source, the constants of one."""


class Atom(NamedTuple):
    """One condition on one column: ``op`` is =, <>, <, …, like, in, between, is, a negation, near or PART.

    The values of the last two are only what the column should hold, of the last where it holds texts.
    """

    ref: Ref
    op: str
    values: tuple[Value, ...]


class Conditions(NamedTuple):
    """The conditions of one SELECT on one of its sources; ``loose`` where an OR or a NOT joins them."""

    table: str
    atoms: tuple[Atom, ...]
    loose: bool


class Total(NamedTuple):
    """A sum (``each``: an average) of a column over groups, compared with a constant."""

    ref: Ref
    groups: tuple[Ref, ...]
    each: bool
    value: int | float


class Tally(NamedTuple):
    """A SELECT that counts or adds up the rows of groups: its tables, and the columns that it groups by."""

    tables: frozenset[str]
    columns: frozenset[Ref]


@dataclass(slots=True)
class Profile:
    """Everything that a query's databases are built around.

    ``scopes`` are the conditions of each SELECT by source (alias, table): rows satisfy all or miss one.
    ``links`` are equal columns of joins, ``peers`` columns compared or set against one another otherwise.
    ``thresholds`` are counts (HAVING, LIMIT). ``numeric`` columns are used as numbers (True: with decimals).
    ``shared`` columns are met again in another part of the query (INTERSECT, IN): few values serve best.
    ``dated`` columns go through a date function, ``signed`` ones where a sign matters (ABS, a remainder).
    ``cast`` ones are made real by a CAST, so they are not by themselves. ``totals`` are sums and averages of
    groups that HAVING compares with constants. ``dependencies`` are (group columns, bare columns) that must
    hang together for one answer, ``tallies`` the groups of which something is counted or added up.
    """

    tables: set[str] = field(default_factory=set)
    scopes: list[Conditions] = field(default_factory=list)
    atoms: list[Atom] = field(default_factory=list)
    links: list[tuple[Ref, Ref]] = field(default_factory=list)
    peers: list[tuple[Ref, Ref]] = field(default_factory=list)
    thresholds: set[int] = field(default_factory=set)
    numeric: dict[Ref, bool] = field(default_factory=dict)
    ordered: set[Ref] = field(default_factory=set)
    extremes: set[Ref] = field(default_factory=set)
    grouped: set[Ref] = field(default_factory=set)
    outputs: set[Ref] = field(default_factory=set)
    shared: set[Ref] = field(default_factory=set)
    nullable: set[Ref] = field(default_factory=set)
    dated: set[Ref] = field(default_factory=set)
    signed: set[Ref] = field(default_factory=set)
    cast: set[Ref] = field(default_factory=set)
    totals: list[Total] = field(default_factory=list)
    dependencies: list[tuple[tuple[Ref, ...], tuple[Ref, ...]]] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
