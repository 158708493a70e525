"""What must be said of a run before any figure: own failures, answers without a query, narrow contexts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.databases.suite import HARNESS_ERROR
from harness.outcomes import Outcome
from harness.records import Sample
from harness.scoring.verdict import ALARM

MOST = 0.5
"""From this share of answers without a query on, a pair was probably asked in another form than its own."""


def remarks(samples: Sequence[Sample]) -> list[str]:
    """A line each, the worst first; empty where there is nothing to say."""
    pairs: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.sample == 0:
            pairs[sample.pair].append(sample)
    silent = [line for pair, own in pairs.items() for line in _silent(pair, own)]
    return [*_failures(samples), *silent, *_narrow(pairs)]


def _failures(samples: Sequence[Sample]) -> Iterator[str]:
    """Golds and predictions that the harness itself failed on."""
    golds = [s.id for s in samples if s.gold_reason.startswith(HARNESS_ERROR)]
    predictions = [f"{s.pair}/{s.id}" for s in samples if s.outcome is Outcome.HARNESS_ERROR]
    alarms = [f"{s.pair}/{s.id}" for s in samples if s.detail == ALARM]
    if alarms:
        yield (
            f"On {len(alarms)} predictions a canonical form and a database disagree (the database counts, "
            f"the form is at fault): {', '.join(alarms[:5])}"
        )
    for found, what in ((golds, "golds, left out"), (predictions, "predictions, counted as wrong")):
        if names := list(dict.fromkeys(found)):
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            yield f"The harness itself failed on {len(names)} {what} (log.txt says how): {shown}"


def _silent(pair: str, samples: Sequence[Sample]) -> Iterator[str]:
    found = {
        outcome: sum(sample.outcome is outcome for sample in samples)
        for outcome in (Outcome.MISSING, Outcome.DENIED)
    }
    if sum(found.values()) < MOST * len(samples):
        return
    counts = ", ".join(f"{outcome} {100 * n / len(samples):.0f} %" for outcome, n in found.items() if n)
    yield (
        f"Most answers of {pair} hold no query ({counts}): a model that is asked in another form than it was "
        "trained on scores falsely low. Give the prompt of its training: --prompt FILE (or adapter)."
    )


def _narrow(pairs: dict[str, list[Sample]]) -> Iterator[str]:
    """Contexts that hold a part of the gold's database: the widest context known of it says so."""
    every = next(iter(pairs.values()), [])
    contexts: dict[str, set[str]] = defaultdict(set)
    for sample in every:
        if sample.db_id:
            contexts[sample.db_id].add(" ".join(sample.context.split()))
    hidden = {
        sample.id
        for sample in every
        if len(str(sample.meta.get("full_context") or "")) > len(sample.context)
        or (sample.db_id and not sample.database and len(contexts[sample.db_id]) > 1)
    }
    if len(hidden) < MOST * len(every) or not every:
        return
    errors = {
        pair: sum(s.outcome is Outcome.SCHEMA_ERROR for s in own if s.id in hidden) / len(own)
        for pair, own in pairs.items()
    }
    told = ", ".join(f"{pair} {100 * share:.0f} %" for pair, share in errors.items() if share >= 0.05)
    if not told:
        return
    yield (
        f"The contexts of {len(hidden):,} of {len(every):,} questions hold only a part of their database. A "
        "system that saw all of it is counted wrong (schema error) where it uses what is left out here "
        f"({told} of all answers). Whole schemas: --context-field full_context, where the data have them."
    )
