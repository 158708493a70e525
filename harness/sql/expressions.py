"""The canonical form of values and conditions inside one SELECT; ``canonical`` reads queries around them.

``VALUES`` and ``CONDITIONS`` are rules by kind of node, each with its level: the first that answers wins.
What no rule answers for is written out as it stands if it is one of ``PLAIN``; else the query has no form
at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from sqlglot import exp

from harness.sql.dialect import COMPARISONS, FLIPPED, NEGATED, is_whole, literal, plain_number, words
from harness.sql.schema import Ref
from harness.sql.statement import Scope, Statement, bare
from harness.sql.terms import (
    TRUE,
    Condition,
    Form,
    Kind,
    Leaf,
    Not,
    Select,
    conjunction,
    quoted,
    render,
    show,
)

Level = Literal["basic", "meaning", "keys"]
"""What a rule of the canonical form preserves: the query; its meaning; its meaning where keys hold."""

Number = int | float


class Unmodelled(Exception):
    """A construct of which the canonical form does not know enough to say when two are the same."""


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


class Draft:
    """One SELECT on its way into canonical form: what ``RULES`` work on, in order.

    ``labels`` are the canonical names of its sources. ``conditions`` are the nodes that AND joins,
    ``outer`` the outer joins that are left. ``same`` maps columns that a join makes equal to one of them,
    ``renamed`` the key of a parent that was ``dropped`` to the child's column; ``held`` the columns and
    sources that GROUP BY fixes; ``filled`` the columns that are not NULL in any row that WHERE lets pass.
    The rest are the clauses as read."""

    def __init__(self, node: Any, scope: Scope, parent: Draft | None, *, top: bool) -> None:
        self.node, self.scope, self.parent, self.top = node, scope, parent, top
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

    def names(self) -> Iterator[str]:
        """Labels in use here and in the queries around."""
        draft: Draft | None = self
        while draft:
            yield from draft.labels
            draft = draft.parent

    def owner(self, text: str) -> str | None:
        """The label of the table here that a column belongs to, by its canonical text."""
        label, _, name = text.rpartition(".[" if text.endswith("]") else ".")
        return label if label in self.labels and not name.startswith("#") else None

    def outside(self) -> bool:
        """Whether outer joins here or in the queries around make NULLs."""
        return bool(self.outer) or (self.parent is not None and self.parent.outside())

    def form(self) -> Select:
        """The finished form."""
        return Select(
            self.distinct, self.select, self.sources, self.joins, self.where, self.group, self.having,
            self.order, self.limit, self.aggregated,
        )  # fmt: skip


class Outer(NamedTuple):
    """An outer join, or an inner one after it: kind, its source's label, and the nodes of its condition."""

    kind: str
    label: str
    on: list[Any]


