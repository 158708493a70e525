"""A query's canonical form: the same text for queries that differ only in how they are written.

``Canonicaliser(tables)`` reads SQLite SQL over known tables. Its *basic* form, which exact match
compares, resolves and qualifies names, drops aliases, quoting, letter case and redundant parentheses,
sorts conditions, operands and inner joins, and writes ``!=`` as ``<>``, ``COUNT(1)`` as ``COUNT(*)``.
The *strong* form folds more (BETWEEN, IN lists, NOT, columns equal by a join, casts without effect,
DISTINCT and ORDER BY where they cannot matter, the order of the output columns); it preserves meaning on
databases whose rows hold no NULL, and ``scoring.proof`` and the mutants' equivalence filter use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any, Literal, NamedTuple, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

Kind = str
Tables: TypeAlias = Mapping[str, "Iterable[str] | Mapping[str, Kind]"]


class Atom(NamedTuple):
    """A condition that is not taken apart; ``left operator constant`` where it is such a comparison."""

    text: str
    left: str = ""
    operator: str = ""
    constant: int | float | str | None = None
    kind: Kind = ""


class Not(NamedTuple):
    """The negation of a condition."""

    item: Condition


class Junction(NamedTuple):
    """Conditions joined by "and" or "or", sorted, each once."""

    operator: Literal["and", "or"]
    items: tuple[Condition, ...]


Condition: TypeAlias = "Atom | Not | Junction"
TRUE = Junction("and", ())


class Query(NamedTuple):
    """One SELECT taken apart; every text is canonical. ``joins`` holds outer joins, in order."""

    distinct: bool
    select: tuple[str, ...]
    sources: tuple[str, ...]
    joins: tuple[str, ...]
    where: Condition
    group: tuple[str, ...]
    having: Condition
    order: tuple[str, ...]
    limit: str
    aggregated: bool


class Compound(NamedTuple):
    """Two queries under a set operation."""

    operator: str
    left: Form
    right: Form
    order: tuple[str, ...]
    limit: str


Form: TypeAlias = "Query | Compound"

_OPERATORS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_WORD = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\w+|<>|!=|<=|>=|\S")
_NAME = re.compile(r"[a-z_]\w*")


def show(item: Condition) -> str:
    """A condition as text, in a form that is equal for equal conditions."""
    if isinstance(item, Atom):
        return item.text
    if isinstance(item, Not):
        return f"not({show(item.item)})"
    return f"{item.operator}({', '.join(map(show, item.items))})"


def render(form: Form) -> str:
    """The canonical text of a query's form."""
    if isinstance(form, Compound):
        text = f"({render(form.left)}) {form.operator} ({render(form.right)})"
        return text + _tail(form.order, form.limit)
    parts = [
        "select distinct" if form.distinct else "select",
        ", ".join(form.select),
        f"from {', '.join(form.sources)}",
        *form.joins,
    ]
    if form.where != TRUE:
        parts.append(f"where {show(form.where)}")
    if form.group:
        parts.append(f"group by {', '.join(form.group)}")
    if form.having != TRUE:
        parts.append(f"having {show(form.having)}")
    return " ".join(parts) + _tail(form.order, form.limit)


def _tail(order: tuple[str, ...], limit: str) -> str:
    return (f" order by {', '.join(order)}" if order else "") + (f" limit {limit}" if limit else "")


def tokens(sql: str) -> str:
    """The query as lower-case tokens: what is compared where it cannot be parsed."""
    return " ".join(word.lower().strip("`\"[]'") for word in _WORD.findall(sql.strip().rstrip("; ")))


def conjunction(items: Iterable[Condition], operator: Literal["and", "or"] = "and") -> Condition:
    """Conditions joined, flattened, sorted and without repetition."""
    flat: dict[str, Condition] = {}
    for item in items:
        inner = item.items if isinstance(item, Junction) and item.operator == operator else (item,)
        flat.update((show(one), one) for one in inner)
    if len(flat) == 1:
        return next(iter(flat.values()))
    return Junction(operator, tuple(flat[key] for key in sorted(flat)))


class _Source(NamedTuple):
    alias: str
    label: str
    columns: dict[str, Kind] | None


class _Scope:
    def __init__(self, parent: _Scope | None, views: Mapping[str, tuple[str, dict[str, Kind]]]) -> None:
        self.parent = parent
        self.views = views
        self.sources: list[_Source] = []
        self.aliases: dict[str, str] = {}
        self.same: dict[str, str] = {}

    def labels(self) -> Iterator[str]:
        scope: _Scope | None = self
        while scope:
            yield from (source.label for source in scope.sources)
            scope = scope.parent


