"""The canonical form of values and conditions inside one SELECT; ``canonical`` reads queries around them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from sqlglot import exp

from harness.sql.dialect import COMPARISONS, FLIPPED, NEGATED, literal
from harness.sql.terms import (
    TRUE,
    Condition,
    Form,
    Kind,
    Leaf,
    Not,
    Query,
    conjunction,
    quoted,
    render,
    show,
)

Views = Mapping[str, tuple[str, dict[str, Kind]]]


class Source(NamedTuple):
    """A table or subquery of FROM: its alias, canonical label, columns (None: not known), own name."""

    alias: str
    label: str
    columns: dict[str, Kind] | None
    table: str = ""


class Scope:
    """The sources and output names of one SELECT, and what its joins say.

    ``same`` maps columns that a join makes equal to one of them, ``renamed`` the key of a parent that was
    ``dropped`` to the child's column; ``owner`` is each column's source; ``held`` the columns and sources
    that GROUP BY fixes; ``filled`` the columns that are not NULL in any row that WHERE lets pass; ``outer``
    whether outer joins are left.
    """

    def __init__(self, parent: Scope | None, views: Mapping[str, tuple[str, dict[str, Kind]]]) -> None:
        self.parent = parent
        self.views = views
        self.sources: list[Source] = []
        self.aliases: dict[str, str] = {}
        self.same: dict[str, str] = {}
        self.renamed: dict[str, str] = {}
        self.dropped: set[str] = set()
        self.owner: dict[str, str] = {}
        self.held: tuple[set[str], set[str]] = (set(), set())
        self.filled: set[str] = set()
        self.outer = False

    def labels(self) -> Iterator[str]:
        """Labels in use here and in the queries around."""
        scope: Scope | None = self
        while scope:
            yield from (source.label for source in scope.sources)
            scope = scope.parent

    def outside(self) -> bool:
        """Whether outer joins here or in the queries around make NULLs."""
        return self.outer or (self.parent is not None and self.parent.outside())


class Expressions:
    """Reads values and conditions; ``query`` is left to the reader of whole queries.

    ``kinds`` has the kind of each column by its canonical text. ``fold`` is whether letter case of text
    is ignored, ``strong`` whether what means the same is written the same. ``filled`` are the columns that
    are never NULL, by their canonical text.
    """

    def __init__(self, *, fold: bool, strong: bool) -> None:
        self.fold = fold
        self.strong = strong
        self.kinds: dict[str, Kind] = {}
        self.filled: set[str] = set()

    def covers(self, columns: Iterable[str], scope: Scope) -> bool:
        """Whether no two rows of a SELECT's joins agree in some columns."""
        raise NotImplementedError

    def query(self, node: Any, parent: Scope | None, views: Views, *, top: bool = False) -> Form:
        """The form of a query inside another."""
        raise NotImplementedError

    # values

    def column(self, node: exp.Column, scope: Scope) -> str:
        """A column, qualified; "?" stands for the table of an unknown one."""
        table, name = node.table.lower(), node.name.lower()
        place: Scope | None = scope
        while place:
            for source in place.sources:
                if table == source.alias if table else name in (source.columns or ()):
                    text = f"{source.label}.{quoted(name)}"
                    text = place.renamed.get(text, text)
                    return place.same.get(text, text)
            if not table and name in place.aliases:
                return place.aliases[name]
            place = place.parent
        if not table and len(scope.sources) == 1 and name in {"rowid", "oid", "_rowid_"}:
            return f"{scope.sources[0].label}.rowid"
        return f"{table or '?'}.{quoted(name)}"

    def value(self, node: Any, scope: Scope) -> str:
        """The canonical text of a value."""
        node = bare(node)
        if isinstance(node, exp.Collate) and self.fold:
            return self.value(node.this, scope)
        if isinstance(node, exp.Column):
            return self.column(node, scope)
        if isinstance(node, (exp.Literal, exp.Neg)) and (constant := self._constant(node)) is not None:
            return literal(constant)
        if isinstance(node, exp.Count):
            return self._count(node, scope)
        if isinstance(node, exp.Query):
            return f"({render(self.query(node, scope, scope.views))})"
        if isinstance(node, (exp.Predicate, exp.Connector, exp.Not)):
            return show(self.condition(node, scope))
        if isinstance(node, exp.Cast) and self.strong:
            inner = self.value(node.this, scope)
            kind, target = self.kind(inner), node.to.sql("sqlite").split("(")[0].lower()
            if (kind == "integer" and target.startswith("int")) or (kind == "text" and target == "text"):
                return inner
            if kind in {"integer", "real"} and target in {"real", "float", "double", "numeric", "decimal"}:
                return inner if kind == "real" or target in {"numeric", "decimal"} else f"real({inner})"
        if isinstance(node, (exp.Min, exp.Max)) and self.strong and isinstance(node.this, exp.Distinct):
            return f"{node.key}({self.value(node.this.expressions[0], scope)})"
        if isinstance(node, (exp.Min, exp.Max)) and isinstance(node.this, exp.Column) and scope.held[0]:
            inner = self.column(node.this, scope)
            if inner in scope.held[0] or scope.owner.get(inner) in scope.held[1]:
                return inner
        if isinstance(node, (exp.Add, exp.Mul)):
            both = sorted((self.value(node.this, scope), self.value(node.expression, scope)))
            return f"{node.key}({', '.join(both)})"
        return self._generic(node, scope)

    def _generic(self, node: Any, scope: Scope) -> str:
        if not isinstance(node, exp.Expression):
            return str(node).lower()
        parts = []
        for key, value in sorted(node.args.items()):
            items = value if isinstance(value, list) else [value]
            shown = [self.value(one, scope) for one in items if one is not None and one is not False]
            if shown and not key.startswith("_"):
                parts.append(
                    ", ".join(shown) if key in {"this", "expression", "expressions"} else f"{key} {shown}"
                )
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
        return f"{name}({'; '.join(parts)})" if parts else name

    def _count(self, node: exp.Count, scope: Scope) -> str:
        inner = node.this
        if isinstance(inner, exp.Distinct):
            only = inner.expressions[0]
            if (
                self.strong
                and isinstance(only, exp.Column)
                and self.covers([self.column(only, scope)], scope)
            ):
                return "count(*)"
            return f"count(distinct {', '.join(self.value(one, scope) for one in inner.expressions)})"
        whole = isinstance(inner, exp.Star) or (isinstance(inner, exp.Literal) and not inner.is_string)
        text = "*" if whole else self.value(inner, scope)
        if self.strong and isinstance(inner, exp.Column) and not scope.outside():
            never_null = text in self.filled or text in scope.filled
            text = "*" if self.kinds.get(text) and never_null else text
        return f"count({text})"

    def kind(self, text: str) -> Kind:
        """The kind of a value by its canonical text; "" where it is not known."""
        if text.startswith("count("):
            return "integer"
        if text.startswith(("max(", "min(")) and text.endswith(")"):
            text = text[4:-1]
        return self.kinds.get(text, "")

    def _constant(self, node: Any) -> int | float | str | None:
        node = bare(node)
        if isinstance(node, exp.Neg):
            value = self._constant(node.this)
            return None if value is None or isinstance(value, str) else -value
        if isinstance(node, exp.Collate) and self.fold:
            return self._constant(node.this)
        if not isinstance(node, exp.Literal):
            return None
        text = str(node.this)
        if node.is_string:
            return text.lower() if self.fold else text
        try:
            number = float(text)
        except ValueError:
            return None
        return int(text) if text.isdigit() else number if math.isfinite(number) else None

    # conditions

    def condition(self, node: Any, scope: Scope, negated: bool = False) -> Condition:
        """A condition, or its negation."""
        node = bare(node)
        if isinstance(node, exp.Not):
            if self.strong:
                return self.condition(node.this, scope, not negated)
            return Not(self.condition(node.this, scope))
        if isinstance(node, (exp.And, exp.Or)):
            operator: Literal["and", "or"] = "and" if isinstance(node, exp.And) != negated else "or"
            both = [self.condition(one, scope, negated) for one in (node.this, node.expression)]
            return conjunction(both, operator)
        if operator_ := COMPARISONS.get(type(node)):
            return self._comparison(
                node.this, NEGATED[operator_] if negated else operator_, node.expression, scope
            )  # fmt: skip
        if isinstance(node, exp.Between) and self.strong:
            low = self._comparison(node.this, "<" if negated else ">=", node.args["low"], scope)
            high = self._comparison(node.this, ">" if negated else "<=", node.args["high"], scope)
            return conjunction([low, high], "or" if negated else "and")
        if isinstance(node, exp.In):
            return self._membership(node, scope, negated)
        if isinstance(node, exp.Is) and isinstance(bare(node.expression), exp.Null):
            tested = self.value(node.this, scope)
            null = Leaf(f"{tested} is null", tested, "is null", None, self.kind(tested))
            return Not(null) if negated else null
        if self.strong and self.fold and type(node) is exp.Like and not node.args.get("negate"):
            pattern = self._constant(node.expression)
            plain_text = isinstance(pattern, str) and not any(sign in pattern for sign in "%_")
            if plain_text and self.kind(self.value(node.this, scope)) == "text":
                return self._comparison(node.this, "<>" if negated else "=", node.expression, scope)
        if self.strong and type(node) is exp.Like:
            pattern = self._constant(node.expression)
            if isinstance(pattern, str):
                like = Leaf(f"{self.value(node.this, scope)} like {literal(pattern.lower())}")
                return Not(like) if negated != bool(node.args.get("negate")) else like
        if isinstance(node, (exp.Like, exp.Glob)) and node.args.get("negate"):
            plain = node.copy()
            plain.set("negate", None)
            return self.condition(plain, scope, True) if not negated else self.condition(plain, scope)
        if isinstance(node, exp.Exists) and self.strong:
            body = self.query(node.this, scope, scope.views)
            if isinstance(body, Query) and not body.aggregated:
                body = body._replace(select=("1",), distinct=False)
            atom = Leaf(f"exists({render(body)})")
        else:
            atom = Leaf(
                self._generic(node, scope) if isinstance(node, exp.Predicate) else self.value(node, scope)
            )
        return Not(atom) if negated else atom

    def _membership(self, node: exp.In, scope: Scope, negated: bool) -> Condition:
        items = node.expressions
        query = node.args.get("query")
        if query is None and self.strong and items:
            each = [self._comparison(node.this, "<>" if negated else "=", item, scope) for item in items]
            return conjunction(each, "and" if negated else "or")
        if query is not None:
            body = self.query(query, scope, scope.views)
            if self.strong and isinstance(body, Query) and not body.limit:
                body = body._replace(distinct=False, order=())
            shown = render(body)
        else:
            shown = ", ".join(sorted({self.value(item, scope) for item in items}))
        atom = Leaf(f"{self.value(node.this, scope)} in ({shown})")
        return Not(atom) if negated else atom

    def _comparison(self, left: Any, operator: str, right: Any, scope: Scope) -> Condition:
        if self._constant(left) is not None and self._constant(right) is None:
            left, operator, right = right, FLIPPED[operator], left
        first = self.value(left, scope)
        constant = self._constant(right)
        if constant is not None and self._constant(left) is None:
            kind = self.kind(first)
            if self.strong:
                constant = converted(constant, kind)
            return Leaf(f"{first} {operator} {literal(constant)}", first, operator, constant, kind)
        second = self.value(right, scope)
        if first == second and operator == "=" and first in scope.same.values():
            return TRUE
        if second < first:
            first, operator, second = second, FLIPPED[operator], first
        return Leaf(f"{first} {operator} {second}")


def bare(node: Any) -> Any:
    """A node without the parentheses around it."""
    while isinstance(node, exp.Paren) or (isinstance(node, exp.Subquery) and not node.alias):
        node = node.this
    return node


def converted(constant: int | float | str, kind: Kind) -> int | float | str:
    """The constant as SQLite's affinity rules read it beside a column of this kind."""
    if kind in {"integer", "real"}:
        try:
            number = float(constant)
        except (ValueError, OverflowError):
            return constant
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "text" and not isinstance(constant, str):
        return str(constant)
    return constant
