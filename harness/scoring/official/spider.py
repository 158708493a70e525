"""Spider's exact set match, made a scorer: schemas by database, queries read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkError, SchemaError
from harness.records import Benchmark, Example
from harness.scoring.official.base import RIGHT, Judge, Options, Score, read_json
from harness.scoring.official.spider_match import Hardness, difference, hardness_of
from harness.scoring.official.spider_parse import Query, Schema, Unreadable, parse, schema_of

TABLES = ("tables.json", "tables.json.gz", "test_tables.json", "test_tables.json.gz")


@contextmanager
def exact_set_match(benchmark: Benchmark, options: Options) -> Iterator[Judge]:
    """Same clauses as sets. Schemas and foreign keys come from tables.json, else from the contexts."""
    schemas = _Schemas(benchmark, options)
    modern = options.edition == "test-suite"

    @lru_cache(maxsize=4096)
    def gold_of(example_id: str, sql: str, schema: int) -> Query:
        return parse(sql, schemas.kept[schema], any_limit=modern)

    def judge(example: Example, sql: str) -> Score:
        number = schemas.number(example)
        schema = schemas.kept[number]
        try:
            gold = gold_of(example.id, example.gold, number)
        except Unreadable as error:
            return Score(0.0, f"the official parser cannot read the gold: {error}")
        try:
            query = parse(official_text(sql, options), schema, any_limit=modern)
        except Unreadable as error:
            return Score(0.0, f"the official parser cannot read it: {error}")
        clause = difference(query, gold, schema)
        return Score(0.0, f"differs in {clause}") if clause else RIGHT

    yield judge


def remark(benchmark: Benchmark, options: Options) -> str:
    """What belongs beside the figure: whether the official foreign keys were there."""
    known = tables_files(benchmark, options)
    return "" if known else "no tables.json: foreign keys are those that the contexts declare"


def levels(benchmark: Benchmark, options: Options) -> dict[str, str]:
    """The official hardness of every gold that can be read, by id."""
    schemas = _Schemas(benchmark, options)
    found: dict[str, str] = {}
    for example in benchmark.examples:
        with suppress(Unreadable):
            found[example.id] = hardness_of(parse(example.gold, schemas.kept[schemas.number(example)]))
    return found


def hardness(gold: str, entry: Mapping[str, Any]) -> Hardness:
    """Spider's difficulty of a gold query; ``entry`` is its database's in tables.json. Raises Unreadable."""
    return hardness_of(parse(gold, schema_of(entry)))


def official_text(sql: str, options: Options) -> str:
    """A prediction as the evaluator takes it from its file: up to a tab, and in the edition in
    force with the placeholder ``value`` made 1.
    """
    sql = sql.strip().split("\t")[0]
    return sql.replace("value", "1") if options.edition == "test-suite" else sql


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


class _Schemas:
    """Schemas by database, or by context where an example's database is not in tables.json."""

    def __init__(self, benchmark: Benchmark, options: Options) -> None:
        self._entries: dict[str | None, Mapping[str, Any]] = {}
        for path in tables_files(benchmark, options):
            try:
                self._entries |= {entry["db_id"]: entry for entry in read_json(path)}
            except (TypeError, KeyError) as error:
                raise BenchmarkError(f"{path} is not Spider's tables.json", "a list of {db_id, …}") from error
        self._numbers: dict[str, int] = {}
        self.kept: list[Schema] = []

    def number(self, example: Example) -> int:
        """The place in ``kept`` of an example's schema."""
        entry = self._entries.get(example.db_id)
        key = example.db_id if entry is not None and example.db_id else example.context
        if key not in self._numbers:
            self._numbers[key] = len(self.kept)
            try:
                self.kept.append(schema_of(entry if entry is not None else _entry_of(example.context)))
            except (TypeError, KeyError, IndexError, ValueError) as error:
                raise BenchmarkError(
                    f"database {key} in tables.json is not as Spider has it: {error!r}", "download it again"
                ) from error
        return self._numbers[key]


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
