"""What a training file has seen of each test question.

table      a row on the same WikiSQL table or Spider database (elsewhere: with the same context)
header     a row on a table with the same full header
columns    a row that uses the same columns, three or more
question   a row with the same question once literals are masked
skeleton   a row whose query is the same but for names and literals
"""

from __future__ import annotations

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
        present = {kind for kind, value in marks(record) if (kind, value) in self.marks}
        return tuple(kind for kind in KINDS if kind in present)


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


def expose(benchmark: Benchmark, training: Training | str) -> Benchmark:
    """The benchmark with ``meta["exposure"]`` on each example: what that training set has seen of it.

    ``["none"]`` where nothing; DataError where the training set cannot be read.
    """
    wanted = Training(training) if isinstance(training, str) else training
    known = seen(training_records(wanted, benchmark))
    examples = tuple(
        replace(example, meta={**example.meta, "exposure": list(known.of(record)) or ["none"]})
        for example, record in zip(benchmark.examples, to_records(benchmark.examples), strict=True)
    )
    return replace(benchmark, examples=examples)


def declared(adapter: Path) -> Training | None:
    """The training set that an adapter's folder declares in ``training.json``, or None.

    The file is {"data": "FILE, HUB ID or NAME:SPLIT"}; a path is relative to the folder. Where it holds the
    recipe too, the recipe's shuffle and limit count. BenchmarkError where it has not that form.
    """
    path = adapter / TRAINING_FILE
    if not path.exists():
        return None
    try:
        told = read_json(path, error=BenchmarkError)
        data = told["data"]
        rows = told.get("recipe", {}).get("data")
        rows = rows if isinstance(rows, dict) else {}
        own = adapter / data
        return Training(str(own) if own.exists() else data, rows.get("limit"), rows.get("shuffle_seed"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BenchmarkError(f"{path}: no 'data'", 'write {"data": "FILE or NAME:SPLIT"}') from None


def exposures(records: Sequence[Record], known: Seen) -> dict[str, list[Record]]:
    """The records that each kind of exposure concerns, and those without any under "none"."""
    found: dict[str, list[Record]] = {kind: [] for kind in (*KINDS, "none")}
    for record in records:
        for kind in known.of(record) or ("none",):
            found[kind].append(record)
    return found
