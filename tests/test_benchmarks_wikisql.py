"""WikiSQL in its official form, and from the hub's Parquet."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import benchmark_data
import pytest

from harness.benchmarks import load_benchmark, wikisql
from harness.errors import BenchmarkError, DataError

FIRST = (
    'CREATE TABLE table_1_100_1 (Player TEXT, "No." REAL, "Order" TEXT, '
    '"School/Club Team" TEXT, "2nd leg" TEXT)'
)
SECOND = (
    "CREATE TABLE table_2_200_14 "
    '(Pos TEXT, "pos 2" TEXT, "column 3" TEXT, "The ""Nick""" TEXT, "Crowd, total" REAL)'
)
GOLDS = [
    'SELECT Player FROM table_1_100_1 WHERE "No." = 3',
    """SELECT COUNT("Order") FROM table_1_100_1 WHERE Player = 'Ann Lee''s' AND "No." > '2'""",
    'SELECT MAX("Crowd, total") FROM table_2_200_14',
    """SELECT "The ""Nick\""" FROM table_2_200_14 WHERE "Crowd, total" < '12,552' AND Pos = 'x'""",
]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return benchmark_data.wikisql(tmp_path / "data")


def test_full_real_headers_and_golds_that_run(release: Path) -> None:
    benchmark = load_benchmark("wikisql", data=release)
    assert (benchmark.split, benchmark.folder) == ("test", release)
    assert benchmark.scorers == ("wikisql_logical_form", "wikisql_execution")
    assert [example.id for example in benchmark.examples] == ["0", "1", "2", "3"]
    assert [example.gold for example in benchmark.examples] == [
        *GOLDS[:3],
        GOLDS[3].replace("Pos =", '"pos 2" ='),
    ]
    assert [example.context for example in benchmark.examples] == [FIRST, FIRST, SECOND, SECOND]
    for example in benchmark.examples:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(example.context)
            connection.execute(example.gold)


def test_what_the_official_scorer_reads(release: Path) -> None:
    benchmark = load_benchmark("wikisql", data=release, split="dev")
    meta = benchmark.examples[3].meta
    assert meta["sketch"] == benchmark_data.QUESTIONS[3]["sql"]
    assert meta["table_id"] == "2-200-14"
    assert meta["header"] == benchmark_data.TABLES[1]["header"]
    assert meta["columns"] == ["Pos", "pos 2", "column 3", 'The "Nick"', "Crowd, total"]
    assert meta["types"] == ["text", "text", "text", "text", "real"]
    assert benchmark.folder is not None
    with closing(sqlite3.connect(benchmark.folder / "dev.db")) as connection:
        assert connection.execute("SELECT col3 FROM table_2_200_14").fetchall() == [("z",)]


def test_the_used_variant_keeps_only_used_columns(release: Path) -> None:
    used = load_benchmark("wikisql-used", data=release)
    assert used.examples[0].context == 'CREATE TABLE table_1_100_1 (Player TEXT, "No." REAL)'
    assert [e.gold for e in used.examples] == [
        e.gold for e in load_benchmark("wikisql", data=release).examples
    ]


def test_the_folder_above_data_does_too(release: Path) -> None:
    assert len(load_benchmark("wikisql", data=release.parent).examples) == 4


