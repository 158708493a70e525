"""Suites: what they say of golds, what their databases hold, and what they tell apart."""

from __future__ import annotations

import gzip
import json
import pickle
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from databases_cases import cases

from harness import judge
from harness.databases import (
    MODES,
    Database,
    Result,
    Sandbox,
    Suite,
    build_suite,
    populate,
    same,
    suites,
)
from harness.databases.answers import Ways
from harness.databases.fairness import Fairness
from harness.databases.readers import Readers
from harness.databases.store import SuiteStore, decode, encode
from harness.databases.store import key as store_key
from harness.errors import DataError
from harness.outcomes import Outcome
from harness.records import Example, Judging, Rules
from harness.scoring.attack import Attacker
from harness.sql import parse_schema, profile_of
from harness.sql.mutants import BUILDING, HELD_OUT, mutants_of
from harness.sql.statement import statement

ROOT = Path(__file__).resolve().parents[1]
runpy.run_path(str(ROOT / "scripts" / "held_out.py"))  # enters its operators in HELD_OUT

SHOP = """CREATE TABLE customer (customer_id INTEGER, name VARCHAR, city VARCHAR, age INTEGER);
CREATE TABLE orders (order_id INTEGER, customer_id INTEGER, amount INTEGER, status VARCHAR)"""
GOLDS = (
    "SELECT name FROM customer WHERE city = 'Rome' AND age > 30",
    "SELECT COUNT(*) FROM customer AS T1 JOIN orders AS T2 ON T1.customer_id = T2.customer_id "
    "WHERE T2.amount >= 100",
    "SELECT T1.name, SUM(T2.amount) FROM customer AS T1 JOIN orders AS T2 ON T1.customer_id = T2.customer_id "
    "GROUP BY T1.customer_id HAVING COUNT(*) > 2",
    "SELECT name FROM customer WHERE customer_id NOT IN "
    "(SELECT customer_id FROM orders WHERE status = 'open')",
    "SELECT city FROM customer GROUP BY city ORDER BY COUNT(*) DESC LIMIT 1",
    "SELECT DISTINCT city FROM customer WHERE name LIKE '%an%' OR age BETWEEN 20 AND 25",
    "SELECT name FROM customer WHERE age = (SELECT MAX(age) FROM customer)",
    "SELECT city FROM customer WHERE age > 40 INTERSECT SELECT city FROM customer WHERE age < 30",
)


@pytest.mark.parametrize("case", cases("golds"))
def test_golds_are_flagged_and_read(case: dict[str, Any]) -> None:
    suite = build_suite(case["context"], case["gold"], rules=Rules(**case.get("rules", {})))
    assert suite.gold_status == case["status"], suite.reason
    assert case.get("reason", "") in suite.reason
    kinds = {column: kind for _, columns in suite.kinds for column, kind in columns}
    assert {c: kinds[c] for c in case.get("kinds", {})} == case.get("kinds", {})
    if "readings" in case:
        assert list(suite.readings) == case["readings"]


def _tells(suite: Suite, box: Sandbox, database: Database, sql: str) -> bool:
    if database.kind == "nulls" or (database.kind == "ties" and (suite.limited or "LIMIT" in sql)):
        return False
    result = box.run(database.image, sql)
    return not isinstance(result, Result) or not any(
        same(answer, result, ordered=suite.ordered, rules=suite.rules)
        for answer in database.answers
        if isinstance(answer, Result)
    )


@pytest.mark.parametrize("gold", GOLDS)
def test_suite_tells_near_misses_it_was_not_built_with(gold: str) -> None:
    suite = build_suite(SHOP, gold)
    assert suite.gold_status == "ok"
    assert suite.strength is not None
    assert suite.strength > 0.85
    assert suite.schema is not None
    query, text = statement(suite.readings[0], suite.schema), suite.readings[0]
    assert query is not None
    with Sandbox() as box:
        assert not any(_tells(suite, box, d, text) for d in suite.databases), "the gold is right"
        misses = [
            m
            for m in mutants_of(query, ("number_moved", "column_far", "aggregate_other", "member_dropped"))
            if isinstance(box.run(suite.databases[0].image, m.sql), Result)
        ]
        alike = [m for m in misses if not any(_tells(suite, box, d, m.sql) for d in suite.databases)]
        left = [
            m for m in alike if not any(_tells(suite, box, d, m.sql) for d in attacked(suite, box, m.sql))
        ]
    assert len(alike) <= 0.25 * len(misses)
    assert left == []


