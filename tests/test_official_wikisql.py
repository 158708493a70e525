"""WikiSQL's logical form and execution: an official-form fixture, and the release's own predictions."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from harness.benchmarks import load_benchmark
from harness.benchmarks.sketch import Sketch
from harness.errors import BenchmarkError
from harness.records import Benchmark, Example
from harness.runs.official import OfficialScorers
from harness.scoring.official import Options, Score, open_scorer
from harness.scoring.official.sketch_reader import read_sketch
from harness.scoring.official.wikisql import ReleaseEngine

CASES = Path(__file__).parent / "cases"
FIXTURE = json.loads((CASES / "official_wikisql.json").read_text())
TABLE = FIXTURE["table"]
SKETCHES = [json.loads(line) for line in (CASES / "official_sketches.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the release's form, whose questions are the fixture's cases that have an answer."""
    folder = tmp_path_factory.mktemp("wikisql") / "data"
    folder.mkdir()
    (folder / "dev.tables.jsonl").write_text(json.dumps(TABLE) + "\n")
    questions = [
        {"phase": 1, "table_id": TABLE["id"], "question": case["reason"], "sql": case["sketch"]}
        for case in FIXTURE["cases"]
        if case["answer"] is not None
    ]
    (folder / "dev.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
    database = sqlite3.connect(folder / "dev.db")
    columns = ", ".join(f"col{i} {kind}" for i, kind in enumerate(TABLE["types"]))
    database.execute(f"CREATE TABLE table_1_7_2 ({columns})")
    rows = [[v.lower() if isinstance(v, str) else v for v in row] for row in TABLE["rows"]]
    database.executemany("INSERT INTO table_1_7_2 VALUES (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    return folder


def example(gold: str = "", **meta: Any) -> Example:
    facts = {"table_id": TABLE["id"], "header": TABLE["header"], "types": TABLE["types"], **meta}
    context = 'CREATE TABLE t ("Player" TEXT, "No." REAL, Year TEXT)'
    return Example(
        id="0", question="", context=context, gold=gold, meta={k: v for k, v in facts.items() if v}
    )


def scored(name: str, data: Benchmark, sql: str, options: Options | None = None) -> Score:
    with open_scorer(name, data, options) as scorer:
        score = scorer.explain(data.examples[0], sql)
    assert score is not None
    return score


def flagged(name: str, data: Benchmark) -> dict[str, str]:
    with open_scorer(name, data) as scorer:
        return scorer.flagged()


@pytest.mark.parametrize("case", FIXTURE["cases"], ids=[case["reason"] for case in FIXTURE["cases"]])
def test_engine(release: Path, case: dict[str, Any]) -> None:
    engine = ReleaseEngine(release / "dev.db")
    try:
        if case["answer"] is None:
            with pytest.raises(ValueError):
                engine.run(TABLE["id"], Sketch.of(case["sketch"]))
        else:
            answer = engine.run(TABLE["id"], Sketch.of(case["sketch"]))
            assert answer == case["answer"]
            assert [type(value) for value in answer] == [type(value) for value in case["answer"]]
    finally:
        engine.close()


@pytest.mark.parametrize("case", SKETCHES, ids=[case["reason"] for case in SKETCHES])
def test_sql_to_sketch(case: dict[str, Any]) -> None:
    expected = None if case["sketch"] is None else Sketch.of(case["sketch"])
    found = read_sketch(case["sql"], tuple(TABLE["header"]))
    assert found == expected
    if found and expected:
        assert [type(v) for *_, v in found.conds] == [type(v) for *_, v in expected.conds]


def test_the_official_folder_loads_and_its_golds_score_one(release: Path) -> None:
    data = load_benchmark("wikisql", split="dev", data=release)
    assert len(data.examples) == sum(case["answer"] is not None for case in FIXTURE["cases"])
    assert flagged("wikisql_logical_form", data) == {}
    assert flagged("wikisql_execution", data) == {}
    assert open_scorer("wikisql_execution", data).remark() == ""


@pytest.mark.parametrize(
    ("gold", "prediction", "unordered", "ordered"),
    [
        ([[1, 0, "3"], [0, 0, "Bo"]], "\"No.\" = 3 AND Player = 'bo'", 1, 1),
        ([[1, 0, "3"], [0, 0, "Bo"]], "Player = 'BO' AND \"No.\" = '3'", 1, 0),
        ([[0, 0, "Bo"]], "Player = 'Bo' AND Player = 'bO'", 1, 0),
        ([[1, 0, "3"]], '"No." = 3.0', 0, 0),
        ([[1, 0, 3.0]], '"No." = 3.0', 1, 1),
        ([[1, 0, "3"]], '"No." > 3', 0, 0),
    ],
)
def test_logical_form(gold: list[Any], prediction: str, unordered: int, ordered: int) -> None:
    data = Benchmark(name="w", split="dev", examples=(example(sketch={"sel": 0, "agg": 0, "conds": gold}),))
    sql = f"SELECT Player FROM t WHERE {prediction}"
    values = [scored("wikisql_logical_form", data, sql, Options(ordered=flag))[0] for flag in (False, True)]
    assert values == [unordered, ordered]


@pytest.mark.parametrize(
    ("sql", "note"),
    [
        ('SELECT "No." FROM t', "another column"),
        ("SELECT COUNT(Player) FROM t", "another aggregate"),
        ("SELECT Player FROM t WHERE Year = 3", "other conditions"),
        ("SELECT COUNT(*) FROM t", "no sketch"),
        ("SELECT Player FROM t", ""),
    ],
)
def test_without_the_official_form_the_gold_is_read_from_its_sql(sql: str, note: str) -> None:
    bare = example("SELECT Player FROM table_name_1", header=None, types=None, table_id=None)
    score, reason = scored("wikisql_logical_form", Benchmark(name="w", split="dev", examples=(bare,)), sql)
    assert (score, reason[: len(note)]) == (float(not note), note)


def test_a_gold_that_is_no_sketch_is_flagged() -> None:
    bare = example("SELECT 1949 FROM t WHERE 1945 = 'a'", header=None, types=None, table_id=None)
    data = Benchmark(name="w", split="dev", examples=(bare,))
    assert "the gold is no sketch" in flagged("wikisql_logical_form", data)["0"]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT Player FROM t WHERE \"No.\" = '3.0'", 1),
        ('SELECT Player FROM t WHERE "Weight (kg)" < 62', 1),
        ("SELECT MAX(Player) FROM t WHERE \"No.\" = '3'", 1),
        ("SELECT Player FROM t WHERE \"No.\" > '3'", 0),
        ("SELECT Player FROM t WHERE \"No.\" = 'n/a'", 0),
        ('SELECT Player FROM t WHERE "No." >= 3', 0),
        ('SELECT "No." FROM t WHERE "No." = 3', 0),
    ],
)
def test_execution(release: Path, sql: str, value: int) -> None:
    gold = {"sel": 0, "agg": 0, "conds": [[1, 0, "3"]]}
    data = Benchmark(name="w", split="dev", examples=(example(sketch=gold),), folder=release)
    assert scored("wikisql_execution", data, sql)[0] == value


