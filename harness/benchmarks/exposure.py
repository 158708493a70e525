"""What a training file has seen of each test question.

table      a row on the same WikiSQL table or Spider database (elsewhere: with the same context)
header     a row on a table with the same full header
columns    a row that uses the same columns, three or more
question   a row with the same question once literals are masked
skeleton   a row whose query is the same but for names and literals
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.benchmarks import create_context, forms, sources, splits
from harness.benchmarks.load import load_benchmark
from harness.benchmarks.origins import Origin, Origins
from harness.benchmarks.spec import get_spec
from harness.benchmarks.splits import Record
from harness.errors import BenchmarkError, DataError
from harness.records import Benchmark, Example

KINDS = ("table", "header", "columns", "question", "skeleton")
_ENOUGH_COLUMNS = 3


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
        header = forms.columns(record.tables)
        yield "table", (tuple(sorted(forms.bare(table.name) for table in record.tables)), header)
        yield "header", header
    if len(record.used) >= _ENOUGH_COLUMNS:
        yield "columns", record.used
    yield "question", forms.masked(record.question, record.gold)
    yield "skeleton", forms.skeleton(record.gold)


def seen(records: Iterable[Record]) -> Seen:
    """What these rows have shown to a model that was trained on them."""
    own = list(records)
    return Seen(frozenset(mark for record in own for mark in marks(record)), len(own))


def to_records(examples: Iterable[Example]) -> list[Record]:
    """Examples as records; their origins are those that the benchmark's reader has found."""
    return [_to_record(example) for example in examples]


def _to_record(example: Example) -> Record:
    tables, meta = forms.tables(example.context), example.meta
    used = frozenset(meta["used"]) if "used" in meta else forms.columns(tables)
    origins = (Origin(str(meta["origin"]), str(meta["header"])),) if "origin" in meta else ()
    return Record(example.id, example.question, example.context, example.gold, tables, used, origins)


def training_records(training: str, benchmark: Benchmark) -> list[Record]:
    """The rows of a declared training set: a file, "NAME:SPLIT" of a benchmark, or "create-context:seed".

    Where the benchmark knows origins, the file's rows are looked up in the same index.
    """
    data = Path(benchmark.about["data"]) if "data" in benchmark.about else None
    path = Path(training)
    name, colon, split = training.partition(":")
    if colon and not path.exists():
        data = data if get_spec(name).source.kind == "create-context" else None
        if split != "seed":
            return to_records(load_benchmark(name, split=split, data=data).examples)
        records = create_context.deal(get_spec(name), data).records
        return [records[row] for row in splits.seed_rows(len(records))]
    if not path.exists():
        raise DataError(f"{training}: no such training file", 'give a file, or "NAME:SPLIT" of a benchmark')
    known = any("origin" in example.meta for example in benchmark.examples)
    index = create_context.find_origins(data) if known else Origins({}, {})
    return create_context.read_records(path, sources.rows(path), index)


def expose(benchmark: Benchmark, training: str) -> Benchmark:
    """The benchmark with ``meta["exposure"]`` on each example: what that training set has seen of it.

    ``["none"]`` where nothing; DataError where the training set cannot be read.
    """
    known = seen(training_records(training, benchmark))
    examples = tuple(
        replace(example, meta={**example.meta, "exposure": list(known.of(record)) or ["none"]})
        for example, record in zip(benchmark.examples, to_records(benchmark.examples), strict=True)
    )
    return replace(benchmark, examples=examples)


def declared(adapter: Path) -> str | None:
    """The training set that an adapter's folder declares in ``training.json`` ({"data": …}), or None.

    A path there is relative to the folder. BenchmarkError where the file has not that form.
    """
    path = adapter / "training.json"
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
    except (ValueError, KeyError, TypeError):
        raise BenchmarkError(f"{path}: no 'data'", 'write {"data": "FILE or NAME:SPLIT"}') from None
    own = adapter / str(data)
    return str(own) if own.exists() else str(data)


def exposures(records: Sequence[Record], known: Seen) -> dict[str, list[Record]]:
    """The records that each kind of exposure concerns, and those without any under "none"."""
    found: dict[str, list[Record]] = {kind: [] for kind in (*KINDS, "none")}
    for record in records:
        for kind in known.of(record) or ("none",):
            found[kind].append(record)
    return found
