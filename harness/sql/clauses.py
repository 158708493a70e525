"""The clauses of a query, brought into canonical form: what stands in FROM, what is shown, and the rest.

``sources_labelled`` and ``clauses_read`` are rules of every form; those that stand last work on texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from harness.sql.dialect import words
from harness.sql.draft import Draft, Outer, Unmodelled
from harness.sql.expressions import Expressions
from harness.sql.joins import classes, covers
from harness.sql.statement import Source, bare, is_star
from harness.sql.terms import TRUE, Compound, Leaf, Select, conjunction, quoted, render, show

LABEL = 8_000
"""Most characters of a source's canonical text."""

_ALWAYS = {"count(*) >= 1", "count(*) > 0", "count(*) <> 0", "count(*) >= 0"}  # of a group
_CLAUSES = {
    exp.Select: frozenset(
        words("expressions from_ joins where group having order limit offset distinct with_")
    ),
    exp.SetOperation: frozenset(("this", "expression", "distinct", "order", "limit", "offset", "with_")),
    exp.Join: frozenset(("this", "on", "using", "method", "side", "kind")),
    exp.Table: frozenset(("this", "alias", "db")),
    exp.Subquery: frozenset(("this", "alias")),
    exp.Group: frozenset(("expressions",)),
    exp.Ordered: frozenset(("this", "desc", "nulls_first")),
    exp.Distinct: frozenset[str](),
    exp.Limit: frozenset(("expression",)),
    exp.With: frozenset(("expressions",)),
    exp.CTE: frozenset(("this", "alias")),
}  # fmt: skip
"""What of each clause is modelled."""


# sources


def sources_labelled(read: Expressions, draft: Draft) -> None:
    """Label the sources, and sort what joins them into conditions and outer joins."""
    node, sources = draft.node, draft.scope.sources
    modelled(node)
    joins = node.args.get("joins") or []
    start = node.args.get("from_")
    tables = ([] if start is None else [(start.this, None)]) + [(join.this, join) for join in joins]
    merged = [join for join in joins if join.args.get("using") or join.method]
    if merged and any(is_star(item) for item in node.expressions):
        raise Unmodelled("a star over USING")
    for n, ((table, join), source) in enumerate(zip(tables, sources, strict=True)):
        _label(read, table, source, draft)
        if join is None:
            continue
        modelled(join)
        if join.side in ("RIGHT", "FULL") and (merged or len(tables) > 2):
            raise Unmodelled(f"{join.side} JOIN among several")
        on = list(_shared(join, source, sources[:n]))
        if join.args.get("on") is not None:
            on.append(join.args["on"])
        if join.side or draft.outer:
            draft.outer.append(Outer(f"{join.side.lower() or 'inner'} join", draft.labels[n], on))
        else:
            draft.conditions += on
    if (where := node.args.get("where")) is not None:
        draft.conditions.append(where.this)


def _label(read: Expressions, table: Any, source: Source, draft: Draft) -> None:
    """Label the next source, by its name or its text, apart from its like here and in the queries around."""
    modelled(table)
    if source.query is None:
        if not (isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)):
            raise Unmodelled("a source that is neither table nor query")
        label = quoted(source.name)
    else:
        if id(source.query) not in read.views:
            body = source.query.this if isinstance(source.query, exp.CTE) else source.query
            text = f"({render(read.query(body, None))})"
            if len(text) > LABEL:
                raise Unmodelled("a source whose text is longer than the budget")
            read.views[id(source.query)] = text
        label = read.views[id(source.query)]
    if (number := draft.numbers.get(len(draft.labels))) is not None:
        label = f"{label}:{number}"
    else:
        taken = set(draft.labels)
        around = draft.parent
        while around is not None:
            taken.update(around.labels)
            around = around.parent
        label = next(name for n in range(99) if (name := f"{label}~{n}" if n else label) not in taken)
    draft.labels.append(label)
    if read.strong and source.query is None and label not in read.labelled:
        read.labelled.add(label)
        kinds = read.table_kinds.get(source.name, {})
        for name in source.columns or ():
            text = f"{label}.{quoted(name)}"
            read.kinds[text] = kinds.get(name, "")
            if read.never_null is None or (source.name, name) in read.never_null:
                read.filled.add(text)


