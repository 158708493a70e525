"""Proof that two queries mean the same, for conditions that compare values with constants.

Two queries whose strong canonical forms agree in everything but WHERE and HAVING are equal if those
conditions are. Each compared value's domain is cut into regions at the constants of both conditions: whole
numbers into points and their neighbours, reals and text into each constant and the gaps between; a region
for NULL and, for a condition that is not such a comparison, its three truth values complete it. Over the
product of all regions both conditions are evaluated at once as bit sets in SQL's three-valued logic; a gap
that holds no value only makes the test stricter, so what is proved is true on every database of the rules.
A proof that needs the absence of NULL is tried last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from harness.sql.terms import Compound, Condition, Form, Leaf, Not, render

LIMIT = 1 << 16
"""Largest product of regions that is looked at, in bits."""

LEAVES = 120
"""Most comparisons of two conditions that are looked at."""

_COMPARE: dict[str, Callable[[int], bool]] = {
    "=": lambda sign: sign == 0,
    "<>": lambda sign: sign != 0,
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
    ">": lambda sign: sign > 0,
    ">=": lambda sign: sign >= 0,
}
_COMMUTATIVE = {"union", "union all", "intersect"}


def proof(gold: Form | None, prediction: Form | None, *, nulls: bool = False) -> str | None:
    """The name of the argument that shows two strong forms equal; None where there is none.

    "canonical form": they are written the same; "regions": their conditions agree on every region;
    "regions without NULL": the same where no value is NULL, which ``nulls`` does not let count.
    """
    if gold is None or prediction is None:
        return None
    if not (gold.order or gold.limit or prediction.limit):
        prediction = prediction._replace(order=())
    if gold == prediction or render(gold) == render(prediction):
        return "canonical form"
    if _agree(gold, prediction, nulls=True):
        return "regions"
    if not nulls and _agree(gold, prediction, nulls=False):
        return "regions without NULL"
    return None


def _agree(one: Form, other: Form, *, nulls: bool) -> bool:
    if one == other:
        return True
    if isinstance(one, Compound) or isinstance(other, Compound):
        if not (isinstance(one, Compound) and isinstance(other, Compound)) or one[0::3] != other[0::3]:
            return False
        if one.limit != other.limit:
            return False
        straight = _agree(one.left, other.left, nulls=nulls) and _agree(one.right, other.right, nulls=nulls)
        return straight or (
            one.operator in _COMMUTATIVE
            and _agree(one.left, other.right, nulls=nulls)
            and _agree(one.right, other.left, nulls=nulls)
        )
    if one._replace(where=other.where, having=other.having) != other:
        return False
    nulls = nulls or bool(one.joins)
    grouped = bool(one.group)
    return same_condition(one.where, other.where, nulls=nulls) and same_condition(
        one.having, other.having, nulls=nulls or not grouped, counted=grouped
    )


def same_condition(one: Condition, other: Condition, *, nulls: bool = True, counted: bool = False) -> bool:
    """Whether two conditions hold for the same rows; False where that cannot be shown.

    ``nulls``: may values be NULL; ``counted``: the conditions are of groups, none of which is empty.

    >>> a = Leaf("t.a >= 3", "t.a", ">=", 3, "integer")
    >>> b = Leaf("t.a > 2", "t.a", ">", 2, "integer")
    >>> same_condition(a, b), same_condition(a, b._replace(constant=3, text="t.a > 3"))
    (True, False)
    """
    if one == other:
        return True
    truths = _truths({atom.text: atom for item in (one, other) for atom in _atoms(item)}, nulls, counted)
    return truths is not None and _holds(one, truths)[0] == _holds(other, truths)[0]


class _Truth(NamedTuple):
    true: int
    false: int


def _atoms(item: Condition) -> Iterator[Leaf]:
    if isinstance(item, Leaf):
        yield item
    elif isinstance(item, Not):
        yield from _atoms(item.item)
    else:
        for one in item.items:
            yield from _atoms(one)


def _truths(atoms: dict[str, Leaf], nulls: bool, counted: bool) -> tuple[dict[str, _Truth], int] | None:
    """Each atom's truth over the product of all regions, and the set of the whole product."""
    if len(atoms) > LEAVES:
        return None
    groups: dict[str, list[Leaf]] = {}
    for atom in atoms.values():
        groups.setdefault(atom.left if atom.kind else atom.text, []).append(atom)
    tables = [_regions(group, nulls, counted) for group in groups.values()]
    size = math.prod(width for width, _ in tables)
    if size > LIMIT:
        return None
    whole, stride = (1 << size) - 1, 1
    truths: dict[str, _Truth] = {}
    for width, group in tables:
        period = stride * width
        repeat, block = whole // ((1 << period) - 1), (1 << stride) - 1
        for text, (true, false) in group.items():
            truths[text] = _Truth(
                repeat * sum(block << region * stride for region in true),
                repeat * sum(block << region * stride for region in false),
            )
        stride = period
    return truths, whole