@pytest.mark.parametrize("gold", GOLDS)
def test_databases_are_sound(gold: str) -> None:
    """Keys unique and not NULL, references neither dangling nor NULL, no NULLs that nobody asked about."""
    suite = build_suite(SHOP, gold)
    for database in suite.databases:
        if database.kind == "keys":  # made to show what hangs on guessed keys
            continue
        connection = sqlite3.connect(":memory:")
        connection.deserialize(database.image)
        for table, key in (("customer", "customer_id"), ("orders", "order_id")):
            total, different = connection.execute(
                f"SELECT COUNT(*), COUNT(DISTINCT {key}) FROM {table}"
            ).fetchone()
            assert total == different
        dangling = (
            "SELECT 1 FROM orders WHERE customer_id IS NULL "
            "OR customer_id NOT IN (SELECT customer_id FROM customer)"
        )
        assert connection.execute(dangling).fetchall() == []
        if database.kind != "nulls":
            for table in ("customer", "orders"):
                assert not any(None in row for row in connection.execute(f"SELECT * FROM {table}"))
        connection.close()


def test_declared_constraints_hold_in_every_mode() -> None:
    schema = parse_schema(
        """CREATE TABLE team (id INT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE player (id INT, year INT, team INT NOT NULL REFERENCES team(id),
        pay INT CHECK (pay > 10 AND pay < 99), role ENUM('guard', 'wing'), PRIMARY KEY (id, year))"""
    )
    query = statement("SELECT role FROM player WHERE pay >= 50", schema)
    assert query is not None
    for mode in MODES:
        connection = sqlite3.connect(":memory:")
        connection.deserialize(populate(schema, [profile_of(query)], mode=mode, seed=3))
        rows = connection.execute("SELECT id, year, team, pay, role FROM player").fetchall()
        names = [n for (n,) in connection.execute("SELECT name FROM team")]
        ids = {i for (i,) in connection.execute("SELECT id FROM team")}
        connection.close()
        assert len({row[:2] for row in rows}) == len(rows)
        assert len(set(names)) == len(names)
        assert {row[2] for row in rows} <= ids
        assert all(row[3] is None or 10 < row[3] < 99 for row in rows)
        assert {row[4] for row in rows} <= {"guard", "wing", None}


def test_nulls_come_where_the_gold_asks_for_them() -> None:
    suite = build_suite("CREATE TABLE t (a VARCHAR, b INTEGER)", "SELECT a FROM t WHERE b IS NULL")
    assert suite.gold_status == "ok"
    with Sandbox() as box:
        fair = [d for d in suite.databases if d.kind == "fair"]
        assert any(box.run(d.image, "SELECT 1 FROM t WHERE b IS NULL").rows for d in fair)  # type: ignore[union-attr]
        assert not any(box.run(d.image, "SELECT 1 FROM t WHERE a IS NULL").rows for d in fair)  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gold", GOLDS)
def test_every_column_that_may_be_null_is_once(gold: str, seed: int) -> None:
    suite = build_suite(SHOP, gold, seed=seed)
    (database,) = [d for d in suite.databases if d.kind == "nulls"]
    keys = {(table, column) for table, key in suite.primary for column in key} | {c for c, _ in suite.links}
    with Sandbox() as box:
        for table, columns in suite.kinds:
            for column, _ in columns:
                found = box.run(database.image, f"SELECT COUNT(*) FROM {table} WHERE {column} IS NULL")
                assert isinstance(found, Result)
                assert (found.rows[0][0] == 0) is ((table, column) in keys), (table, column)


