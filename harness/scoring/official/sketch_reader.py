"""From SQL to WikiSQL's sketch: what a query says in that form, if it says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.benchmarks.sketch import Sketch, SketchCondition, SketchValue
from harness.sql.parse import parse

_FUNCTIONS: dict[type[exp.Expr], int] = {exp.Max: 1, exp.Min: 2, exp.Count: 3, exp.Sum: 4, exp.Avg: 5}
_COMPARISONS: dict[type[exp.Expr], tuple[int, int]] = {exp.EQ: (0, 0), exp.GT: (1, 2), exp.LT: (2, 1)}
_PARTS = frozenset({"expressions", "from_", "where"})


@lru_cache(maxsize=4096)
def read_sketch(sql: str, columns: tuple[str, ...]) -> Sketch | None:
    """The sketch that a query says, or None where it says none.

    Of WikiSQL's form is one SELECT of one column, bare or in MAX, MIN, COUNT, SUM or AVG, from one
    table whatever its name, with or without conditions ``column = > < value`` joined by AND (value
    first, parentheses, aliases and qualifiers are fine). All else is not: ``COUNT(*)``, DISTINCT,
    OR, >=, LIKE, ORDER BY, a second statement. A column is found by its name in ``columns``
    (case aside), else as ``colN``, else by its letters and digits if only one has these. A
    column compared with a name in double quotes is compared with a string: sketches hold nothing else.

    >>> read_sketch("SELECT COUNT(No) FROM t WHERE 5 < Year AND Team = 'A'", ("No", "Year", "Team"))
    Sketch(sel=0, agg=3, conds=((1, 1, 5), (2, 0, 'A')))
    """
    try:
        statements = parse(sql)
    except SqlglotError:
        return None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        return None
    query = statements[0]
    source = query.args.get("from_")
    if {part for part, value in query.args.items() if value} - _PARTS or not source:
        return None
    if not isinstance(source.this, exp.Table) or source.this.args.get("joins") or len(query.expressions) != 1:
        return None
    names = _Names(columns)
    item = query.expressions[0].unalias()
    agg = _FUNCTIONS.get(type(item), 0)
    sel = names.find(item.this if agg else item)
    conds: list[SketchCondition] = []
    for part in _conjuncts(query.args.get("where")):
        found = names.condition(part)
        if found is None:
            return None
        conds.append(found)
    return None if sel is None else Sketch(sel, agg, tuple(conds))


def _conjuncts(where: exp.Expr | None) -> Iterator[exp.Expr]:
    """The conditions joined by AND, from left to right."""
    waiting = [where.this] if where is not None else []
    while waiting:
        part = waiting.pop().unnest()
        if isinstance(part, exp.And):
            waiting += [part.right, part.left]
        else:
            yield part


class _Names:
    """Numbers of columns by the names that a query may use for them."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._exact: dict[str, int] = {}
        loose: dict[str, list[int]] = {}
        for i, name in enumerate(columns):
            self._exact.setdefault(name.lower(), i)
            loose.setdefault(_letters(name), []).append(i)
        for i in range(len(columns)):
            self._exact.setdefault(f"col{i}", i)
        self._loose = {
            letters: places[0] for letters, places in loose.items() if letters and len(places) == 1
        }

    def find(self, node: exp.Expr | None) -> int | None:
        """The column that an expression names."""
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return None
        return self._exact.get(node.name.lower(), self._loose.get(_letters(node.name)))

    def condition(self, node: exp.Expr) -> SketchCondition | None:
        """A comparison of a column with a value, whichever stands first."""
        operators = _COMPARISONS.get(type(node))
        if operators is None:
            return None
        for operator, left, right in zip(
            operators, (node.this, node.expression), (node.expression, node.this), strict=True
        ):
            column, value = self.find(left), self._value(right)
            if column is not None and value is not None:
                return column, operator, value
        return None

    def _value(self, node: exp.Expr) -> SketchValue | None:
        if isinstance(node, exp.Column) and node.this.args.get("quoted"):
            return node.name
        negative = isinstance(node, exp.Neg)
        literal = node.this if negative else node
        if not isinstance(literal, exp.Literal):
            return None
        if literal.is_string:
            return None if negative else literal.name
        value = _numeral(literal.name)
        return -value if negative and value is not None else value


def _numeral(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
