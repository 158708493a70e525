"""The reward: what known hacks earn, groups and threads, abstention, and the calls of trl and verl."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.records import Judging
from harness.reward import ExecutionReward, compute_score, format_reward, only_query

CONTEXT = "CREATE TABLE head (name TEXT, age INTEGER)"
GOLD = "SELECT name FROM head WHERE age > 56"
CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "reward_hacks.jsonl").read_text("utf-8").splitlines()
]


def earned(reward: ExecutionReward, *completions: Any, gold: str = GOLD) -> list[float | None]:
    count = len(completions)
    return reward([""] * count, completions, context=[CONTEXT] * count, answer=[gold] * count)


@pytest.fixture(scope="module")
def reward() -> ExecutionReward:
    return ExecutionReward(keep=False)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_hack_earns_nothing_unless_it_does_equal_the_gold(reward: ExecutionReward, case: Any) -> None:
    assert earned(reward, case["completion"]) == [case["reward"]]


@pytest.mark.slow
def test_no_completion_raises_or_changes_what_its_neighbours_earn(reward: ExecutionReward) -> None:
    hostile = Path(__file__).parent / "cases" / "hostile" / "statements.jsonl"
    texts = [json.loads(line)["sql"] for line in hostile.read_text("ascii").splitlines()]
    assert len(texts) > 1_000
    for start in range(0, len(texts), 250):
        part = texts[start : start + 250]
        found = earned(reward, GOLD, *part, "SELECT name FROM head")
        assert (found[0], found[-1]) == (1.0, 0.0)
        assert set(found) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "gold", ["SELECT tall FROM head", "SELECT name FROM head WHERE 1 = 0", "SELECT 5 FROM head"]
)
def test_a_gold_that_is_broken_or_says_nothing_decides_nothing(reward: ExecutionReward, gold: str) -> None:
    assert earned(reward, gold, "SELECT name FROM head WHERE 1 = 0", gold=gold) == [None, None]


def test_messages_and_several_questions_in_one_batch(reward: ExecutionReward) -> None:
    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    golds = [GOLD, "SELECT age FROM head", GOLD, "SELECT tall FROM head"]
    texts = [said(GOLD), said("SELECT age FROM head"), said("SELECT age FROM head"), said(GOLD)]
    logged: dict[str, Any] = {}
    found = reward(
        [""] * 4,
        texts,
        context=[CONTEXT] * 4,
        answer=golds,
        trainer_state=None,
        log_extra=logged.__setitem__,
        log_metric=logged.__setitem__,
    )
    assert found == [1.0, 1.0, 0.0, None]
    assert logged["outcome"] == ["exact", "exact", "wrong", "gold_broken"]
    assert logged["cause"][2] == "wrong column"
    assert logged["outcome/exact"] == 0.5


def test_the_best_of_several_golds_is_the_reward(reward: ExecutionReward) -> None:
    context = "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)"
    golds = ["SELECT tall FROM singer", "SELECT name FROM singer", "SELECT id, name FROM singer"]
    told = ["SELECT name FROM singer", "SELECT id, name FROM singer", "SELECT age FROM singer", "no"]
    found = reward([""] * 4, told, context=[context] * 4, answer=[golds] * 4)
    assert found == [1.0, 1.0, 0.0, 0.0]
    assert reward([""], told[:1], context=[context], answer=[golds[:1]]) == [None]


def test_names_of_columns_values_of_outcomes_and_a_dense_value() -> None:
    own = ExecutionReward(context="schema", answer="sql", values={"wrong": 0.1}, keep=False)
    assert own([""], ["SELECT age FROM head"], schema=[CONTEXT], sql=[GOLD]) == [0.1]
    with pytest.raises(KeyError, match="no column 'schema'"):
        own([""], [GOLD], context=[CONTEXT], answer=[GOLD])
    dense = ExecutionReward(dense=0.5, keep=False)
    near, far, right, slip = earned(
        dense, "SELECT name FROM head WHERE age >= 56", "SELECT 'x'", GOLD, "SELECT tall FROM head"
    )
    assert (far, right, slip) == (0.0, 1.0, 0.0)
    assert near is not None
    assert 0 < near < 0.5
    with pytest.raises(ValueError, match="unknown outcome 'right'"):
        ExecutionReward(values={"right": 1})
    with pytest.raises(ValueError, match="dense below 1"):
        ExecutionReward(dense=1.0)


def test_suites_are_kept_for_the_next_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judging = Judging(cache=tmp_path / "suites.sqlite")
    assert earned(ExecutionReward(judging=judging), GOLD) == [1.0]

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("built again")

    monkeypatch.setattr("harness.reward.suite_of", fail)
    assert earned(ExecutionReward(judging=judging), GOLD, "SELECT 1") == [
        1.0,
        0.0,
    ]


@pytest.mark.slow
def test_workers_give_what_one_process_gives(reward: ExecutionReward) -> None:
    texts = [case["completion"] for case in CASES]
    many = ExecutionReward(judging=Judging(workers=2), keep=False)
    try:
        assert earned(many, *texts) == earned(reward, *texts)
    finally:
        many.close()


def test_format_is_a_reward_of_its_own() -> None:
    assert format_reward(["", ""], ["SELECT 1;", "It is: SELECT 1"]) == [1.0, 0.0]


def test_one_query_is_taken_out() -> None:
    assert only_query("```sql\nSELECT a FROM t\n```\nThis will select the rows.") == "SELECT a FROM t"
    assert only_query("SELECT a FROM t WHERE b IN (SELECT c FROM u)").startswith("SELECT a")  # type: ignore[union-attr]
    assert only_query("x" * 10**6).outcome == "missing"  # type: ignore[union-attr]
    assert only_query("SELECT " + "1, " * 10**5 + "1").outcome == "too_long"  # type: ignore[union-attr]


def test_verl_s_calls_single_batched_and_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    info = {"context": CONTEXT}
    one = compute_score("own", GOLD, GOLD, info)
    assert (one["score"], one["abstained"]) == (1.0, 0.0)
    batch = compute_score(
        data_sources=["own"] * 2,
        solution_strs=[GOLD, "SELECT 1"],
        ground_truths=[GOLD, GOLD],
        extra_infos=[info, info],
    )
    assert [score["score"] for score in batch] == [1.0, 0.0]
    assert compute_score("own", GOLD, "SELECT tall FROM head", info)["abstained"] == 1.0
    with ThreadPoolExecutor(4) as threads:
        scores = threads.map(lambda text: compute_score("own", text, GOLD, info)["score"], [GOLD, "x"] * 20)
        assert list(scores) == [1.0, 0.0] * 20
