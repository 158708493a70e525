"""The sandbox is attacked property by property."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases_cases import cases

from harness.databases import Failure, Result, Sandbox
from harness.databases.limits import LONGEST
from harness.databases.sandbox import Forge, blank
from harness.sql.dialect import CLOCK


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


@pytest.mark.parametrize("case", cases("long_steps"))
def test_a_long_step_is_paid_for(case: dict[str, Any]) -> None:
    """Four million rows, each with a step that is as long as can be; no clock decides.

    A tenth of the usual steps: a second at most, where they were not paid for it is minutes.
    """
    sql = f"""WITH RECURSIVE d(t) AS
        (SELECT 'a' UNION ALL SELECT t || t FROM d WHERE length(t) < {case["size"]}),
        b AS MATERIALIZED (SELECT max(t) AS v FROM d)
        SELECT count({case["value"]}) FROM b CROSS JOIN (SELECT x.a * 3 + y.a AS n
        FROM t x, t y, t, t, t, t, t, t, t, t, t, t, t, t)"""
    spent = []
    for _ in range(2):
        with Sandbox(steps=1_000_000) as sandbox:
            start = time.process_time()
            assert sandbox.run(ROWS, sql) == Failure("timeout", "more steps than the budget allows")
            spent.append(sandbox.spent)
            assert time.process_time() - start < 3
    assert spent[0] == spent[1]


def test_long_values_are_judged_as_short_ones_are(box: Sandbox) -> None:
    long = "x" * 2_000
    rows = box.query(
        f"""SELECT instr('{long}b', 'b'), replace('{long}', 'x', 'yy') LIKE '%YY', length('{long}' || a),
            '{long}' GLOB 'x*x', '{long}' LIKE 'x!_%' ESCAPE '!', trim('{long}b', 'x'),
            ltrim(x'6162', 'a'), instr(NULL, b)
            FROM t ORDER BY a DESC"""
    )
    assert isinstance(rows, Result)
    assert rows.rows[0] == (2_001, 1, 2_001, 1, 0, "b", "b", None)
    assert box.query("SELECT b FROM t", backwards=True) == Result(("b",), [("z",), ("y",), ("x",)])
    assert box.query(f"SELECT b, '{long}' AS l FROM t LIMIT 1", backwards=True) == Result(
        ("b", "l"), [("z", long)]
    )
    too_long = box.query(f"SELECT l || l || l || l FROM (SELECT '{'x' * 10_000}' AS l)")
    assert too_long == Failure("execution_error", "string or blob too big")
    name = "long" * 200  # SQLite says "SQL logic error" where its own message is too long a value
    assert box.query(f"SELECT {name} FROM t") == Failure("schema_error", f"no such column: {name}")


HUNGRY = """WITH RECURSIVE d(t) AS (SELECT 'a' UNION ALL SELECT t || t FROM d WHERE length(t) < 14000),
    b AS MATERIALIZED (SELECT max(t) AS t FROM d)
    SELECT t || x.name || y.name || z.name FROM b CROSS JOIN head x, head y, head z, head v ORDER BY 1 DESC"""


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_memory_has_one_limit_wherever_it_is_judged(workers: int, tmp_path: Path) -> None:
    """By the calls of the API (0 workers), and by one process or two. SQLite never raises its limit again."""
    script = f"""
import resource
from harness import build_suite, judge
from harness.databases import limits
from harness.records import Example, Judging, Prediction
from harness.scoring import judge_all
if __name__ == "__main__":
    limits.HEAP_MIB = 64
    context, gold = "CREATE TABLE head (name VARCHAR, age INTEGER)", "SELECT name FROM head WHERE age > 31"
    if {workers}:
        example = Example(id="1", question="", context=context, gold=gold)
        asked = [Prediction(id="1", pair="p", sql=sql) for sql in ({HUNGRY!r}, gold)]
        verdicts = list(judge_all([example], asked, Judging(workers={workers})))
    else:
        verdicts = judge(build_suite(context, gold), [{HUNGRY!r}, gold])
    print([v.outcome.value for v in verdicts], verdicts[0].detail)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    assert peak < 400 * 1024, peak
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout == "['timeout', 'exact'] more memory than a query may take\n", done.stderr


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


def test_a_result_that_comes_in_portions_is_whole() -> None:
    with Sandbox(rows=1_000, length=LONGEST) as sandbox:
        sandbox.load(ROWS)
        result = sandbox.query("SELECT x.a, y.a, z.a, '' FROM t x, t y, t z, t u, t v, t w")
        assert isinstance(result, Result)
        assert len(result.rows) == 3**6
        assert set(result.rows) == {(x, y, z, "") for x in (1, 2, 3) for y in (1, 2, 3) for z in (1, 2, 3)}


def test_text_that_is_not_utf8_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "real.sqlite"
    path.write_bytes(_image("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES (CAST(x'41ff' AS TEXT))"))
    with Sandbox() as sandbox:
        assert sandbox.run(path, "SELECT a FROM t") == Result(("a",), [("A\ufffd",)])


def test_a_query_that_is_too_long_is_not_read(box: Sandbox) -> None:
    assert box.query("SELECT 1 --" + "x" * LONGEST).kind == "execution_error"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("load_extension(a)", "not authorized"),
        ("zeroblob(a) <> 1", "not authorized"),
        ("instr(replace(hex(hex(hex(hex(a)))), '3', hex(hex(hex(hex(hex(a)))))), a || 'x') = 0", "raised"),
    ],
)
def test_what_a_context_calls_is_limited_too(check: str, said: str) -> None:
    with closing(Forge()) as forge:
        with pytest.raises(sqlite3.Error, match=said):
            _filled(forge, check)
        with forge.opened(ROWS) as connection:
            assert connection.execute("SELECT max(a) FROM t").fetchone() == (3,)
            with pytest.raises(sqlite3.Error, match=r"not authorized|too many attached"):
                connection.execute("ATTACH ':memory:' AS other")
        with pytest.raises(sqlite3.Error, match="interrupted"), forge.opened(blank()) as connection:
            connection.execute(
                "CREATE TABLE n AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"
                " SELECT max(n) AS n FROM c"
            )


def _filled(forge: Forge, check: str) -> None:
    with forge.opened(blank()) as connection:
        connection.execute("BEGIN")
        connection.execute(f"CREATE TABLE t (a TEXT CHECK ({check}))")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{n:0>300}",) for n in range(300)])


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


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT time()",
        "SELECT date()",
        "SELECT datetime('n' || 'ow')",
        "SELECT strftime('%H:%M:%f')",
        "SELECT julianday(lower('NOW'), 'localtime')",
        "SELECT unixepoch()",
        "SELECT strftime('%s', ' now ')",
    ],
)
def test_the_clock_is_frozen_however_it_is_read(box: Sandbox, sql: str) -> None:
    first = box.query(sql)
    time.sleep(0.01)
    assert isinstance(first, Result)
    assert first.rows[0][0] is not None
    assert box.query(sql) == first
    with closing(sqlite3.connect(":memory:")) as plain:
        frozen = sql.replace("'n' || 'ow'", f"'{CLOCK}'").replace("lower('NOW'), 'localtime'", f"'{CLOCK}'")
        frozen = (
            frozen.replace("()", f"('{CLOCK}')")
            .replace("%f')", f"%f', '{CLOCK}')")
            .replace("' now '", f"'{CLOCK}'")
        )
        assert plain.execute(frozen).fetchall() == first.rows
