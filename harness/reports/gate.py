"""The gate: is a run worse than a committed baseline? Written for CI.

A baseline is what ``write_baseline`` writes: a results file that also keeps a digit for each example and
metric that is either right or wrong, so that the test is paired and sharp. A run's folder serves as well,
and so does a bare results file, whose shares are then compared as independent ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError, RunError, UsageError
from harness.records import METRICS, Sample
from harness.runs.results import REFERENCES, BenchmarkResult, Entry, PairResult, read_results

from .comparison import choose
from .statistics import mcnemar, paired_difference, unpaired_difference, unpaired_drop
from .wording import label, p_value, percent, points, span, write

_Marks = Mapping[str, Mapping[str, str]]
"""By metric and id "1" (right), "0" (wrong) or "x" (not counted)."""

_KEPT = ("harness", "time", "fingerprint", "results", "configs", "pairs", "config", "versions")


class Finding(NamedTuple):
    """One pair's metric against the baseline's, as shares; ``p`` is one-sided: it got worse.

    ``unpaired`` says why the examples could not be held side by side; empty where they were.
    """

    benchmark: str
    pair: str
    metric: str
    baseline: float
    value: float
    low: float
    high: float
    p: float
    unpaired: str
    regression: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate's answer: ``passed``, a finding each metric, and ``lines`` for people."""

    passed: bool
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"passed": self.passed, "findings": [finding._asdict() for finding in self.findings]}


def check(
    run: Path,
    baseline: Path,
    *,
    tolerance: float = 0.05,
    alpha: float = 0.05,
    metrics: Sequence[str] = ("execution_accuracy",),
    pair: str | None = None,
) -> Gate:
    """Hold a run against a baseline; a regression is one of two things.

    * a drop that is real: one-sided exact p (McNemar's where the baseline knows the examples, else
      Fisher's) below ``alpha``;
    * a drop of more than ``tolerance`` (a share: 0.05 is five points), real or not: with few examples
      chance cannot be ruled out, and a gate must not wave through what it cannot see.

    Every benchmark and every pair of the baseline is checked, the base too, or only the one called ``pair``.
    Where both sides have a single adapter, it may bear another name.

    Raises:
        UsageError: a tolerance or alpha out of range, an unknown metric or pair.
        RunError: other data or other rules than the baseline's, or a benchmark that was not run.
        DataError: a baseline that is malformed or holds nothing.
    """
    if not 0 <= tolerance <= 1 or not 0 < alpha < 1:
        raise UsageError(
            f"tolerance {tolerance} or alpha {alpha} is out of range", "both are shares, such as 0.05"
        )
    new, old = read_results(run), read_results(baseline)
    findings: list[Finding] = []
    lines: list[str] = []
    for before in old.benchmarks:
        after = new.benchmark(before.name)
        _same_conditions(before, after, baseline)
        for known, chosen in _matched(before, after, pair):
            sides = Entry(old, before, known), Entry(new, after, chosen)
            marks = _marks(sides[0]), _marks(sides[1])
            for metric in metrics:
                found = _find(sides, marks, metric, tolerance, alpha)
                findings.append(found)
                lines.append(_line(found, known.pair, tolerance))
    if not findings:
        raise DataError(
            f"{baseline} holds no pair to check", "write it again: check RUN --baseline FILE --update"
        )
    return Gate(passed=not any(f.regression for f in findings), findings=tuple(findings), lines=tuple(lines))


def write_baseline(run: Path, target: Path) -> Path:
    """Write what the gate needs of a run to one small JSON file that can be committed."""
    results = read_results(run)
    whole = json.loads(results.path.read_text(encoding="utf-8"))
    marks: dict[str, Any] = {}
    for side in results.benchmarks:
        by_pair = {pair.pair: _marks(Entry(results, side, pair)) for pair in side.pairs}
        ids = list(
            dict.fromkeys(id_ for found in by_pair.values() for known in found.values() for id_ in known)
        )
        marks[side.name] = {"ids": ids} | {
            pair: {metric: "".join(known.get(id_, "x") for id_ in ids) for metric, known in found.items()}
            for pair, found in by_pair.items()
        }
    kept = {key: whole[key] for key in _KEPT if key in whole}
    head = json.dumps(kept, indent=1, ensure_ascii=False).removesuffix("\n}")
    return write(target, f'{head},\n "marks": {json.dumps(marks, ensure_ascii=False)}\n}}\n')


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


