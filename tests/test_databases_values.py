"""Golds whose conditions are on expressions: sound, and told from what they would be without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import build_suite, judge
from harness.outcomes import Outcome
from harness.records import Rules
from harness.sql import parse_schema, profile_of
from harness.sql.statement import statement

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "values.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case['kind']}" for n, case in enumerate(CASES)])
def test_values_that_conditions_ask_for_are_made(case: dict[str, Any]) -> None:
    dialect = case.get("dialect", "sqlite")
    suite = build_suite(case["context"], case["gold"], rules=Rules(case="exact"), dialect=dialect)
    assert suite.gold_status == "ok", suite.reason
    for sql, verdict in zip(case["wrong"], judge(suite, case["wrong"]), strict=True):
        right = {Outcome.WRONG, Outcome.REPEAT_PREDICTION}
        assert verdict.outcome in right, (case["why"], sql, verdict.detail)
    (itself,) = judge(suite, [case["gold"]])
    assert itself.execution_match


@pytest.mark.parametrize(
    ("condition", "column", "held"),
    [
        ("LOWER(a) = LOWER('Open')", "a", {"open"}),
        ("n * 7 <> 35", "n", {5, 35}),
        ("10 - n > 3", "n", {7, 3}),
        ("n / 4 > 0.3", "n", {1, 2, 1.2, 0.3}),
        ("a || ' ' || b = 'Ann Lee'", "b", {"Lee"}),
        ("ABS(n) > 5", "n", {5, -5}),
        ("NULLIF(n, 0) > 2", "n", {2, 0}),
        ("(a, n) IN (VALUES ('x', 1), ('y', 2))", "n", {1, 2}),
        ("'Ann' LIKE a", "a", {"Ann", "%", "A%", "_nn"}),
    ],
)
def test_conditions_on_expressions_come_down_to_columns(condition: str, column: str, held: set[Any]) -> None:
    schema = parse_schema("CREATE TABLE t (a TEXT, b TEXT, n INTEGER)")
    query = statement(f"SELECT 1 FROM t WHERE {condition}", schema)
    assert query is not None
    assert {v for atom in profile_of(query).atoms if atom.ref == ("t", column) for v in atom.values} == held


def test_a_gold_is_uninformative_only_after_a_search() -> None:
    context = "CREATE TABLE t (a TEXT, n INTEGER)"
    assert build_suite(context, "SELECT a FROM t WHERE n > 3 AND n < 3").gold_status == "uninformative"
    rare = "SELECT a FROM t WHERE n = 4 AND LENGTH(a) = 7 AND n * 3 = 12 GROUP BY a HAVING COUNT(*) > 2"
    assert build_suite(context, rare).gold_status == "ok"
