"""When two results are the same."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from databases_cases import cases
from hypothesis import given
from hypothesis import strategies as st

from harness.databases import Result, same
from harness.databases.answers import ResultRow, same_but_for_columns
from harness.records import Rules


def _result(rows: list[list[Any]], width: int | None) -> Result:
    size = width if width is not None else len(rows[0])
    return Result(tuple(f"c{i}" for i in range(size)), [tuple(row) for row in rows])


@pytest.mark.parametrize("case", cases("results"))
def test_results_compare_by_the_rules(case: dict[str, Any]) -> None:
    widths = case.get("widths", [None, None])
    gold, prediction = _result(case["gold"], widths[0]), _result(case["prediction"], widths[1])
    rules = Rules(**case.get("rules", {}))
    ordered = case.get("ordered", False)
    assert same(gold, prediction, ordered=ordered, rules=rules) is case["same"]
    assert same(prediction, gold, ordered=ordered, rules=rules) is case["same"]


VALUES = st.one_of(st.none(), st.integers(-3, 3), st.floats(-2, 2), st.sampled_from(["a", "A", "b"]))


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=6), st.permutations([0, 1, 2]), st.randoms())
def test_a_shuffled_result_is_the_same(rows: list[tuple[Any, ...]], order: list[int], random: Any) -> None:
    moved = [tuple(row[i] for i in order) for row in rows]
    random.shuffle(moved)
    columns = ("x", "y", "z")
    assert same(Result(columns, rows), Result(columns, moved), ordered=False, rules=Rules())


def test_many_equal_columns_do_not_explode() -> None:
    """The permutation search gives up instead of trying 20 factorial."""
    columns = tuple(f"c{i}" for i in range(20))
    left = [tuple((i + j) % 2 for j in range(20)) for i in range(40)]
    right = [tuple((i + j + (i == 3 and j == 7)) % 2 for j in range(20)) for i in range(40)]
    start = time.perf_counter()
    same(Result(columns, left), Result(columns, right[:39] + left[:1]), ordered=False, rules=Rules())
    assert time.perf_counter() - start < 2


def test_bags_under_every_permutation_by_brute_force() -> None:
    chance = random.Random(5)
    values = [None, 0, 1, 1.0, "a", "A", b"a"]
    seen = {True: 0, False: 0}
    for _ in range(3000):
        width, height, kinds = chance.choice([1, 2, 3, 4]), chance.randrange(6), chance.choice([2, 3, 7])
        left = [tuple(chance.choices(values[:kinds], k=width)) for _ in range(height)]
        order = chance.sample(range(width), width)
        right = [tuple(row[i] for i in order) for row in left]
        chance.shuffle(right)
        if right and chance.random() < 0.4:
            at, place = chance.randrange(height), chance.randrange(width)
            row = list(right[at])
            row[place] = chance.choice(values[:kinds])
            right[at] = tuple(row)
        ordered = chance.random() < 0.3
        expected = any(
            (left == moved if ordered else sorted(left, key=_key) == sorted(moved, key=_key))
            for places in permutations(range(width))
            for moved in [[tuple(row[i] for i in places) for row in right]]
        )
        seen[expected] += 1
        assert same_but_for_columns(left, right, ordered=ordered) == expected, (left, right, ordered)
    assert min(seen.values()) > 500


def _key(row: ResultRow) -> list[tuple[str, str]]:
    return [
        ("number", str(float(v))) if isinstance(v, int | float) else (type(v).__name__, str(v)) for v in row
    ]


def cycles(*lengths: int) -> list[ResultRow]:
    """A row for every edge of cycles over the columns: all columns look the same."""
    edges: list[tuple[int, int]] = []
    for length in lengths:
        start = len(edges)
        edges += [(start + i, start + (i + 1) % length) for i in range(length)]
    return [tuple(int(column in edge) for column in range(len(edges))) for edge in edges]


def test_many_columns_alike_take_no_exponential_time() -> None:
    order = random.Random(1).sample(range(40), 40)
    moved = [tuple(row[i] for i in order) for row in cycles(40)]
    start = time.monotonic()
    assert Counter(moved) != Counter(cycles(40))
    assert same_but_for_columns(cycles(40), moved, ordered=False)
    assert not same_but_for_columns(cycles(20, 20), moved, ordered=False)
    assert not same_but_for_columns(cycles(40), [*moved[1:], moved[1]], ordered=False)
    assert time.monotonic() - start < 20


def test_two_graphs_that_refinement_alone_cannot_tell_apart() -> None:
    """The 4 × 4 rook's graph and Shrikhande's: same degrees and neighbourhoods, not the same."""
    cells = [(x, y) for x in range(4) for y in range(4)]
    rook = {(a, b) for a in cells for b in cells if a != b and (a[0] == b[0] or a[1] == b[1])}
    steps = {(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)}
    shrikhande = {(a, b) for a in cells for b in cells if ((a[0] - b[0]) % 4, (a[1] - b[1]) % 4) in steps}
    tables = [
        [tuple(int(c in edge) for c in cells) for edge in sorted(g) if edge[0] < edge[1]]
        for g in (rook, shrikhande)
    ]
    assert [len(table) for table in tables] == [48, 48]
    start = time.monotonic()
    assert not same_but_for_columns(tables[0], tables[1], ordered=False)
    chance = random.Random(2)
    moved = [tuple(row[i] for i in chance.sample(range(16), 16)) for row in tables[1]]
    assert not same_but_for_columns(tables[1], moved, ordered=False)  # every row moved in its own way
    order = random.Random(3).sample(range(16), 16)
    assert same_but_for_columns(
        tables[1], [tuple(row[i] for i in order) for row in reversed(tables[1])], ordered=False
    )
    assert time.monotonic() - start < 10
