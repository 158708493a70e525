"""The gate: is a run worse than a committed baseline? Written for CI.

A baseline is what ``write_baseline`` writes (it keeps each example's outcome, so the test is paired and
sharp), a run's folder, or a bare results file (the two shares are then compared as independent ones).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError, RunError, UsageError

from .comparison import choose_pair
from .results import Judged, PairResult, Results, metric, read_json, read_results, read_samples
from .statistics import mcnemar, paired_difference, unpaired_difference, unpaired_drop
from .tables import label, p_value, percent, points, span

PAIRED = ("execution_accuracy", "exact_match")
"""The metrics whose value per example a baseline keeps."""
_FORMAT = "sql-harness baseline 1"


class Finding(NamedTuple):
    """One pair's metric against the baseline; ``drop`` is positive where it fell."""

    benchmark: str
    pair: str
    metric: str
    baseline: float
    value: float
    low: float
    high: float
    p: float
    paired: bool
    regression: bool

    @property
    def drop(self) -> float:
        """By how much it fell, as a share."""
        return self.baseline - self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate's answer: ``passed``, one finding a metric, and ``lines`` for people."""

    passed: bool
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"passed": self.passed, "findings": [finding._asdict() for finding in self.findings]}

    def to_markdown(self) -> str:
        """As a list, the answer first."""
        return "\n".join(
            [f"**{'passed' if self.passed else 'FAILED'}**", "", *(f"- {line}" for line in self.lines)]
        )


