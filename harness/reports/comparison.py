"""Pairs over the same examples: what changed, by how much, and whether it is more than chance."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import RunError, UsageError
from harness.files import write_text
from harness.measures import BOUNDS, METRICS, level
from harness.records import Sample
from harness.runs.results import BenchmarkResult, Entry, PairResult, Results, read_results
from harness.text import visible

from .statistics import Bounded, Clustered, PairedDifference, by_schema, detectable, holm, paired_difference
from .wording import count, label, p_value, percent, points, render, span


class Flip(NamedTuple):
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

    ``fixed`` are right in b alone, ``broken`` in a alone. ``strict`` and ``lenient`` are the difference with
    no assumption of a verdict, and with all of them. ``by_schema`` is the interval that takes the
    questions of one schema for dependent (None where each has a schema of its own), ``detectable`` the
    smallest true difference that so many examples show four times in five. ``adjusted_p`` is p raised for
    all comparisons that were asked for. ``remarks`` say what else differs between the two sides: prompt,
    rules, version, settings, examples.
    """

    benchmark: str
    name_a: str
    name_b: str
    accuracy_a: float
    accuracy_b: float
    difference: PairedDifference
    strict: PairedDifference
    lenient: PairedDifference
    by_schema: Clustered | None
    detectable: float
    adjusted_p: float
    kinds: Mapping[str, PairedDifference]
    fixed: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as a JSON object; the difference is b minus a."""
        return {
            **asdict(self),
            "difference": self.difference._asdict(),
            "strict": self.strict._asdict(),
            "lenient": self.lenient._asdict(),
            "by_schema": self.by_schema and self.by_schema._asdict(),
            "kinds": {kind: difference._asdict() for kind, difference in self.kinds.items()},
            "fixed": [change._asdict() for change in self.fixed],
            "broken": [change._asdict() for change in self.broken],
        }

    def sentence(self) -> str:
        """The finding in one sentence.

        "Better" takes an interval without 0, p below 0.05, and the same sign with no assumption and with all.
        """
        d = self.difference
        if d.n == 0:
            return f"{self.name_b} and {self.name_a} have no counted example of {self.benchmark} in common."
        shown = self.adjusted_p < 0.05 and not d.low <= 0 <= d.high
        settled = shown and self.bounded.agree
        own, over_all = p_value(d.p), p_value(self.adjusted_p)
        raised = "" if own == over_all else f", {over_all} over all comparisons"
        hangs = ", so it hangs on them" if shown and not settled else ""
        verdict = ("better than" if d.value > 0 else "worse than") if settled else "not distinguishable from"
        return (
            f"{self.name_b} ({percent(self.accuracy_b)}) is {verdict} {self.name_a} "
            f"({percent(self.accuracy_a)}) on {count(d.n)} questions of {self.benchmark}: "
            f"{points(d.value)} points (95 % interval {span(d.low, d.high, signed=True)}, "
            f"McNemar's exact p {own}{raised}; {points(self.strict.value)} with no assumption, "
            f"{points(self.lenient.value)} with all{hangs}); "
            f"{count(d.fixed)} fixed, {count(d.broken)} broken."
        )

    @property
    def bounded(self) -> Bounded:
        """The difference with its bounds."""
        return Bounded(self.difference, self.strict, self.lenient)

    def strength(self) -> str:
        """What the examples can show, and what the schemas say, in a sentence."""
        least = points(self.detectable).lstrip("+")
        text = f"So many questions show a difference of {least} points four times in five."
        if self.by_schema is None:
            return text
        limits = span(self.by_schema.low, self.by_schema.high, signed=True)
        return f"{text} With the {count(self.by_schema.clusters)} schemas drawn anew: {limits}."

    def flips(self) -> list[tuple[str, Flip]]:
        """Every change with its word, broken ones first."""
        return [("broken", one) for one in self.broken] + [("fixed", one) for one in self.fixed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """Every pair against every other; p is raised for their number (Holm)."""

    found: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; a single comparison's fields stand in it too."""
        single = self.found[0].to_json() if len(self.found) == 1 else {"benchmark": self.found[0].benchmark}
        return {**single, "comparisons": [one.to_json() for one in self.found]}

    def to_markdown(self, examples: int = 20) -> str:
        """A page: the findings, what else differs, by kind, and up to ``examples`` of each change."""
        return render("comparison.md.j2", comparisons=self.found, limit=examples)

    def write_markdown(self, target: Path) -> None:
        """Write the page; RunError where the file cannot be."""
        write_text(target, self.to_markdown())

    def lines(self, *, flips: bool = False) -> Iterator[str]:
        """The findings in words, what else differs, and with ``flips`` every example that changed."""
        said: set[str] = set()
        for one in self.found:
            yield one.sentence()
            yield one.strength()
            for remark in one.remarks:
                if remark not in said:
                    yield f"Note: {remark}"
                said.add(remark)
            for word, change in one.flips() if flips else ():
                yield f"{word} {change.id} ({one.name_a} → {one.name_b}): {visible(change.question)}"
                yield f"  gold    {visible(change.gold)}"
                yield f"  before  {label(change.outcome_before)}: {visible(change.before)}"
                yield f"  after   {label(change.outcome_after)}: {visible(change.after)}"

    def table(self) -> tuple[str, tuple[str, ...], list[list[str]]]:
        """Title, heads and rows for a screen, a row a comparison."""
        heads = ("pair", "n", "points", "95 % interval", "strict", "lenient", "fixed", "broken", "p")
        rows = [
            [
                f"{one.name_b} − {one.name_a}",
                count(one.difference.n),
                points(one.difference.value),
                span(one.difference.low, one.difference.high, signed=True),
                points(one.strict.value),
                points(one.lenient.value),
                count(one.difference.fixed),
                count(one.difference.broken),
                p_value(one.adjusted_p).removeprefix("= "),
            ]
            for one in self.found
        ]
        return f"{self.found[0].benchmark}, each pair against another", heads, rows

    @property
    def names(self) -> tuple[str, ...]:
        """The pairs' names, each once."""
        return tuple(dict.fromkeys(name for one in self.found for name in (one.name_a, one.name_b)))

    def write_csv(self, target: Path) -> None:
        """Write every change of every comparison, a line each; RunError where the file cannot be."""
        heads = ("benchmark", "pair_before", "pair_after", "change", *Flip._fields)
        lines = io.StringIO()
        rows = csv.writer(lines)
        rows.writerow(heads)
        for one in self.found:
            for word, change in one.flips():
                rows.writerow((one.benchmark, one.name_a, one.name_b, word, *change))
        write_text(target, lines.getvalue())


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
        resample=True,
    )


