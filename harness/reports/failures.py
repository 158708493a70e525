"""Which failures to show first, and where two results differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .results import REFERENCES, Counterexample, Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A wrong answer; ``reference_right`` says how the reference pair did on it (None: not asked)."""

    sample: Judged
    reference_right: bool | None


class RowDifference(NamedTuple):
    """Rows that both results hold, that only the gold's holds, and that only the prediction's holds."""

    common: tuple[tuple[Any, ...], ...]
    gold: tuple[tuple[Any, ...], ...]
    prediction: tuple[tuple[Any, ...], ...]
    reordered: bool


def failures(samples: Iterable[Judged], reference: str | None) -> list[Failure]:
    """All wrong answers to sound golds of the pairs under test, in the samples' order.

    The reference's own failures are left out unless nothing else was run.
    """
    known = [sample for sample in samples if sample.sample == 0]
    right = {sample.id: sample.right for sample in known if sample.pair == reference}
    alone = all(sample.pair in REFERENCES for sample in known)
    return [
        Failure(sample=sample, reference_right=right.get(sample.id) if sample.pair != reference else None)
        for sample in known
        if not sample.right and sample.counted and (alone or sample.pair not in REFERENCES)
    ]


def telling(found: Sequence[Failure], limit: int = 20) -> list[Failure]:
    """The failures that say most, at most ``limit``: what the adapter broke first, then variety.

    Half of the places go to answers that the reference had right. Each next one is of the cause, kind
    and pair shown least so far; among equals the one with the smallest witness and the shortest texts.
    """
    broken = [failure for failure in found if failure.reference_right]
    chosen = _diverse(broken, limit // 2, [])
    taken = {id(failure) for failure in chosen}
    return chosen + _diverse([f for f in found if id(f) not in taken], limit - len(chosen), chosen)


def differing_rows(witness: Counterexample, fold: bool = True) -> RowDifference | None:
    """Where the two results differ as bags of rows; None where the prediction gave no result.

    ``fold`` disregards case, as the verdict does where the rules say so. Results with another number
    of columns, or with the same rows in another order, differ in every row.
    """
    if witness.prediction_rows is None:
        return None
    gold, prediction = witness.gold_rows, witness.prediction_rows
    if gold and prediction and len(gold[0]) != len(prediction[0]):
        return RowDifference((), gold, prediction, False)
    left, right = Counter(_key(row, fold) for row in gold), Counter(_key(row, fold) for row in prediction)
    if left == right:
        return RowDifference((), gold, prediction, True)
    shared = left & right
    return RowDifference(
        _take(gold, shared, fold),
        _take(gold, left - shared, fold),
        _take(prediction, right - shared, fold),
        False,
    )


def _diverse(candidates: Sequence[Failure], limit: int, shown: Sequence[Failure]) -> list[Failure]:
    seen: Counter[tuple[str, object]] = Counter()
    for failure in shown:
        seen.update(_traits(failure))
    left = sorted(candidates, key=_weight)
    chosen: list[Failure] = []
    while left and len(chosen) < limit:
        best = min(left, key=lambda failure: sum(seen[trait] for trait in _traits(failure)))
        left.remove(best)
        chosen.append(best)
        seen.update(_traits(best))
    return chosen


def _traits(failure: Failure) -> tuple[tuple[str, object], ...]:
    sample = failure.sample
    cause, kind = sample.cause or sample.outcome, sample.kind
    return (
        ("pair", sample.pair),
        ("cause", cause),
        ("kind", kind),
        ("both", (cause, kind)),
        ("gold", sample.gold),
    )


def _weight(failure: Failure) -> tuple[bool, int, str, str]:
    sample, witness = failure.sample, failure.sample.witness
    size = len(sample.gold) + len(sample.prediction or "") + len(sample.context) // 2
    return witness is None, size + len(witness.script if witness else ""), sample.id, sample.pair


def _take(
    rows: Sequence[tuple[Any, ...]], wanted: Mapping[Any, int], fold: bool
) -> tuple[tuple[Any, ...], ...]:
    left = Counter(wanted)
    taken = []
    for row in rows:
        key = _key(row, fold)
        if left[key] > 0:
            left[key] -= 1
            taken.append(row)
    return tuple(taken)


def _key(row: Sequence[Any], fold: bool) -> tuple[object, ...]:
    return tuple(
        value.casefold()
        if fold and isinstance(value, str)
        else f"{value:.9g}"
        if isinstance(value, float)
        else value
        for value in row
    )
