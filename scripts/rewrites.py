"""Rewrites of a query that keep its meaning on databases with sound keys and no NULLs nobody asked for.

Each takes a parsed query and gives it back written otherwise, or None where it does not apply. They are
written apart from the harness's own canonical forms, to test verdicts with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import sqlglot
from sqlglot import exp

from harness.sql import Schema

Rewrite = Callable[[Any, Schema], Any]
REWRITES: dict[str, Rewrite] = {}


def rewrite(function: Rewrite) -> Rewrite:
    """Enter a rewrite under its function's name."""
    REWRITES[function.__name__] = function
    return function


def rewritten(sql: str, schema: Schema) -> Iterator[tuple[str, str]]:
    """Every rewrite that applies to a query in SQLite's dialect, as (name, SQL)."""
    for name, function in REWRITES.items():
        tree = sqlglot.parse_one(sql, read="sqlite")
        if not isinstance(tree, (exp.Select, exp.SetOperation)):
            return
        before = tree.sql("sqlite")
        found = function(tree, schema)
        text = found if isinstance(found, str) else found.sql("sqlite") if found is not None else None
        if text is not None and text != before:
            yield name, text


def _each(tree: Any, kind: type[Any], change: Callable[[Any], Any]) -> Any:
    done = False
    for node in list(tree.find_all(kind)):
        new = change(node)
        if new is not None:
            if node is tree:
                return new
            node.replace(new)
            done = True
    return tree if done else None


def _plain(tree: Any) -> bool:
    """One SELECT over inner joins with conditions in ON."""
    return (
        isinstance(tree, exp.Select)
        and tree.args.get("from_") is not None
        and all(not j.side and not j.args.get("using") and not j.method for j in tree.args.get("joins") or ())
    )


def _columns_of(tree: Any, schema: Schema) -> dict[str, set[str]] | None:
    """Columns by alias of one SELECT's sources; None where a source is not a table of the schema."""
    found: dict[str, set[str]] = {}
    for source in [tree.args["from_"].this, *(j.this for j in tree.args.get("joins") or ())]:
        table = schema.table(source.name) if isinstance(source, exp.Table) else None
        if table is None or source.alias_or_name.lower() in found:
            return None
        found[source.alias_or_name.lower()] = {c.name.lower() for c in table.columns}
    return found


@rewrite
def other_aliases(tree: Any, schema: Schema) -> Any:
    if not _plain(tree) or len(list(tree.find_all(exp.Select))) > 1 or _columns_of(tree, schema) is None:
        return None
    names: dict[str, str] = {}
    for n, source in enumerate([tree.args["from_"].this, *(j.this for j in tree.args.get("joins") or ())]):
        names[source.alias_or_name.lower()] = f"x{n}"
        source.set("alias", exp.TableAlias(this=exp.to_identifier(f"x{n}")))
    for column in tree.find_all(exp.Column):
        if column.table:
            column.set("table", exp.to_identifier(names[column.table.lower()]))
    return tree


@rewrite
def qualified_columns(tree: Any, schema: Schema) -> Any:
    if not _plain(tree) or len(list(tree.find_all(exp.Select))) > 1:
        return None
    sources = _columns_of(tree, schema)
    aliases = {e.alias.lower() for e in tree.expressions if isinstance(e, exp.Alias)}
    for column in tree.find_all(exp.Column) if sources else ():
        owners = [a for a, columns in (sources or {}).items() if column.name.lower() in columns]
        if not column.table and len(owners) == 1 and column.name.lower() not in aliases:
            column.set("table", exp.to_identifier(owners[0]))
    return tree if sources else None


@rewrite
def joins_reversed(tree: Any, schema: Schema) -> Any:
    joins = tree.args.get("joins") or []
    star = any(e.find(exp.Star) for e in tree.expressions if not e.find(exp.Count))
    if not _plain(tree) or not joins or star:
        return None
    sources = [tree.args["from_"].this, *(j.this for j in joins)]
    conditions = [j.args["on"] for j in joins if j.args.get("on") is not None]
    sources.reverse()
    tree.set("from_", exp.From(this=sources[0]))
    tree.set("joins", [exp.Join(this=s) for s in sources[1:]])
    if conditions:
        tree.args["joins"][-1].set("on", exp.and_(*conditions))
    return tree


