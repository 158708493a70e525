"""Tests and intervals for differences of shares, paired and not.

Shares lie between 0 and 1; intervals have 95 % confidence unless said otherwise. With no examples
nothing is known: an interval is then the whole range and a p value 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

from harness.scoring.metrics import wilson


def mcnemar(fixed: int, broken: int, side: Literal["two-sided", "less"] = "two-sided") -> float:
    """Exact p value of McNemar's test (1947): do the examples that changed favour one direction?

    ``side`` "less" asks whether things got worse. Binomial over the changed examples, so it holds for
    any number of them; without one it is 1.

    >>> mcnemar(0, 5), mcnemar(0, 5, "less")
    (0.0625, 0.03125)
    """
    if fixed + broken == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(fixed, fixed + broken, 0.5, alternative=side).pvalue)


class PairedDifference(NamedTuple):
    """Share right after minus share right before over the same ``n`` examples, ``p`` two-sided."""

    n: int
    fixed: int
    broken: int
    value: float
    low: float
    high: float
    p: float


def paired_difference(fixed: int, broken: int, n: int, confidence: float = 0.95) -> PairedDifference:
    """The difference with Tango's score interval (Statistics in Medicine 17, 1998, 891–908).

    ``fixed`` examples of ``n`` are right only after, ``broken`` only before. The interval inverts the
    score test of "the difference is d", so it stays within -1 and 1 and does not collapse where no
    example changed. ``p`` is McNemar's exact one.
    """
    if n == 0:
        return PairedDifference(0, 0, 0, 0.0, -1.0, 1.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    difference = (fixed - broken) / n

    def deviation(d: float) -> float:
        """Standard deviation of ``fixed - broken`` under the likeliest table with difference d."""
        b = (2 * n - fixed + broken) * d - fixed - broken
        q = (sqrt(max(b * b + 8 * n * broken * d * (1 - d), 0.0)) - b) / (4 * n)
        return sqrt(max(n * (2 * q + d * (1 - d)), 0.0))

    low, high = -1.0, 1.0
    if broken < n:
        low = _root(lambda d: n * (difference - d) - z * deviation(d), -1.0, difference - 1e-9)
    if fixed < n:
        high = _root(lambda d: n * (difference - d) + z * deviation(d), difference + 1e-9, 1.0)
    return PairedDifference(n, fixed, broken, difference, low, high, mcnemar(fixed, broken))


def unpaired_difference(after: tuple[int, int], before: tuple[int, int]) -> tuple[float, float]:
    """Interval of the difference of two independent shares, each given as (right, n).

    Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, 873–890, method 10).
    """
    if 0 in (after[1], before[1]):
        return -1.0, 1.0
    (low_a, high_a), (low_b, high_b) = wilson(*after), wilson(*before)
    a, b = after[0] / after[1], before[0] / before[1]
    return a - b - sqrt((a - low_a) ** 2 + (high_b - b) ** 2), a - b + sqrt(
        (high_a - a) ** 2 + (b - low_b) ** 2
    )


def unpaired_drop(after: tuple[int, int], before: tuple[int, int]) -> float:
    """Fisher's exact one-sided p value of "it got worse", from two independent (right, n)."""
    import numpy as np
    from scipy.stats import fisher_exact

    table = np.array([[right, n - right] for right, n in (after, before)])
    return float(fisher_exact(table, alternative="less").pvalue)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-10))
