"""sql-create-context, really held out: from the hub or from a local file or folder of the same form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from harness.benchmarks import forms, origins, sources, splits
from harness.benchmarks.origins import Origins
from harness.benchmarks.rows import identity
from harness.benchmarks.spec import BenchmarkSpec
from harness.benchmarks.spider_schema import read_tables
from harness.benchmarks.splits import Record
from harness.errors import BenchmarkError, DataError
from harness.files import Row, cache_folder
from harness.records import Example

SPIDER_TABLES = (
    "https://raw.githubusercontent.com/taoyds/spider/7036cf422b1da08a907acbdc062e598bb0761bf7"
    "/evaluation_examples/examples/tables.json"
)
SPIDER_SHA256 = "61bb20aa401f03164e2d7f3b16509b7b5f79cc9c943ca7bd159046df1159e2ed"
SPLITS = ("train", "validation", "test")


class Dealt(NamedTuple):
    """The whole set with its split, the index of origins, facts, and the file or folder that was read."""

    records: list[Record]
    split: splits.Split
    origins: Origins
    about: dict[str, str]
    folder: Path


def deal(spec: BenchmarkSpec, data: Path | None = None) -> Dealt:
    """Load every row, find its origin and split the set. 78,577 rows take some 5 s and 0.3 GiB."""
    path = sources.local(spec, data)
    if path is not None:
        return _deal(path, None)
    return _deal(*sources.fetch(spec, spec.source.file or "", spec.source.sha256))


@lru_cache(maxsize=1)
def _deal(path: Path, commit: str | None) -> Dealt:
    index = find_origins(path if commit is None else None)
    records = read_records(path, sources.rows(path), index)
    if not records:
        raise DataError(f"{path}: no rows", "fetch it again")
    about = {"rows": f"{len(records):,}"}
    about |= {"data": str(path)} if commit is None else {"revision": f"commit {commit}"}
    if index.spider is None:
        about["note"] = "Spider's tables.json is not here: its rows are of unknown origin, all in training"
    return Dealt(records, splits.split(records), index, about, path if path.is_dir() else path.parent)


def read_records(path: Path, rows: Iterable[Row], index: Origins) -> list[Record]:
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
        tables = forms.tables(values["context"])
        full = values.get("full_context")
        records.append(
            Record(
                own,
                values["question"],
                values["context"],
                values["answer"],
                tables,
                forms.columns(tables),
                index.find(values["question"], tables),
                full if isinstance(full, str) else None,
            )
        )
    return records


def find_origins(path: Path | None) -> Origins:
    """The index of origins: beside the data, in the cache, or built from the WikiSQL release.

    Spider's schemas are taken from a tables.json beside the data, in a folder ``spider`` next to it or in
    the Spider download, else fetched (pinned) from Spider's repository. Without them Spider's rows
    have no known origin and go to training.
    """
    beside = [] if path is None else [path if path.is_dir() else path.parent]
    cached = cache_folder("origins.csv.gz")
    named = [folder / name for folder in beside for name in ("origins.csv.gz", "origins.csv")]
    found = next((file for file in [*named, cached] if file.exists()), None)
    if found is None:
        _build_index(cached)
    index = origins.read(found or cached)
    kept = cache_folder("spider-tables.json")
    folders = [place for folder in beside for place in (folder, folder.parent / "spider")]
    folders.append(cache_folder("benchmarks", "spider"))
    tables = [folder / name for folder in folders for name in ("tables.json", "tables.json.gz")]
    for file in [*tables, kept]:
        if file.exists() or (file is kept and sources.download(SPIDER_TABLES, SPIDER_SHA256, kept)):
            index.spider = read_tables(file)
            break
    return index


def _build_index(target: Path) -> None:
    from harness.benchmarks import wikisql
    from harness.benchmarks.spec import get_spec

    try:
        origins.build(wikisql.questions(get_spec("wikisql")), target)
    except BenchmarkError as error:
        raise BenchmarkError(
            f"sql-create-context cannot be split without the WikiSQL release ({error.problem})",
            f"{error.remedy}; or put an index origins.csv.gz beside the data",
        ) from None


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
    if spec.source.variant == "full":
        return list(fuller(records, dealt, seed)), about, dealt.folder
    return [_example(record, record.context, record.gold) for record in records], about, dealt.folder


def _example(record: Record, context: str, gold: str) -> Example:
    return Example(
        id=record.id,
        question=record.question,
        context=context,
        gold=gold,
        kind=forms.form(record.gold),
        meta={"used": sorted(record.used)} | (record.origins[0]._asdict() if record.origins else {}),
    )


def fuller(records: Sequence[Record], dealt: Dealt, seed: int) -> Iterable[Example]:
    """The same questions over full headers: every column that is known of the table, shuffled by ``seed``,
    WikiSQL's tables renamed (their names say nothing, but training may know them).

    Columns come from the release where the index was built from it (with the release's types), else
    from the row's own ``full_context``, else from every row on the table; then all are VARCHAR, as
    the types that a context states are taken from its gold. A Spider row has its whole database.
    """
    known: dict[str, dict[str, tuple[str, str]]] = {}
    for record in dealt.records:
        if len(record.origins) == 1 and len(record.tables) == 1:
            columns = known.setdefault(record.origins[0].origin, {})
            listed: tuple[forms.Table, ...] = record.tables
            if record.full_context and record.origins[0].origin not in dealt.origins.columns:
                listed = forms.tables(record.full_context)
            for table in listed:
                for name, _ in table.columns:
                    columns.setdefault(forms.bare(name), (name, ""))
    for name, released in dealt.origins.columns.items():
        for column, kind in released:
            known.setdefault(name, {})[forms.bare(column)] = (column, kind)
    for record in records:
        yield _fuller(record, known, dealt.origins, Random(f"{seed}:{record.id}"))


def _fuller(
    record: Record, known: dict[str, dict[str, tuple[str, str]]], index: Origins, random: Random
) -> Example:
    origin = record.origins[0].origin if record.origins else ""
    if origin.startswith("spider:") and index.spider is not None:
        schema = index.spider.schemas[origin.removeprefix("spider:")]
        wide = [
            forms.Table(name, tuple((column.name, column.type) for column in columns))
            for name, columns in schema.tables.items()
        ]
        random.shuffle(wide)
        return _example(record, _create(wide, random), record.gold)
    if len(record.tables) != 1:
        return _example(record, _create(record.tables, random), record.gold)
    table = record.tables[0]
    own = {forms.bare(name): (name, "") for name, _ in table.columns}
    more = known.get(origin, {})
    columns = [(name, more.get(plain, ("", ""))[1]) for plain, (name, _) in own.items()]
    columns += [column for plain, column in more.items() if plain not in own]
    name = next(name for name in ("data", "data_table", "data_table_1") if name not in own)
    gold = re.sub(rf"(?<![\w\"'.]){re.escape(table.name)}(?![\w\"'])", name, record.gold)
    return _example(record, _create([forms.Table(name, tuple(columns))], random), gold)


def _create(tables: Iterable[forms.Table], random: Random) -> str:
    statements = []
    for table in tables:
        columns = list(table.columns)
        random.shuffle(columns)
        parts = ", ".join(f"{_quoted(name)} {_TYPES.get(kind, 'VARCHAR')}" for name, kind in columns)
        statements.append(f"CREATE TABLE {_quoted(table.name)} ({parts})")
    return "; ".join(statements)


def _quoted(name: str) -> str:
    plain = forms.unquote(name)
    return plain if re.fullmatch(r"[^\W\d]\w*", plain) else f'"{plain}"'


_TYPES = {"real": "INTEGER", "number": "INTEGER", "time": "DATETIME"}