def test_the_hubs_parquet_gives_the_same_examples(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import Table, parquet

    tables = {table["id"]: table for table in benchmark_data.TABLES}
    rows = []
    for entry in benchmark_data.QUESTIONS:
        sketch: Any = entry["sql"]
        columns, operators, values = zip(*sketch["conds"], strict=True) if sketch["conds"] else ((), (), ())
        conditions = {
            "column_index": list(columns),
            "operator_index": list(operators),
            "condition": [str(value) for value in values],
        }
        table = tables[str(entry["table_id"])]
        sql = {"human_readable": "", "sel": sketch["sel"], "agg": sketch["agg"], "conds": conditions}
        rows.append(
            {
                "phase": 1,
                "question": entry["question"],
                "table": {**table, "rows": [[str(value) for value in row] for row in table["rows"]]},
                "sql": sql,
            }
        )
    parquet.write_table(Table.from_pylist(rows), tmp_path / "0000.parquet")
    asked = []

    def fetch(spec: Any, file: str, sha256: str | None = None) -> tuple[Path, str]:
        asked.append((spec.source.hub, spec.source.revision, file))
        return tmp_path / "0000.parquet", "commit"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("harness.benchmarks.downloads.fetch", fetch)
    fetched = load_benchmark("wikisql", split="dev")
    there = fetched.examples
    here = load_benchmark("wikisql", split="dev", data=release).examples
    assert set(asked) == {("Salesforce/wikisql", "refs/convert/parquet", "default/validation/0000.parquet")}
    assert [(e.question, e.context) for e in there] == [(e.question, e.context) for e in here]
    assert there[0].gold == here[0].gold.replace("= 3", "= '3'")  # the conversion keeps no numbers
    assert there[1:] == here[1:]
    assert fetched.folder == tmp_path / "sql-harness" / "wikisql" / "commit"
    for database in (fetched.folder / "dev.db", release / "dev.db"):
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT col0, col1 FROM table_1_100_1 WHERE col1 > 2").fetchall()
            assert rows == [("ann lee", 3.0), ("bo", 12.0)]
            assert connection.execute("SELECT col4 FROM table_2_200_14").fetchall() == [("12,552",)]


def test_without_tables_columns_are_numbered_and_it_is_said(release: Path) -> None:
    (release / "dev.tables.jsonl").unlink()
    benchmark = load_benchmark("wikisql", data=release, split="dev")
    assert benchmark.examples[0].context == "CREATE TABLE table_1_100_1 (col0 TEXT, col1 TEXT, col2 TEXT)"
    assert benchmark.examples[0].gold == "SELECT col0 FROM table_1_100_1 WHERE col1 = 3"
    assert "not there" in benchmark.about["note"]


@pytest.mark.parametrize(
    "sketch",
    [
        {},
        {"sel": 9, "agg": 0, "conds": []},
        {"sel": -1, "agg": 0, "conds": []},
        {"sel": 0, "agg": 6, "conds": []},
        {"sel": 0, "agg": 0, "conds": [[0, 3, "OP"]]},
        {"sel": 0, "agg": 0, "conds": [[0, 0]]},
        {"sel": None, "agg": 0, "conds": []},
        {"sel": 0, "agg": 0, "conds": 5},
    ],
)
def test_what_is_no_sketch_has_no_sql(release: Path, sketch: Any) -> None:
    example = load_benchmark("wikisql", data=release, limit=1).examples[0]
    assert wikisql.sketch_to_sql(sketch, example) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "q", "sql": {}}', "line 1: not a question of the release"),
        ('{"table_id": "9-9-9", "sql": {"sel": 0, "agg": 0, "conds": []}}', "table '9-9-9' is not among"),
        ('{"table_id": "1-100-1", "sql": {"sel": 7, "agg": 0, "conds": []}}', "a column that table"),
    ],
)
def test_malformed_releases_name_the_line(release: Path, line: str, said: str) -> None:
    (release / "test.jsonl").write_text(line)
    with pytest.raises(DataError, match=said):
        load_benchmark("wikisql", data=release)


def test_what_is_missing_is_named(release: Path) -> None:
    (release / "test.jsonl").unlink()
    with pytest.raises(BenchmarkError, match=r"holds no test\.jsonl.*fetch data\.tar\.bz2"):
        load_benchmark("wikisql", data=release)
    with pytest.raises(BenchmarkError, match="no split 'all'; choose one of train, dev, test"):
        load_benchmark("wikisql", data=release, split="all")
    with pytest.raises(BenchmarkError, match="a file, where"):
        load_benchmark("wikisql", data=release / "dev.jsonl")
    (release / "dev.tables.jsonl").write_text('{"id": "1"}')
    with pytest.raises(DataError, match="no 'id', 'header' and 'types'"):
        load_benchmark("wikisql", data=release, split="dev")


def test_the_shared_dev_questions_load(shared_data: Path) -> None:
    benchmark = load_benchmark("wikisql", data=shared_data / "wikisql", split="dev")
    assert len(benchmark.examples) == 8421
