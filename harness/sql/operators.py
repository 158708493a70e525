"""The mutation operators that choose a suite's databases: each is entered in ``BUILDING`` under its name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from sqlglot import exp

from harness.sql.dialect import AGGREGATES, COMPARISONS, NUMBER, SETS, constant, literal, plain_number
from harness.sql.mutation import Edit, Site, column_name, is_compared, operator


@operator(exp.Sum, exp.Avg, exp.Min, exp.Max)
def aggregate_swapped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """MAX for MIN, AVG for SUM, …"""
    others = {"SUM": ("AVG", "MAX"), "AVG": ("SUM", "MIN"), "MIN": ("MAX", "AVG"), "MAX": ("MIN", "SUM")}
    for other in others[AGGREGATES[type(node)]]:
        yield node, f"{other}({site.of(node.this)})"


@operator(exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Count)
def aggregate_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """The column instead of its aggregate."""
    if isinstance(node.this, exp.Column):
        yield node, site.of(node.this)


@operator(exp.Column)
def aggregate_added(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """An aggregate of the only output."""
    select = node.parent.parent if isinstance(node.parent, exp.Alias) else node.parent
    if isinstance(select, exp.Select) and node.arg_key == "expressions" and len(select.expressions) == 1:
        for name in ("COUNT", "MAX", "MIN"):
            yield node, f"{name}({site.of(node)})"


@operator(exp.Count)
def count_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """COUNT of another thing: rows, a column, distinct values."""
    if isinstance(node.this, exp.Star):
        for column in site.columns(node)[:4]:
            yield node, f"COUNT(DISTINCT {column})"
    elif isinstance(node.this, exp.Distinct):
        inner = ", ".join(site.of(e) for e in node.this.expressions)
        yield node, f"COUNT({inner})"
        yield node, "COUNT(*)"
    else:
        yield node, f"COUNT(DISTINCT {site.of(node.this)})"
        yield node, "COUNT(*)"


@operator(*COMPARISONS)
def comparison_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Another comparison with the same operands."""
    if isinstance(node.parent, exp.Join) and isinstance(node.expression, exp.Column):
        return
    others = {
        "=": ("<>", ">", "<="),
        "<>": ("=",),
        ">": (">=", "<"),
        ">=": (">", "<="),
        "<": ("<=", ">"),
        "<=": ("<", ">="),
    }
    for other in others[COMPARISONS[type(node)]]:
        yield node, f"{site.of(node.this)} {other} {site.of(node.expression)}"


