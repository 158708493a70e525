"""Near misses of a query: what a model that almost understood the question would have written.

An operator is a small function with a name: from one node of the gold to texts that could stand in its place.
``BUILDING`` operators choose a suite's databases; ``HELD_OUT`` ones are kept from that, to test the suite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sqlglot import exp

from harness.databases.profile import NUMBER, constant
from harness.databases.render import Text, literal
from harness.databases.schema import Schema, Table
from harness.databases.values import Chance

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_COMPARE: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
}  # fmt: skip
_AGGREGATES: dict[type[exp.Expr], str] = {
    exp.Count: "COUNT", exp.Sum: "SUM", exp.Avg: "AVG", exp.Min: "MIN", exp.Max: "MAX",
}  # fmt: skip
_SETS: dict[type[exp.Expr], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}


class Mutant(NamedTuple):
    """A near miss, and the name of the operator that made it."""

    operator: str
    sql: str


class Site:
    """Where an operator works: the query's text and its schema."""

    def __init__(self, text: Text, schema: Schema) -> None:
        self.text, self.schema = text, schema
        self.literals = [n for n in text.tree.find_all(exp.Literal) if text.of(n)]
        self._sources: dict[int, dict[str, Table]] = {}

    def of(self, node: exp.Expr | None) -> str:
        """The text of a node ("" where it has none of its own)."""
        return (self.text.of(node) or "") if node is not None else ""

    def sources(self, node: exp.Expr) -> dict[str, Table]:
        """Alias and table of the SELECT around a node."""
        select = node if isinstance(node, exp.Select) else node.find_ancestor(exp.Select)
        if select is None:
            return {}
        found = self._sources.get(id(select))
        if found is None:
            found = {}
            clauses = [select.args.get("from_"), *(select.args.get("joins") or ())]
            for clause in clauses:
                table = (
                    self.schema.table(clause.this.name)
                    if clause is not None and isinstance(clause.this, exp.Table)
                    else None
                )
                if table is not None:
                    found[clause.this.alias_or_name] = table
            self._sources[id(select)] = found
        return found

    def columns(self, node: exp.Expr, alias: str | None = None) -> list[str]:
        """Columns that could stand at a node, qualified where several tables are joined."""
        sources = self.sources(node)
        return [
            (f"{name}." if len(sources) > 1 else "") + column_name(c.name)
            for name, table in sources.items()
            if alias is None or name.lower() == alias.lower()
            for c in table.columns
        ]

    def neighbours(self, column: exp.Column) -> list[str]:
        """Other columns of the table that a column belongs to, the next one first."""
        sources = self.sources(column)
        for alias, table in sources.items():
            if column.table and alias.lower() != column.table.lower():
                continue
            names = [c.name for c in table.columns]
            low = [n.lower() for n in names]
            if column.name.lower() in low:
                at = low.index(column.name.lower())
                prefix = f"{column.table}." if column.table else ""
                return [prefix + column_name(n) for n in names[at + 1 :] + names[:at]]
        return []


Edit = tuple[exp.Expr, str]
Operator = Callable[[exp.Expr, Site], Iterator[Edit]]
BUILDING: dict[str, tuple[tuple[type[exp.Expr], ...], Operator]] = {}
HELD_OUT: dict[str, tuple[tuple[type[exp.Expr], ...], Operator]] = {}


def operator(*kinds: type[exp.Expr], held_out: bool = False) -> Callable[[Operator], Operator]:
    """Enter an operator, under its function's name, for nodes of these kinds."""

    def enter(function: Operator) -> Operator:
        (HELD_OUT if held_out else BUILDING)[function.__name__] = (kinds, function)
        return function

    return enter


def column_name(name: str) -> str:
    """A column's name as it can stand in a query."""
    return (
        name if _PLAIN_NAME.match(name) and name.upper() not in _RESERVED else f"`{name.replace('`', '``')}`"
    )


