"""Are two results one bag of rows, if the columns of one may change places?

Values are equal as in Python (1 and 1.0 are, text with its case). The columns' places are found by
refinement, as in tests of graph isomorphism, instead of by trying every permutation: columns are told
apart by the values they hold, then by the rows in which they hold them, until nothing changes.
What is alike after that (columns that play the same part) is tried one by one, at most a
thousand times in all: no result needs more unless it was built to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

Row = tuple[Any, ...]
_Bag = Counter[Row]
_TRIALS = 1000


def same_bag(left: Sequence[Row], right: Sequence[Row], *, ordered: bool) -> bool:
    """Whether some order of the columns makes the two the same bag, or with ``ordered`` the same list.

    Two empty results are the same whatever their columns.

    >>> same_bag([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], ordered=False)
    True
    >>> same_bag([(1, 2), (2, 1)], [(1, 1), (2, 2)], ordered=False)
    False
    """
    if len(left) != len(right):
        return False
    if not left:
        return True
    if len(left[0]) != len(right[0]):
        return False
    if ordered:
        return Counter(zip(*left, strict=True)) == Counter(zip(*right, strict=True))
    bags = Counter(left), Counter(right)
    if bags[0] == bags[1]:
        return True
    colours = [0] * len(left[0])
    return len(colours) > 1 and _Search(*bags).same(colours, colours)


class _Search:
    def __init__(self, left: _Bag, right: _Bag) -> None:
        self._bags = (list(left.items()), list(right.items()))
        self._trials = _TRIALS

    def same(self, left: list[int], right: list[int]) -> bool:
        """Whether the bags are one, if a column may only take the place of one of its colour."""
        self._trials -= 1
        if self._trials < 0:
            return False
        while True:
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
        alike = Counter(left)
        colour, size = max(alike.items(), key=lambda item: item[1])
        if size == 1:  # every column has its place, and the rows were just found to be the same
            return True
        mine = left.index(colour)
        trials = [_marked(right, i) for i, c in enumerate(right) if c == colour]
        return any(self.same(_marked(left, mine), trial) for trial in trials)


def _bag(values: Any) -> frozenset[tuple[Any, int]]:
    return frozenset(Counter(values).items())


def _marked(colours: list[int], place: int) -> list[int]:
    return [-1 if i == place else colour for i, colour in enumerate(colours)]
