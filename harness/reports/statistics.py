"""Tests and intervals for differences of shares, paired and not.

Shares lie between 0 and 1; intervals have 95 % confidence unless said otherwise. With no examples
nothing is known: an interval is then the whole range and a p value 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

from harness.scoring.metrics import wilson


@cache
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


class Bounded(NamedTuple):
    """A paired difference as counted by default, and with no assumption of a verdict and with all of them.

    The two are None where they are not known, as of files that keep no mark a question.
    """

    counted: PairedDifference
    strict: PairedDifference | None = None
    lenient: PairedDifference | None = None

    @property
    def agree(self) -> bool:
        """Whether those that are known have the sign of the difference as counted.

        >>> up, down = paired_difference(9, 1, 90), paired_difference(1, 2, 90)
        >>> Bounded(up, up, up).agree, Bounded(up, down, up).agree
        (True, False)
        """
        known = [one for one in (self.strict, self.lenient) if one is not None]
        return all(one.value * self.counted.value > 0 for one in known)


class Clustered(NamedTuple):
    """Interval of a paired difference that takes the examples of one of ``clusters`` for dependent."""

    clusters: int
    low: float
    high: float


_DRAWS = (1000, 4000)  # where there are many schemas, and where there are few
_WORK = 4_000_000  # schemas drawn in all: a second or two


def by_schema(changes: Sequence[tuple[str, int]], seed: int = 0) -> Clustered | None:
    """The 95 % interval of a paired difference by the bootstrap over schemas.

    ``changes`` has for each example its schema and 1 (fixed), 0 or -1 (broken). Whole schemas are drawn with
    replacement (Davison and Hinkley, Bootstrap Methods, 1997, section 3.8), percentiles of the mean. None
    where no two examples share a schema, or all do.
    """
    sums: dict[str, list[int]] = {}
    for schema, change in changes:
        entry = sums.setdefault(schema, [0, 0])
        entry[0] += change
        entry[1] += 1
    if not 1 < len(sums) < len(changes):
        return None
    import numpy as np

    generator = np.random.default_rng(seed)
    totals = np.array(list(sums.values()), dtype=np.float64)
    draws = max(_DRAWS[0], min(_DRAWS[1], _WORK // len(sums)))
    drawn = [totals[generator.integers(len(sums), size=len(sums))].sum(axis=0) for _ in range(draws)]
    means = [float(change / n) for change, n in drawn]
    low, high = np.percentile(means, [2.5, 97.5])
    return Clustered(len(sums), float(low), float(high))


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


def holm(ps: Sequence[float]) -> list[float]:
    """P values of several tests, each raised so that all together err at the level that one would.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979, 65–70).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    raised, highest = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[index]))
        raised[index] = highest
    return raised


def detectable(
    n: int, changed: float, alpha: float = 0.05, *, sides: Literal[1, 2] = 2, power: float = 0.8
) -> float:
    """The smallest true difference that a paired test of ``n`` examples shows ``power`` of the time.

    ``changed`` is the share of examples on which the two sides part. Connor's sample size (Biometrics 43,
    1987, 207–211) solved for the difference; 1 where so few examples show nothing.

    >>> round(detectable(1000, 0.1), 3), round(detectable(200, 0.1, sides=1), 3)
    (0.028, 0.055)
    """
    normal = NormalDist()
    level, strength = normal.inv_cdf(1 - alpha / sides), normal.inv_cdf(power)

    def surplus(d: float) -> float:
        q = max(changed, d)
        return d * sqrt(n) - level * sqrt(q) - strength * sqrt(q - d * d)

    return _root(surplus, 1e-12, 1.0) if n and surplus(1.0) > 0 else 1.0


def detectable_unpaired(n: int, share: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The same for a one-sided test of two independent shares near ``share``, each of ``n`` examples."""
    if not n:
        return 1.0
    normal = NormalDist()
    spread = sqrt(max(share * (1 - share), 1 / n) * 2 / n)
    return min(1.0, (normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)) * spread)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-10))
