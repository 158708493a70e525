"""Keys of which one column is told: widened by the schema, and by the gold where it counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import build_suite, judge
from harness.records import Example, Prediction, Rules
from harness.scoring import judge_all, policy_table

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "composites.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_a_key_of_one_column_is_widened(case: dict[str, Any]) -> None:
    suite = build_suite(case["context"], case["gold"])
    assert list(suite.widened) == case["widened"]
    assert suite.gold_status == "ok"
    verdict, gold = judge(suite, [case["prediction"], case["gold"]])
    assert gold.execution_match
    assert verdict.execution_match is case["right"], verdict
    assert list(verdict.widened) == case["widened"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_a_key_of_one_column_is_believed_on_demand(case: dict[str, Any]) -> None:
    suite = build_suite(case["context"], case["gold"], rules=Rules(composites="believed"))
    assert suite.widened == ()
    (verdict,) = judge(suite, [case["prediction"]])
    found = verdict.execution_match if suite.gold_status == "ok" else suite.gold_status
    assert found == case["believed"], verdict


def test_the_policy_table_has_the_score_without_the_rule() -> None:
    case = next(case for case in CASES if case["why"] == "a student has several friends")
    example = Example(id="1", question="", context=case["context"], gold=case["gold"])
    prediction = Prediction(id="1", pair="p", sql=case["prediction"])
    verdicts = list(judge_all([example], [prediction]))
    table = policy_table([example], [prediction], verdicts)["p"]
    assert (table["as judged"].value, table["composites=believed"].value) == (0.0, 1.0)