@rewrite
def joins_as_commas(tree: Any, schema: Schema) -> Any:
    joins = tree.args.get("joins") or []
    if not _plain(tree) or not joins:
        return None
    for condition in [j.args["on"] for j in joins if j.args.get("on") is not None]:
        tree = tree.where(condition.copy())
    tree.set("joins", [exp.Join(this=j.this) for j in joins])
    return tree


@rewrite
def equality_swapped(tree: Any, schema: Schema) -> Any:
    def swap(node: Any) -> Any:
        both = isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column)
        return exp.EQ(this=node.expression.copy(), expression=node.this.copy()) if both else None

    return _each(tree, exp.EQ, swap)


@rewrite
def conditions_commuted(tree: Any, schema: Schema) -> Any:
    return _each(
        tree,
        exp.Connector,
        lambda n: type(n)(this=exp.paren(n.expression.copy()), expression=exp.paren(n.this.copy())),
    )


@rewrite
def comparison_flipped(tree: Any, schema: Schema) -> Any:
    flipped = {exp.GT: exp.LT, exp.LT: exp.GT, exp.GTE: exp.LTE, exp.LTE: exp.GTE}

    def flip(node: Any) -> Any:
        if not isinstance(node.expression, exp.Literal):
            return None
        return flipped[type(node)](this=node.expression.copy(), expression=node.this.copy())

    return _each(tree, (exp.GT, exp.LT, exp.GTE, exp.LTE), flip)  # type: ignore[arg-type]


@rewrite
def comparison_as_not(tree: Any, schema: Schema) -> Any:
    opposite = {exp.GT: exp.LTE, exp.LT: exp.GTE, exp.GTE: exp.LT, exp.LTE: exp.GT, exp.NEQ: exp.EQ}

    def change(node: Any) -> Any:
        return exp.paren(
            exp.not_(opposite[type(node)](this=node.this.copy(), expression=node.expression.copy()))
        )

    return _each(tree, (exp.GT, exp.LT, exp.GTE, exp.LTE, exp.NEQ), change)  # type: ignore[arg-type]


@rewrite
def between_as_two_comparisons(tree: Any, schema: Schema) -> Any:
    def split(node: Any) -> Any:
        low = exp.GTE(this=node.this.copy(), expression=node.args["low"].copy())
        return exp.paren(exp.and_(low, exp.LTE(this=node.this.copy(), expression=node.args["high"].copy())))

    return _each(tree, exp.Between, split)


@rewrite
def in_list_as_or(tree: Any, schema: Schema) -> Any:
    def change(node: Any) -> Any:
        if not node.expressions:
            return None
        return exp.paren(
            exp.or_(*(exp.EQ(this=node.this.copy(), expression=e.copy()) for e in node.expressions))
        )

    return _each(tree, exp.In, change)


@rewrite
def or_as_in_list(tree: Any, schema: Schema) -> Any:
    def change(node: Any) -> Any:
        a, b = node.this, node.expression
        if not (isinstance(a, exp.EQ) and isinstance(b, exp.EQ) and a.this == b.this):
            return None
        if not all(isinstance(e, exp.Literal) for e in (a.expression, b.expression)):
            return None
        return exp.In(this=a.this.copy(), expressions=[a.expression.copy(), b.expression.copy()])

    return _each(tree, exp.Or, change)


