"""A run's results: ``results_<time>.json``, written and read through one record, and the views taken of it.

Names and outer shape follow what users of lm-evaluation-harness know.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict

from harness import __version__
from harness.errors import DataError, RunError
from harness.files import write_text
from harness.log import versions
from harness.measures import Metric
from harness.options import reason
from harness.records import VERDICT_VERSION, Benchmark, Judging, Sample
from harness.runs.folder import RunFolder, read_record
from harness.runs.samples import read_samples, samples_path

REFERENCES = ("base", "rule")
"""Pairs that stand beside the adapters for comparison."""

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "sqlglot")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCost:
    """What a pair's completions cost: real tokens, wall seconds by stage, peak memory in bytes."""

    examples: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    shared_tokens: int = 0
    computed_tokens: int = 0
    padding_tokens: int = 0
    batch_rows: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    padding_share: float | None = None

    @property
    def total(self) -> float:
        """Seconds of all stages together."""
        return sum(self.seconds.values())

    @property
    def generating(self) -> float:
        """Seconds without loading, which the first pair of a base alone has to do."""
        return self.total - self.seconds.get("load", 0.0)


class Excluded(TypedDict):
    """Why an example does not count, and the first 16 digits of its hash."""

    status: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFacts:
    """How strong the databases are: share of near misses killed, number a question, flagged golds.

    ``excluded`` has the id of each flagged example with its flag and the hash of what was asked, ``suspects``
    the ids of those that several pairs answer alike and none as the gold does.
    """

    strength: float | None = None
    databases: int | None = None
    flagged: Mapping[str, int] = field(default_factory=dict)
    excluded: Mapping[str, Excluded] = field(default_factory=dict)
    suspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """One pair on one benchmark. ``breakdown`` is by group ("kind", "exposure", …) and then by value."""

    pair: str
    metrics: Mapping[str, Metric]
    breakdown: Mapping[str, Mapping[str, Metric]]
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    policy: Mapping[str, Metric]
    cost: PairCost | None
    facts: Mapping[str, Any]

    @property
    def accuracy(self) -> Metric:
        """Execution accuracy, the headline; over no examples where every gold is flagged."""
        return self.metrics.get("execution_accuracy", Metric(0.0, 0.0, 1.0, 0))

    @property
    def leak(self) -> str:
        """How many of the questions its training has seen, in words; empty where none is known of."""
        return str(self.facts.get("leak") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """All pairs on one benchmark; ``config`` says which examples under which rules.

    ``part`` says which questions were asked ("the first 40 of 604 questions") where not all were.
    ``official_flagged`` has by scorer the golds that it does not score 1 against themselves, with the reason.
    """

    name: str
    config: Mapping[str, Any]
    part: str
    suite: SuiteFacts
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
    def causes(self) -> list[str]:
        """Every pair's causes, the most frequent of those under test first, then the others'."""
        every = sorted({cause for pair in self.pairs for cause in pair.causes})

        def weight(cause: str) -> tuple[int, int]:
            tested, all_ = (
                sum(p.causes.get(cause, 0) for p in pairs) for pairs in (self.subjects, self.pairs)
            )
            return -tested, -all_

        return sorted(every, key=weight)

    @property
    def folds(self) -> bool:
        """Whether the verdicts disregard the case of text."""
        return bool((self.config.get("rules") or {}).get("case", "ignore") == "ignore")


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

    def samples(self, benchmark: str) -> Iterator[Sample]:
        """The samples beside the file; RunError where they are not there."""
        time = self.path.stem.removeprefix("results_")
        return read_samples(samples_path(self.path.parent, benchmark, time))


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

    def samples(self) -> Iterator[Sample]:
        """The pair's first sample of each example."""
        every = self.results.samples(self.benchmark.name)
        return (one for one in every if one.pair == self.pair.pair and one.sample == 0)


def results_path(folder: RunFolder) -> Path:
    """Where the run's results lie."""
    return folder.path / f"results_{folder.time}.json"


def write_results(folder: RunFolder, body: Mapping[str, Any]) -> Path:
    """Write ``results_<time>.json``: ``body`` has fields of ``ResultsFile``; when and where is added.

    Raises:
        TypeError: there is no field of that name.
    """
    path = results_path(folder)
    file = ResultsFile(
        harness=__version__,
        run=str(folder.path),
        time=folder.time,
        fingerprint=folder.fingerprint,
        versions={
            "harness": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **versions(*_PACKAGES),
            **({"commit": commit} if (commit := _commit()) else {}),
        },
        machine={"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        **body,
    )
    checked = _FILE.validate_python({one.name: getattr(file, one.name) for one in fields(file)}, by_name=True)
    write_document(path, _FILE.dump_python(checked, by_alias=True))
    return path


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a results file's JSON whole or not at all, its marks on one line."""
    head = {key: value for key, value in document.items() if key != "marks"}
    text = json.dumps(head, indent=1, ensure_ascii=False, default=str).removesuffix("\n}")
    marks = json.dumps(document.get("marks") or {}, ensure_ascii=False)
    write_text(path, f'{text},\n "marks": {marks}\n}}\n')


def read_results(path: Path) -> Results:
    """Read a results file, or the newest one of a run's folder.

    Raises:
        RunError: a folder that is no run's, or whose run has not ended.
        DataError: a file that is malformed, named with what is wrong in it.
    """
    if path.is_dir():
        files = sorted(path.glob("results_*.json"))
        if not files:
            read_record(path)
            raise RunError(f"{path} holds no results", "start that run again: it goes on where it stopped")
        path = files[-1]
    try:
        file = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    except ValidationError as error:
        raise DataError(f"{path} is no results file: {reason(error)}", "leave it out, or run again") from None
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
                suite=file.suite.get(name, SuiteFacts()),
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


def describe_benchmark(benchmark: Benchmark, judging: Judging) -> dict[str, Any]:
    """What ``configs`` says of a benchmark and of how it was judged."""
    return {
        "split": benchmark.split,
        "data_hash": benchmark.data_hash,
        "prompt": asdict(benchmark.prompt),
        "rules": asdict(judging.rules),
        "verdicts": VERDICT_VERSION,
        "dialect": judging.dialect,
        "databases": judging.databases,
        "seed": judging.seed,
        "scorers": list(benchmark.scorers),
        "max_new_tokens": benchmark.max_new_tokens,
        "examples": len(benchmark.examples),
        "about": dict(benchmark.about),
    }


def _commit() -> str:
    """The commit of the harness, "-dirty" where files differ from it; empty where it is no checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    told = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()


@with_config(ConfigDict(extra="allow"))
class _Config(TypedDict, total=False):
    """Of what is known of a benchmark, that which readers take apart."""

    split: str | None
    data_hash: str | None
    examples: int
    rules: dict[str, Any] | None
    verdicts: int
    dialect: str
    databases: int
    seed: int


@with_config(ConfigDict(extra="allow"))
class _Facts(TypedDict, total=False):
    """Of what is known of a pair, that which readers take apart."""

    base: str | None
    prompt: dict[str, Any] | None


def _share(metric: Metric) -> Metric:
    if not all(0 <= value <= 1 for value in metric[:3]) or metric.n < 0:
        raise ValueError("value, low and high lie between 0 and 1")
    return metric


def metric_json(metric: Metric) -> dict[str, Any]:
    """A metric as an object, its shares to six digits."""
    return {
        key: round(item, 6) if isinstance(item, float) else item for key, item in metric._asdict().items()
    }


_Share = Annotated[Metric, AfterValidator(_share), PlainSerializer(metric_json)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsFile:
    """A results file as it is written, a field each key."""

    harness: str
    run: str = ""
    time: str
    fingerprint: str = ""
    results: dict[str, dict[str, dict[str, _Share]]]
    breakdown: dict[str, dict[str, dict[str, dict[str, int | _Share]]]] = field(default_factory=dict)
    policy: dict[str, dict[str, dict[str, _Share]]] = field(default_factory=dict)
    suite: dict[str, SuiteFacts] = field(default_factory=dict)
    official_flagged: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    configs: dict[str, _Config] = field(default_factory=dict)
    pairs: dict[str, _Facts] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, dict[str, PairCost]] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    notes: tuple[str, ...] = ()
    marks: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: Annotated[dict[str, dict[str, int]], Field(alias="n-samples")] = field(default_factory=dict)


_FILE = TypeAdapter(ResultsFile)


def _part(file: ResultsFile, benchmark: str) -> str:
    size = file.sizes.get(benchmark, {})
    asked, every = size.get("effective", 0), size.get("original", 0)
    first = "the first " if "--limit" in file.command and "--ids" not in file.command else ""
    return f"{first}{asked} of {every} questions" if asked < every else ""


def _pair(file: ResultsFile, benchmark: str, pair: str) -> PairResult:
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
