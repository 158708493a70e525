"""WikiSQL: the release's files (``data/``: SPLIT.jsonl, SPLIT.tables.jsonl, SPLIT.db), or the hub's Parquet.

A context is the table with its full, real header (``variant: used`` keeps only the columns that the gold
uses); a gold is the release's sketch {"sel", "agg", "conds"} as SQL. The release's databases name columns
``col0`` …, so they serve the official scorer; the harness makes databases of its own from the context.
Where the tables are not there, columns are ``col0`` … in contexts too, which is enough for logical form.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from harness.benchmarks import downloads, surface
from harness.benchmarks.sketch import Sketch
from harness.benchmarks.spec import BenchmarkSpec
from harness.benchmarks.spider_schema import quote
from harness.errors import BenchmarkError, DataError
from harness.files import DataRow, cache_folder, read_rows
from harness.records import Example

SPLITS = ("train", "dev", "test")
_WANTED = ("question", "sql", "table.id", "table.header", "table.types")  # and not every table's rows
_TYPES = {"text": "TEXT", "real": "REAL"}


class WikiTable(NamedTuple):
    """A table's id, its header and its types ("text" or "real")."""

    id: str
    header: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def name(self) -> str:
        """The table's name in contexts and in the release's databases."""
        return "table_" + self.id.replace("-", "_")

    def columns(self) -> tuple[str, ...]:
        """Names that a database takes: an empty header by its place, a repeated one with a number."""
        names: list[str] = []
        for place, header in enumerate(self.header):
            name = plain = " ".join(header.split()) or f"column {place + 1}"
            number = 2
            while name.lower() in {other.lower() for other in names}:
                name, number = f"{plain} {number}", number + 1
            names.append(name)
        return tuple(names)


class WikiQuestion(NamedTuple):
    """A question of the release with its table and its sketch."""

    where: str
    question: str
    table: WikiTable
    sketch: Sketch


def load(
    spec: BenchmarkSpec, split: str, data: Path | None, seed: int
) -> tuple[list[Example], dict[str, str], Path | None]:
    """The questions of a split in the release's order; ids are their numbers from 0."""
    del seed
    if split not in SPLITS:
        raise BenchmarkError(
            f"benchmark '{spec.name}' has no split '{split}'", f"choose one of {', '.join(SPLITS)}"
        )
    folder = _folder(spec, data)
    examples = [
        to_example(str(number), entry, used_only=spec.source.variant == "used")
        for number, entry in enumerate(entries(spec, folder, split))
    ]
    about = {"folder": str(folder)}
    if folder is None:
        path, commit = _fetch(spec, split)
        folder, about = _database(path, split, commit), {"revision": f"commit {commit}"}
    elif not _file(folder, f"{split}.tables.jsonl"):
        about["note"] = f"{split}.tables.jsonl is not there: columns are col0, col1, …"
    return examples, about, folder


def tables(spec: BenchmarkSpec) -> Iterator[WikiTable]:
    """Every table of the three splits, some more than once; BenchmarkError where they are not here."""
    folder = _folder(spec, None)
    files = [path for split in SPLITS if folder and (path := _file(folder, f"{split}.tables.jsonl"))]
    if folder and not files:
        raise downloads.absent(spec, f"{folder} holds no tables.jsonl")
    for path in files:
        yield from _tables(path).values()
    for split in () if folder else SPLITS:
        yield from (entry.table for entry in entries(spec, None, split))


def column_name(header: str) -> str:
    """A header as a column's name.

    >>> column_name("School/Club Team (2)")
    'school_club_team_2'
    """
    return re.sub(r"[^a-z0-9]+", "_", header.lower()).strip("_")


def entries(spec: BenchmarkSpec, folder: Path | None, split: str) -> Iterator[WikiQuestion]:
    """The entries of a split, from the release's folder, or from the hub where there is none."""
    if folder is None:
        path, _ = _fetch(spec, split)
        yield from (_from_parquet(path, row) for row in read_rows(path, _WANTED))
        return
    path_ = _file(folder, f"{split}.jsonl")
    if path_ is None:
        raise downloads.absent(spec, f"{folder} holds no {split}.jsonl")
    listed = _file(folder, f"{split}.tables.jsonl")
    rows = list(read_rows(path_))
    known = _guessed(path_, rows) if listed is None else _tables(listed)
    yield from (_from_release(path_, row, known) for row in rows)


def to_example(identity: str, entry: WikiQuestion, *, used_only: bool = False) -> Example:
    """An entry as an example; ``meta`` holds what the official scorer reads."""
    table, columns = entry.table, entry.table.columns()
    gold = entry.sketch.to_sql(table.name, columns) or ""
    places = entry.sketch.used if used_only else range(len(columns))
    parts = ", ".join(f"{quote(columns[place])} {_TYPES.get(table.types[place], 'TEXT')}" for place in places)
    return Example(
        id=identity,
        question=entry.question,
        context=f"CREATE TABLE {table.name} ({parts})",
        gold=gold,
        kind=surface.form(gold),
        meta={
            "table_id": table.id,
            "sketch": entry.sketch.form,
            "header": list(table.header),
            "types": list(table.types),
            "columns": list(columns),
        },
    )


