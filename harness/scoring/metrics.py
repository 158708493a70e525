"""Shares with their intervals: what a pair's samples come to.

Binary values get Wilson's score interval (Wilson 1927), others (several samples an example, soft-F1) a
Student interval over the examples' means. How each metric is read, and over which golds, stands in
``measures.METRICS``; official ones count every example that their scorer can score.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Any

from harness.measures import METRICS, Metric, level
from harness.records import Sample


@cache
def _quantile(n: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, n - 1))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share.

    >>> tuple(round(bound, 3) for bound in wilson(80, 100))
    (0.711, 0.867)
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if n == 0:
        return 0.0, 1.0
    z = 1.959963984540054
    share, scale = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def share(values: Sequence[float], excluded: int = 0) -> Metric:
    """The mean of values between 0 and 1 with its 95 % interval.

    >>> share([1, 1, 0, 1])[:1]
    (0.75,)
    """
    n = len(values)
    if n == 0:
        return Metric(0.0, 0.0, 1.0, 0, excluded)
    mean = fmean(values)
    if all(value in (0, 1) for value in values):
        return Metric(mean, *wilson(round(sum(values)), n), n, excluded)
    half = _quantile(n) * stdev(values) / math.sqrt(n) if n > 1 else 1.0
    return Metric(mean, max(0.0, mean - half), min(1.0, mean + half), n, excluded)


def summarise(samples: Iterable[Sample]) -> dict[str, dict[str, Metric]]:
    """Every metric of every pair, from samples in any order."""
    by_pair: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        by_pair[sample.pair][sample.id].append(sample)
    return {pair: _metrics(list(examples.values())) for pair, examples in by_pair.items()}


def _metrics(examples: Sequence[Sequence[Sample]]) -> dict[str, Metric]:
    sound = [answers for answers in examples if answers[0].counted]
    flagged = len(examples) - len(sound)
    metrics: dict[str, Metric] = {}
    for name, reading in METRICS.items():
        counted, excluded = (sound, flagged) if reading.sound else (examples, 0)
        known = ([v for v in map(reading.of, answers) if v is not None] for answers in counted)
        values = [fmean(row) for row in known if row]
        if values or not counted:
            metrics[name] = share(values, excluded)
    for name in sorted({name for answers in examples for name in answers[0].official}):
        scored = [answers for answers in examples if name in answers[0].official]
        values = [fmean(v.official[name] for v in answers) for answers in scored]
        metrics[name] = share(values, len(examples) - len(scored))
    drawn = max((len(answers) for answers in examples), default=1)
    if drawn > 1:
        metrics[f"pass@{drawn}"] = share(
            [float(any(v.execution_match for v in answers)) for answers in sound], flagged
        )
        metrics["majority_vote"] = share([float(_majority(answers)) for answers in sound], flagged)
    return metrics


def marks(samples: Iterable[Sample]) -> dict[str, Any]:
    """What each example came to, a digit each, so that runs can be held side by side without their samples.

    ``ids`` in their order, and by pair and metric a text as long: "1" right, "0" wrong, "x" not counted.
    A metric is left out where a value is neither 0 nor 1, say of samples that part.
    """
    by_pair: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    ids: dict[str, None] = {}
    for sample in samples:
        by_pair[sample.pair][sample.id].append(sample)
        ids[sample.id] = None
    kept: dict[str, Any] = {"ids": list(ids)}
    for pair, examples in by_pair.items():
        official = {name for answers in examples.values() for name in answers[0].official}
        read = {
            name: "".join(_mark(examples[id_], name) if id_ in examples else "x" for id_ in ids)
            for name in (*METRICS, *sorted(official))
        }
        kept[pair] = {name: text for name, text in read.items() if "?" not in text and {*text} != {"x"}}
    return kept


def _mark(answers: Sequence[Sample], metric: str) -> str:
    reading = METRICS.get(metric)
    if reading and reading.sound and not answers[0].counted:
        return "x"
    read = [reading.of(one) if reading else one.official.get(metric) for one in answers]
    values = {float(value) for value in read if value is not None}
    if not values:
        return "x"
    return str(int(values.pop())) if values in ({0}, {1}) else "?"


def _majority(answers: Sequence[Sample]) -> bool:
    """Whether the result that most samples share is right; the earlier one where they draw."""
    ran = [v for v in answers if v.signature]
    if not ran:
        return False
    winner, _ = Counter(v.signature for v in ran).most_common(1)[0]
    return next(v.execution_match for v in ran if v.signature == winner)


def breakdown(samples: Sequence[Sample]) -> dict[str, dict[str, dict[str, Metric | int]]]:
    """Per pair: execution accuracy by group, official metrics by level, counts of outcomes and causes."""
    pairs: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        pairs[sample.pair].append(sample)
    return {pair: _breakdown(rows) for pair, rows in pairs.items()}


def _breakdown(rows: Sequence[Sample]) -> dict[str, dict[str, Metric | int]]:
    groups: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for metric, value in row.official.items():
            if grade := row.meta.get("levels", {}).get(metric, row.kind):
                groups[metric][grade].append(value)
        if not row.counted:
            continue
        named: Mapping[str, str] = {"kind": row.kind or "", **row.meta.get("groups", {})}
        for group, name in named.items():
            if name:
                groups[group][name].append(float(row.execution_match))
        for seen in row.meta.get("exposure", ()):
            groups["exposure"][seen].append(float(row.execution_match))
    table: dict[str, dict[str, Metric | int]] = {
        group: {value: share(hits) for value, hits in sorted(values.items(), key=lambda item: level(item[0]))}
        for group, values in groups.items()
    }
    table["outcome"] = dict(Counter(str(row.outcome) for row in rows).most_common())
    table["cause"] = dict(Counter(row.cause for row in rows if row.cause).most_common())
    return table