def test_rewrites_that_break_ties_otherwise_stay_right() -> None:
    context = "CREATE TABLE head (name VARCHAR, age INTEGER)"
    suite = build_suite(context, "SELECT name FROM head ORDER BY age DESC LIMIT 1")
    other = "SELECT name FROM head WHERE age = (SELECT MAX(age) FROM head)"
    with Sandbox() as box:
        assert not any(_tells(suite, box, d, other) for d in suite.databases)


def test_case_rule_is_one_for_comparisons_groups_and_patterns() -> None:
    context, gold = (
        "CREATE TABLE t (club VARCHAR, points INTEGER)",
        "SELECT COUNT(*) FROM t WHERE club = 'Ünited FC'",
    )
    variants = [
        "SELECT COUNT(*) FROM t WHERE club = 'üNITED fc'",
        "SELECT COUNT(*) FROM t WHERE club IN ('ünited fc')",
    ]
    for case, right in (("ignore", True), ("exact", False)):
        suite = build_suite(context, gold, rules=Rules(case=case))  # type: ignore[arg-type]
        with Sandbox() as box:
            for sql in variants:
                told = any(_tells(suite, box, d, suite.sqlite(sql)) for d in suite.databases)
                assert told is not right


def attacked(suite: Suite, box: Sandbox, sql: str) -> Iterator[Database]:
    return Attacker(suite, box, Readers(suite)).databases(sql)


def test_attack_aims_at_what_two_queries_do_not_share() -> None:
    suite = build_suite(SHOP, "SELECT MAX(age) FROM customer WHERE city = 'Rome'", operators=())
    wrong = "SELECT MAX(age) FROM customer WHERE city = 'Rome' AND name <> 'Ann'"
    with Sandbox() as box:
        assert any(_tells(suite, box, d, wrong) for d in attacked(suite, box, wrong))
        assert not any(_tells(suite, box, d, suite.gold) for d in attacked(suite, box, suite.gold))


def test_every_operator_makes_something() -> None:
    schema = parse_schema(
        SHOP.replace("age INTEGER", "age INTEGER, phone VARCHAR, email VARCHAR, since INTEGER")
    )
    golds = [
        *GOLDS,
        "SELECT AVG(T2.amount) + 1 FROM customer AS T1 LEFT JOIN orders AS T2 "
        "ON T1.customer_id = T2.customer_id WHERE T2.status IN ('a b', 'c2') OR T1.age IS NULL",
        "SELECT name FROM customer ORDER BY age DESC LIMIT 3",
        "SELECT age FROM customer WHERE NOT EXISTS (SELECT 1 FROM orders)",
        "SELECT name, age FROM customer WHERE age <> 3 AND name > 'x'",
        "SELECT COUNT(DISTINCT city), MIN(age) FROM customer",
    ]
    made = set()
    for gold in golds:
        query = statement(gold, schema)
        assert query is not None
        for mutant in mutants_of(query, [*BUILDING, *HELD_OUT], limit=10_000):
            made.add(mutant.operator)
            assert mutant.sql != query.printed.sql
    assert made == {*BUILDING, *HELD_OUT}
    assert not set(BUILDING) & set(HELD_OUT)


def test_suites_are_the_same_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); from harness.databases import build_suite; import hashlib;"
        f"s = [build_suite({SHOP!r}, g) for g in {GOLDS[:4]!r}];"
        "told = [(d.image, d.kind, d.answers) for x in s for d in x.databases];"
        "print(hashlib.sha256(repr(told).encode()).hexdigest())"
    )
    root = Path(__file__).parents[1]
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(prints) == 1


def test_a_suite_survives_the_store(tmp_path: Path) -> None:
    examples = [Example(id=str(i), question="", context=SHOP, gold=gold) for i, gold in enumerate(GOLDS)]
    cache = tmp_path / "deep" / "suites.sqlite"
    built = dict(suites(examples, Judging(cache=cache, workers=2)))
    counts: list[int] = []
    found = dict(suites(examples, Judging(cache=cache), progress=counts.append))
    assert found == built == {e.id: build_suite(e.context, e.gold) for e in examples}
    assert counts[-1] == len(examples)
    assert pickle.loads(pickle.dumps(built["0"])) == built["0"]
    judging = Judging()
    assert decode(encode(built["1"]), examples[1], judging) == built["1"]
    assert store_key(examples[0], judging) != store_key(examples[0], replace(judging, seed=1))