@operator(exp.EQ)
def equality_loosened(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """LIKE with wildcards for an equality."""
    value = constant(node.expression)
    if value and isinstance(value[0], str) and value[0]:
        for pattern in (f"%{value[0]}%", f"{value[0]}%", f"%{value[0]}"):
            yield node, f"{site.of(node.this)} LIKE {literal(pattern)}"


@operator(exp.Literal)
def number_shifted(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A number one more or less."""
    text: str = node.this
    number = plain_number(text)
    if number is None or not is_compared(node) or not math.isfinite(number):
        return
    mark = (lambda t: literal(t)) if node.args.get("is_string") else str
    if isinstance(number, int):
        yield node, mark(str(number + 1))
        yield node, mark(str(number - 1))
    else:
        yield node, mark(f"{number + 0.1:.6g}")
        yield node, mark(f"{number - 0.1:.6g}")
        yield node, mark(str(int(number)))


@operator(exp.Literal)
def text_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A word or a digit of a text lost or changed."""
    text: str = node.this
    if not node.args.get("is_string") or not text or isinstance(node.parent, exp.Like):
        return
    if " " in text:
        yield node, literal(text.rsplit(" ", 1)[0])
        yield node, literal(text.split(" ", 1)[1])
    else:
        yield node, literal(text[:-1])
    found = re.search(r"[0-9]", text)
    if found and not NUMBER.match(text):
        at = found.start()
        yield node, literal(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


@operator(exp.Literal)
def literal_of_another(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """The constant of another condition."""
    if is_compared(node):
        for other in site.literals[:6]:
            if other.this != node.this and is_compared(other):
                yield node, site.of(other)


@operator(exp.Column)
def column_replaced(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A neighbouring column of the same table."""
    if isinstance(node, exp.Column):
        for other in site.neighbours(node)[:3]:
            yield node, other


@operator(exp.Column)
def column_of_another_table(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A column of another table of the join."""
    if node.args.get("table") is not None:
        for alias, table in site.sources(node).items():
            if alias.lower() != node.text("table").lower():
                same = table.column(node.name) or table.columns[0]
                yield node, f"{alias}.{column_name(same.name)}"


@operator(exp.And)
def condition_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """One side of an AND alone."""
    yield node, site.of(node.this)
    yield node, site.of(node.expression)


@operator(exp.Where, exp.Having)
def clause_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """No WHERE, or no HAVING."""
    yield node, ""


@operator(exp.And, exp.Or)
def and_or_swapped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """OR for AND, AND for OR."""
    word = "OR" if isinstance(node, exp.And) else "AND"
    yield node, f"({site.of(node.this)} {word} {site.of(node.expression)})"


@operator(exp.In, exp.Like, exp.Between, exp.Exists, exp.Is)
def predicate_negated(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """NOT put before a predicate, or taken away."""
    if isinstance(node.parent, exp.Not):
        yield node.parent, f"({_positive(node, site)})"
    else:
        yield node, f"NOT ({site.of(node)})"


def _positive(node: exp.Expr, site: Site) -> str:
    text = site.of(node)
    return re.sub(r"\b(?:NOT (IN|LIKE|BETWEEN)|(IS) NOT)\b", lambda m: m[1] or m[2], text, count=1)


@operator(exp.Between)
def bounds_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """BETWEEN with an open or a missing end."""
    if not isinstance(node.parent, exp.Not):
        this, low, high = (site.of(node.args[k]) for k in ("this", "low", "high"))
        yield node, f"({this} > {low} AND {this} <= {high})"
        yield node, f"({this} >= {low} AND {this} < {high})"
        yield node, f"{this} >= {low}"


@operator(exp.Like)
def pattern_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Other wildcards round a LIKE pattern, or one letter fewer."""
    value = constant(node.expression)
    if value and isinstance(value[0], str):
        core = value[0].strip("%")
        for pattern in (f"%{core}%", f"{core}%", f"%{core}", core):
            if pattern != value[0]:
                yield node.expression, literal(pattern)
        if len(core) > 1:
            yield node.expression, literal(value[0].replace(core, core[:-1]))


@operator(exp.Select)
def distinct_toggled(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """DISTINCT added or taken away."""
    text = site.of(node)
    if node.args.get("distinct") is not None:
        yield node, text.replace("SELECT DISTINCT ", "SELECT ", 1)
    elif node.args.get("with_") is None:
        yield node, "SELECT DISTINCT " + text[7:]


@operator(exp.Ordered)
def order_flipped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """ASC for DESC, DESC for ASC."""
    yield node, site.of(node.this) + ("" if node.args.get("desc") else " DESC")


@operator(exp.Order, exp.Limit, exp.Group)
def modifier_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """No ORDER BY, LIMIT or GROUP BY."""
    yield node, ""


@operator(exp.Limit)
def limit_shifted(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """LIMIT one more or less."""
    value = constant(node.expression)
    if value and isinstance(value[0], int):
        for other in (value[0] + 1, value[0] - 1):
            if other > 0:
                yield node.expression, str(other)


@operator(exp.Join)
def join_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """LEFT JOIN for JOIN and back, or no join condition."""
    text = site.of(node)
    if not node.args.get("side"):
        yield node, re.sub(r"^ (?:INNER |CROSS )?JOIN", " LEFT JOIN", text)
    else:
        yield node, re.sub(r"^ .*?JOIN", " JOIN", text, count=1)
    if node.args.get("on") is not None:
        yield node, " JOIN " + site.of(node.this)


@operator(exp.Join)
def join_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """One table fewer."""
    yield node, ""


@operator(exp.Group)
def group_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """A grouping column more or fewer."""
    keys = [site.of(e) for e in node.expressions]
    for key in range(len(keys) if len(keys) > 1 else 0):
        yield node, " GROUP BY " + ", ".join(keys[:key] + keys[key + 1 :])
    for column in site.columns(node)[:6]:
        if column.lower() not in (k.lower() for k in keys):
            yield node, f" GROUP BY {', '.join(keys)}, {column}"
            return


@operator(*SETS)
def set_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Another set operation, one side alone, or sides swapped."""
    left, right = site.of(node.this), site.of(node.expression)
    for word in (*SETS.values(), "UNION ALL"):
        yield node, f"{left} {word} {right}"
    yield node, left
    yield node, right
    yield node, f"{right} {SETS[type(node)]} {left}"


@operator(exp.Add, exp.Sub, exp.Mul, exp.Div)
def arithmetic_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """Another arithmetic sign."""
    for sign in "+-*":
        yield node, f"{site.of(node.this)} {sign} {site.of(node.expression)}"


@operator(exp.Select)
def output_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    """One of two outputs twice, the other not at all."""
    if len(node.expressions) == 2 and node.parent is None:
        for kept in node.expressions:
            yield (
                node,
                site.of(node).replace(
                    ", ".join(site.of(e) for e in node.expressions), f"{site.of(kept)}, {site.of(kept)}", 1
                ),
            )
