"""Spider and BIRD from the user's download: questions, multi-table contexts with keys, real databases.

    Spider  dev.json, tables.json, database/DB/DB.sqlite (test.json, test_tables.json, test_database for test)
    BIRD    dev.json, dev_tables.json, dev_databases/DB/DB.sqlite; mini-dev: mini_dev_sqlite.json beside them

Where a folder has no databases, the harness populates some from the schema, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.benchmarks import downloads, surface
from harness.benchmarks.rows import identity
from harness.benchmarks.spec import BenchmarkSpec
from harness.benchmarks.spider_schema import SpiderTables, read_tables
from harness.errors import BenchmarkError, DataError
from harness.files import DataRow, read_rows, read_text
from harness.records import Example


class Layout(NamedTuple):
    """Where a split's parts lie in a download, first match wins; ``gold`` is the field of the query."""

    questions: tuple[tuple[str, ...], ...]
    tables: tuple[str, ...]
    databases: tuple[str, ...]
    gold: str
    golds: str | None = None


SPIDER = {
    "dev": Layout((("dev.json",),), ("tables.json",), ("database",), "query", "dev_gold.sql"),
    "train": Layout(
        (("train_spider.json", "train_others.json"), ("train_spider.json",)),
        ("tables.json",),
        ("database",),
        "query",
        "train_gold.sql",
    ),
    "test": Layout(
        (("test.json",),),
        ("test_tables.json", "tables.json"),
        ("test_database", "database"),
        "query",
        "test_gold.sql",
    ),
}
_BIRD_TABLES = ("dev_tables.json", "tables.json")
_BIRD_DATABASES = ("dev_databases", "databases", "database")
BIRD = {
    "dev": Layout((("dev.json",),), _BIRD_TABLES, _BIRD_DATABASES, "SQL"),
    "train": Layout((("train.json",),), ("train_tables.json",), ("train_databases",), "SQL"),
}
MINI = {"dev": Layout((("mini_dev_sqlite.json",),), _BIRD_TABLES, _BIRD_DATABASES, "SQL")}


def layouts(spec: BenchmarkSpec) -> Mapping[str, Layout]:
    """The layout of each split of this benchmark."""
    if spec.source.kind == "spider":
        return SPIDER
    return MINI if spec.source.variant == "mini" else BIRD


def load(
    spec: BenchmarkSpec, split: str, data: Path | None, seed: int
) -> tuple[list[Example], dict[str, str], Path | None]:
    """The questions of a split in the download's order."""
    del seed
    if split not in layouts(spec):
        raise BenchmarkError(
            f"benchmark '{spec.name}' has no split '{split}'", f"choose one of {', '.join(layouts(spec))}"
        )
    layout, folder = layouts(spec)[split], downloads.local(spec, data)
    if folder is None:
        raise downloads.absent(spec)
    if folder.is_file():
        raise BenchmarkError(
            f"{folder}: a file, where the download's folder is wanted", "point --data to the folder"
        )
    schemas = read_tables(_needed(spec, folder, layout.tables))
    databases = next((folder / name for name in layout.databases if (folder / name).is_dir()), None)
    about: dict[str, str] = {"folder": str(folder)}
    files = next((found for names in layout.questions if (found := _all(folder, names))), None)
    golds = _find(folder, layout.golds) if layout.golds else None
    if files:
        rows = _questions(files, layout.gold)
    elif golds:
        rows = _golds(golds, layout.gold)
        about["note"] = f"{layout.questions[0][0]} is not there: golds from {golds.name}, without questions"
    else:
        raise downloads.absent(spec, f"{folder} holds no {layout.questions[0][0]}")
    examples = [
        _example(spec, number, path, row, layout.gold, schemas, databases)
        for number, (path, row) in enumerate(rows)
    ]
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"{folder}: question_id '{example.id}' occurs twice", "fetch the download again")
        seen.add(example.id)
    lacking = sorted({example.db_id for example in examples if example.db_id and example.database is None})
    if lacking:
        about["databases"] = f"populated from the schema: {len(lacking)} databases are not in the folder"
    else:
        about["databases"] = f"real, in {databases.name}" if databases else ""
    return examples, about, folder


def _example(
    spec: BenchmarkSpec,
    number: int,
    path: Path,
    row: DataRow,
    gold: str,
    schemas: SpiderTables,
    databases: Path | None,
) -> Example:
    values = row.values
    for field in ("db_id", "question", gold):
        if not isinstance(values.get(field), str):
            raise DataError(f"{path}, {row.where}: no '{field}'", "fetch the download again")
    db_id = str(values["db_id"])
    if Path(db_id).name != db_id:
        raise DataError(f"{path}, {row.where}: '{db_id}' names no database", "fetch the download again")
    if db_id not in schemas.schemas:
        raise DataError(
            f"{path}, {row.where}: database '{db_id}' is not in tables.json", "fetch the download again"
        )
    database = databases / db_id / f"{db_id}.sqlite" if databases else None
    evidence = values.get("evidence")
    own = identity(path, row.where, values.get("question_id")) if spec.source.kind == "bird" else None
    return Example(
        id=own or str(number),
        question=str(values["question"]),
        context=schemas.context(db_id),
        gold=str(values[gold]).strip(),
        db_id=db_id,
        database=database if database and database.exists() else None,
        evidence=str(evidence) if evidence else None,
        kind=str(values["difficulty"]) if values.get("difficulty") else surface.form(str(values[gold])),
    )


def _questions(files: list[Path], gold: str) -> Iterator[tuple[Path, DataRow]]:
    for path in files:
        for row in read_rows(path):
            yield path, DataRow(row.where, _renamed(row.values, gold))


def _renamed(values: Mapping[str, Any], gold: str) -> Mapping[str, Any]:
    """BIRD's files name the query ``SQL``, some of its releases ``query``."""
    return values if gold in values or "query" not in values else {**values, gold: values["query"]}


def _golds(path: Path, gold: str) -> Iterator[tuple[Path, DataRow]]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            sql, tab, db_id = line.rpartition("\t")
            if not tab:
                raise DataError(f"{path}, line {number}: not SQL<tab>db_id", "mend that line")
            yield path, DataRow(f"line {number}", {"question": "", gold: sql, "db_id": db_id.strip()})


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _all(folder: Path, names: tuple[str, ...]) -> list[Path] | None:
    found = [path for name in names if (path := _find(folder, name))]
    return found if len(found) == len(names) else None


def _needed(spec: BenchmarkSpec, folder: Path, names: tuple[str, ...]) -> Path:
    found = next((path for name in names if (path := _find(folder, name))), None)
    if found is None:
        raise downloads.absent(spec, f"{folder} holds no {names[0]}")
    return found
