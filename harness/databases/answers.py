"""When are two results the same: the kernel of every verdict, and of the official scorers.

Bags of rows; order only where the gold orders; integers exact, reals to a relative 1e-9; NULLs equal; one
permutation of the columns forgiven, further columns where the rules say so; text without regard to case where
they do.

The columns' places are found by refinement, as in tests of graph isomorphism, instead of by trying every
permutation: columns are told apart by the values they hold, then by the rows in which they hold
them, until nothing changes. What is alike after that (columns that play the same part) is tried one by
one, until two million values were looked at: no result needs more unless it was built to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from math import inf, isclose
from typing import Any, NamedTuple

from harness.records import Rules

ResultRow = tuple[Any, ...]
_VALUES = 2_000_000


class Result(NamedTuple):
    """What a query gave: the names of its columns, and its rows as tuples of SQLite values."""

    columns: tuple[str, ...]
    rows: list[ResultRow]


class Failure(NamedTuple):
    """Why a query gave nothing. ``kind`` is the value of an Outcome: "syntax_error", "schema_error", …"""

    kind: str
    message: str


class Ways(NamedTuple):
    """What a query with a LIMIT may show where its last place is tied: each row of ``sure``, and of ``tied``
    as many as there is ``room`` for.
    """

    sure: list[ResultRow]
    tied: list[ResultRow]
    room: int

    def admit(self, result: Result) -> bool:
        """Whether a result is one of what the query may show, or has all that ties.

        Columns may stand in any order.

        >>> ways = Ways([("Ann", 9)], [("Bob", 8), ("Cem", 8)], 1)
        >>> [ways.admit(Result(("n", "v"), rows)) for rows in (
        ...     [("Ann", 9), ("Cem", 8)], [(8, "Bob"), (9, "Ann"), (8, "Cem")], [("Bob", 8), ("Cem", 8)])]
        [True, True, False]
        """
        shown, sure, tied = ({_loose(row) for row in rows} for rows in (result.rows, self.sure, self.tied))
        whole = len(result.rows) == len(self.sure) + self.room
        return bool(shown) and sure <= shown <= sure | tied and (whole or tied <= shown)


def _loose(row: ResultRow) -> tuple[str, ...]:
    """A row whose columns may stand in any order, its text in any case."""
    return tuple(sorted(f"{v:.9g}" if isinstance(v, (int, float)) else str(v).lower() for v in row))


class Expected:
    """A gold's answer, made ready to be compared with many results."""

    __slots__ = ("_bag", "_plain", "ordered", "result", "rules")

    def __init__(self, result: Result, *, ordered: bool, rules: Rules) -> None:
        self.result, self.ordered, self.rules = result, ordered, rules
        self._plain: list[ResultRow] | None = None
        self._bag: Counter[ResultRow] | None = None

    def same(self, other: Result) -> bool:
        """Whether a result is the same as this answer under the rules."""
        left, right = self.result.rows, other.rows
        more = len(other.columns) - len(self.result.columns)
        if len(left) != len(right) or more < 0 or (more and self.rules.columns != "subset"):
            return False
        if left == right:
            return True
        fold = self.rules.case == "ignore"
        if self._plain is None:
            self._plain = _folded(left) if fold else left
            self._bag = Counter(self._plain)
        left, right = self._plain, _folded(right) if fold else right
        if left == right or (not self.ordered and self._bag == Counter(right)):
            return True
        if any(type(v) is float for rows in (left, right) for row in rows for v in row):
            left, right = _snapped(left, right)
            if left == right or (not self.ordered and Counter(left) == Counter(right)):
                return True
        if more:
            return same_but_for_more(left, right, ordered=self.ordered)
        return self.rules.columns != "exact" and same_but_for_columns(left, right, ordered=self.ordered)


def same(gold: Result, prediction: Result, *, ordered: bool, rules: Rules) -> bool:
    """Whether the two results are the same under the rules.

    >>> a = Result(("x", "y"), [(1, "Rome"), (2, "Oslo")])
    >>> b = Result(("y", "x"), [("oslo", 2.0), ("rome", 1)])
    >>> same(a, b, ordered=False, rules=Rules()), same(a, b, ordered=True, rules=Rules())
    (True, False)
    """
    return Expected(gold, ordered=ordered, rules=rules).same(prediction)


def same_but_for_columns(left: Sequence[ResultRow], right: Sequence[ResultRow], *, ordered: bool) -> bool:
    """Whether some order of the columns makes the two one bag of rows, or with ``ordered`` one list.

    Values are equal as in Python (1 and 1.0 are, text with its case). Two results without rows are the same
    whatever their columns.

    >>> same_but_for_columns([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], ordered=False)
    True
    >>> same_but_for_columns([(1, 2), (2, 1)], [(1, 1), (2, 2)], ordered=False)
    False
    """
    if len(left) != len(right):
        return False
    if not left:
        return True
    if len(left[0]) != len(right[0]):
        return False
    if len(left[0]) <= 2:
        ways = [list(right)] if len(left[0]) == 1 else [list(right), [(b, a) for a, b in right]]
        return list(left) in ways or (not ordered and Counter(left) in map(Counter, ways))
    columns = list(zip(*left, strict=True)), list(zip(*right, strict=True))
    if ordered:
        return Counter(columns[0]) == Counter(columns[1])
    names: dict[Hashable, int] = {}
    colours = [[names.setdefault(_bag(column), len(names)) for column in own] for own in columns]
    if sorted(colours[0]) != sorted(colours[1]):
        return False
    return _Search(Counter(left), Counter(right)).same(*colours)


