"""Intervals and tests for shares and for paired differences of shares.

Shares lie between 0 and 1; intervals have 95 % confidence unless said otherwise. With no examples
at all nothing is known: an interval is then the whole range and a p value 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

from harness.scoring.metrics import wilson

Side = Literal["two-sided", "less", "greater"]


class Interval(NamedTuple):
    """Lower and upper limit."""

    low: float
    high: float


def mcnemar(only_a: int, only_b: int, side: Side = "two-sided") -> float:
    """Exact p value of McNemar's test (1947): do the discordant examples favour a or b?

    ``only_a`` examples are right in a alone, ``only_b`` in b alone. ``side`` "less" asks whether a is
    the worse one. Binomial, so it holds for any number of discordant examples; without one it is 1.

    >>> mcnemar(0, 5)
    0.0625
    """
    if only_a + only_b == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b, 0.5, alternative=side).pvalue)


class PairedDifference(NamedTuple):
    """Share right in a minus share right in b over the same ``n`` examples."""

    n: int
    only_a: int
    only_b: int
    value: float
    low: float
    high: float
    p: float


def paired_difference(only_a: int, only_b: int, n: int, confidence: float = 0.95) -> PairedDifference:
    """The difference with Tango's score interval (Statistics in Medicine 17, 1998, 891–908).

    The interval inverts the score test of "the difference is d", so that it stays within -1 and 1
    and does not collapse where no example is discordant. ``p`` is McNemar's exact one.
    """
    if n == 0:
        return PairedDifference(0, 0, 0, 0.0, -1.0, 1.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    difference = (only_a - only_b) / n

    def deviation(d: float) -> float:
        """Standard deviation of ``only_a - only_b`` under the likeliest table with difference d."""
        b = (2 * n - only_a + only_b) * d - only_a - only_b
        q = (sqrt(max(b * b + 8 * n * only_b * d * (1 - d), 0.0)) - b) / (4 * n)
        return sqrt(max(n * (2 * q + d * (1 - d)), 0.0))

    low, high = -1.0, 1.0
    if only_b < n:
        low = _root(lambda d: n * (difference - d) - z * deviation(d), -1.0, difference - 1e-9)
    if only_a < n:
        high = _root(lambda d: n * (difference - d) + z * deviation(d), difference + 1e-9, 1.0)
    return PairedDifference(n, only_a, only_b, difference, low, high, mcnemar(only_a, only_b))


def unpaired_difference(right_a: int, n_a: int, right_b: int, n_b: int) -> Interval:
    """Interval of the difference of two independent shares.

    Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, 873–890, method 10).
    """
    if n_a == 0 or n_b == 0:
        return Interval(-1.0, 1.0)
    a, b = right_a / n_a, right_b / n_b
    low_a, high_a = wilson(right_a, n_a)
    low_b, high_b = wilson(right_b, n_b)
    return Interval(
        a - b - sqrt((a - low_a) ** 2 + (high_b - b) ** 2), a - b + sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
    )


def unpaired_drop(right_a: int, n_a: int, right_b: int, n_b: int) -> float:
    """Fisher's exact one-sided p value that share a is lower than share b."""
    if n_a == 0 or n_b == 0:
        return 1.0
    import numpy as np
    from scipy.stats import fisher_exact

    table = np.array([[right_a, n_a - right_a], [right_b, n_b - right_b]])
    return float(fisher_exact(table, alternative="less").pvalue)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-10))