def _shared(join: exp.Join, source: Source, before: tuple[Source, ...]) -> Iterator[exp.Expr]:
    """The equalities that USING or NATURAL stands for."""
    names = [one.name.lower() for one in join.args.get("using") or ()]
    if join.method not in ("", "NATURAL"):
        raise Unmodelled(f"{join.method} JOIN")
    if join.method:
        if any(one.columns is None for one in (source, *before)):
            raise Unmodelled("NATURAL JOIN of what is not known")
        names = [c for c in source.columns or () if any(c in (one.columns or ()) for one in before)]
    for name in names:
        left = next((one for one in before if one.columns is None or name in one.columns), None)
        if left is None:
            raise Unmodelled("USING a column that is not there")
        yield exp.EQ(
            this=exp.column(name, left.alias, quoted=True),
            expression=exp.column(name, source.alias, quoted=True),
        )


# clauses


def clauses_read(read: Expressions, draft: Draft) -> None:
    """The texts of all clauses, sorted where order says nothing."""
    node = draft.node
    draft.joins = tuple(
        f"{kind} {label} on {show(conjunction(read.condition(one, draft) for one in on))}"
        for kind, label, on in draft.outer
    )
    draft.counts = False
    columns = list(_outputs(read, draft))
    draft.shows_aggregates = draft.counts
    draft.select = tuple(text for text, _ in columns)
    draft.aliases = {name: text for text, name in columns if name}
    filters = [read.condition(one, draft) for one in draft.conditions]
    draft.where = conjunction([*(classes(draft) if draft.same else ()), *filters])
    draft.counts = draft.shows_aggregates
    grouping = node.args.get("group")
    if grouping is not None:
        modelled(grouping)
        texts = [_position(read, one, draft) for one in grouping.expressions]
        draft.group = tuple(sorted(dict.fromkeys(texts)))
    having = node.args.get("having")
    draft.having = read.condition(having.this, draft) if having is not None else TRUE
    draft.order, draft.limit = _order(read, draft), _limit(read, draft)
    draft.aggregated = draft.counts
    if (distinct := node.args.get("distinct")) is not None:
        modelled(distinct)
        draft.distinct = True
    absent = draft.dropped | {label for _, label, _ in draft.outer}
    draft.sources = tuple(sorted(label for label in draft.labels if label not in absent))


def _outputs(read: Expressions, draft: Draft) -> Iterator[tuple[str, str]]:
    """The canonical text of each output, stars written out, and its alias ("" for none)."""
    for item in draft.node.expressions:
        if is_star(item):
            qualifier = item.table.lower() if isinstance(item, exp.Column) else ""
            for place, source in enumerate(draft.scope.sources):
                if qualifier and source.alias != qualifier:
                    continue
                if source.columns is None:
                    yield f"{draft.labels[place]}.*", ""
                for name in source.columns or ():
                    text = draft.column(place, name)
                    yield draft.same.get(text, text), ""
        else:
            alias = item.alias.lower() if isinstance(item, (exp.Alias, exp.Subquery)) else ""
            yield read.value(item.this if alias else item, draft), alias


def _order(read: Expressions, draft: Draft) -> tuple[str, ...]:
    clause = draft.node.args.get("order")
    keys: dict[str, str] = {}
    for item in clause.expressions if clause is not None else ():
        modelled(item)
        descending = bool(item.args.get("desc"))
        if (first := item.args.get("nulls_first")) is not None and bool(first) == descending:
            raise Unmodelled("NULLS FIRST or LAST")
        inner = bare(item.this)
        named = isinstance(inner, exp.Column) and not inner.table
        alias = draft.aliases.get(inner.name.lower()) if named else None
        key = alias or _position(read, inner, draft)
        keys.setdefault(key, f"{key} desc" if descending else key)
    return tuple(keys.values())