class Expressions:
    """Reads values and conditions of one statement at a time; whole queries are ``canonical``'s.

    ``table_kinds`` has the kind of each table's columns, ``kinds`` that of each column by its canonical
    text. ``fold`` is whether letter case of text is ignored, ``levels`` those of the rules in use.
    ``filled`` are columns that are never NULL, by canonical text; ``held_back`` is whether a rule was for
    want of one.
    """

    def __init__(self, *, fold: bool, levels: frozenset[Level]) -> None:
        self.fold, self.levels = fold, levels
        self.strong = "meaning" in levels
        self.table_kinds: Mapping[str, Mapping[str, Kind]] = {}
        self.kinds: dict[str, Kind] = {}
        self.filled: set[str] = set()
        self.held_back = False
        self.statement: Statement
        self._values, self._conditions = _by_node(levels)

    def covers(self, columns: Iterable[str], draft: Draft) -> bool:
        """Whether no two rows of a SELECT's joins agree in some columns."""
        raise NotImplementedError

    def query(self, node: Any, parent: Draft | None, *, top: bool = False) -> Form:
        """The form of a query inside another."""
        raise NotImplementedError

    # values

    def column(self, node: exp.Column, draft: Draft) -> str:
        """A column, qualified; "?" stands for the table of an unknown one."""
        name, qualifier = node.name.lower(), node.table.lower()
        place: Draft | None = draft
        while place is not None:
            if (found := place.scope.here(node)) is not None:
                text = column_text(place, found.place, name)
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

    def value(self, node: Any, draft: Draft) -> str:
        """The canonical text of a value."""
        node = bare(node)
        for rule in self._values.get(type(node), ()):
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

    def kind(self, text: str) -> Kind:
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
        for rule in self._conditions.get(type(node), ()):
            found: Condition | None = rule(self, node, draft, negated)
            if found is not None:
                return found
        plain = isinstance(node, exp.Predicate) and type(node) not in self._values
        text = self.written(node, draft) if plain else self.value(node, draft)
        leaf = Leaf(text)
        return Not(leaf) if negated else leaf

    def comparison(self, left: Any, operator: str, right: Any, draft: Draft) -> Condition:
        """A comparison, its constant on the right, else its sides sorted."""
        if isinstance(right, _TAIL):
            raise Unmodelled("a condition unparenthesised on the right of a comparison")
        if constant(left) is not None and constant(right) is None:
            left, operator, right = right, FLIPPED[operator], left
        first = self.value(left, draft)
        value = constant(right)
        if value is not None and constant(left) is None:
            kind = self.kind(first)
            if isinstance(value, str) and self.caseless(left, right, draft):
                value = lowered(value)
            if self.strong and shown(left, draft) is not None:
                value = converted(value, kind)  # what is no column has no affinity
            return Leaf(f"{first} {operator} {literal(value)}", first, operator, value, kind)
        second = self.value(right, draft)
        if first == second and operator == "=" and first in draft.same.values():
            return TRUE
        if second < first:
            first, operator, second = second, FLIPPED[operator], first
        return Leaf(f"{first} {operator} {second}")

    def caseless(self, left: Any, right: Any, draft: Draft) -> bool:
        """Whether SQLite ignores case between two sides: COLLATE says so, or a table's column of text."""
        if not self.fold:
            return False
        if any(isinstance(bare(side), exp.Collate) for side in (left, right)):
            return True
        ref = shown(left, draft)
        return ref is not None and self.table_kinds.get(ref[0], {}).get(ref[1], "text") == "text"


# values

ValueRule = Callable[[Expressions, Any, Draft], "str | None"]


def _column(read: Expressions, node: Any, draft: Draft) -> str:
    return read.column(node, draft)


def _collation(read: Expressions, node: Any, draft: Draft) -> str:
    """NOCASE says nothing where case is ignored."""
    if read.fold and node.expression.name.upper() == "NOCASE":
        return read.value(node.this, draft)
    raise Unmodelled("COLLATE")


def _constant(read: Expressions, node: Any, draft: Draft) -> str | None:
    value = constant(node)
    return None if value is None else literal(value)


def _subquery(read: Expressions, node: Any, draft: Draft) -> str:
    return f"({render(read.query(node, draft))})"


def _count(read: Expressions, node: Any, draft: Draft) -> str | None:
    """COUNT(1) is COUNT(*); so is COUNT of what is never NULL, or of distinct keys."""
    draft.counts = True
    inner = node.this
    if node.expressions:
        raise Unmodelled("COUNT of several values")
    if isinstance(inner, exp.Distinct):
        if len(inner.expressions) != 1:
            raise Unmodelled("COUNT of several values")
        only = inner.expressions[0]
        if (
            "keys" in read.levels
            and isinstance(only, exp.Column)
            and read.covers([read.column(only, draft)], draft)
        ):
            return "count(*)"
        return f"count(distinct {read.value(only, draft)})"
    whole = isinstance(inner, exp.Star) or (isinstance(inner, exp.Literal) and not inner.is_string)
    text = "*" if whole else read.value(inner, draft)
    plain = read.strong and isinstance(inner, exp.Column) and not draft.outside()
    if plain and read.kinds.get(text):
        never_null = text in read.filled or text in draft.filled
        read.held_back = read.held_back or not never_null
        text = "*" if never_null else text
    return f"count({text})"


def _cast(read: Expressions, node: Any, draft: Draft) -> str:
    """A cast; one to the kind itself is none, but for REAL: a real column may be declared INTEGER."""
    if type(node) is not exp.Cast:
        raise Unmodelled("a cast of another kind")
    inner, target = read.value(node.this, draft), node.to.sql("sqlite").split("(")[0].lower()
    if read.strong:
        kind = read.kind(inner)
        if (kind == "integer" and target.startswith("int")) or (kind == "text" and target == "text"):
            return inner
    return f"cast({inner} as {target})"


