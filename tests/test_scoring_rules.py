"""Every rule of comparison, with cases as data: what is right, what is wrong, and by which outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import build_suite, judge
from harness.records import Rules

CASES = Path(__file__).parent / "cases"


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / name).read_text("utf-8").splitlines()]


def _title(case: dict[str, Any]) -> str:
    return case.get("name") or f"{case['rule']}: {case['reason']}"


@pytest.mark.parametrize("case", _read("rules.jsonl"), ids=_title)
def test_rule(case: dict[str, Any]) -> None:
    suite = build_suite(case["context"], case["gold"], rules=Rules(**case.get("rules", {})))
    verdict, gold = judge(suite, [case["prediction"], case["gold"]])
    assert gold.execution_match
    assert verdict.execution_match is case["right"], verdict
    if "outcome" in case:
        assert verdict.outcome.value == case["outcome"], verdict


@pytest.mark.parametrize("case", _read("rewrites.jsonl"), ids=_title)
@pytest.mark.parametrize("text", ["exact", "ignore"])
def test_rewrite_that_keeps_the_meaning_is_right(case: dict[str, Any], text: str) -> None:
    suite = build_suite(case["context"], case["gold"], rules=Rules(case=text))  # type: ignore[arg-type]
    (verdict,) = judge(suite, [case["rewrite"]])
    assert verdict.execution_match, verdict