def _regions(
    group: list[Leaf], nulls: bool, counted: bool
) -> tuple[int, dict[str, tuple[list[int], list[int]]]]:
    """How many regions one value has, and for each atom where it is true and where false."""
    kind = group[0].kind
    if not kind:
        return 3, {group[0].text: ([0], [1])}
    numeric = kind in {"integer", "real"}
    constants = [atom.constant for atom in group]
    points: list[float] | list[str]
    signs: dict[Any, list[int]]
    if numeric:
        numbers = sorted({value for value in constants if isinstance(value, (int, float))})
        points = _whole(numbers) if kind == "integer" else _between(numbers)
        if group[0].left == "count(*)":
            nulls, points = False, [p for p in points if p >= counted] or [1]
        signs = {value: [(p > value) - (p < value) for p in points] for value in numbers}
    else:
        texts = sorted({str(value) for value in constants if value is not None})
        places = range(2 * len(texts) + 1)
        points = [""] * len(places)
        signs = {text: [(p > 2 * n + 1) - (p < 2 * n + 1) for p in places] for n, text in enumerate(texts)}
    found: dict[str, tuple[list[int], list[int]]] = {}
    for atom in group:
        if atom.operator == "is null":
            found[atom.text] = ([len(points)] if nulls else [], list(range(len(points))))
            continue
        holds = _COMPARE[atom.operator]
        key = atom.constant if numeric else str(atom.constant)
        sides = signs.get(key, [-1] * len(points))  # a number is less than any text
        found[atom.text] = (
            [n for n, sign in enumerate(sides) if holds(sign)],
            [n for n, sign in enumerate(sides) if not holds(sign)],
        )
    return len(points) + nulls, found


def _whole(numbers: list[int | float]) -> list[float]:
    near = {
        value
        for n in numbers
        if math.isfinite(n)
        for low in (math.floor(n), math.ceil(n))
        for value in (low - 1, low, low + 1)
    }
    return sorted(near) or [0]


def _between(numbers: list[int | float]) -> list[float]:
    if not numbers:
        return [0]
    gaps = [low / 2 + high / 2 for low, high in pairwise(numbers)]
    ends = math.nextafter(numbers[0], -math.inf), math.nextafter(numbers[-1], math.inf)
    return sorted({*numbers, *gaps, *ends})


def _holds(item: Condition, truths: tuple[dict[str, _Truth], int]) -> _Truth:
    known, whole = truths
    if isinstance(item, Leaf):
        return known[item.text]
    if isinstance(item, Not):
        inner = _holds(item.item, truths)
        return _Truth(inner.false, inner.true)
    true, false = (whole, 0) if item.operator == "and" else (0, whole)
    for one in item.items:
        part = _holds(one, truths)
        if item.operator == "and":
            true, false = true & part.true, false | part.false
        else:
            true, false = true | part.true, false & part.false
    return _Truth(true, false)
