"""A query's canonical form: the same text for queries that differ only in how they are written.

``Canonicaliser(tables)`` reads SQLite SQL over known tables. Its *basic* form, which exact match
compares, resolves and qualifies names, drops aliases, quoting, letter case and redundant parentheses,
sorts conditions, operands and inner joins, and writes ``!=`` as ``<>``, ``COUNT(1)`` as ``COUNT(*)``.
The *strong* form folds more (BETWEEN, IN lists, NOT, columns equal by a join, casts without effect,
DISTINCT and ORDER BY where they cannot matter, the order of the output columns); it preserves meaning on
databases whose rows hold no NULL in ``filled`` columns; ``scoring.proof`` and the mutants' equivalence filter
use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.sql.conditions import Scope, Source, Views, bare
from harness.sql.joins import Joins, Outer, Ref
from harness.sql.terms import (
    TRUE,
    Compound,
    Condition,
    Form,
    Junction,
    Kind,
    Leaf,
    Not,
    Query,
    conjunction,
    quoted,
    render,
    show,
    tokens,
)

_ALWAYS = {"count(*) >= 1", "count(*) > 0", "count(*) <> 0", "count(*) >= 0"}  # of a group
_UNREADABLE = (SqlglotError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
Tables: TypeAlias = Mapping[str, "Iterable[str] | Mapping[str, Kind]"]


class Canonicaliser(Joins):
    """Reads queries over one schema; forms and texts are kept for as long as the object lives.

    ``tables`` names each table's columns, or maps them to kinds ("integer", "real", "text", …; "" where
    unknown), which the strong form needs to know what a constant or a cast means. ``case`` is the rule
    for text. ``primary`` keys and foreign-key ``links`` (child, parent), in lower case, are used by the
    strong form where databases are known to respect them, as are the columns that are never NULL, ``filled``
    (None: no column ever is). Nothing here raises on SQL, however broken.

    >>> reader = Canonicaliser({"head": ["name", "age"]})
    >>> reader.text("SELECT T1.Name FROM head AS T1 WHERE 56 < T1.age AND name != 'A'")
    "select head.name from head where and(head.age > 56, head.name <> 'a')"
    """

    def __init__(
        self,
        tables: Tables,
        *,
        case: str = "ignore",
        strong: bool = False,
        primary: Iterable[tuple[str, tuple[str, ...]]] = (),
        links: Iterable[tuple[Ref, Ref]] = (),
        filled: Iterable[Ref] | None = None,
    ) -> None:
        self.tables = {name.lower(): _kinds(columns) for name, columns in tables.items()}
        super().__init__(fold=case == "ignore", strong=strong, primary=dict(primary), links=dict(links))
        self._never_null = None if filled is None else frozenset(filled)
        self._forms: dict[str, Form | None] = {}
        self._texts: dict[str, str] = {}

    def text(self, sql: str) -> str:
        """The canonical text; lower-case tokens, marked "~", where the SQL cannot be read."""
        if (known := self._texts.get(sql)) is None:
            form = self.form(sql)
            known = self._texts[sql] = f"~ {tokens(sql)}" if form is None else render(form)
        return known

    def form(self, sql: str) -> Form | None:
        """The query taken apart; None where it cannot be."""
        if sql not in self._forms:
            try:
                statements = [one for one in sqlglot.parse(sql, dialect="sqlite") if one is not None]
                tree = statements[0] if len(statements) == 1 else None
                self._forms[sql] = self.query(tree, None, {}, top=True) if tree is not None else None
            except _UNREADABLE:
                self._forms[sql] = None
        return self._forms[sql]

    def query(
        self,
        node: Any,
        parent: Scope | None,
        views: Views,
        *,
        top: bool = False,
    ) -> Form:
        """The form of a query; raises where it is not one."""
        node = bare(node)
        if clause := node.args.get("with_"):
            views = dict(views)
            for view in clause.expressions:
                body = self.query(view.this, None, views)
                names = [one.name.lower() for one in view.args["alias"].args.get("columns") or ()]
                columns = dict.fromkeys(names, "") or self._outputs(view.this, views)
                views[view.alias.lower()] = (f"({render(body)})", columns)
        if isinstance(node, exp.SetOperation):
            return self._compound(node, parent, views, top=top)
        if not isinstance(node, exp.Select):
            raise TypeError(f"not a query: {type(node).__name__}")
        tables = [node.args["from_"].this] if node.args.get("from_") else []
        tables += [join.this for join in node.args.get("joins") or ()]
        names = [table.name.lower() if isinstance(table, exp.Table) else "" for table in tables]
        repeated = [n for n, name in enumerate(names) if name and names.count(name) > 1]
        if not 1 < len(repeated) <= 3 or any(j.side for j in node.args.get("joins") or ()):
            return self._select(node, parent, views, {}, top)
        forms = (
            self._select(node, parent, views, dict(zip(repeated, order, strict=True)), top)
            for order in permutations(range(len(repeated)))
        )
        return min(forms, key=render)

    def _compound(
        self,
        node: exp.SetOperation,
        parent: Scope | None,
        views: Views,
        *,
        top: bool,
    ) -> Compound:
        left = self.query(node.this, parent, views)
        right = self.query(node.expression, parent, views)
        operator = node.key + ("" if node.args.get("distinct") else " all")
        if self.strong and operator != "union all" and isinstance(left, Query) and isinstance(right, Query):
            left, right = left._replace(distinct=False), right._replace(distinct=False)
        if not operator.startswith("except") and render(right) < render(left):
            left, right = right, left
        outputs = list(self._outputs(node, views))
        scope = Scope(parent, views)
        scope.aliases = {name: f"#{n + 1}" for n, name in enumerate(outputs)}
        limit = self._limit(node, scope)
        return Compound(
            operator, left, right, self._order(node, scope, outputs) if top or limit else (), limit
        )

    def _outputs(self, node: Any, views: Views) -> dict[str, Kind]:
        node = bare(node)
        while isinstance(node, exp.SetOperation):
            node = bare(node.this)
        names: dict[str, Kind] = {}
        for item in node.expressions:
            if isinstance(item, exp.Star) or (
                isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
            ):
                scope = Scope(None, views)
                self._sources(node, scope, {})
                for source in scope.sources:
                    names.update(dict.fromkeys(source.columns or (), ""))
            else:
                names[item.alias_or_name.lower()] = ""
        return names

    def _select(
        self,
        node: exp.Select,
        parent: Scope | None,
        views: Views,
        numbers: dict[int, int],
        top: bool,
    ) -> Query:
        scope = Scope(parent, views)
        conditions, outer = self._sources(node, scope, numbers)
        if (where := node.args.get("where")) is not None:
            conditions.append(where.this)
        if self.strong:
            outer = self.fold_joins(node, conditions, outer, scope)
        else:
            scope.outer = bool(outer)
        joins = tuple(
            f"{kind} {label} on {show(conjunction(self.condition(one, scope) for one in on))}"
            for kind, label, on in outer
        )
        if self.strong and self._never_null is not None and not outer and node.find(exp.Count):
            passed = conjunction(self.condition(one, scope) for one in conditions)
            scope.filled = {*_filled(passed), *scope.same.values()}
        columns = list(self._projections(node, scope))
        select = [text for text, _ in columns]
        scope.aliases = {name: text for text, name in columns if name}
        filters = conjunction(self.condition(one, scope) for one in conditions)
        grouping = node.args.get("group")
        group = tuple(
            dict.fromkeys(
                self._position(one, scope, select) for one in (grouping.expressions if grouping else ())
            )
        )
        having = node.args.get("having")
        kept = self.condition(having.this, scope) if having is not None else TRUE
        order = self._order(node, scope, select)
        limit = self._limit(node, scope)
        distinct = node.args.get("distinct") is not None
        clauses = [*node.expressions, having, node.args.get("order")]
        aggregated = any(_aggregates(item) for item in clauses if item is not None)
        absent = scope.dropped | {label for _, label, _ in outer}
        sources = tuple(sorted(source.label for source in scope.sources if source.label not in absent))
        if scope.same:
            filters = conjunction([*_classes(scope.same), filters])
        if self.strong:
            group = tuple(sorted(self.fewest(group, scope) if not outer else group))
            if group and isinstance(kept, Leaf) and kept.text in _ALWAYS:
                kept, aggregated = TRUE, any(_aggregates(item) for item in node.expressions)
            if distinct and not group and not aggregated and self.covers(select, scope):
                distinct = False
            if not top and not limit:
                order = ()
            if group and not aggregated and kept == TRUE and set(group) == set(select):
                distinct, group = True, ()
            if distinct and group and set(group) <= set(select):
                distinct = False
            if aggregated and not group and limit not in {"", "0"} and "," not in limit:
                order, limit = (), ""
            if aggregated and not group:
                distinct, order = False, ()
            if top:
                select = sorted(select)
        else:
            group = tuple(sorted(group))
        return Query(
            distinct, tuple(select), sources, joins, filters, group, kept, order, limit, aggregated
        )  # fmt: skip

    def _sources(self, node: Any, scope: Scope, numbers: dict[int, int]) -> tuple[list[Any], list[Outer]]:
        start = node.args.get("from_")
        joins = node.args.get("joins") or []
        conditions: list[Any] = []
        outer: list[Outer] = []
        for n, (table, join) in enumerate(
            [(start.this, None)] * bool(start) + [(join.this, join) for join in joins]
        ):
            source = self._source(table, scope, numbers.get(n))
            on: list[Any] = []
            if join is not None:
                shared = [one.name.lower() for one in join.args.get("using") or ()]
                if join.args.get("method") == "NATURAL":
                    shared = [
                        c for c in source.columns or () if any(c in (s.columns or ()) for s in scope.sources)
                    ]
                for name in shared:
                    left = next(s for s in scope.sources if s.columns is None or name in s.columns)
                    on.append(
                        exp.EQ(
                            this=exp.column(name, left.alias, quoted=True),
                            expression=exp.column(name, source.alias, quoted=True),
                        )
                    )
                if join.args.get("on") is not None:
                    on.append(join.args["on"])
            scope.sources.append(source)
            if join is not None and (join.side or outer):
                outer.append((f"{join.side.lower() or 'inner'} join", source.label, on))
            else:
                conditions += on
        return conditions, outer

    def _source(self, table: Any, scope: Scope, number: int | None) -> Source:
        if isinstance(table, exp.Subquery):
            body = self.query(table.this, None, scope.views)
            label, columns = f"({render(body)})", self._outputs(table.this, scope.views)
            return Source(table.alias.lower(), _fresh(label, scope, number), columns)
        if not isinstance(table, exp.Table):
            raise TypeError("a source that is neither table nor query")
        name = table.name.lower()
        if name in scope.views:
            label, columns = scope.views[name]
        else:
            label, columns = quoted(name), self.tables.get(name, {})
        label = _fresh(label, scope, number)
        own = "" if name in scope.views else name
        for column, kind in columns.items():
            text = f"{label}.{quoted(column)}"
            self.kinds[text], scope.owner[text] = kind, label
            if self._never_null is None or (own, column) in self._never_null:
                self.filled.add(text)
        return Source((table.alias or name).lower(), label, columns or None, own)

    def _projections(self, node: exp.Select, scope: Scope) -> Iterator[tuple[str, str]]:
        for item in node.expressions:
            star = isinstance(item, exp.Star)
            if star or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                for source in scope.sources:
                    if not star and source.alias != item.table.lower():
                        continue
                    if source.columns is None:
                        yield f"{source.label}.*", ""
                    for name in source.columns or ():
                        text = f"{source.label}.{quoted(name)}"
                        yield scope.same.get(text, text), ""
            else:
                alias = item.alias.lower() if isinstance(item, exp.Alias) else ""
                yield self.value(item.this if alias else item, scope), alias

    def _order(self, node: Any, scope: Scope, select: list[str]) -> tuple[str, ...]:
        clause = node.args.get("order")
        keys: dict[str, str] = {}
        for item in clause.expressions if clause else ():
            inner = bare(item.this)
            alias = (
                isinstance(inner, exp.Column) and not inner.table and scope.aliases.get(inner.name.lower())
            )
            key = alias or self._position(inner, scope, select)
            keys.setdefault(key, f"{key} desc" if item.args.get("desc") else key)
        return tuple(keys.values())

    def _position(self, node: Any, scope: Scope, select: list[str]) -> str:
        node = bare(node)
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            place = int(node.name) - 1
            if not scope.sources:
                return f"#{place + 1}"
            return select[place] if place < len(select) else node.name
        return self.value(node, scope)

    def _limit(self, node: Any, scope: Scope) -> str:
        limit, offset = node.args.get("limit"), node.args.get("offset")
        text = self.value(limit.expression, scope) if limit is not None else ""
        skip = self.value(offset.expression, scope) if offset is not None else "0"
        return text if skip == "0" else f"{text}, {skip}"


def _kinds(columns: Iterable[str] | Mapping[str, Kind]) -> dict[str, Kind]:
    if isinstance(columns, Mapping):
        return {name.lower(): kind for name, kind in columns.items()}
    return {name.lower(): "" for name in columns}


def _aggregates(node: Any) -> bool:
    return any(
        isinstance(one, exp.AggFunc) and not isinstance(one.parent, exp.Window)
        for one in node.walk(prune=lambda inner: isinstance(inner, (exp.Query, exp.Window)))
    )


def _fresh(label: str, scope: Scope, number: int | None) -> str:
    if number is not None:
        return f"{label}:{number}"
    taken = set(scope.labels())
    if label not in taken:
        return label
    return next(name for n in range(1, 99) if (name := f"{label}~{n}") not in taken)


def _filled(item: Condition) -> Iterator[str]:
    """What is not NULL where a condition holds."""
    if isinstance(item, Leaf) and item.left and item.operator != "is null":
        yield item.left
    elif isinstance(item, Not) and isinstance(item.item, Leaf) and item.item.operator == "is null":
        yield item.item.left
    elif isinstance(item, Junction) and item.operator == "and":
        for one in item.items:
            yield from _filled(one)


def _classes(same: dict[str, str]) -> Iterator[Condition]:
    for root in sorted(set(same.values())):
        yield Leaf(" = ".join(sorted(name for name, other in same.items() if other == root)))


def canonical(sql: str, tables: Tables, *, case: str = "ignore", strong: bool = False) -> str:
    """The canonical text of one query; ``Canonicaliser`` is faster for several over one schema.

    >>> canonical("select COUNT(1) from A where x = 1", {"a": ["x"]})
    'select count(*) from a where a.x = 1'
    """
    return Canonicaliser(tables, case=case, strong=strong).text(sql)
