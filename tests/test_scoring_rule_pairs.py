"""Pairs as an optimiser's rules make them: no crash, and nothing proved that a database contradicts."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from harness import build_suite
from harness.databases import Sandbox
from harness.records import Rules


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "rule_pairs.py"))


@pytest.mark.parametrize("schema", ["employees", "patients", "parcels"])
def test_pairs_of_another_seed_neither_crash_nor_contradict(script: dict[str, Any], schema: str) -> None:
    setting = script["SETTINGS"][schema]
    made = script["pairs"](3 * len(script["RULES"]), 7, setting)[::3]
    with Sandbox() as box:
        table, odd = script["judged"](made, box, 7, setting)
    assert sum(row["pairs"] for row in table.values()) == len(script["RULES"])
    assert not any(row["crashes"] or row["contradicted"] for row in table.values()), odd
    assert sum(row["right"] for row in table.values()) > sum(row["pairs"] for row in table.values())


def test_a_seed_gives_the_same_pairs_and_nearly_a_third_is_spoilt(script: dict[str, Any]) -> None:
    pairs, count = script["pairs"], 3 * len(script["RULES"])
    made = pairs(count, 1)
    assert made == pairs(count, 1) != pairs(count, 2)
    assert 0.3 < sum(pair.spoilt for pair in made) / count < 0.34


@pytest.mark.parametrize(
    ("one", "other", "nulls", "parted"),
    [
        ("SELECT ename FROM emp WHERE sal > 100", "SELECT ename FROM emp WHERE sal > 101", True, True),
        ("SELECT ename FROM emp WHERE sal > 100", "SELECT ename FROM emp WHERE sal >= 101", True, False),
        ("SELECT COUNT(*) FROM emp", "SELECT COUNT(comm) FROM emp", True, True),
        ("SELECT COUNT(*) FROM emp", "SELECT COUNT(comm) FROM emp", False, False),
        ("SELECT COUNT(*) FROM emp", "SELECT COUNT(none) FROM emp", True, None),
    ],
)
def test_the_referee_sees_what_parts(
    script: dict[str, Any], one: str, other: str, nulls: bool, parted: bool | None
) -> None:
    with Sandbox() as box:
        suite = build_suite(script["SETTINGS"]["employees"].context, one, rules=Rules(case="exact"))
        assert script["Referee"](box, 0).parts(suite, other, nulls=nulls) is parted