class Canonicaliser:
    """Reads queries over one schema; forms and texts are kept for as long as the object lives.

    ``tables`` names each table's columns, or maps them to kinds ("integer", "real", "text", …; "" where
    unknown), which the strong form needs to know what a constant or a cast means. ``case`` is the rule
    for text. Nothing here raises on SQL, however broken.

    >>> reader = Canonicaliser({"head": ["name", "age"]})
    >>> reader.text("SELECT T1.Name FROM head AS T1 WHERE 56 < T1.age AND name != 'A'")
    "select head.name from head where and(head.age > 56, head.name <> 'a')"
    """

    def __init__(self, tables: Tables, *, case: str = "ignore", strong: bool = False) -> None:
        self.tables = {name.lower(): _kinds(columns) for name, columns in tables.items()}
        self.fold = case == "ignore"
        self.strong = strong
        self._forms: dict[str, Form | None] = {}
        self._texts: dict[str, str] = {}
        self.kinds: dict[str, Kind] = {}
        self._outer = False

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
                self._outer = tree is not None and any(join.side for join in tree.find_all(exp.Join))
                self._forms[sql] = self._query(tree, None, {}, top=True) if tree is not None else None
            except (
                SqlglotError,
                ValueError,
                TypeError,
                AttributeError,
                KeyError,
                IndexError,
                RecursionError,
            ):
                self._forms[sql] = None
        return self._forms[sql]

    # queries

    def _query(
        self,
        node: Any,
        parent: _Scope | None,
        views: Mapping[str, tuple[str, dict[str, Kind]]],
        *,
        top: bool = False,
    ) -> Form:
        node = _bare(node)
        if clause := node.args.get("with_"):
            views = dict(views)
            for view in clause.expressions:
                body = self._query(view.this, None, views)
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
        parent: _Scope | None,
        views: Mapping[str, tuple[str, dict[str, Kind]]],
        *,
        top: bool,
    ) -> Compound:
        left = self._query(node.this, parent, views)
        right = self._query(node.expression, parent, views)
        operator = node.key + ("" if node.args.get("distinct") else " all")
        if self.strong and operator != "union all" and isinstance(left, Query) and isinstance(right, Query):
            left, right = left._replace(distinct=False), right._replace(distinct=False)
        if not operator.startswith("except") and render(right) < render(left):
            left, right = right, left
        outputs = list(self._outputs(node, views))
        scope = _Scope(parent, views)
        scope.aliases = {name: f"#{n + 1}" for n, name in enumerate(outputs)}
        limit = self._limit(node, scope)
        return Compound(
            operator, left, right, self._order(node, scope, outputs) if top or limit else (), limit
        )

    def _outputs(self, node: Any, views: Mapping[str, tuple[str, dict[str, Kind]]]) -> dict[str, Kind]:
        node = _bare(node)
        while isinstance(node, exp.SetOperation):
            node = _bare(node.this)
        names: dict[str, Kind] = {}
        for item in node.expressions:
            if isinstance(item, exp.Star) or (
                isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
            ):
                scope = _Scope(None, views)
                self._sources(node, scope, {})
                for source in scope.sources:
                    names.update(dict.fromkeys(source.columns or (), ""))
            else:
                names[item.alias_or_name.lower()] = ""
        return names

    def _select(
        self,
        node: exp.Select,
        parent: _Scope | None,
        views: Mapping[str, tuple[str, dict[str, Kind]]],
        numbers: dict[int, int],
        top: bool,
    ) -> Query:
        scope = _Scope(parent, views)
        conditions, outer = self._sources(node, scope, numbers)
        if (where := node.args.get("where")) is not None:
            conditions.append(where.this)
        if self.strong and not outer:
            self._unify(conditions, scope)
        joins = tuple(
            f"{kind} {label} on {show(conjunction(self._condition(one, scope) for one in on))}"
            for kind, label, on in outer
        )
        columns = list(self._projections(node, scope))
        select = [text for text, _ in columns]
        scope.aliases = {name: text for text, name in columns if name}
        filters = conjunction(self._condition(one, scope) for one in conditions)
        grouping = node.args.get("group")
        group = tuple(
            dict.fromkeys(
                self._position(one, scope, select) for one in (grouping.expressions if grouping else ())
            )
        )
        having = node.args.get("having")
        kept = self._condition(having.this, scope) if having is not None else TRUE
        order = self._order(node, scope, select)
        limit = self._limit(node, scope)
        distinct = node.args.get("distinct") is not None
        clauses = [*node.expressions, having, node.args.get("order")]
        aggregated = any(_aggregates(item) for item in clauses if item is not None)
        sources = tuple(sorted(source.label for source in scope.sources[: len(scope.sources) - len(outer)]))
        if scope.same:
            filters = conjunction([*_classes(scope.same), filters])
        if self.strong:
            group = tuple(sorted(group))
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

    def _sources(
        self, node: Any, scope: _Scope, numbers: dict[int, int]
    ) -> tuple[list[Any], list[tuple[str, str, list[Any]]]]:
        start = node.args.get("from_")
        joins = node.args.get("joins") or []
        conditions: list[Any] = []
        outer: list[tuple[str, str, list[Any]]] = []
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

    def _source(self, table: Any, scope: _Scope, number: int | None) -> _Source:
        if isinstance(table, exp.Subquery):
            body = self._query(table.this, None, scope.views)
            label, columns = f"({render(body)})", self._outputs(table.this, scope.views)
            return _Source(table.alias.lower(), _fresh(label, scope, number), columns)
        if not isinstance(table, exp.Table):
            raise TypeError("a source that is neither table nor query")
        name = table.name.lower()
        if name in scope.views:
            label, columns = scope.views[name]
        else:
            label, columns = _quoted(name), self.tables.get(name, {})
        label = _fresh(label, scope, number)
        for column, kind in columns.items():
            self.kinds[f"{label}.{_quoted(column)}"] = kind
        return _Source((table.alias or name).lower(), label, columns or None)

    def _unify(self, conditions: list[Any], scope: _Scope) -> None:
        """Take equal columns of inner joins for one column, where they are of one kind."""
        todo = list(conditions)
        for condition in todo:
            inner = _bare(condition)
            if isinstance(inner, exp.And):
                todo += [inner.this, inner.expression]
            elif (
                isinstance(inner, exp.EQ)
                and isinstance(inner.this, exp.Column)
                and isinstance(inner.expression, exp.Column)
            ):
                own = {source.label for source in scope.sources}
                left, right = self._column(inner.this, scope), self._column(inner.expression, scope)
                inside = all(any(c.startswith(f"{label}.") for label in own) for c in (left, right))
                if inside and self.kinds.get(left) and self.kinds.get(left) == self.kinds.get(right):
                    first, last = sorted((left, right))
                    members = {c for c, r in scope.same.items() if r in {first, last}} | {left, right}
                    scope.same.update(dict.fromkeys(members, min(members | {first})))

    def _projections(self, node: exp.Select, scope: _Scope) -> Iterator[tuple[str, str]]:
        for item in node.expressions:
            star = isinstance(item, exp.Star)
            if star or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                for source in scope.sources:
                    if not star and source.alias != item.table.lower():
                        continue
                    if source.columns is None:
                        yield f"{source.label}.*", ""
                    for name in source.columns or ():
                        text = f"{source.label}.{_quoted(name)}"
                        yield scope.same.get(text, text), ""
            else:
                alias = item.alias.lower() if isinstance(item, exp.Alias) else ""
                yield self._value(item.this if alias else item, scope), alias

    def _order(self, node: Any, scope: _Scope, select: list[str]) -> tuple[str, ...]:
        clause = node.args.get("order")
        keys: dict[str, str] = {}
        for item in clause.expressions if clause else ():
            inner = _bare(item.this)
            alias = (
                isinstance(inner, exp.Column) and not inner.table and scope.aliases.get(inner.name.lower())
            )
            key = alias or self._position(inner, scope, select)
            keys.setdefault(key, f"{key} desc" if item.args.get("desc") else key)
        return tuple(keys.values())

    def _position(self, node: Any, scope: _Scope, select: list[str]) -> str:
        node = _bare(node)
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            place = int(node.name) - 1
            if not scope.sources:
                return f"#{place + 1}"
            return select[place] if place < len(select) else node.name
        return self._value(node, scope)

    def _limit(self, node: Any, scope: _Scope) -> str:
        limit, offset = node.args.get("limit"), node.args.get("offset")
        text = self._value(limit.expression, scope) if limit is not None else ""
        skip = self._value(offset.expression, scope) if offset is not None else "0"
        return text if skip == "0" else f"{text}, {skip}"

    # values

    def _column(self, node: exp.Column, scope: _Scope) -> str:
        table, name = node.table.lower(), node.name.lower()
        place: _Scope | None = scope
        while place:
            for source in place.sources:
                if table == source.alias if table else name in (source.columns or ()):
                    text = f"{source.label}.{_quoted(name)}"
                    return place.same.get(text, text)
            if not table and name in place.aliases:
                return place.aliases[name]
            place = place.parent
        if not table and len(scope.sources) == 1 and name in {"rowid", "oid", "_rowid_"}:
            return f"{scope.sources[0].label}.rowid"
        return f"{table or '?'}.{_quoted(name)}"

    def _value(self, node: Any, scope: _Scope) -> str:
        node = _bare(node)
        if isinstance(node, exp.Column):
            return self._column(node, scope)
        if isinstance(node, (exp.Literal, exp.Neg)) and (constant := self._constant(node)) is not None:
            return _written(constant)
        if isinstance(node, exp.Count):
            return self._count(node, scope)
        if isinstance(node, exp.Query):
            return f"({render(self._query(node, scope, scope.views))})"
        if isinstance(node, (exp.Predicate, exp.Connector, exp.Not)):
            return show(self._condition(node, scope))
        if isinstance(node, exp.Cast) and self.strong:
            inner = self._value(node.this, scope)
            kind, target = self.kind(inner), node.to.sql("sqlite").split("(")[0].lower()
            if (kind == "integer" and target.startswith("int")) or (kind == "text" and target == "text"):
                return inner
            if kind in {"integer", "real"} and target in {"real", "float", "double", "numeric", "decimal"}:
                return inner if kind == "real" or target in {"numeric", "decimal"} else f"real({inner})"
        if isinstance(node, (exp.Min, exp.Max)) and self.strong and isinstance(node.this, exp.Distinct):
            return f"{node.key}({self._value(node.this.expressions[0], scope)})"
        if isinstance(node, (exp.Add, exp.Mul)):
            both = sorted((self._value(node.this, scope), self._value(node.expression, scope)))
            return f"{node.key}({', '.join(both)})"
        return self._generic(node, scope)

    def _generic(self, node: Any, scope: _Scope) -> str:
        if not isinstance(node, exp.Expression):
            return str(node).lower()
        parts = []
        for key, value in sorted(node.args.items()):
            items = value if isinstance(value, list) else [value]
            shown = [self._value(one, scope) for one in items if one is not None and one is not False]
            if shown and not key.startswith("_"):
                parts.append(
                    ", ".join(shown) if key in {"this", "expression", "expressions"} else f"{key} {shown}"
                )
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
        return f"{name}({'; '.join(parts)})" if parts else name

    def _count(self, node: exp.Count, scope: _Scope) -> str:
        inner = node.this
        if isinstance(inner, exp.Distinct):
            return f"count(distinct {', '.join(self._value(one, scope) for one in inner.expressions)})"
        whole = isinstance(inner, exp.Star) or (isinstance(inner, exp.Literal) and not inner.is_string)
        text = "*" if whole else self._value(inner, scope)
        if self.strong and isinstance(inner, exp.Column) and not self._outer:
            text = "*" if self.kinds.get(text) else text
        return f"count({text})"

    def kind(self, text: str) -> Kind:
        """The kind of a value by its canonical text; "" where it is not known."""
        if text.startswith("count("):
            return "integer"
        if text.startswith(("max(", "min(")) and text.endswith(")"):
            text = text[4:-1]
        return self.kinds.get(text, "")

    def _constant(self, node: Any) -> int | float | str | None:
        node = _bare(node)
        if isinstance(node, exp.Neg):
            value = self._constant(node.this)
            return None if value is None or isinstance(value, str) else -value
        if not isinstance(node, exp.Literal):
            return None
        text = str(node.this)
        if node.is_string:
            return text.lower() if self.fold else text
        try:
            number = float(text)
        except ValueError:
            return None
        return (
            int(text)
            if text.isdigit()
            else int(number)
            if number.is_integer() and abs(number) < 2**53
            else number
        )

    # conditions

    def _condition(self, node: Any, scope: _Scope, negated: bool = False) -> Condition:
        node = _bare(node)
        if isinstance(node, exp.Not):
            if self.strong:
                return self._condition(node.this, scope, not negated)
            return Not(self._condition(node.this, scope))
        if isinstance(node, (exp.And, exp.Or)):
            operator: Literal["and", "or"] = "and" if isinstance(node, exp.And) != negated else "or"
            both = [self._condition(one, scope, negated) for one in (node.this, node.expression)]
            return conjunction(both, operator)
        if operator_ := _OPERATORS.get(type(node)):
            return self._comparison(
                node.this, _NEGATED[operator_] if negated else operator_, node.expression, scope
            )  # fmt: skip
        if isinstance(node, exp.Between) and self.strong:
            low = self._comparison(node.this, "<" if negated else ">=", node.args["low"], scope)
            high = self._comparison(node.this, ">" if negated else "<=", node.args["high"], scope)
            return conjunction([low, high], "or" if negated else "and")
        if isinstance(node, exp.In):
            return self._membership(node, scope, negated)
        if isinstance(node, (exp.Like, exp.Glob)) and node.args.get("negate"):
            plain = node.copy()
            plain.set("negate", None)
            return self._condition(plain, scope, True) if not negated else self._condition(plain, scope)
        if isinstance(node, exp.Exists) and self.strong:
            body = self._query(node.this, scope, scope.views)
            if isinstance(body, Query) and not body.aggregated:
                body = body._replace(select=("1",), distinct=False)
            atom = Atom(f"exists({render(body)})")
        else:
            atom = Atom(
                self._generic(node, scope) if isinstance(node, exp.Predicate) else self._value(node, scope)
            )
        return Not(atom) if negated else atom

    def _membership(self, node: exp.In, scope: _Scope, negated: bool) -> Condition:
        items = node.expressions
        query = node.args.get("query")
        if query is None and self.strong and items:
            each = [self._comparison(node.this, "<>" if negated else "=", item, scope) for item in items]
            return conjunction(each, "and" if negated else "or")
        if query is not None:
            body = self._query(query, scope, scope.views)
            if self.strong and isinstance(body, Query) and not body.limit:
                body = body._replace(distinct=False, order=())
            shown = render(body)
        else:
            shown = ", ".join(sorted({self._value(item, scope) for item in items}))
        atom = Atom(f"{self._value(node.this, scope)} in ({shown})")
        return Not(atom) if negated else atom

    def _comparison(self, left: Any, operator: str, right: Any, scope: _Scope) -> Condition:
        if self._constant(left) is not None and self._constant(right) is None:
            left, operator, right = right, _FLIPPED[operator], left
        first = self._value(left, scope)
        constant = self._constant(right)
        if constant is not None and self._constant(left) is None:
            kind = self.kind(first)
            if self.strong:
                constant = _converted(constant, kind)
            return Atom(f"{first} {operator} {_written(constant)}", first, operator, constant, kind)
        second = self._value(right, scope)
        if first == second and operator == "=" and first in scope.same.values():
            return TRUE
        if second < first:
            first, operator, second = second, _FLIPPED[operator], first
        return Atom(f"{first} {operator} {second}")


