"""When are two results the same: the kernel of every verdict.

Bags of rows; order only where the gold orders; integers exact, reals to a relative 1e-9; NULLs equal; one
permutation of the columns forgiven; text without regard to case where the rules say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose
from typing import Any, NamedTuple

from harness.records import Rules

Row = tuple[Any, ...]
_TRIES = 200  # permutations looked at before two bags of columns are held to be different


class Result(NamedTuple):
    """What a query gave: the names of its columns, and its rows as tuples of SQLite values."""

    columns: tuple[str, ...]
    rows: list[Row]


class Failure(NamedTuple):
    """Why a query gave nothing. ``kind`` is the value of an Outcome: "syntax_error", "schema_error", …"""

    kind: str
    message: str


class Expected:
    """A gold's answer, made ready to be compared with many results."""

    __slots__ = ("_bag", "_normal", "ordered", "result", "rules")

    def __init__(self, result: Result, *, ordered: bool, rules: Rules) -> None:
        self.result, self.ordered, self.rules = result, ordered, rules
        self._normal: list[Row] | None = None
        self._bag: Counter[Row] | None = None

    def same(self, other: Result) -> bool:
        """Whether a result is the same as this answer under the rules."""
        left, right = self.result.rows, other.rows
        if len(left) != len(right) or len(self.result.columns) != len(other.columns):
            return False
        if left == right:
            return True
        ignore = self.rules.case == "ignore"
        if self._normal is None:
            self._normal = _normal(left, ignore)
            self._bag = Counter(self._normal)
        left, right = self._normal, _normal(right, ignore)
        if (
            left == right
            or (not self.ordered and self._bag == Counter(right))
            or _near(left, right, self.ordered)
        ):
            return True
        if self.rules.columns == "exact" or len(self.result.columns) < 2:
            return False
        return any(_equal(left, moved, self.ordered) for moved in _permuted(left, right, self.ordered))


def same(gold: Result, prediction: Result, *, ordered: bool, rules: Rules) -> bool:
    """Whether the two results are the same under the rules.

    >>> a = Result(("x", "y"), [(1, "Rome"), (2, "Oslo")])
    >>> b = Result(("y", "x"), [("oslo", 2.0), ("rome", 1)])
    >>> same(a, b, ordered=False, rules=Rules()), same(a, b, ordered=True, rules=Rules())
    (True, False)
    """
    return Expected(gold, ordered=ordered, rules=rules).same(prediction)


def _normal(rows: Sequence[Row], ignore: bool) -> list[Row]:
    """Rows whose equal values are equal in Python too, as far as that can be had value by value."""
    if ignore:
        return [tuple(v.lower() if type(v) is str else v for v in row) for row in rows]
    return list(rows)


def _equal(left: list[Row], right: list[Row], ordered: bool) -> bool:
    return left == right or (not ordered and Counter(left) == Counter(right)) or _near(left, right, ordered)


def _near(left: list[Row], right: list[Row], ordered: bool) -> bool:
    """Equality up to the rounding of reals."""
    if not any(type(v) is float for row in right for v in row) and not any(
        type(v) is float for row in left for v in row
    ):
        return False
    if not ordered:
        left, right = sorted(left, key=_sort_key), sorted(right, key=_sort_key)
    return all(map(_close_rows, left, right))


def _close_rows(left: Row, right: Row) -> bool:
    return left == right or all(map(_close, left, right))


def _close(a: Any, b: Any) -> bool:
    if a == b:
        return True
    reals = (
        isinstance(a, (int, float)) and isinstance(b, (int, float)) and (type(a) is float or type(b) is float)
    )
    return reals and isclose(a, b, rel_tol=1e-9)


def _value_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, float):
        return (1, float(f"{value:.8g}"))
    if isinstance(value, int):
        return (1, float(f"{value:.8g}")) if -(2**53) < value < 2**53 else (1, value)
    return (2, value) if isinstance(value, str) else (3, bytes(value))


def _sort_key(row: Row) -> tuple[tuple[int, Any], ...]:
    return tuple(map(_value_key, row))


def _permuted(left: list[Row], right: list[Row], ordered: bool) -> Iterator[list[Row]]:
    """``right`` with its columns in each order in which every column alone equals that of ``left``.

    Columns are fixed one by one and a start that already disagrees is left at once, so that the search
    is linear for ordered results and short for bags; it gives up after 200 starts.
    """
    width = len(left[0]) if left else 0
    columns_left = [list(c) for c in zip(*left, strict=True)]
    columns_right = [list(c) for c in zip(*right, strict=True)]
    reals = [any(type(v) is float for v in c) for c in (*columns_left, *columns_right)]
    marks = [tuple(c) if ordered else frozenset(Counter(c).items()) for c in (*columns_left, *columns_right)]
    fits = [
        [
            j
            for j in range(width)
            if marks[i] == marks[width + j]
            or (
                (reals[i] or reals[width + j])
                and _near([(v,) for v in a], [(v,) for v in columns_right[j]], ordered)
            )
        ]
        for i, a in enumerate(columns_left)
    ]
    if not all(fits):
        return
    tries = 0

    def extend(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        nonlocal tries
        at = len(chosen)
        if at == width:
            yield chosen
            return
        for j in fits[at]:
            if j in chosen or tries >= _TRIES:
                continue
            tries += 1
            start = (*chosen, j)
            if at == 0 or _equal(
                [row[: at + 1] for row in left], [tuple(row[k] for k in start) for row in right], ordered
            ):
                yield from extend(start)

    for order in extend(()):
        yield [tuple(row[k] for k in order) for row in right]
