"""The gate: is a run worse than a committed baseline? Written for CI.

A baseline is a results file, say one that ``write_baseline`` has cut down to what the gate needs. Its marks
hold each example that is right or wrong, so that the test is paired and sharp; without them the shares are
compared as independent ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness import __version__
from harness.errors import DataError, RunError, UsageError
from harness.files import read_json
from harness.records import BOUNDS
from harness.runs.results import (
    REFERENCES,
    BenchmarkResult,
    Entry,
    PairResult,
    Results,
    read_results,
    write_document,
)
from harness.text import visible

from .comparison import choose
from .marks import Marks, Paired, read_marks
from .statistics import (
    detectable,
    detectable_unpaired,
    holm,
    mcnemar,
    paired_difference,
    unpaired_difference,
    unpaired_drop,
)
from .wording import count, label, p_value, percent, points, span

TOLERANCE = 0.01
"""A drop of up to one point passes where nothing else is said."""
ALPHA = 0.05

_NAMED = 10
_FLIPS = ("fixed", "broken", "fixed_ids", "broken_ids")
_KEPT = ("harness", "time", "fingerprint", "results", "configs", "pairs", "config", "versions")


class Change(NamedTuple):
    """A pair's metric against the baseline's, as shares over ``n`` examples.

    ``fixed`` and ``broken`` are the examples that flipped (None where they could not be held side by side,
    and ``unpaired`` says why). ``p`` is one-sided, of "it got worse". Of execution accuracy, ``strict`` and
    ``lenient`` are what baseline and value are with no assumption of a verdict, and with all of them.
    """

    benchmark: str
    pair: str
    known: str
    metric: str
    baseline: float
    value: float
    low: float
    high: float
    n: int
    fixed: int | None
    broken: int | None
    p: float
    unpaired: str = ""
    fixed_ids: tuple[str, ...] = ()
    broken_ids: tuple[str, ...] = ()
    strict: tuple[float, float] | None = None
    lenient: tuple[float, float] | None = None

    @property
    def bounds(self) -> str:
        """The bounds in words; empty where they are not known."""
        if self.strict is None or self.lenient is None:
            return ""
        told = (" to ".join(f"{100 * value:.1f}" for value in pair) for pair in (self.strict, self.lenient))
        return "{} with no assumption, {} with all".format(*told)

    @property
    def drop(self) -> float:
        """How much the metric fell."""
        return self.baseline - self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the gate holds of a change.

    ``p`` is the change's, raised for the number of tests of the check; ``smallest`` the smallest true drop
    that so many examples show four times in five. A ``regression`` fails; ``inconclusive`` are too few
    examples to show a drop of the tolerance.
    """

    change: Change
    p: float
    tolerance: float
    smallest: float
    regression: bool
    inconclusive: bool

    @property
    def word(self) -> str:
        """REGRESSION, INCONCLUSIVE or ok."""
        return "REGRESSION" if self.regression else "INCONCLUSIVE" if self.inconclusive else "ok"

    @property
    def reason(self) -> str:
        """Why, in words."""
        allowed = f"the tolerance of {points(self.tolerance).lstrip('+')} points"
        if self.regression:
            return f"a drop larger than {allowed}, and more than chance"
        if self.inconclusive:
            least = points(self.smallest).lstrip("+")
            return f"too few questions to show a drop of {allowed}: so many show {least} points or more"
        if self.change.drop > self.tolerance:
            return f"a drop larger than {allowed} that may well be chance"
        return f"no drop larger than {allowed}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; shares, not points."""
        change = self.change
        return {
            **{name: value for name, value in change._asdict().items() if name not in _FLIPS},
            "flips": None if change.fixed is None else {name: getattr(change, name) for name in _FLIPS},
            "p": change.p,
            "p_adjusted": self.p,
            "tolerance": self.tolerance,
            "smallest_drop_shown": self.smallest,
            "regression": self.regression,
            "inconclusive": self.inconclusive,
            "verdict": self.word.lower(),
            "reason": self.reason,
        }

    def flipped(self) -> tuple[str, ...]:
        """The examples that broke, a line, where the finding is no ok."""
        ids = self.change.broken_ids if self.word != "ok" else ()
        more = f", and {count(len(ids) - _NAMED)} more" if len(ids) > _NAMED else ""
        return (f"  broken: {', '.join(map(visible, ids[:_NAMED]))}{more}",) if ids else ()

    def line(self) -> str:
        """For people."""
        change = self.change
        against = "" if change.pair == change.known else f" (the baseline's {change.known})"
        flips = "" if change.fixed is None else f"{change.fixed} fixed, {change.broken} broken of "
        test = f"Fisher, unpaired: {change.unpaired}" if change.unpaired else "McNemar"
        return (
            f"{self.word}: {change.benchmark} {change.pair}{against} {label(change.metric)} "
            f"{percent(change.value)}, baseline {percent(change.baseline)}"
            f"{f' ({change.bounds})' if change.bounds else ''}, {points(-change.drop)} points "
            f"({span(change.low, change.high, signed=True)}), {flips}{count(change.n)} questions, "
            f"one-sided p {p_value(self.p)} ({test}); {self.reason}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate's answer: a finding each pair and metric. With ``strict`` an inconclusive one fails too."""

    findings: tuple[Finding, ...]
    strict: bool = False
    notes: tuple[str, ...] = ()

    @property
    def inconclusive(self) -> bool:
        """Whether too few examples decide something and nothing failed."""
        return not any(one.regression for one in self.findings) and any(
            one.inconclusive for one in self.findings
        )

    @property
    def passed(self) -> bool:
        """Whether the exit code is 0."""
        return not any(one.regression or (self.strict and one.inconclusive) for one in self.findings)

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: a line a finding, and what an inconclusive one comes to."""
        told = self.notes + tuple(line for one in self.findings for line in (one.line(), *one.flipped()))
        if not any(one.inconclusive for one in self.findings):
            return told
        counts = "fails, as --strict asks" if self.strict else "passes; with --strict it fails"
        return (*told, f"What is INCONCLUSIVE {counts}. More questions would decide it.")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "passed": self.passed,
            "inconclusive": self.inconclusive,
            "strict": self.strict,
            "notes": list(self.notes),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check(
    run: Path,
    baseline: Path,
    *,
    tolerance: float = TOLERANCE,
    alpha: float = ALPHA,
    metrics: Sequence[str] = ("execution_accuracy",),
    pair: str | None = None,
    strict: bool = False,
) -> Gate:
    """Hold a run against a baseline by the rule of ``judge``.

    Every benchmark and every pair of the baseline is checked, the base too, or only the one called ``pair``.
    Where both sides have a single adapter, it may bear another name.

    Raises:
        UsageError: a tolerance or alpha out of range, an unknown metric or pair.
        RunError: other data or other rules than the baseline's, or a benchmark that was not run.
        DataError: a baseline that is malformed, holds nothing or was written by a newer harness.
    """
    if not 0 <= tolerance <= 1 or not 0 < alpha < 1:
        raise UsageError(
            f"tolerance {tolerance} or alpha {alpha} is out of range",
            "both are shares: 0.01 is one point",
        )
    new, old = read_results(run), read_results(baseline)
    _not_newer(old)
    changes: list[Change] = []
    for before in old.benchmarks:
        after = new.benchmark(before.name)
        _same_conditions(before, after, baseline)
        for known, chosen in _matched(before, after, pair):
            sides = Entry(old, before, known), Entry(new, after, chosen)
            marks = read_marks(sides[0]), read_marks(sides[1])
            changes += [_change(sides, marks, metric) for metric in metrics]
    if not changes:
        raise DataError(
            f"{baseline} holds no pair to check", "write it again: check RUN --baseline FILE --update"
        )
    found = tuple(judge(changes, tolerance, alpha))
    return Gate(findings=found, strict=strict, notes=(*_other_verdicts(old, new), *_leaks(old, new)))


def _leaks(old: Results, new: Results) -> Iterator[str]:
    """A line for each pair, on either side, that was trained on the test."""
    for results, side in ((new, "the run"), (old, "the baseline")):
        told = {pair.pair: pair.leak for one in results.benchmarks for pair in one.pairs if pair.leak}
        for pair, leak in told.items():
            yield f"LEAK: {pair} of {side} was trained on the test: {leak}"


def judge(changes: Sequence[Change], tolerance: float = TOLERANCE, alpha: float = ALPHA) -> list[Finding]:
    """The gate's one rule, over all the changes of a check.

    A change is a regression where the drop is larger than ``tolerance`` and more than chance: its one-sided
    exact p (McNemar's where the examples are held side by side, else Fisher's), raised by Holm's
    procedure for the number of changes, lies below ``alpha``. It is inconclusive where its 95 % interval does
    not rule out a drop larger than ``tolerance`` and so many examples would not show one of that size.
    """
    findings = []
    for change, p in zip(changes, holm([change.p for change in changes]), strict=True):
        level = alpha / len(changes)
        if change.fixed is None or change.broken is None:
            smallest = detectable_unpaired(change.n, change.baseline, level)
        else:
            smallest = detectable(change.n, (change.fixed + change.broken) / change.n, level, sides=1)
        regression = p < alpha and change.drop > tolerance
        findings.append(
            Finding(
                change=change,
                p=p,
                tolerance=tolerance,
                smallest=smallest,
                regression=regression,
                inconclusive=not regression and change.low < -tolerance and smallest > tolerance,
            )
        )
    return findings


def write_baseline(run: Path, target: Path, *, pair: str | None = None) -> tuple[str, ...]:
    """Write what the gate needs of a run, or of its ``pair`` alone, to a small file; returns the pairs.

    Raises:
        UsageError: the run has no such pair.
    """
    results = read_results(run)
    names = {one.pair for side in results.benchmarks for one in side.pairs}
    if pair is not None and pair not in names:
        raise UsageError(f"{run} has no pair {pair!r}", f"there are: {', '.join(sorted(names))}")
    whole = read_json(results.path)
    kept = {key: whole[key] for key in _KEPT if key in whole}
    chosen = names if pair is None else {pair}
    kept["results"] = {name: _only(pairs, chosen) for name, pairs in whole["results"].items()}
    kept["pairs"] = _only(whole.get("pairs", {}), chosen)
    marks = whole.get("marks", {})
    kept["marks"] = {name: _only(found, {"ids", *chosen}) for name, found in marks.items()}
    write_document(target, kept)
    return tuple(sorted(chosen))


def _only(found: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in names}


def _matched(
    old: BenchmarkResult, new: BenchmarkResult, pair: str | None
) -> list[tuple[PairResult, PairResult]]:
    """Which pair of the baseline is held against which of the run."""
    if pair in REFERENCES:
        return [(choose(old, pair, "--pair"), choose(new, pair, "--pair"))]
    if pair is not None:
        chosen = choose(new, pair, "--pair")
        return [(choose(old, None, "--pair", wish=pair), chosen)]
    renamed = [
        known.pair for known in old.subjects if len(old.subjects) == 1 and known.pair not in REFERENCES
    ]
    return [
        (
            known,
            choose(new, None, "--pair", wish=known.pair)
            if known.pair in renamed
            else choose(new, known.pair, "--pair"),
        )
        for known in old.pairs
    ]


def _change(
    sides: tuple[Entry, Entry], marks: tuple[dict[str, Marks], dict[str, Marks]], metric: str
) -> Change:
    old, new = sides
    before, after = old.pair.metrics.get(metric), new.pair.metrics.get(metric)
    if before is None or after is None:
        known = ", ".join(name for name in old.pair.metrics if name in new.pair.metrics)
        raise UsageError(f"run and baseline do not both have the metric {metric!r}", f"they have: {known}")
    names = old.benchmark.name, new.pair.pair, old.pair.pair, metric
    unpaired = _unpaired(*marks, metric)
    table = Paired(0, 0, 0, 0, 0) if unpaired else marks[1][metric].against(marks[0][metric])
    if not (before.n and after.n and (table.n or unpaired)):
        raise RunError(
            f"run and baseline share no counted example of {old.benchmark.name}",
            "the golds are flagged or the ids differ: write the baseline again with --update",
        )
    if unpaired:
        counts = (round(after.value * after.n), after.n), (round(before.value * before.n), before.n)
        limits, p = unpaired_difference(*counts), unpaired_drop(*counts)
        made = Change(*names, before.value, after.value, *limits, after.n, None, None, p, unpaired)
    else:
        fixed, broken = marks[1][metric].flips(marks[0][metric])
        made = change_of(table, *names)._replace(fixed_ids=fixed, broken_ids=broken)
    if metric != "execution_accuracy":
        return made
    strict, lenient = (_bound(sides, bound) for bound in BOUNDS)
    return made._replace(strict=strict, lenient=lenient)


def _bound(sides: tuple[Entry, Entry], metric: str) -> tuple[float, float] | None:
    """Baseline and value of a bound."""
    before, after = (side.pair.metrics.get(metric) for side in sides)
    return (before.value, after.value) if before and after else None


def change_of(table: Paired, benchmark: str, pair: str, known: str, metric: str) -> Change:
    """The change that examples held side by side show."""
    found = paired_difference(table.fixed, table.broken, table.n)
    return Change(
        benchmark,
        pair,
        known,
        metric,
        baseline=table.before / table.n,
        value=table.after / table.n,
        low=found.low,
        high=found.high,
        n=table.n,
        fixed=table.fixed,
        broken=table.broken,
        p=mcnemar(table.fixed, table.broken, "less"),
    )


def _unpaired(old: dict[str, Marks], new: dict[str, Marks], metric: str) -> str:
    """Why the examples cannot be held side by side; empty where they can."""
    for name, marks in (("baseline", old), ("run", new)):
        if not marks:
            return f"the {name} keeps no mark a question"
        if metric not in marks:
            return f"the {name} has no 0 or 1 a question for it"
    return ""


def _other_verdicts(old: Results, new: Results) -> Iterator[str]:
    for before in old.benchmarks:
        was, now = (side.config.get("verdicts", 1) for side in (before, new.benchmark(before.name)))
        if was != now:
            yield (
                f"Note: the baseline's verdicts on {before.name} are of version {was}, the run's of {now}; "
                "a change may be the judge's own. Write the baseline again with --update."
            )


def _not_newer(old: Results) -> None:
    theirs, ours = (tuple(map(int, re.findall(r"\d+", text)[:3])) for text in (old.harness, __version__))
    if theirs > ours:
        raise DataError(
            f"{old.path} was written by harness {old.harness}, newer than this one ({__version__})",
            "install that version, or write the baseline again with --update",
        )


def _same_conditions(old: BenchmarkResult, new: BenchmarkResult, baseline: Path) -> None:
    for key, what in (
        ("data_hash", "other examples"),
        ("rules", "other rules of the verdict"),
    ):
        if old.config.get(key) != new.config.get(key):
            raise RunError(
                f"the baseline {baseline} has {what} of {old.name} than the run",
                "run with the same options, or write the baseline again with --update",
            )
