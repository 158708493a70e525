"""Two pairs over the same examples: what changed, by how much, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import RunError, UsageError

from .results import REFERENCES, BenchmarkResult, Judged, PairResult, Results, read_results, read_samples
from .statistics import PairedDifference, paired_difference
from .tables import cell, code, label, markdown, p_value, percent, points, span


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
            **{
                key: value for key, value in asdict(self).items() if key not in {"fixed", "broken", "remarks"}
            },
            "difference": _difference(self.difference),
            "kinds": {kind: _difference(difference) for kind, difference in self.kinds.items()},
            "fixed": [change._asdict() for change in self.fixed],
            "broken": [change._asdict() for change in self.broken],
            "remarks": list(self.remarks),
        }

    def sentence(self) -> str:
        """The finding in one sentence."""
        d = self.difference
        if d.n == 0:
            return f"{self.name_b} and {self.name_a} have no counted example of {self.benchmark} in common."
        verdict = "better than" if d.low > 0 else "worse than" if d.high < 0 else "not distinguishable from"
        return (
            f"{self.name_b} ({percent(self.accuracy_b)}) is {verdict} {self.name_a} "
            f"({percent(self.accuracy_a)}) on {d.n} examples of {self.benchmark}: {points(d.value)} points "
            f"(95 % interval {span(d.low, d.high, signed=True)}, McNemar's exact p {p_value(d.p)}); "
            f"{d.only_a} fixed, {d.only_b} broken."
        )

    def to_markdown(self, examples: int = 20) -> str:
        """A page: the finding, what else differs, by kind, and up to ``examples`` of each change."""
        parts = [f"# {self.name_b} against {self.name_a}", self.sentence()]
        if self.remarks:
            parts.append("\n".join(f"> **Note:** {cell(remark)}" for remark in self.remarks))
        if len(self.kinds) > 1:
            parts += ["## By kind of question", difference_table("kind", self.kinds.items())]
        for title, changes in (("Broken", self.broken), ("Fixed", self.fixed)):
            if changes:
                shown = f", {examples} shown" if len(changes) > examples else ""
                parts += [f"## {title} ({len(changes)}{shown})", _changes(changes[:examples])]
        return "\n\n".join(parts) + "\n"


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
    pair may be left out where a run has a single adapter (or predictions file).

    Raises:
        UsageError: the benchmark or a pair has to be named.
        RunError: a folder without results or samples, or two runs over different data.
    """
    a = read_results(run_a)
    b = a if run_b is None else read_results(run_b)
    name = _common(a, b, benchmark)
    side_a, side_b = a.benchmark(name), b.benchmark(name)
    if side_a.config.get("data_hash") != side_b.config.get("data_hash"):
        raise RunError(
            f"{run_a} and {run_b} were run on different examples of {name} (the data's hashes differ)",
            "run both with the same --benchmark, --data, --limit and --ids",
        )
    if run_b is None and pair_a is None and side_a.reference is not None:
        pair_a = side_a.reference.pair
    chosen_b = choose_pair(side_b, pair_b, run_b or run_a, leave_out=pair_a if run_b is None else None)
    chosen_a = choose_pair(side_a, pair_a, run_a, wish=chosen_b.pair)
    samples_a = [sample for sample in read_samples(a, name) if sample.pair == chosen_a.pair]
    samples_b = [sample for sample in read_samples(b, name) if sample.pair == chosen_b.pair]
    names = chosen_a.pair, chosen_b.pair
    if names[0] == names[1]:
        names = f"{names[0]} ({_folder(a)})", f"{names[1]} ({_folder(b)})"
    remarks = differences(a, b, side_a, side_b, chosen_a, chosen_b)
    return compare_samples(samples_a, samples_b, benchmark=name, names=names, remarks=remarks)


def compare_samples(
    before: Iterable[Judged],
    after: Iterable[Judged],
    *,
    benchmark: str,
    names: tuple[str, str],
    remarks: Sequence[str] = (),
) -> Comparison:
    """The comparison of two lists of samples; only the first sample of an example is looked at."""
    first = {sample.id: sample for sample in before if sample.sample == 0}
    second = {sample.id: sample for sample in after if sample.sample == 0}
    both = [(first[id], second[id]) for id in first if id in second]
    counted = [(a, b) for a, b in both if a.counted and b.counted]
    notes = list(remarks)
    if lone := len(first) + len(second) - 2 * len(both):
        notes.append(f"{lone} examples stand on one side only and are left out")
    if len(both) > len(counted):
        notes.append(f"{len(both) - len(counted)} examples with a flagged gold are left out")
    kinds: dict[str, list[tuple[Judged, Judged]]] = {}
    for a, b in counted:
        kinds.setdefault(a.kind or "–", []).append((a, b))
    return Comparison(
        benchmark=benchmark,
        name_a=names[0],
        name_b=names[1],
        accuracy_a=sum(a.right for a, _ in counted) / max(len(counted), 1),
        accuracy_b=sum(b.right for _, b in counted) / max(len(counted), 1),
        difference=_paired(counted),
        kinds={kind: _paired(pairs) for kind, pairs in sorted(kinds.items())},
        fixed=tuple(_change(a, b) for a, b in counted if b.right and not a.right),
        broken=tuple(_change(a, b) for a, b in counted if a.right and not b.right),
        remarks=tuple(notes),
    )


