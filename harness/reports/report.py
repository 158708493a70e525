"""``report.md``: one page on a run, written for somebody who has to defend the number or to repair it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path
from typing import NamedTuple

from harness.files import write_text
from harness.measures import HEADLINE, Metric
from harness.outcomes import Outcome
from harness.records import GOLD_MEANINGS, Sample
from harness.runs.results import BenchmarkResult, Entry, Results, read_results
from harness.scoring.suspects import Suspect, suspects

from .charts import write_charts
from .comparison import Comparison, compare_samples
from .failures import WrongAnswer, diff_block, failures, telling
from .marks import bounded, read_marks
from .statistics import Bounded
from .wording import label, render

LIMIT = 20_000
"""So many answers a benchmark go into the page; a browser stays quick with them."""
_PARTS = ("system", "user", "chat_template")
EXPOSURE = "Execution accuracy by exposure"


class Apart(NamedTuple):
    """What an official scorer judges otherwise than the harness, of ``asked`` answers.

    ``accepted`` counts what the harness alone accepts by its outcome, ``rejected`` what it alone rejects by
    cause. In ``samples`` either direction comes in turn, sound golds first.
    """

    asked: int
    accepted: list[tuple[str, int]]
    rejected: list[tuple[str, int]]
    samples: list[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One benchmark of a run with all that report and page say of it; ``charts`` are files by name."""

    results: Results
    side: BenchmarkResult
    samples: tuple[Sample, ...]
    comparisons: tuple[Comparison, ...]
    rounds: tuple[tuple[str, Bounded], ...]
    charts: dict[str, Path]

    @property
    def failures(self) -> list[WrongAnswer]:
        """Every failure of the pairs under test."""
        return failures(self.samples, self.side.reference)

    @property
    def left_out(self) -> dict[str, int]:
        """By pair, the wrong answers that ``failures`` leaves out."""
        shown = {failure.sample.pair for failure in self.failures}
        wrong = (s.pair for s in self.samples if not s.execution_match and s.counted and s.sample == 0)
        return Counter(pair for pair in wrong if pair not in shown)

    @property
    def sampled(self) -> int:
        """How many answers a pair the policy table is of; 0 where it is of all those counted."""
        judged = [
            (pair.policy["as judged"], pair.accuracy)
            for pair in self.side.pairs
            if "as judged" in pair.policy
        ]
        apart = any(flip.n != whole.n or abs(flip.value - whole.value) > 1e-5 for flip, whole in judged)
        return judged[0][0].n if apart else 0

    @property
    def flagged(self) -> list[Sample]:
        """A sample of each question whose gold is flagged, broken ones first."""
        found = {sample.id: sample for sample in reversed(self.samples) if not sample.counted}
        return sorted(found.values(), key=lambda sample: (sample.gold_status, sample.id))

    @property
    def strengths(self) -> list[tuple[float, str]]:
        """Strength and id of each question's databases, the weakest first."""
        known = {s.id: s.suite_strength for s in self.samples if s.counted and s.suite_strength is not None}
        return sorted((strength, id_) for id_, strength in known.items())

    @property
    def widened(self) -> dict[str, list[str]]:
        """Each key of one column that was widened, with the ids of the questions, the most frequent first."""
        found: dict[str, dict[str, None]] = {}
        for sample in self.samples:
            for key in sample.widened:
                found.setdefault(key, {})[sample.id] = None
        return {key: list(ids) for key, ids in sorted(found.items(), key=lambda item: -len(item[1]))}

    @property
    def suspects(self) -> list[Suspect]:
        """The golds that several pairs contradict alike."""
        return suspects(self.samples)

    @property
    def metrics(self) -> list[str]:
        """Those that the headline leaves out."""
        every = dict.fromkeys(name for pair in self.side.pairs for name in pair.metrics)
        return [name for name in every if name not in HEADLINE]

    @property
    def outcomes(self) -> list[Outcome]:
        """Those that occurred."""
        return [one for one in Outcome if any(pair.outcomes.get(one) for pair in self.side.pairs)]

    @property
    def breakdowns(self) -> dict[str, dict[str, dict[str, Metric]]]:
        """Title of a table, then value of the group, then pair."""
        tables: dict[str, dict[str, dict[str, Metric]]] = {}
        for pair in self.side.pairs:
            for group, values in pair.breakdown.items():
                official = group in pair.metrics
                title = f"{label(group)} by level" if official else f"Execution accuracy by {label(group)}"
                for value, metric in values.items():
                    tables.setdefault(title, {}).setdefault(value, {})[pair.pair] = metric
        return tables

    @property
    def official(self) -> dict[str, Apart]:
        """Where harness and scorer part, by official metric."""
        names = sorted({name for sample in self.samples for name in sample.official})
        return {name: _apart(name, self.samples) for name in names}


