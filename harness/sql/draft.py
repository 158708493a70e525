"""One SELECT on its way into canonical form: what the rules of ``canonical`` work on, in order."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from harness.sql.statement import Scope
from harness.sql.terms import TRUE, Condition, quoted

Level = Literal["basic", "meaning", "keys"]
"""What a rule of the canonical form preserves: the query; its meaning; its meaning where keys hold."""


class Unmodelled(Exception):
    """A construct of which the canonical form does not know enough to say when two are the same."""


class Outer(NamedTuple):
    """An outer join, or an inner one after it: kind, its source's label, and the nodes of its condition."""

    kind: str
    label: str
    on: list[Any]


class Draft:
    """One query's SELECT, or what a set operation says after its two sides.

    ``labels`` are the canonical names of its sources; ``numbers`` those of sources under one name, by place.
    ``conditions`` are the nodes that AND joins, ``outer`` the outer joins that are left. ``same`` maps
    columns that a join makes equal to one of them, ``renamed`` the key of a parent that was ``dropped`` to
    the child's column; ``held`` the columns and sources that GROUP BY fixes; ``filled`` the columns that are
    not NULL in any row that WHERE lets pass. ``counts`` is whether an aggregate was read. The rest are the
    clauses as read.
    """

    def __init__(
        self,
        node: Any,
        scope: Scope,
        parent: Draft | None,
        *,
        top: bool,
        numbers: dict[int, int] | None = None,
    ) -> None:
        self.node, self.scope, self.parent, self.top = node, scope, parent, top
        self.numbers = numbers or {}
        self.labels: list[str] = []
        self.conditions: list[Any] = []
        self.outer: list[Outer] = []
        self.aliases: dict[str, str] = {}
        self.same: dict[str, str] = {}
        self.renamed: dict[str, str] = {}
        self.dropped: set[str] = set()
        self.held: tuple[set[str], set[str]] = (set(), set())
        self.filled: set[str] = set()
        self.counts = False
        self.distinct = False
        self.select: tuple[str, ...] = ()
        self.sources: tuple[str, ...] = ()
        self.joins: tuple[str, ...] = ()
        self.where: Condition = TRUE
        self.group: tuple[str, ...] = ()
        self.having: Condition = TRUE
        self.order: tuple[str, ...] = ()
        self.limit = ""
        self.shows_aggregates = False
        self.aggregated = False

    def column(self, place: int, name: str) -> str:
        """The text of a source's column; one of a query inside is known by its place, whatever its name."""
        source = self.scope.sources[place]
        if source.query is None:
            return f"{self.labels[place]}.{quoted(name)}"
        names = list(source.columns or ())
        if name not in names:
            raise Unmodelled("a column that a query inside does not show")
        return f"{self.labels[place]}.#{names.index(name) + 1}"

    def owner(self, text: str) -> str | None:
        """The label of the table here that a column belongs to, by its canonical text."""
        label, _, name = text.rpartition(".[" if text.endswith("]") else ".")
        return label if label in self.labels and not name.startswith("#") else None

    def outside(self) -> bool:
        """Whether outer joins here or in the queries around make NULLs."""
        return bool(self.outer) or (self.parent is not None and self.parent.outside())