def _membership(tree: Any, schema: Schema) -> tuple[Any, Any, Any, Any] | None:
    """A top-level (NOT) IN over a plain subquery of one column: (condition, IN, inner, its column)."""
    where = tree.args.get("where") if isinstance(tree, exp.Select) else None
    if where is None:
        return None
    for condition in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        node = condition.this if isinstance(condition, exp.Not) else condition
        node = node.this if isinstance(node, exp.Paren) else node
        query = node.args.get("query") if isinstance(node, exp.In) else None
        inner = query.this if isinstance(query, exp.Subquery) else query
        if not isinstance(inner, exp.Select) or not _plain(inner) or not isinstance(node.this, exp.Column):
            continue
        if inner.args.get("group") or inner.args.get("limit") or len(inner.expressions) != 1:
            continue
        if not isinstance(inner.expressions[0], exp.Column) or len(list(inner.find_all(exp.Select))) > 1:
            continue
        sources, outer = _columns_of(inner, schema), _columns_of(tree, schema)
        if sources is None or outer is None or set(sources) & set(outer):
            continue
        owners = [a for a, columns in outer.items() if node.this.name.lower() in columns]
        if not node.this.table and len(owners) == 1:
            node.this.set("table", exp.to_identifier(owners[0]))
        inside = [a for a, columns in sources.items() if inner.expressions[0].name.lower() in columns]
        if not inner.expressions[0].table and len(inside) == 1:
            inner.expressions[0].set("table", exp.to_identifier(inside[0]))
        return condition, node, inner, inner.expressions[0]
    return None


@rewrite
def in_as_exists(tree: Any, schema: Schema) -> Any:
    found = _membership(tree, schema)
    if found is None:
        return None
    condition, node, inner, column = found
    body = inner.copy().where(exp.EQ(this=column.copy(), expression=node.this.copy()))
    body.set("expressions", [exp.Star()])
    body.set("distinct", None)
    test = exp.Exists(this=body)
    condition.replace(exp.not_(test) if isinstance(condition, exp.Not) else test)
    return tree


@rewrite
def not_in_as_left_join(tree: Any, schema: Schema) -> Any:
    found = _membership(tree, schema)
    if found is None or not isinstance(found[0], exp.Not):
        return None
    condition, node, inner, column = found
    derived = exp.Subquery(
        this=inner.copy().distinct(), alias=exp.TableAlias(this=exp.to_identifier("absent"))
    )
    derived.this.set("expressions", [exp.alias_(column.copy(), "k")])
    on = exp.EQ(this=node.this.copy(), expression=exp.column("k", "absent"))
    condition.replace(exp.Is(this=exp.column("k", "absent"), expression=exp.Null()))
    if any(e.find(exp.Star) for e in tree.expressions if not e.find(exp.Count)):
        return None
    return tree.join(derived, on=on, join_type="left")


@rewrite
def in_as_join(tree: Any, schema: Schema) -> Any:
    found = _membership(tree, schema)
    star = any(e.find(exp.Star) for e in tree.expressions if not e.find(exp.Count))
    if found is None or isinstance(found[0], exp.Not) or star:
        return None
    condition, node, inner, column = found
    derived = exp.Subquery(
        this=inner.copy().distinct(), alias=exp.TableAlias(this=exp.to_identifier("among"))
    )
    derived.this.set("expressions", [exp.alias_(column.copy(), "k")])
    on = exp.EQ(this=node.this.copy(), expression=exp.column("k", "among"))
    condition.replace(exp.true())
    text = tree.join(derived, on=on).sql("sqlite")
    return text.replace("TRUE", "1 = 1")


@rewrite
def distinct_inside_in(tree: Any, schema: Schema) -> Any:
    found = _membership(tree, schema)
    if found is None or found[2].args.get("distinct"):
        return None
    found[2].set("distinct", exp.Distinct())
    return tree


@rewrite
def grouping_permuted(tree: Any, schema: Schema) -> Any:
    group = tree.args.get("group")
    if group is None or len(group.expressions) < 2:
        return None
    group.set("expressions", group.expressions[::-1])
    return tree