def same_but_for_more(left: Sequence[ResultRow], right: Sequence[ResultRow], *, ordered: bool) -> bool:
    """Whether some columns of the right side, in some order, make the two one bag of rows, or one list.

    Of columns that hold the same values a limited number of choices is tried.

    >>> same_but_for_more([("a",), ("b",)], [(1, "b"), (2, "a")], ordered=False)
    True
    >>> same_but_for_more([(1, 2), (2, 1)], [(1, 7, 1), (2, 8, 2)], ordered=False)
    False
    """
    if not left or len(left) != len(right):
        return len(left) == len(right)
    mine, theirs = list(zip(*left, strict=True)), list(zip(*right, strict=True))
    if ordered:
        return Counter(mine) <= Counter(theirs)
    bags = [[_bag(column) for column in own] for own in (mine, theirs)]
    if not Counter(bags[0]) <= Counter(bags[1]):
        return False
    places = [[at for at, bag in enumerate(bags[1]) if bag == wanted] for wanted in bags[0]]
    wanted = Counter(left)
    most = max(1, _VALUES // (len(left) * len(mine)))
    return any(
        Counter(tuple(row[at] for at in chosen) for row in right) == wanted
        for chosen in islice(_choices(places), most)
    )


def _choices(places: Sequence[Sequence[int]], taken: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every choice of a place each, no place twice."""
    if len(taken) == len(places):
        yield taken
        return
    for at in places[len(taken)]:
        if at not in taken:
            yield from _choices(places, (*taken, at))


class _Search:
    """Looks for the columns' places in two bags of rows. A column may take that of one of its colour only."""

    def __init__(self, left: Counter[ResultRow], right: Counter[ResultRow]) -> None:
        self._bags = (list(left.items()), list(right.items()))
        self._values = _VALUES

    def same(self, left: list[int], right: list[int]) -> bool:
        """Whether the bags are one with the columns so coloured."""
        if self._values < 0:
            return False
        while True:
            self._values -= 2 * len(left) * sum(map(len, self._bags))
            names: dict[Hashable, int] = {}
            rows = [
                [names.setdefault((n, _bag(zip(colours, row, strict=True))), len(names)) for row, n in bag]
                for bag, colours in zip(self._bags, (left, right), strict=True)
            ]
            if Counter(rows[0]) != Counter(rows[1]):
                return False
            names = {}
            fresh = [
                [
                    names.setdefault(
                        (c, _bag((r, row[i]) for r, (row, _) in zip(found, bag, strict=True))), len(names)
                    )
                    for i, c in enumerate(colours)
                ]
                for found, bag, colours in zip(rows, self._bags, (left, right), strict=True)
            ]
            if Counter(fresh[0]) != Counter(fresh[1]):
                return False
            stable = len(set(fresh[0])) == len(set(left))
            left, right = fresh
            if stable:
                break
        colour, size = Counter(left).most_common(1)[0]
        if size == 1:  # every column has its place, and the rows were just found to be the same
            return True
        mine = _marked(left, left.index(colour))
        return any(self.same(mine, _marked(right, i)) for i, c in enumerate(right) if c == colour)


def _bag(values: Iterable[Hashable]) -> frozenset[tuple[Hashable, int]]:
    return frozenset(Counter(values).items())


def _marked(colours: list[int], place: int) -> list[int]:
    return [-1 if i == place else colour for i, colour in enumerate(colours)]


def _folded(rows: Sequence[ResultRow]) -> list[ResultRow]:
    return [tuple(v.lower() if type(v) is str else v for v in row) for row in rows]


def _snapped(
    left: Sequence[ResultRow], right: Sequence[ResultRow]
) -> tuple[list[ResultRow], list[ResultRow]]:
    """The rows with numbers that differ by the rounding of reals made one; two integers never are."""
    values = [v for rows in (left, right) for row in rows for v in row]
    integers: set[float] = {v for v in values if type(v) is int}
    places: dict[float, float] = {}
    first = last = -inf
    for number in sorted(integers.union(v for v in values if type(v) is float)):
        real = type(number) is float or type(last) is float
        if not (real and isclose(number, last, rel_tol=1e-9)):
            first = number
        elif first != number:
            places[number] = first
        last = number
    if not places:
        return list(left), list(right)
    return _replaced(left, places), _replaced(right, places)


def _replaced(rows: Sequence[ResultRow], places: dict[float, float]) -> list[ResultRow]:
    return [tuple(places.get(v, v) if type(v) in (int, float) else v for v in row) for row in rows]
