"""sql-create-context, really held out: from the hub or from a local file or folder of the same form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from harness.benchmarks import downloads, full_headers, origins, splits, surface
from harness.benchmarks.origins import Origins
from harness.benchmarks.rows import identity
from harness.benchmarks.spec import BenchmarkSpec
from harness.benchmarks.splits import Record
from harness.errors import BenchmarkError, DataError, RunError
from harness.files import DataRow, cache_folder, read_object, write_json
from harness.records import Example

SPLITS = ("train", "validation", "test")


class Dealt(NamedTuple):
    """The whole set with its split, facts, and the file or folder that was read."""

    records: list[Record]
    split: splits.Split
    about: dict[str, str]
    folder: Path


def deal(spec: BenchmarkSpec, data: Path | None = None) -> Dealt:
    """Load every row, find its origin and split the set. 78,577 rows take some 5 s and 0.3 GiB.

    The test rows of the published file (that of the YAML's SHA-256) are pinned when they are first dealt.
    BenchmarkError where a later load deals others.
    """
    path = downloads.local(spec, data)
    if path is not None:
        return _deal(path, None, spec.source.sha256)
    path, commit = downloads.fetch(spec, spec.source.file or "", spec.source.sha256)
    return _deal(path, commit, spec.source.sha256)


@lru_cache(maxsize=1)
def _deal(path: Path, commit: str | None, published: str | None) -> Dealt:
    records = read_records(path, downloads.rows(path), origins.shipped())
    if not records:
        raise DataError(f"{path}: no rows", "fetch it again")
    split = splits.split(records)
    about = {"rows": f"{len(records):,}"}
    about |= {"data": str(path)} if commit is None else {"revision": f"commit {commit}"}
    if path.is_file() and published and downloads.hash_file(path) == published:
        about["test rows"] = pin(published, [records[row].id for row in split.rows("test")])
    return Dealt(records, split, about, path if path.is_dir() else path.parent)


def pin(published: str, ids: Sequence[str]) -> str:
    """Keep these ids as the test rows of the file of this SHA-256, or compare them with those kept.

    Gives a line for people; BenchmarkError where they differ.
    """
    file = cache_folder("pins", f"create-context-{published[:16]}.json")
    digest = sha256("\n".join(ids).encode()).hexdigest()
    line = f"{len(ids):,}, SHA-256 of their ids {digest[:16]}"
    try:
        before = read_object(file)["test"]
    except (DataError, KeyError):
        with suppress(RunError):  # a cache that cannot be written pins nothing
            write_json(file, {"index": origins.shipped().digest, "test": list(ids)})
        return line
    if before != list(ids):
        apart = len(set(before) ^ set(ids))
        raise BenchmarkError(
            f"sql-create-context: {apart:,} test rows differ from those of the first load on this machine",
            f"use the version of the harness that wrote {file}, or delete it to take the new rows; "
            "figures on the two do not compare",
        )
    return line


def read_records(path: Path, rows: Iterable[DataRow], index: Origins) -> list[Record]:
    """Rows as records with their origins; DataError names the row that lacks a field."""
    records = []
    seen = set()
    for number, (where, values) in enumerate(rows):
        for name in ("question", "context", "answer"):
            if not isinstance(values.get(name), str) or not values[name].strip():
                raise DataError(
                    f"{path}, {where}: no '{name}'", "give every row question, context and answer"
                )
        own = identity(path, where, values.get("id")) or str(number)
        if own in seen:
            raise DataError(f"{path}, {where}: id '{own}' occurs twice", "make ids unique")
        seen.add(own)
        tables = surface.tables(values["context"])
        full = values.get("full_context")
        records.append(
            Record(
                own,
                values["question"],
                values["context"],
                values["answer"],
                tables,
                surface.columns(tables),
                index.find(values["question"], tables, values["answer"]),
                full if isinstance(full, str) else None,
            )
        )
    return records


def load(
    spec: BenchmarkSpec, split: str, data: Path | None, seed: int
) -> tuple[list[Example], dict[str, str], Path | None]:
    """The examples of a split, in the set's order, with facts about them."""
    if split not in SPLITS:
        raise BenchmarkError(
            f"benchmark '{spec.name}' has no split '{split}'", f"choose one of {', '.join(SPLITS)}"
        )
    dealt = deal(spec, data)
    rows = own = [row for row, side in enumerate(dealt.split.sides) if side == split]
    about = dict(dealt.about)
    if spec.source.sample and split == "test":
        rows = splits.stratified(own, dealt.records, spec.source.sample)
        about["sample"] = f"{len(rows):,} of {len(own):,} questions, query forms in their shares"
    records = [dealt.records[row] for row in rows]
    if spec.source.variant != "full":
        return [_example(record, record.context, record.gold) for record in records], about, dealt.folder
    headers = full_headers.Headers(dealt.records, dealt.folder)
    if headers.notes:
        about["note"] = "; ".join(headers.notes)
    examples = [_example(record, *headers.of(record, seed)) for record in records]
    return examples, about, dealt.folder


def _example(record: Record, context: str, gold: str) -> Example:
    return Example(
        id=record.id,
        question=record.question,
        context=context,
        gold=gold,
        kind=surface.form(record.gold),
        meta={"used": sorted(record.used)} | (record.origins[0]._asdict() if record.origins else {}),
    )
