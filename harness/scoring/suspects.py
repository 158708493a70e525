"""Golds in doubt: several pairs answer alike, and none of them as the gold does.

A wrong gold makes right answers wrong. Whoever reads a report cannot read all of its questions, but where
systems that differ agree with one another on every database, and all against the gold, one of the two sides
is to be looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.outcomes import Outcome
from harness.records import SAME, Sample

AGREE = 2
"""So many pairs answering alike put a gold in doubt."""


class Suspect(NamedTuple):
    """A question whose gold stands alone: ``pairs`` of ``asked`` answer alike, as ``sample`` does."""

    pairs: tuple[str, ...]
    asked: int
    sample: Sample


def in_question(samples: Iterable[Sample]) -> list[str]:
    """The ids of questions with a sound gold that no pair has right and several answer with what runs."""
    return [
        id_
        for id_, own in _by_id(samples).items()
        if not any(one.execution_match for one in own)
        and sum(one.outcome is Outcome.WRONG and one.counted for one in own) >= AGREE
    ]


def suspects(samples: Iterable[Sample]) -> list[Suspect]:
    """The golds in doubt, those first that most pairs answer alike; samples need their signatures.

    Answers that find the same on every database, say nothing, agree on nothing. The sample shown is the
    shortest of those that agree, one with its database before others.
    """
    found = []
    for own in _by_id(samples).values():
        if any(one.execution_match for one in own):
            continue
        alike: dict[str, list[Sample]] = defaultdict(list)
        for one in own:
            if one.counted and one.outcome is Outcome.WRONG and one.signature[:1] not in ("", SAME):
                alike[one.signature].append(one)
        most = max(alike.values(), key=len, default=[])
        if len(most) >= AGREE:
            shown = min(most, key=lambda one: (one.witness is None, len(one.prediction or ""), one.pair))
            found.append(Suspect(tuple(one.pair for one in most), len(own), shown))
    return sorted(found, key=lambda one: (-len(one.pairs), one.asked, one.sample.id))


def _by_id(samples: Iterable[Sample]) -> dict[str, Sequence[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.sample == 0:
            found[sample.id].append(sample)
    return dict(found)
