"""Which failures to show first, and where two results differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from harness.databases.answers import ResultRow
from harness.records import Sample, Witness
from harness.runs.results import REFERENCES
from harness.text import visible

ResultRows = tuple[ResultRow, ...]


class WrongAnswer(NamedTuple):
    """A wrong answer, and how the reference pair did on the same question (None: it is the reference)."""

    sample: Sample
    reference_right: bool | None


class RowDifference(NamedTuple):
    """Rows that both results hold, that only the gold's holds, and that only the prediction's holds."""

    common: ResultRows
    gold: ResultRows
    prediction: ResultRows


def failures(samples: Iterable[Sample], reference: str | None) -> list[WrongAnswer]:
    """All wrong answers of the pairs under test to sound golds, in the samples' order.

    The failures of base and rule are left out unless nothing else was run.
    """
    known = [sample for sample in samples if sample.sample == 0]
    right = {sample.id: sample.execution_match for sample in known if sample.pair == reference}
    alone = all(sample.pair in REFERENCES for sample in known)
    return [
        WrongAnswer(sample, right.get(sample.id) if sample.pair != reference else None)
        for sample in known
        if not sample.execution_match and sample.counted and (alone or sample.pair not in REFERENCES)
    ]


def telling(found: Sequence[WrongAnswer], limit: int = 20) -> list[WrongAnswer]:
    """The failures that say most, at most ``limit``: what the adapter broke first, then variety.

    Half of the places go to answers that the reference had right. Each next one is of the cause, kind
    and pair shown least so far; among equals the one with the shortest texts. Those without a witness
    come only where the others do not fill the places.
    """
    if sum(failure.sample.witness is not None for failure in found) >= limit:
        found = [failure for failure in found if failure.sample.witness]
    seen: Counter[tuple[str, object]] = Counter()
    broken = [failure for failure in found if failure.reference_right]
    chosen = _diverse(broken, limit // 2, seen)
    taken = {(failure.sample.pair, failure.sample.id) for failure in chosen}
    rest = [failure for failure in found if (failure.sample.pair, failure.sample.id) not in taken]
    return chosen + _diverse(rest, limit - len(chosen), seen)


def differing_rows(witness: Witness, fold: bool = True) -> RowDifference:
    """Where the two results differ as bags of rows; ``fold`` disregards case as the verdict may.

    Results with another number of columns differ in every row, and so do the same rows in another
    order. A prediction that failed has no rows.
    """
    gold, prediction = witness.gold_rows, witness.prediction_rows or ()
    left, right = (Counter(_key(row, fold) for row in rows) for rows in (gold, prediction))
    if left == right or {len(row) for row in gold[:1]} ^ {len(row) for row in prediction[:1]} == {0}:
        return RowDifference((), gold, prediction)
    return RowDifference(
        _take(gold, left & right, fold),
        _take(gold, left - right, fold),
        _take(prediction, right - left, fold),
    )


def diff_block(witness: Witness, fold: bool = True, limit: int = 6) -> str:
    """The two results as one table for a ``diff`` block: ``-`` the gold's rows, ``+`` the prediction's."""
    difference = differing_rows(witness, fold)
    columns = [_value(name) for name in witness.gold_columns]
    heads = [("-", columns), ("+", [_value(name) for name in witness.prediction_columns or ()])]
    if witness.prediction_rows is None:
        heads.pop()
    elif witness.gold_columns == witness.prediction_columns:
        heads = [(" ", columns)]
    groups = [("-", difference.gold), ("+", difference.prediction), (" ", difference.common)]
    if not witness.gold_rows:
        groups[0] = ("-", (("(no rows)",),))
    if witness.prediction_rows == ():
        groups[1] = ("+", (("(no rows)",),))
    body = [(mark, [_value(value) for value in row]) for mark, rows in groups for row in rows[:limit]]
    table = [*heads, *body]
    width = max((len(row) for _, row in table), default=0)
    widths = [max(len(str(row[i])) for _, row in table if i < len(row)) for i in range(width)]
    lines = [
        f"{mark} "
        + " │ ".join(str(text).ljust(wide) for text, wide in zip(row, widths, strict=False)).rstrip()
        for mark, row in table
    ]
    lines.insert(len(heads), "  " + "─┼─".join("─" * wide for wide in widths))
    hidden = sum(max(len(rows) - limit, 0) for _, rows in groups)
    return "\n".join(lines + ([f"  … {hidden} more rows"] if hidden else []))


def _diverse(
    candidates: Sequence[WrongAnswer], limit: int, seen: Counter[tuple[str, object]]
) -> list[WrongAnswer]:
    left = sorted(candidates, key=_weight)
    chosen: list[WrongAnswer] = []
    while left and len(chosen) < limit:
        best = min(left, key=lambda failure: sum(seen[trait] for trait in _traits(failure)))
        left.remove(best)
        chosen.append(best)
        seen.update(_traits(best))
    return chosen


def _traits(failure: WrongAnswer) -> tuple[tuple[str, object], ...]:
    sample = failure.sample
    cause, kind = sample.cause or sample.outcome, sample.kind
    return ("pair", sample.pair), ("cause", cause), ("kind", kind), ("both", (cause, kind)), ("id", sample.id)


def _weight(failure: WrongAnswer) -> tuple[bool, int, str, str]:
    sample, witness = failure.sample, failure.sample.witness
    size = (
        len(sample.gold) + len(sample.prediction or "") + len(witness.script if witness else sample.context)
    )
    return witness is None, size, sample.id, sample.pair


def _take(rows: ResultRows, wanted: Counter[Any], fold: bool) -> ResultRows:
    left = Counter(wanted)
    taken = []
    for row in rows:
        if left[key := _key(row, fold)] > 0:
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


def _value(value: object) -> str:
    text = "NULL" if value is None else " ".join(visible(value).split()) or "''"
    return text if len(text) <= 40 else text[:39] + "…"