def choose_pair(
    side: BenchmarkResult,
    name: str | None,
    run: Path,
    *,
    wish: str | None = None,
    leave_out: str | None = None,
) -> PairResult:
    """The pair called ``name``, else the one called ``wish``, else the only one that is no reference."""
    pairs = {pair.pair: pair for pair in side.pairs if pair.pair != leave_out}
    if name is not None:
        if name not in pairs:
            raise UsageError(f"{run} has no pair {name!r} on {side.name}", f"it has: {', '.join(pairs)}")
        return pairs[name]
    if wish in pairs:
        return pairs[wish]
    subjects = [pair for pair in pairs.values() if pair.pair not in REFERENCES] or list(pairs.values())
    if len(subjects) != 1:
        raise UsageError(f"{run} has several pairs on {side.name}", f"name one of: {', '.join(pairs)}")
    return subjects[0]


def differences(
    a: Results,
    b: Results,
    side_a: BenchmarkResult,
    side_b: BenchmarkResult,
    pair_a: PairResult,
    pair_b: PairResult,
) -> list[str]:
    """What besides the weights differs between two sides, a sentence each."""
    found = []
    prompt_a = pair_a.prompt or side_a.config.get("prompt")
    prompt_b = pair_b.prompt or side_b.config.get("prompt")
    if changed := _changed(prompt_a, prompt_b, ignore={"origin"}):
        found.append(f"the prompts differ ({changed})")
    if changed := _changed(side_a.config.get("rules"), side_b.config.get("rules")):
        found.append(f"the rules of the verdict differ ({changed})")
    if a.harness != b.harness:
        found.append(f"the harness differs: {a.harness} and {b.harness}")
    if changed := _changed(a.settings, b.settings, ignore={"command", "output", "batch_size"}):
        found.append(f"the settings differ ({changed})")
    return found


def difference_table(head: str, rows: Iterable[tuple[str, PairedDifference]]) -> str:
    """Paired differences as a Markdown table, a row each."""
    return markdown(
        [head, "n", "difference, points", "95 % interval", "fixed", "broken", "p"],
        [
            [
                cell(name),
                d.n,
                f"**{points(d.value)}**",
                span(d.low, d.high, signed=True),
                d.only_a,
                d.only_b,
                p_value(d.p).removeprefix("= "),
            ]
            for name, d in rows
        ],
    )


def _common(a: Results, b: Results, wanted: str | None) -> str:
    names = [side.name for side in a.benchmarks if any(side.name == other.name for other in b.benchmarks)]
    if wanted is not None:
        a.benchmark(wanted)
        b.benchmark(wanted)
        return wanted
    if not names:
        raise RunError(
            f"{a.path.parent} and {b.path.parent} share no benchmark", "compare runs of the same one"
        )
    if len(names) > 1:
        raise UsageError(
            "the runs share several benchmarks", f"name one with --benchmark: {', '.join(names)}"
        )
    return names[0]


def _paired(pairs: Sequence[tuple[Judged, Judged]]) -> PairedDifference:
    fixed = sum(b.right and not a.right for a, b in pairs)
    broken = sum(a.right and not b.right for a, b in pairs)
    return paired_difference(fixed, broken, len(pairs))


def _change(a: Judged, b: Judged) -> Change:
    return Change(
        a.id, a.kind, a.question, a.gold, a.prediction, b.prediction, a.outcome.value, b.outcome.value
    )


def _changes(changes: Sequence[Change]) -> str:
    rows = [
        [
            cell(change.id),
            cell(change.question, 120),
            code(change.gold, 160),
            f"{label(change.outcome_before)}: {code(change.before or '', 160)}",
            f"{label(change.outcome_after)}: {code(change.after or '', 160)}",
        ]
        for change in changes
    ]
    return markdown(["id", "question", "gold", "before", "after"], rows, left=5)


def _difference(difference: PairedDifference) -> dict[str, Any]:
    named = difference._asdict()
    return {**named, "fixed": named.pop("only_a"), "broken": named.pop("only_b")}


def _changed(a: object, b: object, ignore: Iterable[str] = ()) -> str:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return "" if a == b else f"{a} and {b}"
    keys = [key for key in {**a, **b} if key not in set(ignore) and a.get(key) != b.get(key)]
    return ", ".join(f"{key}: {cell(a.get(key), 60)} and {cell(b.get(key), 60)}" for key in sorted(keys))


def _folder(results: Results) -> str:
    return results.path.parent.name