def _distinct_extreme(read: Expressions, node: Any, draft: Draft) -> str | None:
    """The largest of distinct values is the largest value."""
    draft.counts = True
    if not isinstance(node.this, exp.Distinct):
        return None
    return f"{node.key}({read.value(node.this.expressions[0], draft)})"


def _held_extreme(read: Expressions, node: Any, draft: Draft) -> str | None:
    """The largest of values that are all the same in a group is that value."""
    draft.counts = True
    if not (isinstance(node.this, exp.Column) and draft.held[0]):
        return None
    inner = read.column(node.this, draft)
    return inner if inner in draft.held[0] or draft.owner(inner) in draft.held[1] else None


def _commuted(read: Expressions, node: Any, draft: Draft) -> str:
    """Sums and products, their operands sorted."""
    both = sorted((read.value(node.this, draft), read.value(node.expression, draft)))
    return f"{node.key}({', '.join(both)})"


def _total(read: Expressions, node: Any, draft: Draft) -> None:
    draft.counts = draft.counts or node.name.lower() == "total"


VALUES: tuple[tuple[Level, tuple[type[Any], ...], ValueRule], ...] = (
    ("basic", (exp.Column,), _column),
    ("basic", (exp.Collate,), _collation),
    ("basic", (exp.Literal, exp.Neg, exp.Boolean), _constant),
    ("basic", (exp.Count,), _count),
    ("basic", (exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery), _subquery),
    ("basic", (exp.Cast, exp.TryCast), _cast),
    ("basic", (exp.Add, exp.Mul), _commuted),
    ("basic", (exp.Anonymous,), _total),
    ("meaning", (exp.Min, exp.Max), _distinct_extreme),
    ("keys", (exp.Min, exp.Max), _held_extreme),
)

# conditions

ConditionRule = Callable[[Expressions, Any, Draft, bool], "Condition | None"]


