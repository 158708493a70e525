"""Several golds an example: right is what equals one of them, and which one is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.benchmarks import load_file
from harness.databases import Result
from harness.databases.answers import same, same_but_for_more
from harness.errors import DataError
from harness.records import Example, Judging, Prediction, Rules, Sample
from harness.scoring import judge_all

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "golds.jsonl").read_text("utf-8").splitlines()
]


def _example(case: dict[str, Any], id_: str = "7") -> Example:
    gold, *others = case["answer"]
    return Example(id=id_, question="", context=case["context"], gold=gold, others=tuple(others))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_the_best_of_several_golds_counts(case: dict[str, Any]) -> None:
    example, prediction = _example(case), Prediction(id="7", pair="p", sql=case["prediction"])
    (verdict,) = judge_all([example], [prediction])
    assert (verdict.id, verdict.pair, verdict.gold_status) == ("7", "p", case["status"])
    assert (verdict.execution_match, verdict.outcome.value, verdict.gold_number) == (
        case["right"],
        case["outcome"],
        case["gold_number"],
    )
    made = Sample.of(example, prediction, verdict)
    assert made.gold == case["answer"][case["gold_number"]]
    assert made.example.golds == (made.gold,)


@pytest.mark.parametrize("workers", [1, 2])
def test_examples_with_one_gold_and_with_several_are_judged_together(workers: int) -> None:
    examples = [_example(case, str(number)) for number, case in enumerate(CASES)]
    examples += [example.held_to(0) for example in [_example(case, f"{n}x") for n, case in enumerate(CASES)]]
    asked = [
        Prediction(id=example.id, pair=pair, sql=CASES[int(example.id.rstrip("x"))]["prediction"])
        for example in examples
        for pair in ("p", "q")
    ]
    found = {(v.pair, v.id): v for v in judge_all(examples, asked, Judging(workers=workers))}
    assert len(found) == len(asked)
    for number, case in enumerate(CASES):
        assert found["p", str(number)].execution_match is case["right"]
        first = case["right"] and case["gold_number"] == 0
        assert found["q", f"{number}x"].execution_match is (first or "surer" in case["why"])


def test_an_answer_may_be_a_list(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "context": "CREATE TABLE t (a INTEGER)", "answer": ["SELECT a FROM t", "SELECT 1"]},
        {"question": "q", "context": "CREATE TABLE t (a INTEGER)", "answer": ["SELECT a FROM t"]},
        {"question": "q", "context": "CREATE TABLE t (a INTEGER)", "answer": "SELECT a FROM t"},
    ]
    file = tmp_path / "d.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    loaded = load_file(file)
    assert [example.golds for example in loaded.examples] == [
        ("SELECT a FROM t", "SELECT 1"),
        ("SELECT a FROM t",),
        ("SELECT a FROM t",),
    ]
    file.write_text(json.dumps(rows[1:]), encoding="utf-8")
    alone = load_file(file).data_hash
    file.write_text(json.dumps([rows[2], rows[2]]), encoding="utf-8")
    assert load_file(file).data_hash == alone != loaded.data_hash


@pytest.mark.parametrize(
    "answer", [[], ["SELECT a FROM t", 3], ["", "SELECT a FROM t"], [["SELECT a FROM t"]]]
)
def test_a_list_of_other_things_is_refused(tmp_path: Path, answer: Any) -> None:
    file = tmp_path / "d.json"
    row = {"question": "q", "context": "CREATE TABLE t (a INTEGER)", "answer": answer}
    file.write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DataError, match="item 1: 'answer' is a list of other things than texts"):
        load_file(file)


def test_many_equal_columns_among_more_do_not_explode() -> None:
    left = [tuple((i + j) % 2 for j in range(20)) for i in range(40)]
    right = [(*((i * j) % 2 for j in range(20)), 1) for i in range(40)]
    assert not same_but_for_more(left, right, ordered=False)
    assert same_but_for_more(left, [(*row, n) for n, row in enumerate(left)], ordered=False)


@pytest.mark.parametrize(("ordered", "found"), [(False, True), (True, False)])
def test_order_counts_among_more_columns(ordered: bool, found: bool) -> None:
    gold, other = Result(("a",), [(1,), (2,)]), Result(("a", "b"), [(2, "x"), (1, "y")])
    assert same(gold, other, ordered=ordered, rules=Rules(columns="subset")) is found
    assert not same(gold, other, ordered=ordered, rules=Rules())
    assert not same(other, gold, ordered=ordered, rules=Rules(columns="subset"))
