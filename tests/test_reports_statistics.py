"""Intervals and tests against published figures and against their definitions."""

from __future__ import annotations

from math import comb, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reports.statistics import mcnemar, paired_difference, unpaired_difference, unpaired_drop

Z = 1.959963984540054
TABLES = st.integers(1, 400).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n)).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.integers(0, pair[1] - pair[0]), st.just(pair[1]))
    )
)


def test_tango_gives_the_published_interval() -> None:
    """Airway reactivity before and after transplantation: Fagerland et al. 2014, table VI (1, 1, 7, 12)."""
    found = paired_difference(1, 7, 21)
    assert (round(found.low, 3), round(found.high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(
    ("fixed", "broken", "n"), [(12, 2, 50), (3, 9, 32), (40, 20, 160), (0, 4, 30), (25, 0, 60)]
)
def test_tango_limits_are_where_the_score_test_stands_at_z(fixed: int, broken: int, n: int) -> None:
    """The constrained maximum of the likelihood is searched here by brute force, not by its formula."""
    found = paired_difference(fixed, broken, n)
    for limit, sign in ((found.low, 1), (found.high, -1)):
        steps = 200_000
        low, high = max(0.0, -limit), (1 - limit) / 2
        best, q_best = -float("inf"), 0.0
        for step in range(1, steps):
            q = low + (high - low) * step / steps
            parts = ((fixed, q + limit), (broken, q), (n - fixed - broken, 1 - 2 * q - limit))
            if any(k and p <= 0 for k, p in parts):
                continue
            likelihood = sum(k * log(p) for k, p in parts if k)
            if likelihood > best:
                best, q_best = likelihood, q
        score = (fixed - broken - n * limit) / sqrt(n * (2 * q_best + limit - limit**2))
        assert score == pytest.approx(sign * Z, abs=2e-3)


def test_nothing_changed_still_leaves_an_interval() -> None:
    found = paired_difference(0, 0, 100)
    assert found.high == pytest.approx(Z**2 / (100 + Z**2)) == -found.low
    assert found.p == 1


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_paired_difference_is_symmetric_and_holds_its_value(table: tuple[int, int, int]) -> None:
    fixed, broken, n = table
    there, back = paired_difference(fixed, broken, n), paired_difference(broken, fixed, n)
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-7)
    assert there.p == pytest.approx(back.p)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_tail(fixed: int, broken: int) -> None:
    n = fixed + broken
    tail = sum(comb(n, k) for k in range(fixed + 1)) / 2**n
    assert mcnemar(fixed, broken, "less") == pytest.approx(tail)
    smaller = sum(comb(n, k) for k in range(min(fixed, broken) + 1)) / 2**n
    assert mcnemar(fixed, broken) == pytest.approx(min(1.0, 2 * smaller))


@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_newcombe_gives_the_published_intervals(
    after: tuple[int, int], before: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, table II, method 10."""
    assert unpaired_difference(after, before) == pytest.approx((low, high), abs=5e-5)


def test_without_examples_nothing_is_known() -> None:
    assert paired_difference(0, 0, 0)[3:] == (0.0, -1.0, 1.0, 1.0)
    assert unpaired_difference((0, 0), (3, 4)) == (-1.0, 1.0)
    assert unpaired_drop((0, 0), (3, 4)) == 1


def test_fisher_asks_for_a_drop_only() -> None:
    assert unpaired_drop((10, 100), (60, 100)) < 1e-6
    assert unpaired_drop((60, 100), (10, 100)) > 0.999