def _marks(entry: Entry) -> _Marks:
    """The marks of the pair's answers by what the file or its samples say; empty where nobody kept them."""
    kept = entry.results.marks.get(entry.benchmark.name)
    try:
        if kept is not None:
            return {
                metric: dict(zip(kept["ids"], marks, strict=True))
                for metric, marks in kept[entry.pair.pair].items()
            }
    except (KeyError, ValueError, AttributeError, TypeError):
        raise DataError(
            f"the marks in {entry.results.path} are malformed", "write it again with --update"
        ) from None
    if not any(entry.results.path.parent.glob("samples_*.jsonl")):
        return {}
    answers: dict[str, list[Sample]] = {}
    for sample in entry.results.samples(entry.benchmark.name):
        if sample.pair == entry.pair.pair:
            answers.setdefault(sample.id, []).append(sample)
    metrics = [*METRICS, *sorted({name for asked in answers.values() for name in asked[0].official})]
    read = {metric: {id_: _mark(asked, metric) for id_, asked in answers.items()} for metric in metrics}
    return {
        metric: known
        for metric, known in read.items()
        if "?" not in known.values() and {*known.values()} != {"x"}
    }


def _mark(answers: Sequence[Sample], metric: str) -> str:
    """The mark of one example; "?" where its value is neither 0 nor 1, say of samples that part."""
    reading = METRICS.get(metric)
    if reading and reading.sound and not answers[0].counted:
        return "x"
    read = [reading.of(one) if reading else one.official.get(metric, 0.0) for one in answers]
    values = {float(value) for value in read if value is not None}
    if not values:
        return "x"
    return str(int(values.pop())) if values in ({0}, {1}) else "?"


def _find(
    sides: tuple[Entry, Entry], marks: tuple[_Marks, _Marks], metric: str, tolerance: float, alpha: float
) -> Finding:
    old, new = sides
    before, after = old.pair.metrics.get(metric), new.pair.metrics.get(metric)
    if before is None or after is None:
        known = ", ".join(name for name in old.pair.metrics if name in new.pair.metrics)
        raise UsageError(f"run and baseline do not both have the metric {metric!r}", f"they have: {known}")
    unpaired = _unpaired(*marks, metric)
    was, now = before.value, after.value
    both = [] if unpaired else _counted(marks[0][metric], marks[1][metric])
    if not (before.n and after.n and (both or unpaired)):
        raise RunError(
            f"run and baseline share no counted example of {old.benchmark.name}",
            "the golds are flagged or the ids differ: write the baseline again with --update",
        )
    if both:
        was, now = (sum(side == "1" for side in column) / len(both) for column in zip(*both, strict=True))
        fixed, broken = both.count(("0", "1")), both.count(("1", "0"))
        _, _, _, _, low, high, _ = paired_difference(fixed, broken, len(both))
        p = mcnemar(fixed, broken, "less")
    else:
        counts = (round(now * after.n), after.n), (round(was * before.n), before.n)
        (low, high), p = unpaired_difference(*counts), unpaired_drop(*counts)
    worse = now < was and (p < alpha or was - now > tolerance)
    return Finding(old.benchmark.name, new.pair.pair, metric, was, now, low, high, p, unpaired, worse)


def _unpaired(old: _Marks, new: _Marks, metric: str) -> str:
    """Why the examples cannot be held side by side; empty where they can."""
    for name, marks in (("baseline", old), ("run", new)):
        if not marks:
            return f"the {name} keeps no mark a question"
        if metric not in marks:
            return f"the {name} has no 0 or 1 a question for it"
    return ""


def _counted(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str]]:
    both = ((before[id_], after[id_]) for id_ in before if id_ in after)
    return [pair for pair in both if "x" not in pair]


def _line(found: Finding, known: str, tolerance: float) -> str:
    against = "" if found.pair == known else f" (the baseline's {known})"
    name = f"{found.benchmark} {found.pair}{against} {label(found.metric)}"
    change = f"{points(found.value - found.baseline)} points ({span(found.low, found.high, signed=True)})"
    test = f"Fisher, unpaired: {found.unpaired}" if found.unpaired else "McNemar"
    over = found.baseline - found.value > tolerance
    return (
        f"{'REGRESSION' if found.regression else 'ok'}: {name} {percent(found.value)}, "
        f"baseline {percent(found.baseline)}, {change}, "
        f"one-sided p {p_value(found.p)} ({test})"
        + (f"; more than the tolerance of {percent(tolerance)}" if over else "")
    )


def _same_conditions(old: BenchmarkResult, new: BenchmarkResult, baseline: Path) -> None:
    for key, what in (("data_hash", "examples"), ("rules", "rules of the verdict")):
        if old.config.get(key) != new.config.get(key):
            raise RunError(
                f"the baseline {baseline} has other {what} of {old.name} than the run",
                "run with the same options, or write the baseline again with --update",
            )
