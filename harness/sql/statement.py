"""A query, parsed and qualified once: what every reader of it starts from.

``statement(text, schema)`` is kept for as long as it is of use, so that profile, fairness, near misses,
canonical form, readings and causes of one query share one parse and one idea of what its names stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.sql.parse import DEPTH, parse
from harness.sql.schema import Ref, Schema, Table
from harness.sql.spans import Text

NODES = 6_000
"""Most nodes of a query that is looked into; larger ones are only run."""

_SHORT = 400  # characters in which neither is reached
KEPT = 1024
"""Statements that are kept: those of a few hundred examples, each with its gold and its predictions."""


class Source(NamedTuple):
    """What stands in FROM: a ``table`` of the schema or a ``query`` (derived, common table expression).

    ``columns`` are its columns by name, each with the column of the schema that it shows (None: it shows a
    value); None where they are not known. ``optional``: an outer join may leave it out. ``name`` is that of
    the table or common table expression ("" for a derived table). Names are in lower case but for
    ``spelling``, the alias as it is written.
    """

    alias: str
    spelling: str
    name: str
    table: Table | None
    query: Any
    columns: Mapping[str, Ref | None] | None
    optional: bool


class Output(NamedTuple):
    """A column of a query's result: its name, and the column of the schema that it shows, if any."""

    name: str
    ref: Ref | None


class Found(NamedTuple):
    """Where a column's name leads: the scope, the place of its source there, the column of the schema."""

    scope: Scope
    place: int
    ref: Ref | None

    @property
    def source(self) -> Source:
        """The source that it belongs to."""
        return self.scope.sources[self.place]


class Scope:
    """The sources of one SELECT; ``parent`` is the scope of the query around it."""

    __slots__ = ("node", "parent", "sources")

    def __init__(self, node: exp.Query, parent: Scope | None) -> None:
        self.node, self.parent = node, parent
        self.sources: tuple[Source, ...] = ()

    def here(self, column: exp.Column) -> Found | None:
        """The source of this very SELECT that a column's name leads to."""
        name, qualifier = column.name.lower(), column.table.lower()
        for place, source in enumerate(self.sources):
            if qualifier:
                if qualifier == source.alias:
                    return Found(self, place, (source.columns or {}).get(name))
            elif source.columns is not None and name in source.columns:
                return Found(self, place, source.columns[name])
        return None

    def find(self, column: exp.Column) -> Found | None:
        """The source that a column's name leads to, here or in the queries around; None for none known."""
        scope: Scope | None = self
        while scope is not None:
            if (found := scope.here(column)) is not None:
                return found
            scope = scope.parent
        return None

    def resolve(self, column: exp.Column) -> tuple[str, Ref] | None:
        """Alias and column of the schema that a name stands for, None where it is not one of the schema's."""
        found = self.find(column)
        return None if found is None or found.ref is None else (found.source.alias, found.ref)