_RESERVED = frozenset(
    [
        "ABORT",
        "ACTION",
        "ADD",
        "ALL",
        "ALTER",
        "AND",
        "AS",
        "ASC",
        "BETWEEN",
        "BY",
        "CASE",
        "CHECK",
        "COLLATE",
        "COLUMN",
        "COMMIT",
        "CONSTRAINT",
        "CREATE",
        "CROSS",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "DEFAULT",
        "DELETE",
        "DESC",
        "DISTINCT",
        "DROP",
        "ELSE",
        "END",
        "ESCAPE",
        "EXCEPT",
        "EXISTS",
        "FOR",
        "FOREIGN",
        "FROM",
        "FULL",
        "GROUP",
        "HAVING",
        "IF",
        "IN",
        "INDEX",
        "INNER",
        "INSERT",
        "INTERSECT",
        "INTO",
        "IS",
        "ISNULL",
        "JOIN",
        "LEFT",
        "LIKE",
        "LIMIT",
        "NATURAL",
        "NOT",
        "NOTNULL",
        "NULL",
        "OF",
        "ON",
        "OR",
        "ORDER",
        "OUTER",
        "OVER",
        "PRIMARY",
        "REFERENCES",
        "RIGHT",
        "ROW",
        "SELECT",
        "SET",
        "TABLE",
        "THEN",
        "TO",
        "TRANSACTION",
        "UNION",
        "UNIQUE",
        "UPDATE",
        "USING",
        "VALUES",
        "VIEW",
        "WHEN",
        "WHERE",
        "WITH",
    ]
)


def mutants_of(
    text: Text,
    schema: Schema,
    operators: Iterable[str] | None = None,
    *,
    limit: int = 64,
    seed: int | str = 0,
) -> list[Mutant]:
    """Near misses by the named operators (default: BUILDING); where there are more than ``limit``, a fair draw.

    Texts are distinct and differ from the gold's; some do not run and some are equivalent.
    """
    table = {**BUILDING, **HELD_OUT}
    by_kind: dict[type[exp.Expr], list[tuple[str, Operator]]] = {}
    for name in operators if operators is not None else BUILDING:
        for kind in table[name][0]:
            by_kind.setdefault(kind, []).append((name, table[name][1]))
    site = Site(text, schema)
    found: dict[str, dict[str, None]] = {}
    seen = {text.sql}
    for node in text.tree.walk():
        for name, function in by_kind.get(type(node), ()):
            for target, replacement in function(node, site):
                sql = text.edited(target, replacement)
                if sql is not None and sql not in seen:
                    seen.add(sql)
                    found.setdefault(name, {})[sql] = None
    total = sum(map(len, found.values()))
    if total <= limit:
        return [Mutant(name, sql) for name, sqls in found.items() for sql in sqls]
    return _drawn(
        {name: list(sqls) for name, sqls in found.items()}, limit, Chance("mutants", seed, text.sql)
    )


def _drawn(found: dict[str, list[str]], limit: int, chance: Chance) -> list[Mutant]:
    """One of each operator in turn, until there are enough."""
    chosen: list[Mutant] = []
    while len(chosen) < limit and found:
        for name in list(found):
            sqls = found[name]
            chosen.append(Mutant(name, sqls.pop(chance.below(len(sqls)))))
            if not sqls:
                del found[name]
    return chosen[:limit]


def _in_condition(node: exp.Expr) -> bool:
    return node.find_ancestor(exp.Where, exp.Having, exp.Join, exp.Select) is not None


# ---- building operators ----


@operator(exp.Sum, exp.Avg, exp.Min, exp.Max)
def aggregate_swapped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    others = {"SUM": ("AVG", "MAX"), "AVG": ("SUM", "MIN"), "MIN": ("MAX", "AVG"), "MAX": ("MIN", "SUM")}
    for other in others[_AGGREGATES[type(node)]]:
        yield node, f"{other}({site.of(node.this)})"


@operator(exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Count)
def aggregate_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if isinstance(node.this, exp.Column):
        yield node, site.of(node.this)


@operator(exp.Column)
def aggregate_added(node: exp.Expr, site: Site) -> Iterator[Edit]:
    select = node.parent.parent if isinstance(node.parent, exp.Alias) else node.parent
    if isinstance(select, exp.Select) and node.arg_key == "expressions" and len(select.expressions) == 1:
        for name in ("COUNT", "MAX", "MIN"):
            yield node, f"{name}({site.of(node)})"


