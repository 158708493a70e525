"""Mutation operators that no suite is built with, to test suites by: ``HELD_OUT``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from harness.sql.dialect import AGGREGATES, COMPARISONS, NUMBER, SETS, constant, literal, plain_number
from harness.sql.mutation import Edit, Site, column_name, is_compared, operator


@operator(exp.Literal, held_out=True)
def number_moved(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A number further off."""
    text: str = node.this
    number = plain_number(text)
    if isinstance(number, int) and is_compared(node):
        for other in (number + 2, number - 2, number * 10, number + 5):
            yield node, literal(str(other)) if node.args.get("is_string") else str(other)


@operator(exp.Literal, held_out=True)
def text_extended(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A text with a little more, or a letter less."""
    text: str = node.this
    if node.args.get("is_string") and text and "%" not in text and not NUMBER.match(text):
        for other in (text + "s", "the " + text, text[1:], text.replace(" ", "")):
            if other:
                yield node, literal(other)


@operator(exp.EQ, held_out=True)
def equality_to_pattern(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A LIKE pattern that takes more than the text."""
    value = constant(node.expression)
    if value and isinstance(value[0], str) and len(value[0]) > 2:
        core = value[0]
        for pattern in (
            f"%{core[1:]}%",
            f"{core[:-1]}%",
            f"%{core.split(' ')[0]}%",
            f"% {core}",
            f"_{core[1:]}",
        ):
            yield node, f"{site.of(node.this)} LIKE {literal(pattern)}"


@operator(exp.GT, exp.GTE, exp.LT, exp.LTE, held_out=True)
def comparison_to_equality(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """= or <> for an inequality."""
    for word in ("=", "<>"):
        yield node, f"{site.of(node.this)} {word} {site.of(node.expression)}"


@operator(exp.EQ, exp.GT, exp.LT, exp.GTE, exp.LTE, exp.NEQ, exp.Like, held_out=True)
def condition_added(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A condition on a further column with the same constant."""
    if (
        isinstance(node.this, exp.Column)
        and isinstance(node.expression, exp.Literal)
        and isinstance(node.parent, (exp.Where, exp.And))
    ):
        used = {c.name.lower() for c in site.text.tree.find_all(exp.Column)}
        free = [n for n in site.neighbours(node.this) if n.split(".")[-1].strip("`").lower() not in used]
        for other in free[:2]:
            yield node, f"{site.of(node)} AND {other} <> {site.of(node.expression)}"
            yield node, f"({site.of(node)} OR {other} = {site.of(node.expression)})"


@operator(exp.EQ, exp.GT, exp.LT, exp.GTE, exp.LTE, exp.NEQ, held_out=True)
def condition_negated(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """NOT round a comparison."""
    if not isinstance(node.parent, exp.Join):
        yield node, f"NOT ({site.of(node)})"


@operator(exp.Column, held_out=True)
def column_far(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A far column of the same table."""
    if isinstance(node, exp.Column):
        for other in site.neighbours(node)[3:][-3:]:
            yield node, other


@operator(exp.And, held_out=True)
def values_swapped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Two conditions with their constants, or their signs, swapped."""
    left, right = node.this, node.expression
    if isinstance(left, exp.And):
        left = left.expression
    sides = (left, right)
    if (
        all(type(s) in COMPARISONS and isinstance(s.expression, exp.Literal) for s in sides)
        and left.parent is node
    ):
        words = [COMPARISONS[type(s)] for s in sides]
        yield (
            node,
            (
                f"{site.of(left.this)} {words[0]} {site.of(right.expression)} AND "
                f"{site.of(right.this)} {words[1]} {site.of(left.expression)}"
            ),
        )
        yield (
            node,
            (
                f"{site.of(left.this)} {words[1]} {site.of(left.expression)} AND "
                f"{site.of(right.this)} {words[0]} {site.of(right.expression)}"
            ),
        )


@operator(exp.Sum, exp.Avg, exp.Min, exp.Max, held_out=True)
def aggregate_other(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Any other aggregate, also over distinct values."""
    for word in ("COUNT", "SUM", "AVG", "MAX", "MIN"):
        yield node, f"{word}({site.of(node.this)})"
    if isinstance(node, (exp.Sum, exp.Avg)) and isinstance(node.this, exp.Column):
        yield node, f"{AGGREGATES[type(node)]}(DISTINCT {site.of(node.this)})"


@operator(exp.Count, held_out=True)
def count_of_other(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """COUNT of the distinct values of another column."""
    for column in site.columns(node)[-2:]:
        yield node, f"COUNT(DISTINCT {column})"
    if node.arg_key == "expressions":
        yield node, f"COUNT(*) + {1}"


@operator(exp.Column, held_out=True)
def aggregate_around(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """SUM, AVG or COUNT of an output."""
    if (
        isinstance(node.parent, exp.Select)
        and node.arg_key == "expressions"
        and not node.parent.args.get("group")
    ):
        for word in ("SUM", "AVG", "COUNT"):
            yield node, f"{word}({site.of(node)})"


@operator(exp.Limit, held_out=True)
def offset_added(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """The rows after those that were asked for, or two more."""
    yield node, f"{site.of(node)} OFFSET 1"
    value = constant(node.expression)
    if value and isinstance(value[0], int):
        yield node.expression, str(value[0] + 2)


@operator(exp.Ordered, held_out=True)
def order_of_other(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Sorted by another column."""
    suffix = " DESC" if node.args.get("desc") else ""
    for column in site.columns(node)[-3:]:
        yield node, column + suffix
    if isinstance(node.this, exp.Count):
        yield node, f"MAX({site.columns(node)[0]}){suffix}" if site.columns(node) else site.of(node)


@operator(exp.Join, held_out=True)
def join_loosened(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Joined by another comparison or column, or from one side."""
    on = node.args.get("on")
    if isinstance(on, exp.EQ) and isinstance(on.this, exp.Column) and isinstance(on.expression, exp.Column):
        yield on, f"{site.of(on.this)} <> {site.of(on.expression)}"
        yield on, f"{site.of(on.this)} >= {site.of(on.expression)}"
        for side in (on.this, on.expression):
            for other in site.neighbours(side)[-2:]:
                yield side, other
    yield node, re.sub(r"^ (?:\w+ )*JOIN", " LEFT JOIN", site.of(node))


@operator(exp.Group, held_out=True)
def group_extended(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Grouped by a further, or by another column."""
    for column in site.columns(node)[-2:]:
        yield node, f"{site.of(node)}, {column}"
        yield node, f" GROUP BY {column}"


@operator(exp.Having, held_out=True)
def having_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Another comparison or count in HAVING."""
    inner = node.this
    if type(inner) in COMPARISONS:
        for word in COMPARISONS.values():
            yield inner, f"{site.of(inner.this)} {word} {site.of(inner.expression)}"
        for column in site.columns(node)[-2:]:
            yield inner.this, f"COUNT(DISTINCT {column})"


@operator(*SETS, held_out=True)
def set_mixed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Another set operation with its sides swapped."""
    left, right = site.of(node.this), site.of(node.expression)
    for word in ("UNION ALL", "EXCEPT", "INTERSECT", "UNION"):
        yield node, f"{right} {word} {left}"


@operator(exp.In, held_out=True)
def member_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """An IN list with one member fewer."""
    for member in node.expressions if len(node.expressions) > 1 else ():
        rest = ", ".join(site.of(e) for e in node.expressions if e is not member)
        if not isinstance(node.parent, exp.Not):
            yield node, f"{site.of(node.this)} IN ({rest})"


@operator(exp.Select, held_out=True)
def outputs_distinct(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """One row for each value of the first output."""
    text = site.of(node)
    if node.parent is None and not node.args.get("group") and node.args.get("where") is not None:
        outputs = [site.of(e) for e in node.expressions if isinstance(e, exp.Column)]
        where = node.args["where"]
        if outputs and len(outputs) == len(node.expressions):
            start = text.index(site.of(where)) + len(site.of(where))
            yield node, f"{text[:start]} GROUP BY {outputs[0]}{text[start:]}"


@operator(exp.Table, held_out=True)
def table_replaced(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Another table."""
    alias = node.text("alias")
    for table in site.schema.tables:
        if table.name.lower() != node.name.lower():
            yield node, column_name(table.name) + (f" AS {alias}" if alias else "")
