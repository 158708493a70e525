"""The leak audit of a benchmark's test split, and the description of a benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from harness.benchmarks import create_context, exposure
from harness.benchmarks.load import load_benchmark
from harness.benchmarks.spec import BenchmarkSpec, get_spec
from harness.benchmarks.splits import TEST, Record
from harness.errors import BenchmarkError
from harness.records import Benchmark

_SHOWN = 3


class Overlap(NamedTuple):
    """How many test questions share something with training, and some of them (id: question)."""

    questions: int
    share: float
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What a test split shares with a training set.

    ``overlaps`` are by kind of exposure ("none": questions without any). ``split`` is how the split came
    about, in rows; ``beside`` the share of test questions, 0 to 1, whose table training has seen under other
    ways of splitting. Both are empty for benchmarks that come with a split of their own.
    """

    benchmark: str
    against: str
    test: int
    train: int
    overlaps: Mapping[str, Overlap]
    split: Mapping[str, int] = field(default_factory=dict)
    beside: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values under the fields' names."""
        return asdict(self) | {"overlaps": {kind: own._asdict() for kind, own in self.overlaps.items()}}

    def to_markdown(self) -> str:
        """A page with the counts and examples."""
        lines = [f"# Leak audit of {self.benchmark}", ""]
        lines += [f"{self.test:,} test questions against {self.train:,} training rows ({self.against}).", ""]
        lines += ["| training has seen | test questions | share |", "|---|---:|---:|"]
        for kind, own in self.overlaps.items():
            lines.append(f"| {_MEANING[kind]} | {own.questions:,} | {own.share:.1%} |")
        if self.split:
            lines += ["", "How the split came about:", "", "| rows | |", "|---|---:|"]
            lines += [f"| {name} | {count:,} |" for name, count in self.split.items()]
        if self.beside:
            lines += [
                "",
                "Test questions whose table is in training, by way of splitting:",
                "",
                "| split | share |",
            ]
            lines += ["|---|---:|", *(f"| {name} | {share:.1%} |" for name, share in self.beside.items())]
        for kind, own in self.overlaps.items():
            if own.shown and kind != "none":
                lines += ["", f"{_MEANING[kind].capitalize()}, for example:", ""]
                lines += [f"- {line}" for line in own.shown]
        return "\n".join(lines) + "\n"


_MEANING = {
    "table": "the table or database",
    "header": "a table with the same full header",
    "columns": "the same used columns, three or more",
    "question": "the question but for its literals",
    "skeleton": "the query but for names and literals",
    "none": "none of these",
}


def audit(name: str, *, data: Path | None = None, against: Path | str | None = None) -> Audit:
    """Compare a benchmark's test split with its own training split, or with a training file.

    ``against`` is a file with question, context and answer, or "NAME:SPLIT". BenchmarkError where the
    benchmark is not here or has no training split to compare with.
    """
    spec = get_spec(name)
    benchmark = load_benchmark(name, data=data)
    split: dict[str, int] = {}
    beside: dict[str, float] = {}
    if spec.source.kind == "create-context":
        dealt = create_context.deal(spec, data)
        records = dealt.records
        train = [records[row] for row in dealt.split.rows("train")]
        sides = Counter(dealt.split.sides)
        split = {
            "all": len(records),
            **{side: sides[side] for side in ("train", "validation", "test", "dropped")},
        }
        split |= dict(sorted(dealt.split.counts.items()))
        beside = {
            "this one, by origin and full header": _leak(
                dealt.split.rows("train"), dealt.split.rows("test"), records
            ),
            "random rows": _leak(*_random(len(records)), records),
            "by used columns": _leak(*_by_columns(records), records),
        }
    elif against is None:
        train = exposure.to_records(_training_split(spec, data))
    if against is not None:
        train = exposure.training_records(exposure.Training(str(against)), benchmark)
    test = exposure.to_records(benchmark)
    found = exposure.exposures(test, exposure.seen(train))
    return Audit(
        benchmark=benchmark.name,
        against="its own training split" if against is None else str(against),
        test=len(test),
        train=len(train),
        overlaps={kind: _overlap(own, len(test)) for kind, own in found.items()},
        split=split,
        beside=beside,
    )


def _training_split(spec: BenchmarkSpec, data: Path | None) -> Benchmark:
    try:
        return load_benchmark(str(spec.path), split="train", data=data)
    except BenchmarkError as error:
        raise BenchmarkError(
            f"benchmark '{spec.name}' has no training split here ({error.problem})",
            "compare with --against FILE",
        ) from None


def _overlap(records: Sequence[Record], total: int) -> Overlap:
    shown = tuple(f"{record.id}: {record.question}" for record in records[:_SHOWN])
    return Overlap(len(records), len(records) / total, shown)


def _leak(train: Sequence[int], test: Sequence[int], records: Sequence[Record]) -> float:
    """The share of the test rows of known origin whose table occurs in training."""
    known = {origin.origin for row in train for origin in records[row].origins}
    asked = [row for row in test if records[row].origins]
    return sum(any(origin.origin in known for origin in records[row].origins) for row in asked) / max(
        len(asked), 1
    )


def _random(total: int) -> tuple[list[int], list[int]]:
    rows = list(range(total))
    Random(0).shuffle(rows)
    cut = round(total * TEST)
    return rows[cut:], rows[:cut]


def _by_columns(records: Sequence[Record]) -> tuple[list[int], list[int]]:
    train: list[int] = []
    test: list[int] = []
    for row, record in enumerate(records):
        drawn = int(sha256(",".join(sorted(record.used)).encode()).hexdigest()[:12], 16) / 16**12
        (test if drawn < TEST else train).append(row)
    return train, test
