"""Spider and BIRD from a download: contexts with keys, real databases, and what is said where they lack."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import benchmark_data
import pytest

from harness.benchmarks import describe, load_benchmark
from harness.benchmarks.spider_schema import quote, read_tables
from harness.errors import BenchmarkError, DataError, UsageError


def test_spider(tmp_path: Path) -> None:
    folder = benchmark_data.spider(tmp_path / "spider")
    benchmark = load_benchmark("spider", data=folder)
    assert (benchmark.split, benchmark.folder, benchmark.rules.case) == ("dev", folder, "exact")
    assert benchmark.scorers == ("spider_exact_set_match", "spider_execution")
    first = benchmark.examples[0]
    assert (first.id, first.db_id, first.gold) == ("0", "pets", "SELECT count(*) FROM Student")
    assert first.context == benchmark_data.PETS
    assert first.database == folder / "database" / "pets" / "pets.sqlite"
    assert benchmark.about["databases"] == "real, in database"
    assert "| questions | 2 |" in describe("spider", data=folder).to_markdown()


def test_spider_without_databases_says_so(tmp_path: Path) -> None:
    benchmark = load_benchmark("spider", data=benchmark_data.spider(tmp_path / "s", databases=False))
    assert {example.database for example in benchmark.examples} == {None}
    assert benchmark.about["databases"] == "populated from the schema: 1 databases are not in the folder"


def test_spider_by_its_gold_file_alone(tmp_path: Path) -> None:
    folder = benchmark_data.spider(tmp_path / "s", databases=False)
    (folder / "dev.json").unlink()
    with pytest.raises(BenchmarkError, match=r"holds no dev\.json.*fetch the Spider download"):
        load_benchmark("spider", data=folder)
    (folder / "dev_gold.sql").write_text("SELECT count(*) FROM Student\tpets\n\nSELECT  1 \tpets\n")
    benchmark = load_benchmark("spider", data=folder)
    assert [example.gold for example in benchmark.examples] == ["SELECT count(*) FROM Student", "SELECT  1"]
    assert "without questions" in benchmark.about["note"]
    (folder / "dev_gold.sql").write_text("SELECT 1\tpets\nSELECT 2\n")
    with pytest.raises(DataError, match="line 2: not SQL<tab>db_id"):
        load_benchmark("spider", data=folder)


def test_spider_training_questions_are_both_files(tmp_path: Path) -> None:
    folder = benchmark_data.spider(tmp_path / "s")
    (folder / "train_spider.json").write_bytes((folder / "dev.json").read_bytes())
    assert len(load_benchmark("spider", data=folder, split="train").examples) == 2
    (folder / "train_others.json").write_bytes((folder / "dev.json").read_bytes())
    assert [e.id for e in load_benchmark("spider", data=folder, split="train").examples] == [
        "0",
        "1",
        "2",
        "3",
    ]


def test_bird(tmp_path: Path) -> None:
    folder = benchmark_data.bird(tmp_path / "bird")
    benchmark = load_benchmark("bird", data=folder)
    first, second = benchmark.examples
    assert (first.id, second.id) == ("7", "31")
    assert (first.evidence, second.evidence) == ("a student is a row", None)
    assert (first.kind, second.kind) == ("simple", "moderate")
    assert first.database == folder / "dev_databases" / "pets" / "pets.sqlite"
    assert "{evidence}" in benchmark.prompt.user
    assert benchmark.scorers == ("bird_ex", "bird_soft_f1")


def test_bird_mini_dev(tmp_path: Path) -> None:
    folder = benchmark_data.bird(tmp_path / "bird", "mini_dev_sqlite.json")
    assert len(load_benchmark("bird-mini", data=folder).examples) == 2
    with pytest.raises(BenchmarkError, match=r"holds no dev\.json"):
        load_benchmark("bird", data=folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"question": None}, "item 2: no 'question'"),
        ({"query": 5}, "item 2: no 'query'"),
        ({"db_id": "cars"}, "item 2: database 'cars' is not in tables.json"),
        ({"db_id": "../pets"}, "item 2: '../pets' names no database"),
    ],
)
def test_malformed_rows_are_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    folder = benchmark_data.spider(tmp_path / "s")
    rows = json.loads((folder / "dev.json").read_text())
    rows[1] |= change
    (folder / "dev.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=said):
        load_benchmark("spider", data=folder)


def test_malformed_tables_are_named(tmp_path: Path) -> None:
    folder = benchmark_data.spider(tmp_path / "s")
    (folder / "tables.json").write_text(json.dumps([benchmark_data.SCHEMA, {"db_id": "x"}]))
    with pytest.raises(DataError, match=r"tables\.json, item 2: not an entry"):
        load_benchmark("spider", data=folder)
    (folder / "tables.json").write_text("{")
    with pytest.raises(DataError, match=r"tables\.json: not JSON"):
        load_benchmark("spider", data=folder)
    (folder / "tables.json").unlink()
    with pytest.raises(BenchmarkError, match=r"holds no tables\.json"):
        load_benchmark("spider", data=folder)


def test_options_that_do_not_go_with_it(tmp_path: Path) -> None:
    folder = benchmark_data.spider(tmp_path / "s")
    with pytest.raises(UsageError, match="--context-field does not go with benchmark 'spider'"):
        load_benchmark("spider", data=folder, context_field="full")
    with pytest.raises(BenchmarkError, match="choose one of dev, train, test"):
        load_benchmark("spider", data=folder, split="validation")
    with pytest.raises(BenchmarkError, match="a file, where"):
        load_benchmark("spider", data=folder / "dev.json")
    with pytest.raises(BenchmarkError, match="has no examples"):
        load_benchmark("spider", data=folder, limit=0)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Year", "Year"),
        ("order", '"order"'),
        ("2nd", '"2nd"'),
        ("a b", '"a b"'),
        ('a"b', '"a""b"'),
        ("é", '"é"'),
    ],
)
def test_names_are_quoted_where_sqlite_needs_it(name: str, written: str) -> None:
    assert quote(name) == written


def test_every_shared_schema_becomes_a_database(shared_data: Path) -> None:
    import sqlite3
    from contextlib import closing

    tables = read_tables(shared_data / "spider" / "tables.json.gz")
    assert len(tables.schemas) == 166
    refused = []
    for db_id in tables.schemas:
        with closing(sqlite3.connect(":memory:")) as connection:
            try:
                connection.executescript(tables.context(db_id))
            except sqlite3.Error as error:
                refused.append((db_id, str(error)))
    assert refused == []


def test_the_shared_golds_load_with_their_schemas(shared_data: Path) -> None:
    benchmark = load_benchmark("spider", data=shared_data / "spider")
    assert len(benchmark.examples) == 1034
    assert len({example.db_id for example in benchmark.examples}) == 20
    with gzip.open(shared_data / "create-context" / "spider-dev.jsonl.gz", "rt") as lines:
        assert [example.db_id for example in benchmark.examples] == [
            json.loads(line)["db_id"] for line in lines
        ]
