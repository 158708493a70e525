"""Values and conditions in canonical form: a reader of them, and the rules by which it reads.

The rules stand in the tables ``VALUES`` and ``CONDITIONS`` of ``canonical``, by kind of node: the first that
answers wins. What no rule answers for is written out as it stands if it is one of ``PLAIN``; else the query
has no form at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from sqlglot import exp

from harness.sql.dialect import (
    COMPARISONS,
    FLIPPED,
    NEGATED,
    constant,
    converted,
    literal,
    lowered,
    words,
)
from harness.sql.draft import Draft, Unmodelled
from harness.sql.schema import Ref
from harness.sql.statement import Statement, bare
from harness.sql.terms import (
    TRUE,
    Condition,
    Form,
    Junction,
    Leaf,
    Not,
    Select,
    conjunction,
    quoted,
    render,
    show,
)

PLAIN: tuple[type[Any], ...] = (
    exp.Func, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe, exp.Neg, exp.Null, exp.Boolean, exp.Is,
    exp.Literal,
)  # fmt: skip
"""What is written out as it stands; its operands are values."""

_NOT_PLAIN: tuple[type[Any], ...] = (
    exp.Rand, exp.Randn, exp.Anonymous, exp.JSONExtract, exp.JSONExtractScalar, exp.TryCast, exp.Connector,
    exp.AggFunc,
)  # fmt: skip
_AGGREGATES: tuple[type[Any], ...] = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max)
_KNOWN = frozenset(
    words(
        "abs char date datetime glob hex instr julianday length likely lower ltrim nullif printf quote "
        "replace round rtrim sign strftime substr substring time total trim typeof unicode unixepoch "
        "unlikely upper"
    )
)
"""Functions that sqlglot may have no class for, whose result is settled by their arguments."""

_TAIL = (exp.Like, exp.In, exp.Between, exp.Is, exp.Glob, exp.Not)
"""Conditions that SQLite reads together with a comparison on whose right they stand unparenthesised."""


RulesByNode = Mapping[Any, Sequence[Callable[..., Any]]]
"""The rules of each kind of node, in order."""


class Expressions:
    """Reads values and conditions of one statement at a time; whole queries are ``canonical``'s.

    ``values`` and ``conditions`` are the rules by kind of node; ``strong`` ones need not preserve more than
    the meaning, ``fold`` ones no letter case. ``table_kinds`` has the kind ("integer", …) of each table's
    columns, ``kinds`` that of each column of the tables ``labelled`` so far, by its canonical text.
    ``primary`` has the key of each table, ``links`` the parent column of each foreign key. ``never_null`` are
    the columns that are not NULL (None: no column ever is), ``filled`` the same by canonical text;
    ``held_back`` is whether a rule was for want of one. ``views`` are the texts of sources that are queries.
    """

    fold: bool
    strong: bool
    values: RulesByNode
    conditions: RulesByNode
    table_kinds: Mapping[str, Mapping[str, str]]
    primary: Mapping[str, tuple[str, ...]]
    links: Mapping[Ref, Ref]
    never_null: frozenset[Ref] | None
    kinds: dict[str, str]
    labelled: set[str]
    filled: set[str]
    held_back: bool
    views: dict[int, str]
    statement: Statement

    def query(self, node: Any, parent: Draft | None, *, top: bool = False) -> Form:
        """The form of a query inside another."""
        raise NotImplementedError

    # values

    def value(self, node: Any, draft: Draft) -> str:
        """The canonical text of a value."""
        node = bare(node)
        for rule in self.values.get(type(node), ()):
            text: str | None = rule(self, node, draft)
            if text is not None:
                return text
        if isinstance(node, (exp.Predicate, exp.Connector, exp.Not)):
            return show(self.condition(node, draft))
        return self.written(node, draft)

    def written(self, node: Any, draft: Draft) -> str:
        """A function or an operator as it stands, its arguments by name."""
        if isinstance(node, _NOT_PLAIN):
            known = isinstance(node, exp.Anonymous) and node.name.lower() in _KNOWN
            if not known and type(node) not in _AGGREGATES:
                raise Unmodelled(type(node).__name__)
        elif not isinstance(node, PLAIN):
            raise Unmodelled(type(node).__name__)
        if type(node) in _AGGREGATES:
            draft.counts = True
        parts = []
        for key, value in sorted(node.args.items()):
            if key.startswith("_"):
                continue
            items = value if isinstance(value, list) else [value]
            shown = [self._argument(one, draft) for one in items if one is not None and one is not False]
            if shown:
                text = ", ".join(shown)
                parts.append(text if key in {"this", "expression", "expressions"} else f"{key} [{text}]")
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
        return f"{name}({'; '.join(parts)})" if parts else str(name)

    def _argument(self, node: Any, draft: Draft) -> str:
        if not isinstance(node, exp.Expr):
            return str(node).lower()
        if isinstance(node, exp.Distinct):
            return f"distinct({', '.join(self.value(one, draft) for one in node.expressions)})"
        return self.value(node, draft)

    def kind(self, text: str) -> str:
        """The kind of a value by its canonical text; "" where it is not known."""
        if text.startswith("count("):
            return "integer"
        if text.startswith(("max(", "min(")) and text.endswith(")"):
            text = text[4:-1]
        return self.kinds.get(text, "")

    # conditions

    def condition(self, node: Any, draft: Draft, negated: bool = False) -> Condition:
        """A condition, or its negation."""
        node = bare(node)
        for rule in self.conditions.get(type(node), ()):
            found: Condition | None = rule(self, node, draft, negated)
            if found is not None:
                return found
        plain = isinstance(node, exp.Predicate) and type(node) not in self.values
        text = self.written(node, draft) if plain else self.value(node, draft)
        leaf = Leaf(text)
        return Not(leaf) if negated else leaf

    def comparison(self, left: Any, operator: str, right: Any, draft: Draft) -> Condition:
        """A comparison, its constant on the right, else its sides sorted."""
        if isinstance(right, _TAIL):
            raise Unmodelled("a condition unparenthesised on the right of a comparison")
        known, value = scalar(left), scalar(right)
        if known is not None and value is None:
            left, operator, right, known, value = right, FLIPPED[operator], left, value, known
        first = self.value(left, draft)
        if value is not None and known is None:
            kind, ref = self.kind(first), shown(left, draft)
            if isinstance(value, str) and self.fold:  # COLLATE NOCASE says so, or a table's column of text
                collated = any(isinstance(bare(side), exp.Collate) for side in (left, right))
                if collated or (ref and self.table_kinds.get(ref[0], {}).get(ref[1], "text") == "text"):
                    value = lowered(value)
            if self.strong and ref:  # what is no column has no affinity
                value = converted(value, kind)
            return Leaf(f"{first} {operator} {literal(value)}", first, operator, value, kind)
        second = self.value(right, draft)
        if first == second and operator == "=" and first in draft.same.values():
            return TRUE
        if second < first:
            first, operator, second = second, FLIPPED[operator], first
        return Leaf(f"{first} {operator} {second}")


# values


def column_text(read: Expressions, node: exp.Column, draft: Draft) -> str:
    """A column, qualified; "?" stands for the table of an unknown one."""
    name, qualifier = node.name.lower(), node.table.lower()
    place: Draft | None = draft
    while place is not None:
        if (found := place.scope.here(node)) is not None:
            text = place.column(found.place, name)
            text = place.renamed.get(text, text)
            return place.same.get(text, text)
        if not qualifier and name in place.aliases:
            return place.aliases[name]
        place = place.parent
    if draft.scope.find(node) is not None:
        raise Unmodelled("a column of a query further out")
    if not qualifier and len(draft.labels) == 1 and name in {"rowid", "oid", "_rowid_"}:
        return f"{draft.labels[0]}.rowid"
    return f"{qualifier or '?'}.{quoted(name)}"


def collation(read: Expressions, node: Any, draft: Draft) -> str:
    """NOCASE says nothing where case is ignored."""
    if read.fold and node.expression.name.upper() == "NOCASE":
        return read.value(node.this, draft)
    raise Unmodelled("COLLATE")


def literal_value(read: Expressions, node: Any, draft: Draft) -> str | None:
    """A literal, whatever parentheses and signs it is written with."""
    value = scalar(node)
    return None if value is None else literal(value)


def subquery(read: Expressions, node: Any, draft: Draft) -> str:
    """A query whose result is a value."""
    return f"({render(read.query(node, draft))})"


def count_function(read: Expressions, node: Any, draft: Draft) -> str | None:
    """COUNT(1) is COUNT(*); so is COUNT of what is never NULL."""
    draft.counts = True
    inner = node.this
    if node.expressions:
        raise Unmodelled("COUNT of several values")
    if isinstance(inner, exp.Distinct):
        if len(inner.expressions) != 1:
            raise Unmodelled("COUNT of several values")
        return f"count(distinct {read.value(inner.expressions[0], draft)})"
    whole = isinstance(inner, exp.Star) or (isinstance(inner, exp.Literal) and not inner.is_string)
    text = "*" if whole else read.value(inner, draft)
    plain = read.strong and isinstance(inner, exp.Column) and not draft.outside()
    if plain and read.kinds.get(text):
        never_null = text in read.filled or text in draft.filled
        read.held_back = read.held_back or not never_null
        text = "*" if never_null else text
    return f"count({text})"


def cast(read: Expressions, node: Any, draft: Draft) -> str:
    """A cast; one to the kind itself is none, but for REAL: a real column may be declared INTEGER."""
    if type(node) is not exp.Cast:
        raise Unmodelled("a cast of another kind")
    inner, target = read.value(node.this, draft), node.to.sql("sqlite").split("(")[0].lower()
    if read.strong:
        kind = read.kind(inner)
        if (kind == "integer" and target.startswith("int")) or (kind == "text" and target == "text"):
            return inner
    return f"cast({inner} as {target})"


def distinct_extreme(read: Expressions, node: Any, draft: Draft) -> str | None:
    """The largest of distinct values is the largest value."""
    draft.counts = True
    if not isinstance(node.this, exp.Distinct):
        return None
    return f"{node.key}({read.value(node.this.expressions[0], draft)})"


def held_extreme(read: Expressions, node: Any, draft: Draft) -> str | None:
    """The largest of values that are all the same in a group is that value."""
    draft.counts = True
    if not (isinstance(node.this, exp.Column) and draft.held[0]):
        return None
    inner = column_text(read, node.this, draft)
    return inner if inner in draft.held[0] or draft.owner(inner) in draft.held[1] else None


def commuted(read: Expressions, node: Any, draft: Draft) -> str:
    """Sums and products, their operands sorted."""
    both = sorted((read.value(node.this, draft), read.value(node.expression, draft)))
    return f"{node.key}({', '.join(both)})"


def total(read: Expressions, node: Any, draft: Draft) -> None:
    """TOTAL is an aggregate, for which sqlglot has no class."""
    draft.counts = draft.counts or node.name.lower() == "total"


# conditions


def negation(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """NOT goes inward; in the basic form it stays where it is."""
    if read.strong:
        return read.condition(node.this, draft, not negated)
    return Not(read.condition(node.this, draft))


def junction(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """AND and OR flattened, sorted, each condition once."""
    operator: Literal["and", "or"] = "and" if isinstance(node, exp.And) != negated else "or"
    return conjunction(
        (read.condition(one, draft, negated) for one in (node.this, node.expression)), operator
    )


def compared(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """A comparison, or the opposite one."""
    operator = COMPARISONS[type(node)]
    return read.comparison(node.this, NEGATED[operator] if negated else operator, node.expression, draft)


def between(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """BETWEEN is two comparisons."""
    if node.args.get("symmetric"):
        raise Unmodelled("BETWEEN SYMMETRIC")
    low = read.comparison(node.this, "<" if negated and read.strong else ">=", node.args["low"], draft)
    high = read.comparison(node.this, ">" if negated and read.strong else "<=", node.args["high"], draft)
    if read.strong:
        return conjunction([low, high], "or" if negated else "and")
    leaf = Leaf(f"between({show(low)}; {show(high)})")
    return Not(leaf) if negated else leaf


def membership(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """IN a list is a choice of equalities; in IN a query neither DISTINCT nor ORDER BY matters."""
    if any(node.args.get(key) for key in ("field", "unnest")):
        raise Unmodelled("IN a table")
    query = node.args.get("query")
    if query is None:
        if read.strong and node.expressions:
            each = [
                read.comparison(node.this, "<>" if negated else "=", item, draft) for item in node.expressions
            ]
            return conjunction(each, "and" if negated else "or")
        items = {show(read.comparison(node.this, "=", item, draft)) for item in node.expressions}
        text = f"{read.value(node.this, draft)} in ({', '.join(sorted(items))})"
    else:
        body = read.query(query, draft)
        if read.strong and isinstance(body, Select) and not body.limit:
            body = body._replace(distinct=False, order=())
        text = f"{read.value(node.this, draft)} in ({render(body)})"
    return Not(Leaf(text)) if negated else Leaf(text)


def null_test(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition | None:
    """IS NULL, or its opposite."""
    if not isinstance(bare(node.expression), exp.Null):
        return None
    tested = read.value(node.this, draft)
    null = Leaf(f"{tested} is null", tested, "is null", None, read.kind(tested))
    return Not(null) if negated else null


def like_without_wildcards(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition | None:
    """LIKE a plain text is = where case is ignored."""
    pattern = scalar(node.expression)
    plain = isinstance(pattern, str) and not any(sign in pattern for sign in "%_")
    if not (plain and read.fold and read.kind(read.value(node.this, draft)) == "text"):
        return None
    sign = "<>" if negated != bool(node.args.get("negate")) else "="
    return read.comparison(node.this, sign, node.expression, draft)


def like(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """LIKE never minds case (of the letters of ASCII)."""
    pattern = scalar(node.expression)
    if isinstance(pattern, str) and (read.fold or read.strong):
        right = literal(lowered(pattern))
    else:
        right = read.value(node.expression, draft)
    like = Leaf(f"{read.value(node.this, draft)} like {right}")
    return Not(like) if negated != bool(node.args.get("negate")) else like


def glob(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """GLOB minds case whatever the column."""
    glob = Leaf(f"{read.value(node.this, draft)} glob {read.value(node.expression, draft)}")
    return Not(glob) if negated != bool(node.args.get("negate")) else glob


def existence(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """What EXISTS selects does not matter."""
    body = read.query(node.this, draft)
    counted = isinstance(body, Select) and body.distinct and body.limit  # OFFSET counts what DISTINCT leaves
    if read.strong and isinstance(body, Select) and not body.aggregated and not counted:
        order = body.order if body.limit else ()
        body = body._replace(select=("1",), distinct=False, order=order)
    leaf = Leaf(f"exists({render(body)})")
    return Not(leaf) if negated else leaf


def filled_noted(read: Expressions, draft: Draft) -> None:
    """What WHERE compares is not NULL in the rows that it lets pass, so that COUNT counts it."""
    if read.never_null is None or draft.outer or not draft.node.find(exp.Count):
        return
    passed = conjunction(read.condition(one, draft) for one in draft.conditions)
    draft.filled = {*_filled(passed), *draft.same.values()}


def _filled(item: Condition) -> Iterator[str]:
    """What is not NULL where a condition holds."""
    if isinstance(item, Leaf) and item.left and item.operator != "is null":
        yield item.left
    elif isinstance(item, Not) and isinstance(item.item, Leaf) and item.item.operator == "is null":
        yield item.item.left
    elif isinstance(item, Junction) and item.operator == "and":
        for one in item.items:
            yield from _filled(one)


# what a node stands for


def shown(node: Any, draft: Draft) -> Ref | None:
    """The table's column that a value is, if by way of queries inside: its are collation and affinity."""
    node = bare(node)
    place: Draft | None = draft if isinstance(node, exp.Column) else None
    while place is not None:
        if (found := place.scope.here(node)) is not None:
            return found.ref
        place = place.parent
    return None


def scalar(node: Any) -> int | float | str | None:
    """The value of a literal; None where a node is none, or NULL."""
    node = bare(node)
    if isinstance(node, exp.Neg):
        value = scalar(node.this)
        return None if value is None or isinstance(value, str) else -value
    if isinstance(node, exp.Collate):
        return scalar(node.this) if node.expression.name.upper() == "NOCASE" else None
    known = constant(node)
    value = known[0] if known else None
    if isinstance(value, float):
        if str(node.this).isdigit():
            raise Unmodelled("an integer beyond 64 bits")
        return value if math.isfinite(value) else None
    return value