def test_order_of_the_answer_counts(release: Path) -> None:
    database = release.parent / "other.db"
    database.write_bytes((release / "dev.db").read_bytes())
    sql = 'SELECT "School/Club Team" FROM t WHERE "No." > 10'
    data = Benchmark(
        name="w",
        split="dev",
        examples=(example(sketch={"sel": 3, "agg": 0, "conds": [[3, 0, "Ohio State"]]}),),
    )
    assert scored("wikisql_execution", data, sql, Options(databases=database)) == (1.0, "")
    connection = sqlite3.connect(database)
    connection.execute("INSERT INTO table_1_7_2 VALUES ('ed', 30, 1, 'lsu', '')")
    connection.commit()
    connection.close()
    assert scored("wikisql_execution", data, sql, Options(databases=database)) == (0.0, "another answer")


def test_databases_are_opened_read_only(release: Path) -> None:
    engine = ReleaseEngine(release / "dev.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        engine._connection.execute("DELETE FROM table_1_7_2")
    engine.close()


def test_bad_input(release: Path, tmp_path: Path) -> None:
    gold = {"sel": 0, "agg": 0, "conds": []}
    data = Benchmark(name="w", split="dev", examples=(example(sketch=gold),))
    with pytest.raises(BenchmarkError, match=r"dev\.db is not there; point --data at"):
        open_scorer("wikisql_execution", data)
    bare = Benchmark(name="w", split="dev", examples=(example(table_id=None),), folder=release)
    with pytest.raises(BenchmarkError, match="no example has a table_id; take the official form"):
        open_scorer("wikisql_execution", bare)
    second = replace(example(sketch=gold), id="1")
    with open_scorer("wikisql_execution", replace(bare, examples=(*bare.examples, second))) as scorer:
        assert scorer.remark() == "1 of 2 examples have no table_id and do not count"
        sql = "SELECT Player FROM t"
        assert [scorer.score(one, sql) for one in scorer.benchmark.examples] == [None, 1]
    with pytest.raises(BenchmarkError, match="is not there"):
        ReleaseEngine(tmp_path / "absent.db")
    other = Benchmark(name="w", split="dev", examples=(example(sketch=gold, table_id="9-9"),), folder=release)
    assert scored("wikisql_execution", other, "SELECT Player FROM t")[1].startswith("the gold does not run")


@pytest.mark.parametrize(
    "meta",
    [
        {"columns": 5, "sketch": "x"},
        {"columns": "ab", "header": ["a", None], "sketch": {"sel": 0, "agg": 0, "conds": [[1]]}},
        {"header": None, "sketch": {"sel": "0", "agg": 0, "conds": []}},
    ],
)
def test_what_stranger_data_say_of_a_table_stops_nothing(release: Path, meta: dict[str, Any]) -> None:
    gold = 'SELECT Player FROM t WHERE "No." = 3'
    data = Benchmark(name="w", split="dev", examples=(example(gold, **meta),), folder=release)
    for name in ("wikisql_logical_form", "wikisql_execution"):
        assert scored(name, data, gold) == (1.0, "")
        for text in ("(" * 30000, "SELECT '\ud800'", 'SELECT Player FROM t WHERE "No." = ' + "9" * 5000):
            assert scored(name, data, text).value == 0


def test_a_metric_that_lacks_what_it_needs_is_left_out_unless_it_is_asked_for() -> None:
    gold = {"sel": 0, "agg": 0, "conds": []}
    scorers = ("wikisql_logical_form", "wikisql_execution")
    data = Benchmark(name="w", split="dev", examples=(example(sketch=gold),), scorers=scorers)
    with OfficialScorers(data, (), None) as official:
        assert list(official.scorers) == ["wikisql_logical_form"]
    assert official.notes[0] == "wikisql_execution: the release's dev.db is not there"
    assert official.notes[1].endswith("wikisql_execution")
    with pytest.raises(BenchmarkError, match=r"dev\.db is not there"):
        OfficialScorers(data, ("wikisql_execution",), None)


def test_the_release_replays(shared_data: Path) -> None:
    from harness.runs.predictions import read_predictions

    data = load_benchmark("wikisql", split="dev", data=shared_data / "wikisql")
    file = shared_data / "wikisql" / "example.pred.dev.jsonl.gz"
    predictions = {p.id: p for p in read_predictions(file, data, pair="p").predictions}
    for ordered, published in ((False, 0.4521), (True, 0.4412)):
        with open_scorer("wikisql_logical_form", data, Options(ordered=ordered)) as scorer:
            scores = [scorer.score(e, predictions[e.id].sql) for e in data.examples]
        assert len(scores) == 8421
        assert round(fmean(score or 0 for score in scores), 4) == published
    assert flagged("wikisql_logical_form", data) == {}
    assert sum(p.sql is None for p in predictions.values()) >= 606  # of them 606 null queries
