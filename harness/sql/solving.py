"""What columns must hold for a condition on an expression of theirs to be met, or just missed.

``LOWER(x) = LOWER('Open')`` asks for 'Open', ``n * 7 = 35`` for 5, ``LENGTH(x) > 3`` for texts of three and
four letters. A condition is passed down to the columns inside its expression; on the way its constants are
turned round. What comes out need not be all solutions: it is what databases should hold.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlglot import exp

from harness.sql.dialect import Value, constant, is_whole, number_of, stored

PART = "part"
"""The operator of a condition whose values are texts that only part of a comparison is about."""


class Solution(NamedTuple):
    """A condition on a column: what the comparison of the expression comes down to.

    ``op`` is the comparison's own where it says the same of the column, "near" where the values are only
    what the databases should hold, and ``PART`` where they are texts that only a column of texts can hold.
    """

    column: exp.Column
    op: str
    values: tuple[Value, ...]


def solutions(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """The conditions on columns that ``node op values`` comes down to."""
    if isinstance(node, exp.Column):
        yield Solution(node, op, tuple(values))
        return
    solve = next((solve for kind, solve in _SOLVERS if isinstance(node, kind)), None)
    if solve is not None:
        yield from solve(node, op, values)
    else:
        for column in columns_of(node):
            yield Solution(column, "near", tuple(values))


def told(node: exp.Expr | None) -> tuple[Value] | None:
    """What literals come to, wrapped in a tuple: one, also inside LOWER, UPPER and TRIM, or a sum of some.

    None for anything else.

    >>> told(exp.Lower(this=exp.Literal.string("Open")))
    ('open',)
    >>> told(exp.Div(this=exp.Literal.number(44), expression=exp.Literal.number(10)))
    (4,)
    """
    for kind, change in _CHANGES:
        if isinstance(node, kind):
            inner = told(node.this)
            return (change(inner[0]),) if inner and isinstance(inner[0], str) else None
    if isinstance(node, exp.Paren):
        return told(node.this)
    if (reckon := _SUMS.get(type(node))) is not None and isinstance(node, exp.Expr):
        sides = [one[0] if (one := told(node.args.get(key))) else None for key in ("this", "expression")]
        found = reckon(*sides) if all(isinstance(side, (int, float)) for side in sides) else None
        return None if found is None or not math.isfinite(found) else (stored(found),)
    if isinstance(node, exp.DPipe):
        parts = [one[0] for part in (node.this, node.expression) if (one := told(part))]
        texts = [str(part) for part in parts if isinstance(part, (int, str))]
        return ("".join(texts),) if len(texts) == 2 else None
    return constant(node)


def _divided(value: float, by: float) -> float | None:
    """As SQLite divides: whole numbers towards zero."""
    if not by:
        return None
    if isinstance(value, int) and isinstance(by, int):
        return abs(value) // abs(by) * (1 if (value < 0) == (by < 0) else -1)
    return value / by


_SUMS: dict[type, Callable[[Any, Any], float | None]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Div: _divided,
}


def _same(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    yield from solutions(node.this, op, values)


def _cast(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """A CAST of a column's own value; what it makes of others is left to their neighbours."""
    yield from solutions(node.this, "near", values)