def test_a_cache_that_is_no_cache_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, just some notes that are long enough " * 20, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be used"):
        SuiteStore(path)


def test_shared_contexts_and_golds_do_not_crash(shared_data: Path) -> None:
    folder = shared_data / "create-context"
    for name, step, fields in (
        ("published-first-100", 2, ("context",)),
        ("spider-dev", 40, ("context", "full_context")),
        ("wikisql-dev", 200, ("context", "full_context")),
    ):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in islice(lines, 0, None, step)]
        for record in records:
            for context in fields:
                suite = build_suite(record[context], record["answer"])
                assert suite.gold_status != "ok" or len(suite.databases) > 3


@pytest.mark.slow
def test_every_shared_context_becomes_a_schema(shared_data: Path) -> None:
    count = 0
    for path in (shared_data / "create-context").glob("*.jsonl.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                count += 1
                assert parse_schema(record.get("full_context", record["context"])).tables
    assert count == 61_628


def test_what_ties_may_stand_in_any_order() -> None:
    """Where a gold sorts by what repeats, the order of equals refutes no one; the order of others does."""
    context = (
        "CREATE TABLE teacher (teacher_id INTEGER, name VARCHAR); CREATE TABLE course (course_id INTEGER, "
        "title VARCHAR); CREATE TABLE course_arrange (course_id INTEGER, teacher_id INTEGER, grade INTEGER)"
    )
    joins = (
        "FROM teacher AS t JOIN course_arrange AS a ON t.teacher_id = a.teacher_id "
        "JOIN course AS c ON a.course_id = c.course_id ORDER BY t.name"
    )
    gold = (
        "SELECT t.name, c.title FROM course_arrange AS a JOIN course AS c ON a.course_id = c.course_id "
        "JOIN teacher AS t ON a.teacher_id = t.teacher_id ORDER BY t.name"
    )
    for seed in range(6):
        suite = build_suite(context, gold, seed=seed)
        same_order, other_order = judge(
            suite, [f"SELECT t.name, c.title {joins}", f"SELECT t.name, c.title {joins} DESC"]
        )
        assert same_order.outcome is Outcome.EXACT
        assert not other_order.execution_match


def test_the_ways_of_a_tie() -> None:
    sql = "SELECT a FROM t ORDER BY n DESC LIMIT 2"
    schema = parse_schema("CREATE TABLE t (a TEXT, n INT)")
    inner = f"SELECT n FROM t WHERE a IN ({sql}) ORDER BY n LIMIT 1"
    with closing(sqlite3.connect(":memory:")) as connection, Sandbox() as box:
        connection.executescript(
            "CREATE TABLE t (a, n); INSERT INTO t VALUES ('w', 9), ('x', 5), ('y', 5), ('z', 1)"
        )
        box.load(connection.serialize())
        ways = Fairness(statement(sql, schema)).ways(box, sql)
        assert ways == Ways([("w",)], [("x",), ("y",)], 1)
        assert Fairness(statement(inner, schema)).ways(box, inner) is None  # another answer's tie
        connection.execute("DELETE FROM t WHERE a = 'y'")
        connection.commit()
        box.load(connection.serialize())
        assert Fairness(statement(sql, schema)).ways(box, sql) is None
    connection.close()


def test_names_do_not_repeat_where_they_must_not() -> None:
    """A prediction's bare columns do not make a name repeat: grouped by another column it is told apart."""
    gold = (
        "SELECT COUNT(*), T1.name FROM customer AS T1 JOIN orders AS T2 ON T1.customer_id = T2.customer_id "
    )
    suite = build_suite(SHOP, f"{gold} GROUP BY T1.name")
    finer, other = judge(suite, [f"{gold} GROUP BY T1.customer_id", f"{gold} GROUP BY T1.city"])
    assert finer.outcome is Outcome.REPEAT_GOLD
    assert other.outcome is Outcome.WRONG