def _position(read: Expressions, node: Any, draft: Draft) -> str:
    node = bare(node)
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        place = int(node.name) - 1
        if not draft.labels:
            return f"#{place + 1}"
        return draft.select[place] if 0 <= place < len(draft.select) else node.name
    return read.value(node, draft)


def _limit(read: Expressions, draft: Draft) -> str:
    limit, offset = draft.node.args.get("limit"), draft.node.args.get("offset")
    if limit is not None:
        modelled(limit)
    text = read.value(limit.expression, draft) if limit is not None else ""
    skip = read.value(offset.expression, draft) if offset is not None else "0"
    return text if skip == "0" else f"{text}, {skip}"


def compound(read: Expressions, node: exp.SetOperation, draft: Draft) -> Compound:
    """The form of a set operation; ``draft`` is for what is said after its two sides."""
    modelled(node, exp.SetOperation)
    if isinstance(node.expression, exp.SetOperation):
        raise Unmodelled("set operations not taken from left to right")
    left, right = (read.query(side, draft.parent) for side in (node.this, node.expression))
    operator = node.key + ("" if node.args.get("distinct") else " all")
    if read.strong and operator != "union all":
        left, right = (
            one._replace(distinct=False, order=()) if isinstance(one, Select) and not one.limit else one
            for one in (left, right)
        )
    if not operator.startswith("except") and render(right) < render(left):
        left, right = right, left
    outputs = read.statement.outputs(node) or ()
    draft.aliases = {output.name: f"#{n + 1}" for n, output in enumerate(outputs)}
    order, limit = _order(read, draft), _limit(read, draft)
    return Compound(operator, left, right, order, limit)


# rules on the texts of clauses


def full_groups(read: Expressions, draft: Draft) -> None:
    """No group is empty."""
    if draft.group and isinstance(draft.having, Leaf) and draft.having.text in _ALWAYS:
        draft.having, draft.aggregated = TRUE, draft.shows_aggregates


def distinct_keys(read: Expressions, draft: Draft) -> None:
    """No two rows agree in what fixes the row of every source."""
    plain = draft.distinct and not draft.group and not draft.aggregated
    if plain and covers(read, draft.select, draft):
        draft.distinct = False


def groups_as_distinct(read: Expressions, draft: Draft) -> None:
    """A group a combination of outputs, and nothing else asked of it, is DISTINCT."""
    if (
        draft.group
        and not draft.aggregated
        and draft.having == TRUE
        and set(draft.group) == set(draft.select)
    ):
        draft.distinct, draft.group = True, ()


def distinct_groups(read: Expressions, draft: Draft) -> None:
    """Groups that show all that they are grouped by are distinct."""
    if draft.distinct and draft.group and set(draft.group) <= set(draft.select):
        draft.distinct = False


def one_row(read: Expressions, draft: Draft) -> None:
    """A single row is distinct and in order; a limit leaves it."""
    if draft.aggregated and not draft.group:
        draft.distinct, draft.order = False, ()
        if draft.limit.isdigit() and draft.limit != "0":
            draft.limit = ""


def outputs_sorted(read: Expressions, draft: Draft) -> None:
    """The columns of a result may stand in any order."""
    if draft.top:
        draft.select = tuple(sorted(draft.select))


def modelled(node: Any, kind: type[Any] | None = None) -> None:
    """Raise Unmodelled where a clause says more than the form knows of."""
    known = _CLAUSES.get(kind or type(node))
    if known is None:
        raise Unmodelled(type(node).__name__)
    for name, value in node.args.items():
        if value and name not in known:
            raise Unmodelled(f"{type(node).__name__} with {name}")