def sketch_to_sql(form: Mapping[str, Any], example: Example) -> str | None:
    """SQL text of a predicted sketch for an example of this benchmark, or None where it is no sketch."""
    if "columns" not in example.meta:
        return None
    try:
        sketch = Sketch.of(form)
    except (KeyError, TypeError, ValueError):
        return None
    table = WikiTable(str(example.meta["table_id"]), (), ())
    return sketch.to_sql(table.name, example.meta["columns"])


def _fetch(spec: BenchmarkSpec, split: str) -> tuple[Path, str]:
    name = {"dev": "validation"}.get(split, split)
    return downloads.fetch(spec, (spec.source.file or "").format(split=name))


def _database(path: Path, split: str, commit: str) -> Path:
    """A folder with SPLIT.db as the release has it (columns col0 …, text in lower case), made of the tables
    in the hub's Parquet on first use."""
    folder = cache_folder("wikisql", commit)
    target = folder / f"{split}.db"
    if target.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with closing(sqlite3.connect(part)) as connection, connection:
            done = set()
            for row in read_rows(path, ("table.id", "table.types", "table.rows")):
                own = row.values["table"]
                if own["id"] not in done:
                    done.add(own["id"])
                    name = "table_" + str(own["id"]).replace("-", "_")
                    columns = ", ".join(f"col{place} {kind}" for place, kind in enumerate(own["types"]))
                    connection.execute(f"CREATE TABLE {name} ({columns})")
                    marks = ", ".join("?" * len(own["types"]))
                    rows = ([str(value).lower() for value in values] for values in own["rows"])
                    connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return folder


def _folder(spec: BenchmarkSpec, data: Path | None) -> Path | None:
    path = downloads.local(spec, data)
    if path is None:
        if not spec.source.hub:
            raise downloads.absent(spec)
        return None
    if path.is_file():
        raise BenchmarkError(
            f"{path}: a file, where WikiSQL's data/ folder is wanted", "point --data to the folder"
        )
    return path / "data" if (path / "data").is_dir() else path


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _tables(path: Path) -> dict[str, WikiTable]:
    found = {}
    for where, values in read_rows(path):
        try:
            table = WikiTable(
                str(values["id"]), tuple(map(str, values["header"])), tuple(map(str, values["types"]))
            )
        except (KeyError, TypeError):
            raise DataError(
                f"{path}, {where}: no 'id', 'header' and 'types'", "fetch the release again"
            ) from None
        found[table.id] = table
    return found


def _guessed(path: Path, rows: Sequence[DataRow]) -> dict[str, WikiTable]:
    widths: dict[str, int] = {}
    for where, values in rows:
        identity, sketch = _checked(path, where, values)
        widths[identity] = max(widths.get(identity, 0), *(place + 1 for place in sketch.used))
    return {
        identity: WikiTable(identity, tuple(f"col{place}" for place in range(width)), ("text",) * width)
        for identity, width in widths.items()
    }


def _checked(path: Path, where: str, values: Mapping[str, Any]) -> tuple[str, Sketch]:
    try:
        return str(values["table_id"]), Sketch.of(values["sql"])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{path}, {where}: not a question of the release",
            "it has table_id, question and sql {sel, agg, conds}",
        ) from None


def _from_release(path: Path, row: DataRow, tables: Mapping[str, WikiTable]) -> WikiQuestion:
    identity, sketch = _checked(path, row.where, row.values)
    if identity not in tables:
        raise DataError(
            f"{path}, {row.where}: table '{identity}' is not among the tables", "fetch the release again"
        )
    table = tables[identity]
    if max(sketch.used) >= len(table.header):
        raise DataError(
            f"{path}, {row.where}: a column that table '{identity}' has not", "fetch the release again"
        )
    return WikiQuestion(row.where, str(row.values.get("question", "")), table, sketch)


def _from_parquet(path: Path, row: DataRow) -> WikiQuestion:
    try:
        values, sql = row.values, row.values["sql"]
        conditions = sql["conds"]
        names = ("column_index", "operator_index", "condition")
        sketch = Sketch.of({**sql, "conds": zip(*(conditions[name] for name in names), strict=True)})
        own = values["table"]
        table = WikiTable(str(own["id"]), tuple(own["header"]), tuple(own["types"]))
        return WikiQuestion(row.where, str(values["question"]), table, sketch)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}, {row.where}: not WikiSQL's Parquet form", "fetch it again") from None
