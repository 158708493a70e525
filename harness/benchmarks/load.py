"""A benchmark by name or a file of one's own, as the record that the rest of the harness takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from harness.benchmarks.rows import hash_examples, select, to_examples
from harness.benchmarks.spec import BenchmarkSpec, get_spec
from harness.errors import BenchmarkError, DataError, UsageError
from harness.files import read_rows, stem
from harness.records import Benchmark, Example

_READERS = {"create-context": "create_context", "wikisql": "wikisql", "spider": "spider", "bird": "spider"}


class Loaded(NamedTuple):
    """What a source's reader hands back: examples of one split, facts about them, the data's folder."""

    examples: Sequence[Example]
    about: Mapping[str, str]
    folder: Path | None = None


def load_benchmark(
    name: str,
    *,
    data: Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    ids: Sequence[str] | None = None,
    context_field: str | None = None,
    databases_root: Path | None = None,
    seed: int = 0,
) -> Benchmark:
    """The examples of a benchmark's split (its default one unless ``split`` says otherwise).

    ``data`` is a local file or folder in the benchmark's own form and takes the place of the download.
    ``ids`` and then ``limit`` choose among the examples. ``seed`` is that of a variant that shuffles.
    ``databases_root`` is where the databases that rows name may lie, else the data's own folder.
    BenchmarkError where the benchmark is unknown or not here (with what to fetch and where to put it),
    DataError where a row is malformed.
    """
    spec = get_spec(name)
    chosen = split or spec.split
    own = _Own(context_field, databases_root)
    loaded = _read(spec, chosen, data, own, seed)
    examples = select(loaded.examples, limit=limit, ids=ids)
    if not examples:
        raise BenchmarkError(
            f"benchmark '{spec.name}', split '{chosen}', has no examples", "check --limit and the data"
        )
    source = spec.source
    about = {
        "size": str(len(loaded.examples)),
        "title": spec.title,
        "source": source.hub or source.url,
        "licence": source.licence,
    }
    return Benchmark(
        name=spec.name,
        split=chosen,
        examples=examples,
        prompt=spec.prompt,
        rules=spec.rules,
        dialect=spec.dialect,
        scorers=spec.scorers,
        max_new_tokens=spec.generation.max_new_tokens,
        data_hash=hash_examples(examples),
        about=about | {"variant": source.variant, "baselines": " ".join(spec.baselines)} | dict(loaded.about),
        folder=loaded.folder,
    )


def load_file(
    path: Path,
    *,
    split: str | None = None,
    context_field: str | None = None,
    databases_root: Path | None = None,
    limit: int | None = None,
    ids: Sequence[str] | None = None,
) -> Benchmark:
    """Data of one's own as a benchmark named by the file's stem, with default prompt and rules.

    ``databases_root`` is where the databases that rows name may lie, else the file's own folder.
    UsageError for a ``split``, which a file has not; DataError where a row is malformed.
    """
    if split:
        raise UsageError(
            f"--split {split} does not go with --data {path} alone: a file has no splits",
            "leave --split out, or give each split a file of its own",
        )
    found = to_examples(path, read_rows(path), context_field or "context", databases_root)
    rows = list(found)
    examples = select(rows, limit=limit, ids=ids)
    if not examples:
        raise DataError(f"{path}: no rows", "give it at least one question")
    return Benchmark(
        name=stem(path),
        split="all",
        examples=examples,
        data_hash=hash_examples(examples),
        about={"size": str(len(rows)), "title": path.name, "source": str(path)},
        folder=path.parent,
    )


class _Own(NamedTuple):
    """What goes with data of one's own alone, by the options' names."""

    context_field: str | None
    databases_root: Path | None


def _read(spec: BenchmarkSpec, split: str, data: Path | None, own: _Own, seed: int) -> Loaded:
    kind = spec.source.kind
    if kind == "files":
        return _from_files(spec, split, data, own)
    for name, value in own._asdict().items():
        if value:
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with benchmark '{spec.name}'",
                "it is for data of one's own",
            )
    module = import_module(f"harness.benchmarks.{_READERS[kind]}")
    return Loaded(*module.load(spec, split, data, seed))


def _from_files(spec: BenchmarkSpec, split: str, data: Path | None, own: _Own) -> Loaded:
    if split not in spec.source.files:
        raise BenchmarkError(
            f"benchmark '{spec.name}' has no split '{split}'",
            f"choose one of {', '.join(spec.source.files)}",
        )
    path = data
    if path is None:
        path = spec.resolve(spec.source.files[split])
        if not path.exists():
            raise BenchmarkError(
                f"{spec.path}: key 'source.files.{split}': {path} is not there", spec.source.fetch
            )
    field = own.context_field or spec.source.context_field
    examples = to_examples(path, read_rows(path), field, own.databases_root)
    return Loaded(list(examples), {"file": path.name}, path.parent)