@rewrite
def distinct_as_grouping(tree: Any, schema: Schema) -> Any:
    if not isinstance(tree, exp.Select) or not tree.args.get("distinct") or tree.args.get("group"):
        return None
    if not all(isinstance(e, exp.Column) and not isinstance(e.this, exp.Star) for e in tree.expressions):
        return None
    if tree.args.get("order"):
        return None
    tree.set("distinct", None)
    return tree.group_by(*(e.copy() for e in tree.expressions))


@rewrite
def outputs_permuted(tree: Any, schema: Schema) -> Any:
    if not isinstance(tree, exp.Select) or len(tree.expressions) < 2:
        return None
    clauses = [c for key in ("order", "group") if (c := tree.args.get(key))]
    numbered = any(e.find(exp.Literal) for c in clauses for e in c.expressions)
    if numbered:
        return None
    tree.set("expressions", tree.expressions[::-1])
    return tree


@rewrite
def count_of_one(tree: Any, schema: Schema) -> Any:
    change = lambda n: exp.Count(this=exp.Literal.number(1)) if isinstance(n.this, exp.Star) else None  # noqa: E731
    return _each(tree, exp.Count, change)


@rewrite
def wrapped_in_a_query(tree: Any, schema: Schema) -> Any:
    if tree.args.get("order") or not isinstance(tree, exp.Select):
        return None
    for n, item in enumerate(tree.expressions):
        if item.find(exp.Star) and not item.find(exp.Count):
            return None
        tree.expressions[n].replace(exp.alias_(item.unalias().copy(), f"c{n}"))
    if any(tree.args.get(key) for key in ("having", "group")) and tree.find(exp.Alias) is None:
        return None
    return f"SELECT * FROM ({tree.sql('sqlite')}) AS w"


@rewrite
def common_table_expression(tree: Any, schema: Schema) -> Any:
    text = wrapped_in_a_query(tree, schema)
    return (
        None if text is None else f"WITH w AS {text[len('SELECT * FROM ') : -len(' AS w')]} SELECT * FROM w"
    )


@rewrite
def set_operation_commuted(tree: Any, schema: Schema) -> Any:
    if not isinstance(tree, (exp.Union, exp.Intersect)) or tree.args.get("order") or tree.args.get("limit"):
        return None
    left, right = tree.this.copy(), tree.expression.copy()
    tree.set("this", right)
    tree.set("expression", left)
    return tree


@rewrite
def having_as_where(tree: Any, schema: Schema) -> Any:
    if not isinstance(tree, exp.Select) or not tree.args.get("having") or tree.args.get("order"):
        return None
    having = tree.args["having"].this
    counts = list(having.find_all(exp.Count))
    if len(counts) != 1 or not isinstance(counts[0].this, exp.Star) or list(having.find_all(exp.Column)):
        return None
    names = []
    for n, item in enumerate(tree.expressions):
        if item.find(exp.Star) and not item.find(exp.Count):
            return None
        names.append(f"c{n}")
        tree.expressions[n].replace(exp.alias_(item.unalias().copy(), f"c{n}"))
    counts[0].replace(exp.column("n_rows"))
    condition = tree.args["having"].this.sql("sqlite")
    tree.set("having", None)
    inner = tree.select("COUNT(*) AS n_rows").sql("sqlite")
    return f"SELECT {', '.join(names)} FROM ({inner}) AS g WHERE {condition}"


@rewrite
def quoted_names(tree: Any, schema: Schema) -> Any:
    for name in tree.find_all(exp.Identifier):
        name.set("quoted", True)
    return re.sub(r"('(?:[^']|'')*')|\"([^\"]*)\"", lambda m: m[1] or f"`{m[2]}`", tree.sql("sqlite"))


@rewrite
def one_more_or_equal(tree: Any, schema: Schema) -> Any:
    def change(node: Any) -> Any:
        value = node.expression
        whole = isinstance(node.this, exp.Count) and isinstance(value, exp.Literal) and value.name.isdigit()
        return (
            exp.GTE(this=node.this.copy(), expression=exp.Literal.number(int(value.name) + 1))
            if whole
            else None
        )

    return _each(tree, exp.GT, change)
