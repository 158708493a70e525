"""What a training file has seen of each test question.

table      a row on the same WikiSQL table or Spider database (elsewhere: with the same context)
header     a row on a table with the same full header
columns    a row that uses the same columns, three or more
question   a row with the same question once literals are masked
skeleton   a row whose query is the same but for names and literals

A test question that was itself seen ("asked": the same words), its table or its full header leak: a figure
over it says little of new questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from harness.benchmarks import create_context, downloads, origins, splits, surface
from harness.benchmarks.load import load_benchmark
from harness.benchmarks.origins import Origin, Origins
from harness.benchmarks.spec import find_specs, get_spec
from harness.benchmarks.splits import Record
from harness.errors import BenchmarkError, DataError
from harness.files import read_json
from harness.records import Benchmark, Example

KINDS = ("table", "header", "columns", "question", "skeleton")
LEAKS = ("asked", "table", "header")
_ENOUGH_COLUMNS = 3
TRAINING_FILE = "training.json"
"""Where an adapter's folder declares what it was trained on."""


@dataclass(frozen=True)
class Seen:
    """What a training set holds, by kind of exposure, as hashable marks."""

    marks: frozenset[tuple[str, object]]
    rows: int

    def of(self, record: Record) -> tuple[str, ...]:
        """The kinds of exposure of one row, in the order of ``KINDS``."""
        return self._among(KINDS, record)

    def leaks(self, record: Record) -> tuple[str, ...]:
        """The kinds of exposure that are a leak, in the order of ``LEAKS``."""
        return self._among(LEAKS, record)

    def _among(self, kinds: Sequence[str], record: Record) -> tuple[str, ...]:
        present = {kind for kind, value in marks(record) if (kind, value) in self.marks}
        return tuple(kind for kind in kinds if kind in present)


def marks(record: Record) -> Iterable[tuple[str, object]]:
    """Everything of a row that another may share."""
    for origin in record.origins:
        yield "table", origin.origin
        yield "header", origin.header
    if not record.origins:
        header = surface.columns(record.tables)
        yield "table", (tuple(sorted(surface.bare(table.name) for table in record.tables)), header)
        yield "header", header
    if len(record.used) >= _ENOUGH_COLUMNS:
        yield "columns", record.used
    yield "asked", surface.words(record.question)
    yield "question", surface.masked(record.question, record.gold)
    yield "skeleton", surface.skeleton(record.gold)


def seen(records: Iterable[Record]) -> Seen:
    """What these rows have shown to a model that was trained on them."""
    own = list(records)
    return Seen(frozenset(mark for record in own for mark in marks(record)), len(own))


def to_records(examples: Iterable[Example]) -> list[Record]:
    """Examples as records; their origins are those that the benchmark's reader has found."""
    return [_to_record(example) for example in examples]


def _to_record(example: Example) -> Record:
    tables, meta = surface.tables(example.context), example.meta
    used = frozenset(meta["used"]) if "used" in meta else surface.columns(tables)
    origins = (Origin(str(meta["origin"]), str(meta["header"])),) if "origin" in meta else ()
    return Record(example.id, example.question, example.context, example.gold, tables, used, origins)


class Training(NamedTuple):
    """A declared training set: a file, "NAME:SPLIT" of a benchmark, or a hub id whose rows a benchmark has;
    of it all rows, or the first ``limit`` after ``shuffle(seed)``."""

    data: str
    limit: int | None = None
    seed: int | None = None


def training_records(training: Training, benchmark: Benchmark) -> list[Record]:
    """The rows of a declared training set.

    Where the benchmark knows origins, a file's rows are looked up in the same index. DataError where
    there is no such set.
    """
    records = _records(training.data, benchmark)
    if training.seed is None:
        return records[: training.limit]
    return [records[row] for row in splits.seed_rows(len(records), training.limit, training.seed)]


def _records(training: str, benchmark: Benchmark) -> list[Record]:
    data = Path(benchmark.about["data"]) if "data" in benchmark.about else None
    path = Path(training)
    if path.exists():
        known = any("origin" in example.meta for example in benchmark.examples)
        index = origins.shipped() if known else Origins()
        return create_context.read_records(path, downloads.rows(path), index)
    whole = get_spec("create-context")
    if training == whole.source.hub:
        return create_context.deal(whole, data).records
    name, _, split = training.partition(":")
    if not split or name not in find_specs():
        raise DataError(f"{training}: no such training set", 'give a file, or "NAME:SPLIT" of a benchmark')
    data = data if get_spec(name).source.kind == "create-context" else None
    return to_records(load_benchmark(name, split=split, data=data).examples)


def expose(benchmark: Benchmark, *trainings: Training | str) -> Benchmark:
    """The benchmark with ``meta["exposure"]`` on each example: what these training sets have seen of it.

    ``["none"]`` where nothing; ``meta["leak"]`` has the kinds that are a leak, where there are any. DataError
    where a training set cannot be read.
    """
    wanted = [Training(one) if isinstance(one, str) else one for one in trainings]
    known = seen(record for one in wanted for record in training_records(one, benchmark))
    examples = tuple(
        replace(example, meta={**example.meta, **_seen_of(known, record)})
        for example, record in zip(benchmark.examples, to_records(benchmark.examples), strict=True)
    )
    return replace(benchmark, examples=examples)


def _seen_of(known: Seen, record: Record) -> dict[str, list[str]]:
    leaks = list(known.leaks(record))
    return {"exposure": list(known.of(record)) or ["none"], **({"leak": leaks} if leaks else {})}


def told_leak(examples: Sequence[Example]) -> str:
    """How many of exposed examples leak, in words; empty where none does.

    >>> told_leak([Example(id="0", question="", context="", gold="", meta={"leak": ["asked", "table"]})])
    '1 of 1 questions stands in its training data (asked 1, table 1)'
    """
    leaks = [example.meta["leak"] for example in examples if example.meta.get("leak")]
    counts = Counter(kind for kinds in leaks for kind in kinds)
    told = ", ".join(f"{kind} {counts[kind]:,}" for kind in LEAKS if counts[kind])
    verb = "stands" if len(leaks) == 1 else "stand"
    of = f"{len(leaks):,} of {len(examples):,} questions {verb} in its training data"
    return f"{of} ({told})" if leaks else ""


def declared(adapter: Path) -> tuple[Training, ...]:
    """The training sets that an adapter's folder declares in ``training.json``; none where it declares none.

    The file is {"data": "FILE, HUB ID or NAME:SPLIT"}; a path is relative to the folder. Where it holds the
    recipe too, the recipe's shuffle and limit count; "after" holds the same of the training before it.
    BenchmarkError where it has not that form.
    """
    path = adapter / TRAINING_FILE
    if not path.exists():
        return ()
    found = []
    try:
        told = read_json(path, error=BenchmarkError)
        while told is not None:
            data = told["data"]
            rows = told.get("recipe", {}).get("data")
            rows = rows if isinstance(rows, dict) else {}
            own = adapter / data
            found.append(
                Training(str(own) if own.exists() else data, rows.get("limit"), rows.get("shuffle_seed"))
            )
            told = told.get("after")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BenchmarkError(f"{path}: no 'data'", 'write {"data": "FILE or NAME:SPLIT"}') from None
    return tuple(found)


def exposures(records: Sequence[Record], known: Seen) -> dict[str, list[Record]]:
    """The records that each kind of exposure concerns, and those without any under "none"."""
    found: dict[str, list[Record]] = {kind: [] for kind in (*KINDS, "none")}
    for record in records:
        for kind in known.of(record) or ("none",):
            found[kind].append(record)
    return found
