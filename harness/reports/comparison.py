"""Two pairs over the same examples: what changed, by how much, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import RunError, UsageError
from harness.records import Sample, level
from harness.runs.results import BenchmarkResult, Entry, PairResult, Results, read_results

from .statistics import PairedDifference, paired_difference
from .wording import p_value, percent, points, render, span


class Change(NamedTuple):
    """An example that one side answers rightly and the other does not."""

    id: str
    kind: str | None
    question: str
    gold: str
    before: str | None
    after: str | None
    outcome_before: str
    outcome_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Side b against side a (a is before, b after) over the ``difference.n`` examples that both count.

    ``fixed`` are right in b alone, ``broken`` in a alone. ``remarks`` say what else differs between
    the two sides: prompt, rules, version, settings, examples.
    """

    benchmark: str
    name_a: str
    name_b: str
    accuracy_a: float
    accuracy_b: float
    difference: PairedDifference
    kinds: Mapping[str, PairedDifference]
    fixed: tuple[Change, ...]
    broken: tuple[Change, ...]
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as a JSON object; the difference is b minus a."""
        return {
            **asdict(self),
            "difference": self.difference._asdict(),
            "kinds": {kind: difference._asdict() for kind, difference in self.kinds.items()},
            "fixed": [change._asdict() for change in self.fixed],
            "broken": [change._asdict() for change in self.broken],
        }

    def sentence(self) -> str:
        """The finding in one sentence; "better" takes both an interval without 0 and p below 0.05."""
        d = self.difference
        if d.n == 0:
            return f"{self.name_b} and {self.name_a} have no counted example of {self.benchmark} in common."
        settled = d.p < 0.05 and not d.low <= 0 <= d.high
        verdict = ("better than" if d.value > 0 else "worse than") if settled else "not distinguishable from"
        return (
            f"{self.name_b} ({percent(self.accuracy_b)}) is {verdict} {self.name_a} "
            f"({percent(self.accuracy_a)}) on {d.n} questions of {self.benchmark}: {points(d.value)} points "
            f"(95 % interval {span(d.low, d.high, signed=True)}, McNemar's exact p {p_value(d.p)}); "
            f"{d.fixed} fixed, {d.broken} broken."
        )

    def to_markdown(self, examples: int = 20) -> str:
        """A page: the finding, what else differs, by kind, and up to ``examples`` of each change."""
        return render("comparison.md.j2", comparison=self, limit=examples)


def compare(
    run_a: Path,
    run_b: Path | None = None,
    *,
    benchmark: str | None = None,
    pair_a: str | None = None,
    pair_b: str | None = None,
) -> Comparison:
    """Compare a pair of run a (before) with one of run b (after), example by example, joined by id.

    Without ``run_b`` two pairs of the same run are compared, the base with the adapter by default. A
    pair may be left out where a run has a single adapter (or predictions file). Two variants of a benchmark
    (say create-context and create-context-full) are compared over the questions that they share.

    Raises:
        UsageError: the benchmark or a pair has to be named.
        RunError: a folder without results or samples, or two runs over different data.
    """
    a = read_results(run_a)
    b = a if run_b is None else read_results(run_b)
    side_a, side_b = _sides(a, b, benchmark)
    questions = {sample.id: sample.question for sample in a.samples(side_a.name)}
    shared = {one.id for one in b.samples(side_b.name) if questions.get(one.id) == one.question}
    if not shared:
        raise RunError(f"{side_a.name} and {side_b.name} share no question", "compare runs of one benchmark")
    if run_b is None and pair_a is None:
        pair_a = side_a.reference
    wish, without = (pair_a, None) if run_b else (None, pair_a)
    after = Entry(b, side_b, choose(side_b, pair_b, "--pair-b", wish=wish, without=without))
    before = Entry(a, side_a, choose(side_a, pair_a, "--pair-a", wish=after.pair.pair))
    names = before.pair.pair, after.pair.pair
    if names[0] == names[1]:
        names = f"{names[0]} ({a.path.parent.name})", f"{names[1]} ({b.path.parent.name})"
    remarks = differences(before, after)
    if side_a.name != side_b.name:
        remarks.insert(0, f"the benchmarks differ ({side_a.name} and {side_b.name})")
    return compare_samples(
        (sample for sample in before.samples() if sample.id in shared),
        after.samples(),
        benchmark=" → ".join(dict.fromkeys((side_a.name, side_b.name))),
        names=names,
        remarks=remarks,
    )


def compare_samples(
    before: Iterable[Sample],
    after: Iterable[Sample],
    *,
    benchmark: str,
    names: tuple[str, str],
    remarks: Sequence[str] = (),
) -> Comparison:
    """The comparison of two lists of samples, each with one sample an example."""
    first, second = ({sample.id: sample for sample in samples} for samples in (before, after))
    both = [(first[id_], second[id_]) for id_ in first if id_ in second]
    counted = [(a, b) for a, b in both if a.counted and b.counted]
    notes = list(remarks)
    if lone := len(first) + len(second) - 2 * len(both):
        notes.append(f"examples left out that stand on one side only: {lone}")
    if len(both) > len(counted):
        notes.append(f"examples left out for a flagged gold: {len(both) - len(counted)}")
    kinds: dict[str, list[tuple[Sample, Sample]]] = {}
    for a, b in counted:
        kinds.setdefault(a.kind or "–", []).append((a, b))
    return Comparison(
        benchmark=benchmark,
        name_a=names[0],
        name_b=names[1],
        accuracy_a=sum(a.execution_match for a, _ in counted) / max(len(counted), 1),
        accuracy_b=sum(b.execution_match for _, b in counted) / max(len(counted), 1),
        difference=_paired(counted),
        kinds={
            kind: _paired(pairs) for kind, pairs in sorted(kinds.items(), key=lambda item: level(item[0]))
        },
        fixed=tuple(_change(a, b) for a, b in counted if b.execution_match and not a.execution_match),
        broken=tuple(_change(a, b) for a, b in counted if a.execution_match and not b.execution_match),
        remarks=tuple(notes),
    )


def choose(
    side: BenchmarkResult,
    name: str | None,
    option: str,
    *,
    wish: str | None = None,
    without: str | None = None,
) -> PairResult:
    """The pair called ``name``, else the one called ``wish``, else the only one under test.

    UsageError, with the ``option`` that names a pair, where that leaves none or several.
    """
    pairs = {pair.pair: pair for pair in side.pairs if pair.pair != without}
    if name is not None and name not in pairs:
        raise UsageError(f"there is no pair {name!r} on {side.name}", f"there are: {', '.join(pairs)}")
    for wanted in (name, wish):
        if wanted in pairs:
            return pairs[wanted]
    subjects = [pair for pair in side.subjects if pair.pair in pairs] or list(pairs.values())
    if len(subjects) != 1:
        raise UsageError(
            f"there are several pairs on {side.name}", f"name one with {option}: {', '.join(pairs)}"
        )
    return subjects[0]


def differences(before: Entry, after: Entry) -> list[str]:
    """What besides the weights differs between two sides, a sentence each."""
    a, b = before.results, after.results
    rules = before.benchmark.config.get("rules"), after.benchmark.config.get("rules")
    found = {
        "the prompts differ": _changed(before.prompt, after.prompt, ignore={"origin"}),
        "the rules of the verdict differ": _changed(*rules),
        "the versions of the harness differ": ""
        if a.harness == b.harness
        else f"{a.harness} and {b.harness}",
        "the settings differ": _changed(a.settings, b.settings, ignore={"batch_size"}),
    }
    return [f"{what} ({change})" for what, change in found.items() if change]


def _sides(a: Results, b: Results, wanted: str | None) -> tuple[BenchmarkResult, BenchmarkResult]:
    """The benchmark that both runs hold, over the same data; else each one's only benchmark."""
    shared = [side.name for side in a.benchmarks if any(side.name == other.name for other in b.benchmarks)]
    if wanted is None and not shared and len(a.benchmarks) == len(b.benchmarks) == 1:
        return a.benchmarks[0], b.benchmarks[0]
    if wanted is None and len(shared) != 1:
        known = shared or [side.name for side in (*a.benchmarks, *b.benchmarks)]
        raise UsageError(
            "the runs do not share a single benchmark", f"name one with --benchmark: {', '.join(known)}"
        )
    found = a.benchmark(wanted or shared[0]), b.benchmark(wanted or shared[0])
    if found[0].config.get("data_hash") != found[1].config.get("data_hash"):
        raise RunError(
            f"the runs are over different examples of {found[0].name} (the data's hashes differ)",
            "run both with the same --benchmark, --data, --limit and --ids",
        )
    return found


def _paired(pairs: Sequence[tuple[Sample, Sample]]) -> PairedDifference:
    fixed = sum(b.execution_match and not a.execution_match for a, b in pairs)
    broken = sum(a.execution_match and not b.execution_match for a, b in pairs)
    return paired_difference(fixed, broken, len(pairs))


def _change(a: Sample, b: Sample) -> Change:
    return Change(
        a.id, a.kind, a.question, a.gold, a.prediction, b.prediction, a.outcome.value, b.outcome.value
    )


def _changed(a: object, b: object, ignore: Iterable[str] = ()) -> str:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return "" if a == b else f"{a} and {b}"
    keys = sorted(key for key in {**a, **b} if key not in set(ignore) and a.get(key) != b.get(key))
    return ", ".join(f"{key}: {str(a.get(key))[:60]!r} and {str(b.get(key))[:60]!r}" for key in keys)
