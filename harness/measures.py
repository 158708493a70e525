"""Every metric: what it is called, how it is read from a verdict, and the record that holds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from harness.records import Verdict


class Metric(NamedTuple):
    """A share with its interval: ``n`` examples counted, ``excluded`` left out.

    Left out are flagged golds, of an official metric the examples that its scorer cannot score.
    """

    value: float
    low: float
    high: float
    n: int
    excluded: int = 0


class Reading(NamedTuple):
    """How a metric is read from a verdict: as true, false or unknown (None).

    ``sound``: over the examples alone whose gold is not flagged. ``headline``: people see it first.
    """

    of: Callable[[Verdict], bool | None]
    sound: bool = False
    headline: bool = False


METRICS: Mapping[str, Reading] = {
    "execution_accuracy": Reading(lambda v: v.execution_match, sound=True, headline=True),
    "execution_accuracy_strict": Reading(lambda v: v.outcome.counts == "right", sound=True),
    "execution_accuracy_lenient": Reading(lambda v: v.outcome.counts != "wrong", sound=True),
    "execution_accuracy_all": Reading(lambda v: v.execution_match),
    "exact_match": Reading(lambda v: v.exact_match, sound=True, headline=True),
    "raw_match": Reading(lambda v: v.raw_match),
    "valid_sql": Reading(lambda v: v.valid_sql, headline=True),
    "schema_adherence": Reading(lambda v: v.schema_adherence, headline=True),
    "format_compliance": Reading(lambda v: v.format_compliance, headline=True),
}
"""Every metric of the harness's own, in the order in which they are told; official ones stand beside them."""

OFFICIAL = (
    "wikisql_logical_form",
    "wikisql_execution",
    "spider_exact_set_match",
    "spider_execution",
    "bird_ex",
    "bird_soft_f1",
)
"""The metrics of benchmarks' own authors: each is a scorer in a module of ``harness.scoring.official``, which
a benchmark's YAML may name and this floor may not know."""

BOUNDS = ("execution_accuracy_strict", "execution_accuracy_lenient")
"""What execution accuracy is with no assumption, and with all of them."""

LEVELS = ("easy", "medium", "hard", "extra", "simple", "moderate", "challenging")
"""The levels of difficulty that benchmarks know, each benchmark's from the easiest on."""


def level(name: str) -> tuple[int, str]:
    """A key to sort levels and other kinds by: the benchmark's own order, then the alphabet.

    >>> sorted(["extra", "join", "easy", "medium"], key=level)
    ['easy', 'medium', 'extra', 'join']
    """
    return LEVELS.index(name) if name in LEVELS else len(LEVELS), name


HEADLINE = tuple(name for name, reading in METRICS.items() if reading.headline)
"""The metrics that people see first."""
