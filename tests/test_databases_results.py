"""When two results are the same."""

from __future__ import annotations

import time
from typing import Any

import pytest
from databases_cases import cases
from hypothesis import given
from hypothesis import strategies as st

from harness.databases import Result, same
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