class Statement:
    """One query over one schema. Nothing of it ever changes; scopes are worked out when first asked for."""

    __slots__ = ("_outputs", "_printed", "_scopes", "schema", "text", "tree")

    def __init__(self, text: str, tree: exp.Query, schema: Schema) -> None:
        self.text, self.tree, self.schema = text, tree, schema
        self._printed: Text | None = None
        self._scopes: dict[int, Scope] = {}
        self._outputs: dict[int, tuple[Output, ...] | None] = {}

    @property
    def printed(self) -> Text:
        """The query printed from its tree, with the place of each node."""
        if self._printed is None:
            self._printed = Text(self.tree)
        return self._printed

    def scope(self, node: exp.Expr) -> Scope:
        """The scope of a query, or of the query around a node."""
        query: Any = node
        while not isinstance(query, (exp.Select, exp.SetOperation)):
            if query.parent is None:
                query = bare(self.tree)
                break
            query = query.parent
        found = self._scopes.get(id(query))
        if found is None:
            parent = self.scope(query.parent) if _inside(query) else None
            found = self._scopes[id(query)] = Scope(query, parent)
            if isinstance(query, exp.Select):
                found.sources = tuple(self._sources(query))
        return found

    def outputs(self, query: Any) -> tuple[Output, ...] | None:
        """The columns of a query's result, stars written out; None where a star's columns are not known."""
        query = bare(query)
        while isinstance(query, exp.SetOperation):
            query = bare(query.this)
        if not isinstance(query, exp.Select):
            return None
        if id(query) not in self._outputs:
            self._outputs[id(query)] = self._shown(query)
        return self._outputs[id(query)]

    def _shown(self, select: exp.Select) -> tuple[Output, ...] | None:
        scope, found = self.scope(select), list[Output]()
        for item in select.expressions:
            if is_star(item):
                qualifier = item.table.lower() if isinstance(item, exp.Column) else ""
                for source in scope.sources:
                    if qualifier and source.alias != qualifier:
                        continue
                    if source.columns is None:
                        return None
                    found += [Output(name, ref) for name, ref in source.columns.items()]
                continue
            inner = item.this if isinstance(item, exp.Alias) else item
            known = scope.find(inner) if isinstance(inner, exp.Column) else None
            found.append(Output(item.alias_or_name.lower(), known.ref if known else None))
        return tuple(found)

    def _sources(self, select: exp.Select) -> list[Source]:
        start, joins = select.args.get("from_"), select.args.get("joins") or ()
        found: list[Source] = []
        for node, side in ([] if start is None else [(start.this, "")]) + [(j.this, j.side) for j in joins]:
            if side in ("RIGHT", "FULL"):
                found = [source._replace(optional=True) for source in found]
            found.append(self._source(node, select, len(found), optional=side in ("LEFT", "FULL")))
        return found

    def _source(self, node: Any, select: exp.Select, place: int, *, optional: bool) -> Source:
        if isinstance(node, exp.Table):
            name = node.name.lower()
            spelling = node.alias_or_name
            alias = spelling.lower()
            view = self.view(name, select)
            if view is not None:
                return Source(alias, spelling, name, None, view, self._columns(view), optional)
            table = self.schema.table(name)
            own = (
                None
                if table is None
                else {low: (name, low) for c in table.columns if (low := c.name.lower())}
            )
            return Source(alias, spelling, name, table, None, own, optional)
        body = node.this if isinstance(node, exp.Subquery) else None
        shown = None if body is None else self._columns(node)
        spelling = node.alias_or_name or f"_{place}"
        return Source(spelling.lower(), spelling, "", None, body, shown, optional)

    def view(self, name: str, node: Any) -> Any:
        """The common table expression of that name that a node sees."""
        below: Any = None
        while node is not None:
            clause = node.args.get("with_") if isinstance(node, exp.Query) else None
            for view in clause.expressions if clause is not None else ():
                if view is below:
                    break  # a view sees those before it
                if view.alias.lower() == name:
                    return view
            if isinstance(node, exp.CTE):
                below = node
            node = node.parent
        return None

    def _columns(self, node: Any) -> dict[str, Ref | None] | None:
        outputs = self.outputs(node.this)
        alias = node.args.get("alias")
        names = [one.name.lower() for one in (alias.args.get("columns") or ())] if alias is not None else []
        if outputs is None:
            return dict.fromkeys(names) or None
        if names:
            outputs = tuple(o._replace(name=n) for o, n in zip(outputs, names, strict=False))
        found: dict[str, Ref | None] = {}
        for output in outputs:
            found.setdefault(output.name, output.ref)
        return found


def statement(text: str, schema: Schema) -> Statement | None:
    """The statement of an SQLite query; None where sqlglot cannot read it as one query (SQLite still may)."""
    return _statement(text, _Same(schema))


class _Same:
    """A schema as a key: itself and no other, without comparing all of its tables."""

    __slots__ = ("schema",)

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.schema is other.schema


@lru_cache(maxsize=KEPT)
def _statement(text: str, key: _Same) -> Statement | None:
    tree = parsed(text)
    return None if tree is None else Statement(text, tree, key.schema)


def parsed(sql: str) -> exp.Query | None:
    """The tree of an SQLite query; None where sqlglot cannot read it as one query."""
    try:
        trees = parse(sql)
    except SqlglotError:
        return None
    tree = trees[0] if len(trees) == 1 else None
    return tree if isinstance(tree, exp.Query) and (len(sql) < _SHORT or within_budget(tree)) else None


def within_budget(tree: exp.Expr) -> bool:
    """Whether a query is small enough to be looked into: its nodes, and how deep they lie in one another."""
    level: list[exp.Expr] = [tree]
    nodes = depth = 0
    while level:
        nodes, depth = nodes + len(level), depth + 1
        if nodes > NODES or depth > DEPTH:
            return False
        level = [child for node in level for child in node.iter_expressions()]
    return True


def bare(node: Any) -> Any:
    """A node without the parentheses around it."""
    while isinstance(node, exp.Paren) or (
        isinstance(node, exp.Subquery) and not any(v for k, v in node.args.items() if k != "this")
    ):
        node = node.this
    return node


def is_star(node: Any) -> bool:
    """Whether an output is ``*`` or ``table.*``."""
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def _inside(query: Any) -> bool:
    """Whether another query stands around this one."""
    node = query.parent
    while node is not None:
        if isinstance(node, (exp.Select, exp.SetOperation)):
            return True
        node = node.parent
    return False