def _negation(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """NOT goes inward; in the basic form it stays where it is."""
    if read.strong:
        return read.condition(node.this, draft, not negated)
    return Not(read.condition(node.this, draft))


def _junction(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """AND and OR flattened, sorted, each condition once."""
    operator: Literal["and", "or"] = "and" if isinstance(node, exp.And) != negated else "or"
    return conjunction(
        (read.condition(one, draft, negated) for one in (node.this, node.expression)), operator
    )


def _compared(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    operator = COMPARISONS[type(node)]
    return read.comparison(node.this, NEGATED[operator] if negated else operator, node.expression, draft)


def _between(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """BETWEEN is two comparisons."""
    if node.args.get("symmetric"):
        raise Unmodelled("BETWEEN SYMMETRIC")
    low = read.comparison(node.this, "<" if negated and read.strong else ">=", node.args["low"], draft)
    high = read.comparison(node.this, ">" if negated and read.strong else "<=", node.args["high"], draft)
    if read.strong:
        return conjunction([low, high], "or" if negated else "and")
    leaf = Leaf(f"between({show(low)}; {show(high)})")
    return Not(leaf) if negated else leaf


def _membership(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
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


def _null_test(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition | None:
    if not isinstance(bare(node.expression), exp.Null):
        return None
    tested = read.value(node.this, draft)
    null = Leaf(f"{tested} is null", tested, "is null", None, read.kind(tested))
    return Not(null) if negated else null


def _like_without_wildcards(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition | None:
    """LIKE a plain text is = where case is ignored."""
    pattern = constant(node.expression)
    plain = isinstance(pattern, str) and not any(sign in pattern for sign in "%_")
    if not (plain and read.fold and read.kind(read.value(node.this, draft)) == "text"):
        return None
    sign = "<>" if negated != bool(node.args.get("negate")) else "="
    return read.comparison(node.this, sign, node.expression, draft)


def _like(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """LIKE never minds case (of the letters of ASCII)."""
    pattern = constant(node.expression)
    if isinstance(pattern, str) and (read.fold or read.strong):
        right = literal(lowered(pattern))
    else:
        right = read.value(node.expression, draft)
    like = Leaf(f"{read.value(node.this, draft)} like {right}")
    return Not(like) if negated != bool(node.args.get("negate")) else like


def _glob(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """GLOB minds case whatever the column."""
    glob = Leaf(f"{read.value(node.this, draft)} glob {read.value(node.expression, draft)}")
    return Not(glob) if negated != bool(node.args.get("negate")) else glob


def _existence(read: Expressions, node: Any, draft: Draft, negated: bool) -> Condition:
    """What EXISTS selects does not matter."""
    body = read.query(node.this, draft)
    if read.strong and isinstance(body, Select) and not body.aggregated:
        order = body.order if body.limit else ()
        body = body._replace(select=("1",), distinct=False, order=order)
    leaf = Leaf(f"exists({render(body)})")
    return Not(leaf) if negated else leaf


CONDITIONS: tuple[tuple[Level, tuple[type[Any], ...], ConditionRule], ...] = (
    ("basic", (exp.Not,), _negation),
    ("basic", (exp.And, exp.Or), _junction),
    ("basic", tuple(COMPARISONS), _compared),
    ("basic", (exp.Between,), _between),
    ("basic", (exp.In,), _membership),
    ("basic", (exp.Is,), _null_test),
    ("meaning", (exp.Like,), _like_without_wildcards),
    ("basic", (exp.Like,), _like),
    ("basic", (exp.Glob,), _glob),
    ("basic", (exp.Exists,), _existence),
)


@cache
def _by_node(levels: frozenset[Level]) -> tuple[dict[Any, list[Any]], dict[Any, list[Any]]]:
    """The rules of these levels for values and for conditions, by kind of node."""
    found: tuple[dict[Any, list[Any]], dict[Any, list[Any]]] = ({}, {})
    for table, rules in zip(found, (VALUES, CONDITIONS), strict=True):
        for level, kinds, rule in rules:
            for kind in kinds if level in levels else ():
                table.setdefault(kind, []).append(rule)
    return found


# small things


def column_text(draft: Draft, place: int, name: str) -> str:
    """A column of a source; one of a query inside is known by its place, whatever it is called."""
    source = draft.scope.sources[place]
    if source.query is None:
        return f"{draft.labels[place]}.{quoted(name)}"
    names = list(source.columns or ())
    if name not in names:
        raise Unmodelled("a column that a query inside does not show")
    return f"{draft.labels[place]}.#{names.index(name) + 1}"


def shown(node: Any, draft: Draft) -> Ref | None:
    """The table's column that a value is, if by way of queries inside: its are collation and affinity."""
    node, place = bare(node), draft if isinstance(bare(node), exp.Column) else None
    while place is not None:
        if (found := place.scope.here(node)) is not None:
            return found.ref
        place = place.parent
    return None


def constant(node: Any) -> Number | str | None:
    """The value of a literal; None where a node is none, or NULL."""
    node = bare(node)
    if isinstance(node, exp.Neg):
        value = constant(node.this)
        return None if value is None or isinstance(value, str) else -value
    if isinstance(node, exp.Boolean):
        return int(node.this)
    if isinstance(node, exp.Collate):
        return constant(node.this) if node.expression.name.upper() == "NOCASE" else None
    if not isinstance(node, exp.Literal):
        return None
    text = str(node.this)
    if node.is_string:
        return text
    number = plain_number(text)
    if text.isdigit() and not isinstance(number, int):
        raise Unmodelled("an integer beyond 64 bits")
    return number if number is not None and math.isfinite(number) else None


def converted(value: Number | str, kind: Kind) -> Number | str:
    """The constant as SQLite's affinity rules read it beside a column of this kind."""
    if kind in {"integer", "real"}:
        number = plain_number(value.strip()) if isinstance(value, str) else value
        if number is None:
            return value
        return int(number) if isinstance(number, float) and is_whole(number) else number
    if kind == "text" and isinstance(value, int):
        return str(value)
    return value


def lowered(text: str) -> str:
    """The letters of ASCII in lower case, as NOCASE and LIKE see them.

    >>> lowered("ÄB")
    'Äb'
    """
    return text.lower() if text.isascii() else "".join(c.lower() if c < "\x80" else c for c in text)