@operator(exp.Count)
def count_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
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


@operator(*_COMPARE)
def comparison_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
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
    for other in others[_COMPARE[type(node)]]:
        yield node, f"{site.of(node.this)} {other} {site.of(node.expression)}"


@operator(exp.EQ)
def equality_loosened(node: exp.Expr, site: Site) -> Iterator[Edit]:
    value = constant(node.expression)
    if value and isinstance(value[0], str) and value[0]:
        for pattern in (f"%{value[0]}%", f"{value[0]}%", f"%{value[0]}"):
            yield node, f"{site.of(node.this)} LIKE {literal(pattern)}"


@operator(exp.Literal)
def number_shifted(node: exp.Expr, site: Site) -> Iterator[Edit]:
    text: str = node.this
    if not NUMBER.match(text) or not _is_compared(node):
        return
    mark = (lambda t: literal(t)) if node.args.get("is_string") else str
    if text.lstrip("+-").isdigit():
        yield node, mark(str(int(text) + 1))
        yield node, mark(str(int(text) - 1))
    else:
        yield node, mark(f"{float(text) + 0.1:.6g}")
        yield node, mark(f"{float(text) - 0.1:.6g}")
        yield node, mark(str(int(float(text))))


@operator(exp.Literal)
def text_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
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
    if _is_compared(node):
        for other in site.literals[:6]:
            if other.this != node.this and _is_compared(other):
                yield node, site.of(other)