def _trimmed(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    yield from solutions(node.this, "near", values)
    texts = [v for v in values if isinstance(v, str)]
    blank = [b for v in texts for b in (f" {v}", f"{v}  ", f" {v} ")]
    for column in columns_of(node.this) if blank else ():
        yield Solution(column, PART, tuple(blank))


def _nulled(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """NULLIF(x, c): x is c, or what the comparison asks for."""
    other = told(node.args.get("expression"))
    yield from solutions(node.this, "near", (*values, *(other or ())))


def _long(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """Texts of just that length, and one more and one less."""
    lengths = [int(n) for v in values if (n := _number(v)) is not None and 0 <= n <= _LONGEST]
    around = dict.fromkeys(n + d for n in lengths for d in (0, 1, -1) if n + d >= 0)
    made = tuple(_text(n) for n in around)
    for column in columns_of(node.this):
        yield Solution(column, PART, made)
        yield Solution(column, PART, tuple(text.upper() for text in made))


def _cut(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """SUBSTR(x, i, n): what stands there, behind other letters and before some."""
    start = constant(node.args.get("start")) or (1,)
    before = start[0] - 1 if isinstance(start[0], int) and 1 <= start[0] <= _LONGEST else 0
    texts = [v for v in values if isinstance(v, str)]
    made = [f"{_text(before)}{v}{end}" for v in texts for end in ("", " delta")]
    for column in columns_of(node.this):
        yield Solution(column, "near", tuple(values))
        if made:
            yield Solution(column, PART, tuple(made))


def _joined(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """a || ' ' || b: a constant is cut where the texts between the columns stand."""
    parts = list(_parts(node))
    cut = [found for v in values if isinstance(v, str) and (found := _split(v, parts)) is not None]
    same = op if op in ("=", "in") else "near"
    for place, part in enumerate(parts):
        cuts: tuple[Value, ...] = tuple(one[place] for one in cut)
        if isinstance(part, exp.Column):
            yield Solution(part, same if len(cuts) == len(values) else "near", cuts or tuple(values))
        elif told(part) is None:
            yield from solutions(part, "near", cuts or values)


def _computed(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    """Arithmetic with a constant, turned round; whole numbers on both sides of what is none."""
    sides = (node.this, node.args["expression"])
    known = [_number(one[0]) if (one := told(side)) else None for side in sides]
    if (known[0] is None) == (known[1] is None):
        for side in sides:
            yield from solutions(side, "near", values)
        return
    first = known[0] is not None
    turn, other = _TURNED[type(node), first], known[0] if first else known[1]
    assert other is not None
    turned: list[Value] = []
    for value in values:
        number = _number(value)
        solved = None if number is None else turn(number, other)
        if solved is not None and math.isfinite(solved):
            whole = [stored(math.floor(solved)), stored(math.ceil(solved))]
            turned += [solved] if is_whole(solved) else [*whole, solved]
    yield from solutions(sides[1] if first else sides[0], "near", [*turned, *values])


def _signless(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    numbers = [n for v in values if (n := _number(v)) is not None]
    yield from solutions(node.this, "near", (*values, *(-n for n in numbers)))


def _remainder(node: exp.Expr, op: str, values: Sequence[Value]) -> Iterator[Solution]:
    by = told(node.args.get("expression"))
    step = by[0] if by and isinstance(by[0], int) else 0
    rests = [n for v in values if (n := _number(v)) is not None]
    more = [n for rest in rests for n in (rest + step, rest - step, rest + 3 * step, -rest)] if step else []
    yield from solutions(node.this, "near", (*values, *more))


_SOLVERS: tuple[
    tuple[
        type[exp.Expr] | tuple[type[exp.Expr], ...],
        Callable[[exp.Expr, str, Sequence[Value]], Iterator[Solution]],
    ],
    ...,
] = (
    ((exp.Paren, exp.Lower, exp.Upper, exp.Coalesce), _same),
    (exp.Cast, _cast),
    (exp.Trim, _trimmed),
    (exp.Nullif, _nulled),
    (exp.Length, _long),
    ((exp.Substring, exp.Left), _cut),
    ((exp.DPipe, exp.Concat), _joined),
    ((exp.Add, exp.Sub, exp.Mul, exp.Div), _computed),
    ((exp.Abs, exp.Neg), _signless),
    (exp.Mod, _remainder),
)

_TURNED: dict[tuple[type[exp.Expr], bool], Callable[[float, float], float | None]] = {
    (exp.Add, False): lambda v, c: v - c,
    (exp.Add, True): lambda v, c: v - c,
    (exp.Sub, False): lambda v, c: v + c,
    (exp.Sub, True): lambda v, c: c - v,
    (exp.Mul, False): lambda v, c: v / c if c else None,
    (exp.Mul, True): lambda v, c: v / c if c else None,
    (exp.Div, False): lambda v, c: v * c,
    (exp.Div, True): lambda v, c: c / v if v else None,
}

_CHANGES: tuple[tuple[type[exp.Expr], Callable[[str], str]], ...] = (
    (exp.Lower, str.lower),
    (exp.Upper, str.upper),
    (exp.Trim, str.strip),
)

_LONGEST = 200
"""Longest text that is made for a LENGTH, or for what stands before a SUBSTR."""


def _text(length: int) -> str:
    return ("maple opal quartz sierra " * (length // 25 + 1))[:length].replace(" ", "-")


def _number(value: Value) -> int | float | None:
    return number_of(value) if isinstance(value, str) else value


def columns_of(node: exp.Expr | None, *, inside_aggregates: bool = True) -> Iterator[exp.Column]:
    """The columns of an expression, not those of queries inside it."""
    if node is None or isinstance(node, (exp.Select, exp.SetOperation)):
        return
    if isinstance(node, exp.Column):
        yield node
    elif inside_aggregates or not isinstance(node, exp.AggFunc):
        for child in node.iter_expressions():
            yield from columns_of(child, inside_aggregates=inside_aggregates)


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    inner = [node.this, node.args["expression"]] if isinstance(node, exp.DPipe) else node.expressions
    for part in inner:
        if isinstance(part, exp.Paren):
            part = part.this
        yield from _parts(part) if isinstance(part, (exp.DPipe, exp.Concat)) else (part,)


def _split(text: str, parts: Sequence[exp.Expr]) -> list[str] | None:
    """What each part is of a text, cut where the known ones stand first; None where they do not stand."""
    known = [None if (one := told(part)) is None else str(one[0]) for part in parts]
    found: list[str] = []
    for place, (here, after) in enumerate(pairwise([*known, ""])):
        if here is not None:
            if not text.startswith(here):
                return None
            found.append(here)
        elif place + 1 == len(parts):
            found.append(text)
        elif after is None:  # two columns side by side
            found.append(text[: max(1, len(text) // 2)])
        else:
            end = text.find(after)
            if end < 0:
                return None
            found.append(text[:end])
        text = text[len(found[-1]) :]
    return found if not text else None
