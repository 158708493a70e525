"""A run's result files, read into frozen records: ``results_<time>.json`` and ``samples_*.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from harness.errors import DataError, RunError
from harness.records import Metric, Outcome

HEADLINE = ("execution_accuracy", "exact_match", "valid_sql", "schema_adherence", "format_compliance")
"""The metrics that people see first, in their order."""

REFERENCES = ("base", "rule")
"""Pairs that stand beside the adapters for comparison."""

SCORERS = ("wikisql_", "spider_", "bird_")
"""What official metrics' names begin with."""


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
    def total(self) -> float:
        """Seconds of all stages together."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """How strong the databases are: share of near misses killed, number a question, flagged golds."""

    strength: float | None = None
    databases: int | None = None
    flagged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """One pair on one benchmark. ``breakdown`` is by group ("kind", "exposure", …) and then by value."""

    pair: str
    metrics: Mapping[str, Metric]
    breakdown: Mapping[str, Mapping[str, Metric]]
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    policy: Mapping[str, Metric]
    cost: Cost | None
    facts: Mapping[str, Any]

    @property
    def accuracy(self) -> Metric:
        """Execution accuracy, the headline; over no examples where every gold is flagged."""
        return self.metrics.get("execution_accuracy", Metric(0.0, 0.0, 1.0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """All pairs on one benchmark; ``config`` says which examples under which rules.

    ``part`` says which questions were asked ("the first 40 of 604 questions") where not all were.
    ``official_flagged`` has by scorer the golds that it does not score 1 against themselves, with the reason.
    """

    name: str
    config: Mapping[str, Any]
    part: str
    suite: Suite
    official_flagged: Mapping[str, Mapping[str, str]]
    pairs: tuple[PairResult, ...]

    @property
    def title(self) -> str:
        """Name and split."""
        return f"{self.name} · {self.config['split']}" if self.config.get("split") else self.name

    @property
    def reference(self) -> str | None:
        """The pair that the others are compared with: base, rule or the first; None for a single pair."""
        names = [pair.pair for pair in self.pairs]
        known = [name for name in (*REFERENCES, *names) if name in names]
        return known[0] if len(names) > 1 else None

    @property
    def subjects(self) -> list[PairResult]:
        """The pairs under test; all of them where only references were run."""
        return [pair for pair in self.pairs if pair.pair not in REFERENCES] or list(self.pairs)

    @property
    def folds(self) -> bool:
        """Whether the verdicts disregard the case of text."""
        return bool((self.config.get("rules") or {}).get("case", "ignore") == "ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """The witness of a wrong verdict as the samples file holds it."""

    script: str
    gold_columns: tuple[str, ...] = ()
    gold_rows: tuple[tuple[Any, ...], ...] = ()
    prediction_columns: tuple[str, ...] | None = None
    prediction_rows: tuple[tuple[Any, ...], ...] | None = None
    prediction_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One line of a samples file: a question, a pair's answer and the verdict on it."""

    id: str
    pair: str
    question: str
    gold: str
    prediction: str | None
    outcome: Outcome
    execution_match: bool
    exact_match: bool
    raw_match: bool = False
    valid_sql: bool | None = None
    schema_adherence: bool | None = None
    format_compliance: bool | None = None
    context: str = ""
    completion: str | None = None
    gold_status: str = "ok"
    gold_reason: str | None = None
    cause: str | None = None
    detail: str | None = None
    kind: str | None = None
    sample: int = 0
    suite_strength: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    official: Mapping[str, float] = field(default_factory=dict)
    official_notes: Mapping[str, str] = field(default_factory=dict)
    witness: Counterexample | None = None

    @property
    def counted(self) -> bool:
        """Whether the headline numbers count it: its gold is sound."""
        return self.gold_status == "ok"

    @property
    def notable(self) -> bool:
        """Whether somebody may want to look at it: wrong, forgiven, or judged otherwise by a scorer."""
        forgiven = self.outcome in {Outcome.NULL_ONLY, Outcome.TIE_ONLY}
        return not self.execution_match or forgiven or any(map(self.apart, self.official))

    @property
    def exposure(self) -> list[str]:
        """What training has seen of it ("table", "skeleton", … or "none"); empty where nobody knows."""
        seen = self.meta.get("exposure") or []
        return [seen] if isinstance(seen, str) else list(seen)

    def apart(self, scorer: str) -> bool:
        """Whether an official scorer judges otherwise than the harness."""
        return scorer in self.official and (self.official[scorer] >= 0.5) != self.execution_match


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
    notes: Sequence[str]
    marks: Mapping[str, Any]

    def benchmark(self, name: str) -> BenchmarkResult:
        """The benchmark of that name; RunError with the names where there is none."""
        for benchmark in self.benchmarks:
            if benchmark.name == name:
                return benchmark
        names = ", ".join(benchmark.name for benchmark in self.benchmarks)
        raise RunError(f"{self.path} has no benchmark {name!r}", f"it has: {names}")

    def samples(self, benchmark: str) -> Iterator[Judged]:
        """The judged samples beside the file; RunError where they are not there."""
        time = self.path.stem.removeprefix("results_")
        path = self.path.with_name(f"samples_{benchmark.replace('/', '__')}_{time}.jsonl")
        if not path.exists():
            raise RunError(f"{path} is not there", "give a run's own folder: it holds the samples")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line.decode())
                    official = {key: row[key] for key in row if key.startswith(SCORERS)}
                    yield _adapter(Judged).validate_python({**row, "official": official})
                except (ValueError, TypeError) as error:
                    raise DataError(
                        f"{path}, line {number} is no sample: {_reason(error)}", "start that run again"
                    ) from None