@operator(exp.Column)
def column_replaced(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if isinstance(node, exp.Column):
        for other in site.neighbours(node)[:3]:
            yield node, other


@operator(exp.Column)
def column_of_another_table(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if node.args.get("table") is not None:
        for alias, table in site.sources(node).items():
            if alias.lower() != node.text("table").lower():
                same = table.column(node.name) or table.columns[0]
                yield node, f"{alias}.{column_name(same.name)}"


@operator(exp.And)
def condition_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    yield node, site.of(node.this)
    yield node, site.of(node.expression)


@operator(exp.Where, exp.Having)
def clause_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    yield node, ""


@operator(exp.And, exp.Or)
def and_or_swapped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    word = "OR" if isinstance(node, exp.And) else "AND"
    yield node, f"({site.of(node.this)} {word} {site.of(node.expression)})"


@operator(exp.In, exp.Like, exp.Between, exp.Exists, exp.Is)
def predicate_negated(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if isinstance(node.parent, exp.Not):
        yield node.parent, f"({_positive(node, site)})"
    else:
        yield node, f"NOT ({site.of(node)})"


def _positive(node: exp.Expr, site: Site) -> str:
    text = site.of(node)
    return re.sub(r"\b(?:NOT (IN|LIKE|BETWEEN)|(IS) NOT)\b", lambda m: m[1] or m[2], text, count=1)


@operator(exp.Between)
def bounds_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if not isinstance(node.parent, exp.Not):
        this, low, high = (site.of(node.args[k]) for k in ("this", "low", "high"))
        yield node, f"({this} > {low} AND {this} <= {high})"
        yield node, f"({this} >= {low} AND {this} < {high})"
        yield node, f"{this} >= {low}"


@operator(exp.Like)
def pattern_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
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
    text = site.of(node)
    if node.args.get("distinct") is not None:
        yield node, text.replace("SELECT DISTINCT ", "SELECT ", 1)
    elif node.args.get("with_") is None:
        yield node, "SELECT DISTINCT " + text[7:]


@operator(exp.Ordered)
def order_flipped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    yield node, site.of(node.this) + ("" if node.args.get("desc") else " DESC")


@operator(exp.Order, exp.Limit, exp.Group)
def modifier_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    yield node, ""


@operator(exp.Limit)
def limit_shifted(node: exp.Expr, site: Site) -> Iterator[Edit]:
    value = constant(node.expression)
    if value and isinstance(value[0], int):
        for other in (value[0] + 1, value[0] - 1):
            if other > 0:
                yield node.expression, str(other)


@operator(exp.Join)
def join_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    text = site.of(node)
    if not node.args.get("side"):
        yield node, re.sub(r"^ (?:INNER |CROSS )?JOIN", " LEFT JOIN", text)
    else:
        yield node, re.sub(r"^ .*?JOIN", " JOIN", text, count=1)
    if node.args.get("on") is not None:
        yield node, " JOIN " + site.of(node.this)


@operator(exp.Join)
def join_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    yield node, ""


@operator(exp.Group)
def group_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    keys = [site.of(e) for e in node.expressions]
    for key in range(len(keys) if len(keys) > 1 else 0):
        yield node, " GROUP BY " + ", ".join(keys[:key] + keys[key + 1 :])
    for column in site.columns(node)[:6]:
        if column.lower() not in (k.lower() for k in keys):
            yield node, f" GROUP BY {', '.join(keys)}, {column}"
            return


@operator(*_SETS)
def set_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    left, right = site.of(node.this), site.of(node.expression)
    for word in (*_SETS.values(), "UNION ALL"):
        yield node, f"{left} {word} {right}"
    yield node, left
    yield node, right
    yield node, f"{right} {_SETS[type(node)]} {left}"


@operator(exp.Add, exp.Sub, exp.Mul, exp.Div)
def arithmetic_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    for sign in "+-*":
        yield node, f"{site.of(node.this)} {sign} {site.of(node.expression)}"


@operator(exp.Select)
def output_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if len(node.expressions) == 2 and node.parent is None:
        for kept in node.expressions:
            yield (
                node,
                site.of(node).replace(
                    ", ".join(site.of(e) for e in node.expressions), f"{site.of(kept)}, {site.of(kept)}", 1
                ),
            )


def _is_compared(node: exp.Expr) -> bool:
    parent = node.parent.parent if isinstance(node.parent, (exp.Neg, exp.Paren)) else node.parent
    return isinstance(parent, (*_COMPARE, exp.Between, exp.In))


# ---- held-out operators ----


@operator(exp.Literal, held_out=True)
def number_moved(node: exp.Expr, site: Site) -> Iterator[Edit]:
    text: str = node.this
    if NUMBER.match(text) and _is_compared(node) and text.lstrip("+-").isdigit():
        for other in (int(text) + 2, int(text) - 2, int(text) * 10, int(text) + 5):
            yield node, literal(str(other)) if node.args.get("is_string") else str(other)


@operator(exp.Literal, held_out=True)
def text_extended(node: exp.Expr, site: Site) -> Iterator[Edit]:
    text: str = node.this
    if node.args.get("is_string") and text and "%" not in text and not NUMBER.match(text):
        for other in (text + "s", "the " + text, text[1:], text.replace(" ", "")):
            if other:
                yield node, literal(other)


@operator(exp.EQ, held_out=True)
def equality_to_pattern(node: exp.Expr, site: Site) -> Iterator[Edit]:
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
    for word in ("=", "<>"):
        yield node, f"{site.of(node.this)} {word} {site.of(node.expression)}"


@operator(exp.EQ, exp.GT, exp.LT, exp.GTE, exp.LTE, exp.NEQ, exp.Like, held_out=True)
def condition_added(node: exp.Expr, site: Site) -> Iterator[Edit]:
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
    if not isinstance(node.parent, exp.Join):
        yield node, f"NOT ({site.of(node)})"


@operator(exp.Column, held_out=True)
def column_far(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if isinstance(node, exp.Column):
        for other in site.neighbours(node)[3:][-3:]:
            yield node, other


@operator(exp.And, held_out=True)
def values_swapped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    left, right = node.this, node.expression
    if isinstance(left, exp.And):
        left = left.expression
    sides = (left, right)
    if (
        all(type(s) in _COMPARE and isinstance(s.expression, exp.Literal) for s in sides)
        and left.parent is node
    ):
        words = [_COMPARE[type(s)] for s in sides]
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
    for word in ("COUNT", "SUM", "AVG", "MAX", "MIN"):
        yield node, f"{word}({site.of(node.this)})"
    if isinstance(node, (exp.Sum, exp.Avg)) and isinstance(node.this, exp.Column):
        yield node, f"{_AGGREGATES[type(node)]}(DISTINCT {site.of(node.this)})"


@operator(exp.Count, held_out=True)
def count_of_other(node: exp.Expr, site: Site) -> Iterator[Edit]:
    for column in site.columns(node)[-2:]:
        yield node, f"COUNT(DISTINCT {column})"
    if node.arg_key == "expressions":
        yield node, f"COUNT(*) + {1}"


@operator(exp.Column, held_out=True)
def aggregate_around(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if (
        isinstance(node.parent, exp.Select)
        and node.arg_key == "expressions"
        and not node.parent.args.get("group")
    ):
        for word in ("SUM", "AVG", "COUNT"):
            yield node, f"{word}({site.of(node)})"


@operator(exp.Limit, held_out=True)
def offset_added(node: exp.Expr, site: Site) -> Iterator[Edit]:
    yield node, f"{site.of(node)} OFFSET 1"
    value = constant(node.expression)
    if value and isinstance(value[0], int):
        yield node.expression, str(value[0] + 2)


@operator(exp.Ordered, held_out=True)
def order_of_other(node: exp.Expr, site: Site) -> Iterator[Edit]:
    suffix = " DESC" if node.args.get("desc") else ""
    for column in site.columns(node)[-3:]:
        yield node, column + suffix
    if isinstance(node.this, exp.Count):
        yield node, f"MAX({site.columns(node)[0]}){suffix}" if site.columns(node) else site.of(node)


@operator(exp.Join, held_out=True)
def join_loosened(node: exp.Expr, site: Site) -> Iterator[Edit]:
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
    for column in site.columns(node)[-2:]:
        yield node, f"{site.of(node)}, {column}"
        yield node, f" GROUP BY {column}"


@operator(exp.Having, held_out=True)
def having_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    inner = node.this
    if type(inner) in _COMPARE:
        for word in _COMPARE.values():
            yield inner, f"{site.of(inner.this)} {word} {site.of(inner.expression)}"
        for column in site.columns(node)[-2:]:
            yield inner.this, f"COUNT(DISTINCT {column})"


@operator(*_SETS, held_out=True)
def set_mixed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    left, right = site.of(node.this), site.of(node.expression)
    for word in ("UNION ALL", "EXCEPT", "INTERSECT", "UNION"):
        yield node, f"{right} {word} {left}"


@operator(exp.Max, exp.Min, exp.Avg, held_out=True)
def superlative_changed(node: exp.Expr, site: Site) -> Iterator[Edit]:
    if isinstance(node.parent, exp.Select) and node.parent.parent is not None:
        for word in ("MAX", "MIN", "AVG", "SUM"):
            yield node, f"{word}({site.of(node.this)})"


@operator(exp.In, held_out=True)
def member_dropped(node: exp.Expr, site: Site) -> Iterator[Edit]:
    for member in node.expressions if len(node.expressions) > 1 else ():
        rest = ", ".join(site.of(e) for e in node.expressions if e is not member)
        if not isinstance(node.parent, exp.Not):
            yield node, f"{site.of(node.this)} IN ({rest})"


@operator(exp.Select, held_out=True)
def outputs_distinct(node: exp.Expr, site: Site) -> Iterator[Edit]:
    text = site.of(node)
    if node.parent is None and not node.args.get("group") and node.args.get("where") is not None:
        outputs = [site.of(e) for e in node.expressions if isinstance(e, exp.Column)]
        where = node.args["where"]
        if outputs and len(outputs) == len(node.expressions):
            start = text.index(site.of(where)) + len(site.of(where))
            yield node, f"{text[:start]} GROUP BY {outputs[0]}{text[start:]}"


@operator(exp.Table, held_out=True)
def table_replaced(node: exp.Expr, site: Site) -> Iterator[Edit]:
    alias = node.text("alias")
    for table in site.schema.tables:
        if table.name.lower() != node.name.lower():
            yield node, column_name(table.name) + (f" AS {alias}" if alias else "")
