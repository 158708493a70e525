"""Spider's schemas for its scorers: from tables.json, or from an example's own CREATE statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkError, SchemaError
from harness.files import read_json
from harness.records import Benchmark, Example
from harness.scoring.official.scorer import Options
from harness.scoring.official.spider_clauses import Hardness, hardness_of
from harness.scoring.official.spider_query import OfficialSchema, Unreadable, parse, schema_of

SOURCE = "https://github.com/taoyds/test-suite-sql-eval (evaluation.py, process_sql.py, exec_eval.py)"
TABLES = ("tables.json", "tables.json.gz", "test_tables.json", "test_tables.json.gz")


def hardness(gold: str, entry: Mapping[str, Any]) -> Hardness:
    """Spider's difficulty of a gold query; ``entry`` is its database's in tables.json. Raises Unreadable."""
    return hardness_of(parse(gold, schema_of(entry)))


def tables_files(benchmark: Benchmark, options: Options) -> list[Path]:
    """Where tables.json is: at the option's path, else in the benchmark's folder; [] where it is not."""
    given = options.tables
    if given is not None and given.is_file():
        return [given]
    folder = given or benchmark.folder
    found = [path for name in TABLES if folder is not None and (path := folder / name).is_file()]
    if given is not None and not found:
        raise BenchmarkError(f"there is no tables.json at {given}", "give the file that came with Spider")
    return found


class Schemas:
    """Spider's schemas by database, or by context where an example's database is not in tables.json."""

    def __init__(self, benchmark: Benchmark, options: Options) -> None:
        self._entries: dict[str | None, Mapping[str, Any]] = {}
        for path in tables_files(benchmark, options):
            try:
                self._entries |= {entry["db_id"]: entry for entry in read_json(path, error=BenchmarkError)}
            except (TypeError, KeyError) as error:
                raise BenchmarkError(f"{path} is not Spider's tables.json", "a list of {db_id, …}") from error
        self._read: dict[str, OfficialSchema] = {}

    def of(self, example: Example) -> OfficialSchema:
        """The schema of an example's database."""
        entry = self._entries.get(example.db_id)
        key = example.db_id if entry is not None and example.db_id else example.context
        if key not in self._read:
            try:
                self._read[key] = schema_of(entry if entry is not None else _entry_of(example.context))
            except (TypeError, KeyError, IndexError, ValueError) as error:
                raise BenchmarkError(
                    f"database {key} in tables.json is not as Spider has it: {error!r}", "download it again"
                ) from error
        return self._read[key]

    def levels(self, examples: Iterable[Example]) -> dict[str, str]:
        """The official hardness of every gold that can be read, by id."""
        found: dict[str, str] = {}
        for example in examples:
            with suppress(Unreadable):
                found[example.id] = hardness_of(parse(example.gold, self.of(example)))
        return found


def _entry_of(context: str) -> dict[str, Any]:
    """CREATE statements in the form of tables.json; foreign keys are those that they declare."""
    from harness.sql.schema import parse_schema

    try:
        tables = parse_schema(context).tables
    except SchemaError:
        tables = ()
    columns = [(-1, "*"), *((i, c.name) for i, table in enumerate(tables) for c in table.columns)]
    places = {(tables[i].name.lower(), c.lower()): n for n, (i, c) in enumerate(columns) if i >= 0}
    pairs = [
        (places.get((t.name.lower(), a.lower())), places.get((key.target.lower(), b.lower())))
        for t in tables
        for key in t.foreign_keys
        for a, b in zip(key.columns, key.target_columns, strict=False)
    ]
    return {
        "table_names_original": [t.name for t in tables],
        "column_names_original": columns,
        "foreign_keys": [pair for pair in pairs if None not in pair],
    }
