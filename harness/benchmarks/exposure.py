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
        header = origins.header_hash(surface.columns(record.tables))
        yield "table", (tuple(sorted(surface.bare(table.name) for table in record.tables)), header)
        yield "header", header
    if record.full_context:
        yield "header", origins.header_hash(surface.columns(surface.tables(record.full_context)))
    if len(record.used) >= _ENOUGH_COLUMNS:
        yield "columns", record.used
    if asked := surface.words(record.question):
        yield "asked", asked
        yield "question", surface.masked(record.question, record.gold)
    yield "skeleton", surface.skeleton(record.gold)


def seen(records: Iterable[Record]) -> Seen:
    """What these rows have shown to a model that was trained on them."""
    own = list(records)
    return Seen(frozenset(mark for record in own for mark in marks(record)), len(own))


def to_records(benchmark: Benchmark) -> list[Record]:
    """A benchmark's examples as records, with the tables or databases that they are known to come from."""
    spider = _kind(benchmark.name) == "spider"
    records = []
    for example in benchmark.examples:
        tables, meta = surface.tables(example.context), example.meta
        used = frozenset(meta["used"]) if "used" in meta else surface.columns(tables)
        if "table_id" in meta and isinstance(meta.get("header"), list):
            named = filter(surface.bare, meta["header"])
            found: tuple[Origin, ...] = (Origin(meta["table_id"], origins.header_hash(named)),)
        elif "origin" in meta:
            found = (Origin(str(meta["origin"]), str(meta["header"])),)
        elif spider:
            found = (Origin(f"spider:{example.db_id}", origins.header_hash(surface.columns(tables))),)
        else:
            found = _of_wikisql(example.question, tables)
        records.append(
            Record(example.id, example.question, example.context, example.gold, tables, used, found)
        )
    return records


def _of_wikisql(question: str, tables: Sequence[surface.ContextTable]) -> tuple[Origin, ...]:
    """The tables of WikiSQL that a row of anybody's file may be of, by the index that travels along."""
    return origins.shipped().find_wikisql(question, tables) if origins.of_wikisql(tables) else ()


def _kind(name: str) -> str:
    """The kind of source of a benchmark, empty for a file of one's own."""
    return get_spec(name).source.kind if name in find_specs() else ""


class Training(NamedTuple):
    """A declared training set: a file, "NAME:SPLIT" of a benchmark, or a hub id whose rows a benchmark has;
    of it all rows, or the first ``limit`` after ``shuffle(seed)``."""

    data: str
    limit: int | None = None
    seed: int | None = None


def training_records(training: Training, benchmark: Benchmark) -> list[Record]:
    """The rows of a declared training set.

    A file's rows are looked up in the index of origins: all of them where the benchmark is of a set that the
    index knows, else those that bear WikiSQL's names. DataError where there is no such set.
    """
    records = _records(training.data, benchmark)
    if training.seed is None:
        return records[: training.limit]
    return [records[row] for row in splits.seed_rows(len(records), training.limit, training.seed)]


def _records(training: str, benchmark: Benchmark) -> list[Record]:
    kind, about, path = _kind(benchmark.name), benchmark.about, Path(training)
    data = next((Path(about[key]) for key in ("data", "folder") if key in about), None)
    if path.exists():
        if kind in {"create-context", "wikisql", "spider"}:
            return create_context.read_records(path, downloads.rows(path), origins.shipped())
        rows = create_context.read_records(path, downloads.rows(path), Origins())
        return [row._replace(origins=_of_wikisql(row.question, row.tables)) for row in rows]
    whole = get_spec("create-context")
    if training == whole.source.hub:
        return create_context.deal(whole, data if kind == "create-context" else None).records
    name, _, split = training.partition(":")
    if not split or name not in find_specs():
        raise DataError(f"{training}: no such training set", 'give a file, or "NAME:SPLIT" of a benchmark')
    return to_records(load_benchmark(name, split=split, data=data if kind == _kind(name) else None))


def expose(benchmark: Benchmark, *trainings: Training | str) -> Benchmark:
    """The benchmark with ``meta["exposure"]`` on each example: what these training sets have seen of it.

    ``["none"]`` where nothing; ``meta["leak"]`` has the kinds that are a leak, where there are any. DataError
    where a training set cannot be read.
    """
    wanted = [Training(one) if isinstance(one, str) else one for one in trainings]
    known = seen(record for one in wanted for record in training_records(one, benchmark))
    examples = tuple(
        replace(example, meta={**example.meta, **_seen_of(known, record)})
        for example, record in zip(benchmark.examples, to_records(benchmark), strict=True)
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