def _kinds(columns: Iterable[str] | Mapping[str, Kind]) -> dict[str, Kind]:
    if isinstance(columns, Mapping):
        return {name.lower(): kind for name, kind in columns.items()}
    return {name.lower(): "" for name in columns}


def _bare(node: Any) -> Any:
    while isinstance(node, exp.Paren) or (isinstance(node, exp.Subquery) and not node.alias):
        node = node.this
    return node


def _aggregates(node: Any) -> bool:
    return any(
        isinstance(one, exp.AggFunc) and not isinstance(one.parent, exp.Window)
        for one in node.walk(prune=lambda inner: isinstance(inner, (exp.Query, exp.Window)))
    )


def _quoted(name: str) -> str:
    return name if _NAME.fullmatch(name) else f"[{name}]"


def _written(constant: int | float | str) -> str:
    return "'" + constant.replace("'", "''") + "'" if isinstance(constant, str) else repr(constant)


def _converted(constant: int | float | str, kind: Kind) -> int | float | str:
    """The constant as SQLite's affinity rules read it beside a column of this kind."""
    if kind in {"integer", "real"} and isinstance(constant, str):
        try:
            number = float(constant)
        except ValueError:
            return constant
        return int(number) if number.is_integer() else number
    if kind == "text" and not isinstance(constant, str):
        return str(constant)
    return constant


def _fresh(label: str, scope: _Scope, number: int | None) -> str:
    if number is not None:
        return f"{label}:{number}"
    taken = set(scope.labels())
    if label not in taken:
        return label
    return next(name for n in range(1, 99) if (name := f"{label}~{n}") not in taken)


def _classes(same: dict[str, str]) -> Iterator[Condition]:
    for root in sorted(set(same.values())):
        yield Atom(" = ".join(sorted(name for name, other in same.items() if other == root)))


def canonical(sql: str, tables: Tables, *, case: str = "ignore", strong: bool = False) -> str:
    """The canonical text of one query; ``Canonicaliser`` is faster for several over one schema.

    >>> canonical("select COUNT(1) from A where x = 1", {"a": ["x"]})
    'select count(*) from a where a.x = 1'
    """
    return Canonicaliser(tables, case=case, strong=strong).text(sql)