def compare_all(
    runs: Sequence[Path],
    *,
    benchmark: str | None = None,
    pair_a: str | None = None,
    pair_b: str | None = None,
) -> Comparisons:
    """Compare runs, every one with every other; of a single run, every pair with every other.

    With two runs, or with a pair named, it is one comparison as ``compare`` makes it. Raises as that does.
    """
    first = read_results(runs[0])
    sides = [side for side in first.benchmarks if benchmark in (None, side.name)]
    several = len(sides) == 1 and len(sides[0].pairs) > 2
    if len(runs) > 2:
        if pair_a or pair_b:
            raise UsageError("--pair-a and --pair-b are of two runs", "name two runs, or leave the pairs out")
        found = [compare(a, b, benchmark=benchmark) for a, b in combinations(runs, 2)]
    elif len(runs) == 1 and several and not (pair_a or pair_b):
        names = [pair.pair for pair in sides[0].pairs]
        found = [compare(runs[0], benchmark=benchmark, pair_a=a, pair_b=b) for a, b in combinations(names, 2)]
    else:
        found = [compare(runs[0], *runs[1:], benchmark=benchmark, pair_a=pair_a, pair_b=pair_b)]
    raised = holm([one.difference.p for one in found])
    return Comparisons(found=tuple(replace(one, adjusted_p=p) for one, p in zip(found, raised, strict=True)))


def compare_samples(
    before: Iterable[Sample],
    after: Iterable[Sample],
    *,
    benchmark: str,
    names: tuple[str, str],
    remarks: Sequence[str] = (),
    resample: bool = False,
) -> Comparison:
    """The comparison of two lists of samples, each with one sample an example.

    ``resample`` works out ``by_schema``, which takes a second or two where there are many schemas.
    """
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
    difference = _paired(counted)
    return Comparison(
        benchmark=benchmark,
        name_a=names[0],
        name_b=names[1],
        accuracy_a=sum(a.execution_match for a, _ in counted) / max(len(counted), 1),
        accuracy_b=sum(b.execution_match for _, b in counted) / max(len(counted), 1),
        difference=difference,
        strict=_paired(counted, BOUNDS[0]),
        lenient=_paired(counted, BOUNDS[1]),
        by_schema=by_schema(
            [(a.db_id or a.context, b.execution_match - a.execution_match) for a, b in counted]
        )
        if resample
        else None,
        detectable=detectable(difference.n, (difference.fixed + difference.broken) / max(difference.n, 1)),
        adjusted_p=difference.p,
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
        "the versions of the verdicts differ": _changed(
            *(side.benchmark.config.get("verdicts", 1) for side in (before, after))
        ),
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


def _paired(pairs: Sequence[tuple[Sample, Sample]], metric: str = "execution_accuracy") -> PairedDifference:
    right = METRICS[metric].of
    table = [(right(a), right(b)) for a, b in pairs]
    return paired_difference(table.count((False, True)), table.count((True, False)), len(pairs))


def _change(a: Sample, b: Sample) -> Flip:
    return Flip(
        a.id, a.kind, a.question, a.gold, a.prediction, b.prediction, a.outcome.value, b.outcome.value
    )


def _changed(a: object, b: object, ignore: Iterable[str] = ()) -> str:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return "" if a == b else f"{a} and {b}"
    keys = sorted(key for key in {**a, **b} if key not in set(ignore) and a.get(key) != b.get(key))
    return ", ".join(f"{key}: {str(a.get(key))[:60]!r} and {str(b.get(key))[:60]!r}" for key in keys)
