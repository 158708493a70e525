"""A run's result files, read into frozen records: ``results_<time>.json`` and ``samples_*.jsonl``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError, RunError
from harness.records import Metric, Outcome

OWN_METRICS = (
    "execution_accuracy",
    "exact_match",
    "valid_sql",
    "schema_adherence",
    "format_compliance",
    "execution_accuracy_all",
    "raw_match",
)
"""The harness's own metrics in the order in which people read them; all others are a scorer's."""

REFERENCES = ("base", "rule")
"""Pairs that stand beside the adapters for comparison."""


class Flip(NamedTuple):
    """Execution accuracy under a policy with one rule changed."""

    value: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a pair's completions cost: real tokens, wall seconds by stage, peak memory in bytes."""

    examples: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    padding_share: float | None = None

    @property
    def total_seconds(self) -> float:
        """All stages together."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """One pair on one benchmark. ``breakdown`` is by what ("kind", "exposure") and then by value."""

    pair: str
    metrics: Mapping[str, Metric]
    breakdown: Mapping[str, Mapping[str, Metric]]
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    policy: Mapping[str, Flip]
    cost: Cost | None
    facts: Mapping[str, Any]

    @property
    def accuracy(self) -> Metric:
        """Execution accuracy, the headline; over no examples where every gold is flagged."""
        return self.metrics.get("execution_accuracy", Metric(0.0, 0.0, 1.0, 0))

    @property
    def prompt(self) -> Mapping[str, Any]:
        """The prompt that this pair was asked with, as far as the file says."""
        prompt = self.facts.get("prompt")
        return prompt if isinstance(prompt, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """All pairs on one benchmark; ``config`` says which examples under which rules."""

    name: str
    config: Mapping[str, Any]
    strength: float | None
    databases: int | None
    flagged: Mapping[str, int]
    pairs: tuple[PairResult, ...]

    @property
    def reference(self) -> PairResult | None:
        """The pair that the others are compared with: the base, else the first of several."""
        bases = [pair for pair in self.pairs if pair.pair == "base"]
        return bases[0] if bases else self.pairs[0] if len(self.pairs) > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One results file. ``settings`` is what the run was asked for, ``machine`` where it ran."""

    path: Path
    harness: str
    time: str
    fingerprint: str
    benchmarks: tuple[BenchmarkResult, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    machine: str
    command: str
    notes: tuple[str, ...]

    def benchmark(self, name: str) -> BenchmarkResult:
        """The benchmark of that name; RunError with the names where there is none."""
        for benchmark in self.benchmarks:
            if benchmark.name == name:
                return benchmark
        names = ", ".join(benchmark.name for benchmark in self.benchmarks)
        raise RunError(f"{self.path} has no benchmark {name!r}", f"it has: {names}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """The witness of a wrong verdict as the samples file holds it."""

    script: str
    gold_columns: tuple[str, ...]
    gold_rows: tuple[tuple[Any, ...], ...]
    prediction_columns: tuple[str, ...] | None
    prediction_rows: tuple[tuple[Any, ...], ...] | None
    prediction_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One line of a samples file: a question, a pair's answer and the verdict on it."""

    id: str
    pair: str
    question: str
    context: str
    gold: str
    prediction: str | None
    completion: str | None
    outcome: Outcome
    right: bool
    exact_match: bool
    gold_status: str
    cause: str | None
    detail: str
    kind: str | None
    exposure: str | None
    sample: int
    strength: float | None
    official: Mapping[str, float]
    gold_reason: str | None
    witness: Counterexample | None

    @property
    def counted(self) -> bool:
        """Whether the headline numbers count it: its gold is sound."""
        return self.gold_status == "ok"


def read_results(path: Path) -> Results:
    """Read a results file, or the newest one of a run's folder. DataError names the malformed file."""
    if path.is_dir():
        files = sorted(path.glob("results_*.json"))
        if not files:
            raise RunError(f"{path} holds no results_*.json", "give the folder of a finished run")
        path = files[-1]
    data = read_json(path)
    try:
        return Results(
            path=path,
            harness=str(data["harness"]),
            time=str(data["time"]),
            fingerprint=str(data.get("fingerprint") or ""),
            benchmarks=tuple(_benchmark(data, name) for name in data["results"]),
            settings=data.get("config") or {},
            versions=data.get("versions") or {},
            machine=_machine(data.get("machine")),
            command=str(data.get("command") or ""),
            notes=tuple(map(str, data.get("notes") or ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} is not a results file of this harness: {what}", "leave it out, or run again"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a file; DataError where there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}", "leave it out, or write it again") from None
    if not isinstance(data, dict):
        raise DataError(f"{path} holds no JSON object", "leave it out, or write it again")
    return data


def read_samples(results: Results, benchmark: str) -> Iterator[Judged]:
    """The judged samples beside a results file; RunError where they are not there."""
    time = results.path.stem.removeprefix("results_")
    path = results.path.parent / f"samples_{benchmark.replace('/', '__')}_{time}.jsonl"
    packed = path.with_name(path.name + ".gz")
    if not path.exists() and packed.exists():
        path = packed
    if not path.exists():
        raise RunError(f"{path} is not there", "give a run's own folder: it holds the samples")
    with gzip.open(path, "rt", encoding="utf-8") if path is packed else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _judged(json.loads(line))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise DataError(
                    f"{path}, line {number} is not a sample: {what}", "run `score` again"
                ) from None


def metric(share: Mapping[str, Any]) -> Metric:
    """A Metric from its JSON form; ValueError where it is no share of anything."""
    value, n = float(share["value"]), int(share["n"])
    if not (0 <= value <= 1 and n >= 0):
        raise ValueError(f"value {value} over {n} examples is no share")
    return Metric(value, float(share["low"]), float(share["high"]), n, int(share.get("excluded") or 0))


def _benchmark(data: Mapping[str, Any], name: str) -> BenchmarkResult:
    suite = _part(data, "suite", name)
    flagged = {str(key): int(count) for key, count in (suite.get("flagged") or {}).items()}
    return BenchmarkResult(
        name=name,
        config=_part(data, "configs", name),
        strength=suite.get("strength"),
        databases=suite.get("databases"),
        flagged=flagged,
        pairs=tuple(_pair(data, name, pair) for pair in data["results"][name]),
    )


def _pair(data: Mapping[str, Any], benchmark: str, pair: str) -> PairResult:
    breakdown = _part(data, "breakdown", benchmark, pair)
    cost = _part(data, "cost", benchmark, pair)
    shares = {key: part for key, part in breakdown.items() if key not in {"outcome", "cause"}}
    policy = _part(data, "policy", benchmark, pair)
    return PairResult(
        pair=pair,
        metrics=_metrics(data["results"][benchmark][pair]),
        breakdown={key: _metrics(part) for key, part in shares.items()},
        outcomes={str(key): int(count) for key, count in (breakdown.get("outcome") or {}).items()},
        causes={str(key): int(count) for key, count in (breakdown.get("cause") or {}).items()},
        policy={rule: Flip(float(flip["value"]), int(flip["n"])) for rule, flip in policy.items()},
        cost=_cost(cost) if cost else None,
        facts=_part(data, "pairs", pair),
    )


def _metrics(shares: Mapping[str, Any]) -> dict[str, Metric]:
    return {str(key): metric(share) for key, share in shares.items() if share["value"] is not None}


def _cost(cost: Mapping[str, Any]) -> Cost:
    peak, padding = cost.get("peak_memory_bytes"), cost.get("padding_share")
    return Cost(
        examples=int(cost.get("examples") or 0),
        prompt_tokens=int(cost.get("prompt_tokens") or 0),
        new_tokens=int(cost.get("new_tokens") or 0),
        seconds={str(stage): float(seconds) for stage, seconds in (cost.get("seconds") or {}).items()},
        peak_memory_bytes=None if peak is None else int(peak),
        padding_share=None if padding is None else float(padding),
    )


def _part(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        data = data.get(key) or {}
    return data


def _machine(machine: object) -> str:
    if isinstance(machine, Mapping):
        return ", ".join(f"{key} {value}" for key, value in machine.items() if value not in (None, ""))
    return str(machine or "")


def _judged(row: Mapping[str, Any]) -> Judged:
    meta = row.get("meta") or {}
    exposure = meta.get("exposure")
    witness = row.get("witness")
    return Judged(
        id=str(row["id"]),
        pair=str(row["pair"]),
        question=row["question"],
        context=row.get("context") or "",
        gold=row["gold"],
        prediction=row["prediction"],
        completion=row.get("completion"),
        outcome=Outcome(row["outcome"]),
        right=bool(row["execution_match"]),
        exact_match=bool(row["exact_match"]),
        gold_status=row.get("gold_status") or "ok",
        cause=row.get("cause"),
        detail=row.get("detail") or "",
        kind=row.get("kind"),
        exposure=" + ".join(map(str, exposure)) or "none" if isinstance(exposure, list) else exposure,
        sample=int(row.get("sample") or 0),
        strength=row.get("suite_strength"),
        official={
            key: float(value)
            for key, value in row.items()
            if key.startswith(("wikisql_", "spider_", "bird_")) and value is not None
        },
        gold_reason=row.get("gold_reason"),
        witness=_counterexample(witness) if witness else None,
    )


def _counterexample(witness: Mapping[str, Any]) -> Counterexample:
    return Counterexample(
        script=witness["script"],
        gold_columns=tuple(witness.get("gold_columns") or ()),
        gold_rows=_rows(witness.get("gold_rows")) or (),
        prediction_columns=tuple(witness["prediction_columns"])
        if witness.get("prediction_columns")
        else None,
        prediction_rows=_rows(witness.get("prediction_rows")),
        prediction_error=witness.get("prediction_error"),
    )


def _rows(rows: Sequence[Sequence[Any]] | None) -> tuple[tuple[Any, ...], ...] | None:
    return None if rows is None else tuple(tuple(row) for row in rows)
