"""The policy table: execution accuracy with each rule of a verdict flipped, one at a time.

The readings of a gold are flipped on the verdicts as they are. Under any other rule a sample of the examples
is judged again, the same for every pair, on databases of its own where the rule decides how they are
filled; each figure states its ``n``. The golds that count are those that count as judged. A rule that is
stricter than the one judged by makes nothing right that was wrong, a looser one nothing wrong that was right:
what a database has shown stays shown, also if it was made against the prediction and is not made again.
"""

from __future__ import annotations

import re
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

AS_JUDGED = "as judged"
"""The row of the table that has no rule flipped, over the same examples."""

_TABLES = re.compile(r"\bcreate\s+table\b", re.I)
_KEYS = re.compile(r"\b(?:primary|unique|references)\b", re.I)
_SAME_DATABASES = {"nulls", "ties", "columns"}
_STRICTNESS = {
    "nulls": ("forgive", "count"),
    "ties": ("forgive", "count"),
    "columns": ("any", "exact"),
    "keys": ("sound", "declared", "loose"),  # each takes the databases of the one before, and more
}
"""Values of rules from the loosest to the strictest."""


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
    """For each pair the execution accuracy under each flipped rule, as "rule=value", and "as judged".

    ``verdicts`` are those of ``predictions`` under ``rules``; at most ``sample`` examples are judged again.
    """
    chosen = {e.id for e in sorted(examples, key=_shuffled)[:sample]}
    of: dict[str, list[Prediction]] = {id_: [] for id_ in chosen}
    for prediction in predictions:
        if prediction.id in chosen:
            of[prediction.id].append(prediction)
    asked = [verdict for verdict in verdicts if verdict.id in chosen]
    found: dict[str, dict[str, Metric]] = {p: {AS_JUDGED: m} for p, m in _shares(asked).items()}
    for name, changed in flips(rules).items():
        rule = name.split("=")[0]
        some = [e for e in examples if e.id in chosen and _concerns(rule, e, of[e.id])]
        again = {(v.pair, v.id): v for v in asked}
        if rule == "readings":
            again |= {(v.pair, v.id): replace(v, outcome=Outcome.WRONG) for v in asked if v.reading}
        else:
            judged = judge_all(
                some,
                [p for e in some for p in of[e.id]],
                rules=changed,
                dialect=dialect,
                workers=workers,
                size=size,
                seed=seed,
                cache=cache,
                built=rules if rule in _SAME_DATABASES else changed,
                attacks=0,
            )
            again |= {
                (v.pair, v.id): _held(again[v.pair, v.id], v, _stricter(rule, rules, changed)) for v in judged
            }
        for pair, metric in _shares(again.values()).items():
            found[pair][name] = metric
    if progress:
        progress(len(predictions))
    return found


def _concerns(rule: str, example: Example, predictions: Sequence[Prediction]) -> bool:
    """Whether a rule can matter to an example: most rules always can."""
    if rule == "keys":
        return len(_TABLES.findall(example.context)) > 1 or _KEYS.search(example.context) is not None
    if rule == "distinct":
        return "distinct" in " ".join([example.gold, *(p.sql or "" for p in predictions)]).lower()
    return True


def _stricter(rule: str, rules: Rules, changed: Rules) -> bool | None:
    """Whether the changed rule is the stricter one; None where neither is."""
    values: tuple[str, ...] = _STRICTNESS.get(rule, ())
    old, new = getattr(rules, rule), getattr(changed, rule)
    return values.index(new) > values.index(old) if values else None


def _held(before: Verdict, after: Verdict, stricter: bool | None) -> Verdict:
    """The verdict under a changed rule, held to what the verdict as judged implies."""
    was, now = before.execution_match, after.execution_match
    impossible = stricter is not None and was != now and was != stricter
    return before if impossible else replace(after, gold_status=before.gold_status)


def _shares(verdicts: Iterable[Verdict]) -> dict[str, Metric]:
    values: dict[str, list[float]] = defaultdict(list)
    excluded: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        if verdict.gold_status == "ok":
            values[verdict.pair].append(float(verdict.execution_match))
        else:
            excluded[verdict.pair] += 1
    return {pair: share(values[pair], excluded[pair]) for pair in {**values, **excluded}}


def _changed(rules: Rules, name: str, value: Any) -> Rules:
    return replace(rules, **{name: value})


def _shuffled(example: Example) -> bytes:
    return blake2b(example.id.encode(), digest_size=8).digest()