class Entry(NamedTuple):
    """A pair's result on a benchmark, with the file in which it stands."""

    results: Results
    benchmark: BenchmarkResult
    pair: PairResult

    @property
    def prompt(self) -> Mapping[str, Any]:
        """The prompt that the pair was asked with; empty where nothing was generated."""
        return self.pair.facts.get("prompt") or {}

    @property
    def quantization(self) -> str | None:
        """How the weights were held; None where nothing was generated."""
        if not self.pair.facts.get("base"):
            return None
        return self.pair.facts.get("quantized") or self.results.settings.get("quantization")

    def samples(self) -> Iterator[Judged]:
        """The pair's first sample of each example."""
        every = self.results.samples(self.benchmark.name)
        return (one for one in every if one.pair == self.pair.pair and one.sample == 0)


def read_results(path: Path) -> Results:
    """Read a results file, or the newest one of a run's folder.

    Raises:
        RunError: a folder without results.
        DataError: a file that is malformed, named with what is wrong in it.
    """
    if path.is_dir():
        files = sorted(path.glob("results_*.json"))
        if not files:
            raise RunError(f"{path} holds no results_*.json", "give the folder of a finished run")
        path = files[-1]
    try:
        file = _adapter(_File).validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    except ValidationError as error:
        raise DataError(
            f"{path} is no results file: {_reason(error)}", "leave it out, or run again"
        ) from None
    return Results(
        path=path,
        harness=file.harness,
        time=file.time,
        fingerprint=file.fingerprint,
        benchmarks=tuple(
            BenchmarkResult(
                name=name,
                config=file.configs.get(name, {}),
                part=_part(file, name),
                suite=file.suite.get(name, Suite()),
                official_flagged=file.official_flagged.get(name, {}),
                pairs=tuple(_pair(file, name, pair) for pair in pairs),
            )
            for name, pairs in file.results.items()
        ),
        settings=file.config,
        versions=file.versions,
        machine=", ".join(f"{key} {value}" for key, value in file.machine.items()),
        command=file.command,
        notes=file.notes,
        marks=file.marks,
    )


@with_config(ConfigDict(extra="allow"))
class _Config(TypedDict, total=False):
    """Of what is known of a benchmark, that which readers take apart."""

    split: str | None
    data_hash: str | None
    examples: int
    rules: dict[str, Any] | None


@with_config(ConfigDict(extra="allow"))
class _Facts(TypedDict, total=False):
    """Of what is known of a pair, that which readers take apart."""

    base: str | None
    prompt: dict[str, Any] | None


def _share(metric: Metric) -> Metric:
    if not all(0 <= value <= 1 for value in metric[:3]) or metric.n < 0:
        raise ValueError("value, low and high lie between 0 and 1")
    return metric


_Share = Annotated[Metric, AfterValidator(_share)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A results file as it is written, a field each key."""

    harness: str
    time: str
    results: dict[str, dict[str, dict[str, _Share]]]
    fingerprint: str = ""
    breakdown: dict[str, dict[str, dict[str, dict[str, int | _Share]]]] = field(default_factory=dict)
    policy: dict[str, dict[str, dict[str, _Share]]] = field(default_factory=dict)
    suite: dict[str, Suite] = field(default_factory=dict)
    official_flagged: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    configs: dict[str, _Config] = field(default_factory=dict)
    pairs: dict[str, _Facts] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, dict[str, Cost]] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    notes: tuple[str, ...] = ()
    marks: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: Annotated[dict[str, dict[str, int]], Field(alias="n-samples")] = field(default_factory=dict)


def _part(file: _File, benchmark: str) -> str:
    size = file.sizes.get(benchmark, {})
    asked, every = size.get("effective", 0), size.get("original", 0)
    first = "the first " if "--limit" in file.command and "--ids" not in file.command else ""
    return f"{first}{asked} of {every} questions" if asked < every else ""


def _pair(file: _File, benchmark: str, pair: str) -> PairResult:
    breakdown = file.breakdown.get(benchmark, {}).get(pair, {})
    counts = {
        group: {key: count for key, count in breakdown.get(group, {}).items() if isinstance(count, int)}
        for group in ("outcome", "cause")
    }
    shares = {
        group: {key: share for key, share in values.items() if isinstance(share, Metric)}
        for group, values in breakdown.items()
        if group not in counts
    }
    return PairResult(
        pair=pair,
        metrics=file.results[benchmark][pair],
        breakdown=shares,
        outcomes=counts["outcome"],
        causes=counts["cause"],
        policy=file.policy.get(benchmark, {}).get(pair, {}),
        cost=file.cost.get(benchmark, {}).get(pair),
        facts=file.pairs.get(pair, {}),
    )


@cache
def _adapter(record: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(record)


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
