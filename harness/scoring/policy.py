"""The policy table: execution accuracy with each rule of a verdict flipped, one at a time.

NULLs, ties and readings are flipped on the verdicts as they are. The other rules need databases of their own
and are measured on a sample of the examples, the same for every pair; each figure states its ``n``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args, get_type_hints

from harness.records import Example, Metric, Outcome, Prediction, Rules, Verdict
from harness.scoring.metrics import share
from harness.scoring.several import RULES, judge_all

SAMPLE = 200
"""Most examples that are judged again under another rule."""

_FROM_VERDICTS: Mapping[str, Callable[[Verdict], bool]] = {
    "nulls": lambda v: v.outcome is not Outcome.NULL_ONLY,
    "ties": lambda v: v.outcome is not Outcome.TIE_ONLY,
    "readings": lambda v: v.reading == 0,
}


def flips(rules: Rules) -> dict[str, Rules]:
    """Every set of rules that differs from these in one, by its name.

    >>> list(flips(Rules()))[:4]
    ['case=exact', 'keys=declared', 'keys=loose', 'types=declared']
    """
    hints = get_type_hints(Rules)
    return {
        f"{rule.name}={value}": _changed(rules, rule.name, value)
        for rule in fields(Rules)
        for value in get_args(hints[rule.name])
        if value != getattr(rules, rule.name)
    }


def policy_table(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    verdicts: Sequence[Verdict],
    *,
    rules: Rules = RULES,
    dialect: str = "sqlite",
    workers: int = 1,
    size: int = 8,
    seed: int = 0,
    cache: Path | None = None,
    sample: int = SAMPLE,
    progress: Callable[[int], None] | None = None,
) -> Mapping[str, Mapping[str, Metric]]:
    """For each pair the execution accuracy under each flipped rule, as "rule=value".

    ``verdicts`` are those of ``predictions`` under ``rules``. A rule that forgives NULLs or ties in place
    of counting them is judged again like the others.
    """
    chosen = {e.id for e in sorted(examples, key=_shuffled)[:sample]}
    some = [example for example in examples if example.id in chosen]
    of_some = [prediction for prediction in predictions if prediction.id in chosen]
    found: dict[str, dict[str, Metric]] = defaultdict(dict)
    for name, changed in flips(rules).items():
        rule, value = name.split("=")
        if rule in _FROM_VERDICTS and value in {"count", "literal"}:
            counts = _FROM_VERDICTS[rule]
            judged: Iterable[Verdict] = verdicts
        else:
            counts = _anything
            judged = judge_all(
                some,
                of_some,
                rules=changed,
                dialect=dialect,
                workers=workers,
                size=size,
                seed=seed,
                cache=cache,
                attacks=0,
            )
        for pair, metric in _shares(judged, counts).items():
            found[pair][name] = metric
    if progress:
        progress(len(predictions))
    return found


def _shares(verdicts: Iterable[Verdict], counts: Callable[[Verdict], bool]) -> dict[str, Metric]:
    values: dict[str, list[float]] = defaultdict(list)
    excluded: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        if verdict.gold_status == "ok":
            values[verdict.pair].append(float(verdict.execution_match and counts(verdict)))
        else:
            excluded[verdict.pair] += 1
    return {pair: share(values[pair], excluded[pair]) for pair in {**values, **excluded}}


def _anything(_: Verdict) -> bool:
    return True


def _changed(rules: Rules, name: str, value: Any) -> Rules:
    return replace(rules, **{name: value})


def _shuffled(example: Example) -> bytes:
    return blake2b(example.id.encode(), digest_size=8).digest()