def write_report(folder: Path) -> Path:
    """Write ``report.md`` and ``charts/*.svg`` into a run's folder; returns the report's path.

    Raises:
        RunError: the folder holds no results or samples, or cannot be written.
        DataError: a malformed file.
    """
    results = read_results(folder)
    text = render(
        "report.md.j2",
        results=results,
        sections=sections(results, folder),
        headline=HEADLINE,
        gold_meanings=GOLD_MEANINGS,
        exposure=EXPOSURE,
        telling=telling,
        diff_block=diff_block,
        page_limit=LIMIT,
        prompts=_prompts(results),
    )
    return write_text(folder / "report.md", text)


def sections(results: Results, folder: Path) -> list[Section]:
    """What report and page are made of, a section each benchmark; writes the charts."""
    made = []
    for side in results.benchmarks:
        samples = tuple(results.samples(side.name))
        made.append(
            Section(
                results=results,
                side=side,
                samples=samples,
                comparisons=tuple(_comparisons(side, samples)),
                rounds=tuple(_rounds(results, side)),
                charts=write_charts(side, folder / "charts"),
            )
        )
    return made


def _apart(name: str, samples: Sequence[Sample]) -> Apart:
    asked = [sample for sample in samples if name in sample.official and sample.sample == 0]
    apart = sorted((sample for sample in asked if sample.apart(name)), key=lambda sample: not sample.counted)
    accepted = [sample for sample in apart if sample.execution_match]
    rejected = [sample for sample in apart if not sample.execution_match]
    turns = [sample for pair in zip_longest(rejected, accepted) for sample in pair if sample is not None]
    return Apart(
        len(asked),
        Counter(sample.outcome.value for sample in accepted).most_common(),
        Counter(sample.cause or sample.outcome.value for sample in rejected).most_common(),
        turns,
    )


def _prompts(results: Results) -> list[tuple[list[str], str]]:
    """What was sent, as it stands, with the pairs that it was sent to."""
    found: dict[str, list[str]] = {}
    for side in results.benchmarks:
        for pair in side.pairs:
            prompt = pair.facts.get("prompt")
            if prompt:
                parts = [f"[{key}]\n{prompt[key]}" for key in _PARTS if prompt.get(key)]
                names = found.setdefault("\n\n".join(parts), [])
                names += [pair.pair] if pair.pair not in names else []
    return [(names, text) for text, names in found.items()]


def _rounds(results: Results, side: BenchmarkResult) -> Iterator[tuple[str, Bounded]]:
    """Every pair against every other, where there are more than two."""
    known = [(pair.pair, read_marks(Entry(results, side, pair))) for pair in side.pairs]
    if len(known) < 3:
        return
    for (first, before), (second, after) in combinations(known, 2):
        if found := bounded(before, after):
            yield f"{second} − {first}", found


def _comparisons(side: BenchmarkResult, samples: Sequence[Sample]) -> list[Comparison]:
    """Each pair against the reference; empty where there is nothing to compare with."""
    by_pair: dict[str, list[Sample]] = {pair.pair: [] for pair in side.pairs}
    for sample in samples:
        if sample.sample == 0:
            by_pair.setdefault(sample.pair, []).append(sample)
    name = side.reference
    return [
        compare_samples(by_pair[name], by_pair[pair], benchmark=side.name, names=(name, pair))
        for pair in by_pair
        if name is not None and pair != name
    ]
