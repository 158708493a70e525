"""The sandbox is attacked property by property; workers that die or hang are replaced."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases_cases import cases

from harness.databases import Failure, Result, Sandbox, WorkerLost, WorkerPool, workers


def _image(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    image = connection.serialize()
    connection.close()
    return image


ROWS = _image("CREATE TABLE t (a INTEGER, b TEXT)", "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.load(ROWS)
        yield sandbox


@pytest.mark.parametrize("case", cases("attacks"))
def test_attack_is_stopped(
    case: dict[str, Any], box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.perf_counter()
    result = box.query(case["sql"])
    assert isinstance(result, Failure)
    assert result.kind == case["kind"], result.message
    assert time.perf_counter() - start < 5
    assert not list(tmp_path.iterdir())
    assert box.query("SELECT COUNT(*) FROM t") == Result(("COUNT(*)",), [(3,)])


def test_what_queries_need_is_allowed(box: Sandbox) -> None:
    sql = """WITH x AS (SELECT a, UPPER(b) AS b FROM t) SELECT b, ROW_NUMBER() OVER (ORDER BY a DESC),
             SUBSTR(b, 1, 1), COALESCE(NULL, a), ROUND(a / 2.0, 1), STRFTIME('%Y', '2024-01-01') FROM x"""
    result = box.query(sql)
    assert isinstance(result, Result)
    assert result.rows[0] == ("Z", 1, "Z", 3, 1.5, "2024")


def test_an_unknown_double_quoted_word_is_no_string_once_rewritten(box: Sandbox) -> None:
    assert box.query("SELECT `nope` FROM t") == Failure("schema_error", "no such column: nope")


def test_a_file_is_opened_read_only(tmp_path: Path) -> None:
    path = tmp_path / "real.sqlite"
    path.write_bytes(ROWS)
    with Sandbox() as sandbox:
        assert sandbox.run(path, "SELECT MAX(a) FROM t") == Result(("MAX(a)",), [(3,)])
        assert isinstance(sandbox.run(path, "DELETE FROM t"), Failure)
        assert sandbox.run(ROWS, "SELECT MIN(a) FROM t") == Result(("MIN(a)",), [(1,)])
    assert path.read_bytes() == ROWS


def test_large_results_end_as_timeouts() -> None:
    with Sandbox() as sandbox:
        sandbox.load(ROWS)
        wide = f"SELECT '{'x' * 20_000}' FROM t a, t b, t c, t d, t e, t f, t g"
        assert sandbox.query(wide) == Failure("timeout", "more than 32 MiB")


def test_long_results_end_as_timeouts() -> None:
    with Sandbox(rows=100) as sandbox:
        sandbox.load(ROWS)
        assert isinstance(sandbox.query("SELECT 1 FROM t a, t b, t c, t d"), Result)
        result = sandbox.query("SELECT 1 FROM t a, t b, t c, t d, t e")
    assert result == Failure("timeout", "more than 100 rows")


def test_rows_can_be_read_backwards(box: Sandbox) -> None:
    assert box.query("SELECT a FROM t LIMIT 1", backwards=True) == Result(("a",), [(3,)])
    assert box.query("SELECT a FROM t LIMIT 1") == Result(("a",), [(1,)])


def test_equal_texts_over_different_schemas_are_prepared_anew() -> None:
    """SQLite trusts the schema's number alone; images made here carry one that depends on their tables."""
    from harness.databases import populate
    from harness.sql import parse_schema

    one = parse_schema("CREATE TABLE a (x INTEGER, y VARCHAR); CREATE TABLE b (x INTEGER, y VARCHAR)")
    two = parse_schema("CREATE TABLE b (y VARCHAR, x INTEGER); CREATE TABLE a (y VARCHAR, x INTEGER)")
    with Sandbox() as sandbox:
        for schema in (one, two, one):
            result = sandbox.run(populate(schema, [], seed=1), "SELECT x FROM a")
            assert isinstance(result, Result)
            assert all(isinstance(row[0], int) for row in result.rows)


def _work(task: str) -> str:
    if task == "die":
        os._exit(3)
    if task == "hang":
        time.sleep(60)
    if task == "eat":
        return str(len(bytearray(2**32)))
    if task == "fail":
        raise ValueError("a bug")
    return task.upper()


def test_lost_workers_are_replaced() -> None:
    tasks = ["a", "die", "b", "eat", "c", "hang", "d"]
    with WorkerPool(_work, workers=2, memory_mib=256, seconds=1.5) as pool:
        answers = dict(pool.map(tasks))
    assert {i: v for i, v in answers.items() if isinstance(v, str)} == {0: "A", 2: "B", 4: "C", 6: "D"}
    lost = {i: v.reason for i, v in answers.items() if isinstance(v, WorkerLost)}
    assert sorted(lost) == [1, 3, 5]
    assert "1.5 s" in lost[5]


def test_a_bug_in_the_function_reaches_the_caller_with_its_place() -> None:
    with WorkerPool(_work, workers=1) as pool, pytest.raises(ValueError, match="a bug") as caught:
        list(pool.map(["a", "fail"]))
    assert 'raise ValueError("a bug")' in str(caught.value.__cause__)


def test_the_start_of_a_worker_takes_no_time_from_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "limit_memory", lambda _: time.sleep(2.0))
    with WorkerPool(_work, workers=1, seconds=1.0) as pool:
        assert list(pool.map(["a"])) == [(0, "A")]
