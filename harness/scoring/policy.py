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
from typing import Any, get_args, get_type_hints

from harness.databases.store import SuiteStore
from harness.measures import Metric
from harness.outcomes import Outcome
from harness.records import LOOSEST_FIRST, SAME_DATABASES, Example, Judging, Prediction, Rules, Verdict
from harness.scoring.metrics import share
from harness.scoring.pool import judge_all

SAMPLE = 200
"""Most examples that are judged again under another rule."""

AS_JUDGED = "as judged"
"""The row of the table that has no rule flipped, over the same examples."""

_TABLES = re.compile(r"\bcreate\s+table\b", re.I)
_KEYS = re.compile(r"\b(?:primary|unique|references)\b", re.I)
_HINTS = get_type_hints(Rules, include_extras=True)
_MARKS = {rule.name: get_args(_HINTS[rule.name])[1:] for rule in fields(Rules)}
_VALUES = {rule.name: get_args(get_args(_HINTS[rule.name])[0]) for rule in fields(Rules)}


def flips(rules: Rules) -> dict[str, Rules]:
    """Every set of rules that differs from these in one, by its name.

    >>> list(flips(Rules()))[:4]
    ['case=exact', 'keys=declared', 'keys=loose', 'composites=believed']
    """
    return {
        f"{rule}={value}": _changed(rules, rule, value)
        for rule, values in _VALUES.items()
        for value in values
        if value != getattr(rules, rule)
    }


def policy_table(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    verdicts: Sequence[Verdict],
    judging: Judging | None = None,
    *,
    store: SuiteStore | None = None,
    sample: int = SAMPLE,
    progress: Callable[[int], None] | None = None,
) -> Mapping[str, Mapping[str, Metric]]:
    """For each pair the execution accuracy under each flipped rule, as "rule=value", and "as judged".

    ``verdicts`` are those of ``predictions`` under ``judging``; at most ``sample`` examples are judged again.
    """
    judging = judging or Judging()
    rules = judging.rules
    chosen = {e.id for e in sorted(examples, key=_shuffled)[:sample]}
    of: dict[str, list[Prediction]] = {id_: [] for id_ in chosen}
    for prediction in predictions:
        if prediction.id in chosen:
            of[prediction.id].append(prediction)
    asked = [verdict for verdict in verdicts if verdict.id in chosen]
    found: dict[str, dict[str, Metric]] = {p: {AS_JUDGED: m} for p, m in _shares(asked).items()}
    for name, changed in flips(rules).items():
        rule = name.split("=")[0]
        stricter = _stricter(rule, rules, changed)
        some = [e for e in examples if e.id in chosen and _concerns(rule, e, of[e.id])]
        some = _in_doubt(name, stricter, some, asked)
        again = {(v.pair, v.id): v for v in asked}
        if rule == "readings":
            again |= {(v.pair, v.id): replace(v, outcome=Outcome.WRONG) for v in asked if v.reading}
        else:
            judged = judge_all(
                some,
                [p for e in some for p in of[e.id]],
                replace(judging, rules=changed),
                store=store,
                built=rules if SAME_DATABASES in _MARKS[rule] else changed,
                attacks=0,
            )
            again |= {(v.pair, v.id): _held(again[v.pair, v.id], v, stricter) for v in judged}
        for pair, metric in _shares(again.values()).items():
            found[pair][name] = metric
    if progress:
        progress(len(predictions))
    return found


def _in_doubt(
    name: str, stricter: bool | None, examples: Sequence[Example], asked: Sequence[Verdict]
) -> list[Example]:
    """Those of the examples that the verdicts as judged do not settle under a changed rule."""
    doubted = {verdict.id for verdict in asked}
    if name == "composites=believed":  # the suites as judged say where a key was widened
        doubted = {verdict.id for verdict in asked if verdict.widened}
    if stricter is not None:  # where all are wrong already, or right, it changes none
        doubted &= {verdict.id for verdict in asked if verdict.execution_match is stricter}
    return [example for example in examples if example.id in doubted]


def _concerns(rule: str, example: Example, predictions: Sequence[Prediction]) -> bool:
    """Whether a rule can matter to an example: most rules always can."""
    if rule in ("keys", "composites"):
        return len(_TABLES.findall(example.context)) > 1 or _KEYS.search(example.context) is not None
    if rule == "distinct":
        return "distinct" in " ".join([*example.golds, *(p.sql or "" for p in predictions)]).lower()
    return True


def _stricter(rule: str, rules: Rules, changed: Rules) -> bool | None:
    """Whether the changed rule is the stricter one; None where neither is."""
    if LOOSEST_FIRST not in _MARKS[rule]:
        return None
    old, new = (_VALUES[rule].index(getattr(one, rule)) for one in (rules, changed))
    return new > old


def _held(before: Verdict, after: Verdict, stricter: bool | None) -> Verdict:
    """The verdict under a changed rule, held to what the verdict as judged implies."""
    was, now = before.execution_match, after.execution_match
    impossible = stricter is not None and was != now and was != stricter
    return before if impossible else replace(after, gold_status=before.gold_status)


def _shares(verdicts: Iterable[Verdict]) -> dict[str, Metric]:
    values: dict[str, list[float]] = defaultdict(list)
    excluded: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        if verdict.counted:
            values[verdict.pair].append(float(verdict.execution_match))
        else:
            excluded[verdict.pair] += 1
    return {pair: share(values[pair], excluded[pair]) for pair in {**values, **excluded}}


def _changed(rules: Rules, name: str, value: Any) -> Rules:
    return replace(rules, **{name: value})


def _shuffled(example: Example) -> bytes:
    return blake2b(example.id.encode(), digest_size=8).digest()