class _Marks(NamedTuple):
    """What a baseline knows of one pair: metrics, and per metric a mark ('1', '0', 'x' flagged) an id."""

    metrics: Mapping[str, tuple[float, int]]
    marks: Mapping[str, Mapping[str, str]]


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
      chance cannot be ruled out, and a gate should not wave through what it cannot see.

    All benchmarks and pairs of the baseline are checked, or the one called ``pair``. Where both sides
    have a single adapter, it may bear another name.

    Raises:
        UsageError: a tolerance or alpha out of range, an unknown metric or pair.
        RunError: other data or other rules than the baseline's, or a benchmark that was not run.
        DataError: a file that is neither a baseline nor a results file.
    """
    if not 0 <= tolerance <= 1 or not 0 < alpha < 1:
        raise UsageError(
            f"tolerance {tolerance} or alpha {alpha} is out of range", "both are shares, such as 0.05"
        )
    results = read_results(run)
    findings: list[Finding] = []
    lines: list[str] = []
    for name, config, known in _read_baseline(baseline):
        side = results.benchmark(name)
        _same_conditions(name, config, side.config, baseline)
        wanted = {pair: known[pair]} if pair in known else known
        for old_name, old in _subjects(wanted).items():
            chosen = choose_pair(side, pair, run, wish=old_name)
            new = _marks(results, name, chosen) if old.marks else None
            for key in metrics:
                finding = _finding(name, old_name, chosen, key, old, new, tolerance, alpha)
                findings.append(finding)
                lines.append(_line(finding, old_name, tolerance))
    if not findings:
        raise DataError(f"{baseline} holds no pair to check", "write it again with `check --write-baseline`")
    return Gate(passed=not any(f.regression for f in findings), findings=tuple(findings), lines=tuple(lines))


def write_baseline(run: Path, target: Path) -> Path:
    """Write what the gate needs of a run to one small JSON file that can be committed."""
    results = read_results(run)
    benchmarks = {}
    for side in results.benchmarks:
        samples = [sample for sample in read_samples(results, side.name) if sample.sample == 0]
        ids = list(dict.fromkeys(sample.id for sample in samples))
        benchmarks[side.name] = {
            **{key: side.config.get(key) for key in ("split", "data_hash", "rules")},
            "ids": ids,
            "pairs": {pair.pair: _compact(pair, samples, ids) for pair in side.pairs},
        }
    document = {
        "format": _FORMAT,
        "harness": results.harness,
        "time": results.time,
        "fingerprint": results.fingerprint,
        "benchmarks": benchmarks,
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{target} cannot be written: {error.strerror}", "choose another path") from None
    return target


def _finding(
    benchmark: str,
    old_name: str,
    chosen: PairResult,
    key: str,
    old: _Marks,
    new: _Marks | None,
    tolerance: float,
    alpha: float,
) -> Finding:
    if key not in old.metrics or key not in chosen.metrics:
        raise UsageError(
            f"no metric {key!r} on both sides of {benchmark}", f"choose of: {', '.join(old.metrics)}"
        )
    before, n_before = old.metrics[key]
    now = chosen.metrics[key]
    if new is not None and key in old.marks:
        ours, theirs = new.marks[key], old.marks[key]
        both = [(theirs[id], ours[id]) for id in theirs if id in ours and "x" not in theirs[id] + ours[id]]
        if not both:
            raise RunError(
                f"run and baseline share no counted example of {benchmark}", "write the baseline again"
            )
        fixed, broken = both.count(("0", "1")), both.count(("1", "0"))
        difference = paired_difference(fixed, broken, len(both))
        low, high, p = difference.low, difference.high, mcnemar(fixed, broken, "less")
        before, value = (
            sum(side == "1" for side in column) / len(both) for column in zip(*both, strict=True)
        )
    else:
        value = now.value
        counts = round(now.value * now.n), now.n, round(before * n_before), n_before
        (low, high), p = unpaired_difference(*counts), unpaired_drop(*counts)
    fell = before - value
    worse = fell > 0 and (p < alpha or fell > tolerance)
    return Finding(
        benchmark, chosen.pair, key, before, value, low, high, p, new is not None and key in old.marks, worse
    )


def _line(finding: Finding, old_name: str, tolerance: float) -> str:
    verdict = "REGRESSION" if finding.regression else "ok"
    against = "" if finding.pair == old_name else f" (baseline's {old_name})"
    test = "McNemar" if finding.paired else "Fisher, unpaired"
    reason = f"; more than the tolerance of {percent(tolerance)}" if finding.drop > tolerance else ""
    name = f"{finding.benchmark} {finding.pair}{against} {label(finding.metric)}"
    change = (
        f"{points(finding.value - finding.baseline)} points ({span(finding.low, finding.high, signed=True)})"
    )
    return (
        f"{verdict}: {name} {percent(finding.value)}, baseline {percent(finding.baseline)}, {change}, "
        f"one-sided p {p_value(finding.p)} ({test}){reason}"
    )


def _subjects(known: Mapping[str, _Marks]) -> Mapping[str, _Marks]:
    """The adapters of a baseline; the references only where nothing else is there."""
    return {name: marks for name, marks in known.items() if name not in {"base", "rule"}} or known


def _same_conditions(name: str, old: Mapping[str, Any], new: Mapping[str, Any], baseline: Path) -> None:
    for key, what in (("data_hash", "examples"), ("rules", "rules of the verdict")):
        if key in old and old[key] != new.get(key):
            raise RunError(
                f"the baseline {baseline} has other {what} of {name} than the run",
                "run with the same options, or write the baseline again",
            )


def _read_baseline(path: Path) -> list[tuple[str, Mapping[str, Any], dict[str, _Marks]]]:
    if path.is_dir():
        results = read_results(path)
        return [
            (side.name, side.config, {pair.pair: _marks(results, side.name, pair) for pair in side.pairs})
            for side in results.benchmarks
        ]
    data = read_json(path)
    if data.get("format") != _FORMAT:
        return [
            (side.name, side.config, {pair.pair: _Marks(_values(pair), {}) for pair in side.pairs})
            for side in read_results(path).benchmarks
        ]
    try:
        return [(name, part, _unpack(part)) for name, part in data["benchmarks"].items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is a malformed baseline: {error!r}", "write it again") from None


def _unpack(part: Mapping[str, Any]) -> dict[str, _Marks]:
    ids = part["ids"]
    return {
        name: _Marks(
            {key: (metric(value).value, metric(value).n) for key, value in pair["metrics"].items()},
            {key: dict(zip(ids, marks, strict=True)) for key, marks in pair["marks"].items()},
        )
        for name, pair in part["pairs"].items()
    }


def _compact(pair: PairResult, samples: Sequence[Judged], ids: Sequence[str]) -> dict[str, Any]:
    marks = _by_id(sample for sample in samples if sample.pair == pair.pair)
    return {
        "metrics": {key: value._asdict() for key, value in pair.metrics.items()},
        "marks": {key: "".join(marks[key].get(id, "x") for id in ids) for key in PAIRED},
    }


def _marks(results: Results, benchmark: str, pair: PairResult) -> _Marks:
    samples = (sample for sample in read_samples(results, benchmark) if sample.pair == pair.pair)
    return _Marks(_values(pair), _by_id(sample for sample in samples if sample.sample == 0))


def _by_id(samples: Any) -> dict[str, dict[str, str]]:
    marks: dict[str, dict[str, str]] = {key: {} for key in PAIRED}
    for sample in samples:
        for key, holds in zip(PAIRED, (sample.right, sample.exact_match), strict=True):
            marks[key][sample.id] = str(int(holds)) if sample.counted else "x"
    return marks


def _values(pair: PairResult) -> dict[str, tuple[float, int]]:
    return {key: (value.value, value.n) for key, value in pair.metrics.items()}
