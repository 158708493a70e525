"""The witness: small, fair, exportable, and there for every wrong verdict."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness import build_suite, explain
from harness.errors import HarnessError
from harness.records import Rules

SONGS = (
    "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER); "
    "CREATE TABLE song (song_id INTEGER PRIMARY KEY, title TEXT, singer_id INTEGER, "
    "FOREIGN KEY (singer_id) REFERENCES singer(id))"
)
GOLD = "SELECT name FROM singer JOIN song ON singer.id = song.singer_id WHERE age > 30"
WRONG = {
    "one more": GOLD.replace("> 30", ">= 30"),
    "no join": "SELECT name FROM singer WHERE age > 30",
    "another column": GOLD.replace("SELECT name", "SELECT title"),
    "distinct": GOLD.replace("SELECT name", "SELECT DISTINCT name"),
    "aggregate": GOLD.replace("SELECT name", "SELECT COUNT(*)"),
    "no condition": "SELECT name FROM singer JOIN song ON singer.id = song.singer_id",
}


@pytest.mark.parametrize("sql", WRONG.values(), ids=list(WRONG))
def test_witness_rebuilds_and_shows_the_difference(sql: str) -> None:
    witness = explain(build_suite(SONGS, GOLD), sql).witness
    assert witness is not None
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(witness.script)
        assert tuple(connection.execute(GOLD).fetchall()) == witness.gold_rows
        assert tuple(connection.execute(sql).fetchall()) == witness.prediction_rows
        assert witness.gold_rows != witness.prediction_rows
        count = sum(connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("singer", "song"))
        assert count <= 4
        dangling = "SELECT COUNT(*) FROM song WHERE singer_id NOT IN (SELECT id FROM singer)"
        assert connection.execute(dangling).fetchone() == (0,)


def test_witness_prefers_an_answer_that_shows() -> None:
    witness = explain(build_suite(SONGS, GOLD), WRONG["no condition"]).witness
    assert witness is not None
    assert witness.gold_rows


def test_image_and_text_say_the_same(tmp_path: Path) -> None:
    explanation = explain(build_suite(SONGS, GOLD), WRONG["one more"])
    image = explanation.export(tmp_path / "case.sqlite")
    script = explanation.export(tmp_path / "case.sql")
    with closing(sqlite3.connect(image)) as one, closing(sqlite3.connect(":memory:")) as other:
        other.executescript(script.read_text("utf-8"))
        for table in ("singer", "song"):
            query = f"SELECT * FROM {table} ORDER BY 1"
            assert one.execute(query).fetchall() == other.execute(query).fetchall()


def test_prediction_that_fails_has_its_message() -> None:
    explanation = explain(build_suite(SONGS, GOLD), "SELECT nam FROM singer")
    assert explanation.cause == "schema error"
    assert explanation.witness is not None
    assert explanation.witness.prediction_rows is None
    assert "nam" in (explanation.witness.prediction_error or "")


def test_right_prediction_needs_no_witness(tmp_path: Path) -> None:
    explanation = explain(build_suite(SONGS, GOLD), GOLD.replace("> 30", ">= 31"))
    assert explanation.verdict.outcome.value == "equivalent"
    assert explanation.witness is None
    with pytest.raises(HarnessError, match="only a wrong prediction"):
        explanation.export(tmp_path / "case.sqlite")


@pytest.mark.parametrize("sql", ["SELECT b FROM t", "SELEC", "SELECT a FROM t"])
def test_context_that_is_no_sql_has_no_witness(sql: str) -> None:
    explanation = explain(build_suite("this is no sql", "SELECT a FROM t"), sql)
    assert explanation.verdict.gold_status == "broken"
    assert explanation.witness is None


def test_all_clauses_that_differ_are_named() -> None:
    explanation = explain(build_suite(SONGS, GOLD), "SELECT DISTINCT age FROM singer WHERE age > 31")
    assert {"join", "wrong column", "literal", "distinct"} <= set(explanation.causes)


def test_ties_are_shown_where_they_count() -> None:
    gold = "SELECT name FROM singer ORDER BY age DESC LIMIT 1"
    rules = Rules(ties="count")
    prediction = "SELECT name FROM singer WHERE age = (SELECT MAX(age) FROM singer)"
    explanation = explain(build_suite(SONGS, gold, rules=rules), prediction)
    assert not explanation.verdict.execution_match
    assert explanation.witness is not None


def test_a_witness_keeps_the_first_rows_of_a_long_result_and_says_so() -> None:
    suite = build_suite("CREATE TABLE t (a INTEGER, b TEXT)", "SELECT a FROM t WHERE a > 3")
    recursion = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 9000) SELECT n FROM r"
    witness = explain(suite, recursion).witness
    assert witness is not None
    assert witness.prediction_rows is not None
    assert len(witness.prediction_rows) == 100
    assert witness.cut == "the first 100 of the prediction's 9,000 rows"


@pytest.mark.parametrize(
    ("context", "gold", "sql", "outcome"),
    [
        ("CREATE TABLE t (a TEXT)", "SELECT COUNT(*) FROM t", "SELECT COUNT(a) FROM t", "null_only"),
        (
            "CREATE TABLE s (s_id INTEGER, name TEXT); CREATE TABLE o (o_id INTEGER, s_id INTEGER)",
            "SELECT COUNT(*) FROM o",
            "SELECT COUNT(DISTINCT o_id) FROM o",
            "key_only",
        ),
    ],
)
def test_a_marked_verdict_shows_the_database_that_breaks_its_assumption(
    context: str, gold: str, sql: str, outcome: str
) -> None:
    explained = explain(build_suite(context, gold), sql)
    assert explained.verdict.outcome.value == outcome
    assert explained.witness is not None
    assert explained.witness.gold_rows != explained.witness.prediction_rows
