"""An evaluation over its adapter's own training data is refused, or marked wherever its figures stand."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import benchmark_data
import pytest
from models_tiny import tiny_adapter, tiny_base

from harness.benchmarks import expose, load_benchmark, load_file, told_leak
from harness.errors import UsageError
from harness.files import read_rows
from harness.models import Settings
from harness.reports import check, write_baseline, write_leaderboard, write_report
from harness.runs.results import read_results
from harness.runs.run import run
from harness.runs.selection import RunOptions, Selection

CONTEXT = "CREATE TABLE team (name VARCHAR, wins INTEGER, city VARCHAR)"
ROWS = [
    {"question": "Which teams are there?", "context": CONTEXT, "answer": "SELECT name FROM team"},
    {
        "question": "How many ships are there?",
        "context": "CREATE TABLE ship (tons INTEGER)",
        "answer": "SELECT COUNT(*) FROM ship",
    },
]


def written(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        ({"question": "which TEAMS are there"}, {"asked", "table", "header"}),
        ({"question": "Who won?"}, {"table", "header"}),
        ({"question": "Who won?", "context": CONTEXT.replace("team", "club")}, {"header"}),
        ({"context": "CREATE TABLE club (title VARCHAR)"}, {"asked"}),
        ({"question": "Who won?", "context": "CREATE TABLE club (title VARCHAR)"}, set()),
    ],
)
def test_a_leak_is_the_question_the_table_or_the_full_header(
    tmp_path: Path, row: dict[str, str], kinds: set[str]
) -> None:
    benchmark = load_file(written(tmp_path / "test.jsonl", ROWS[0]))
    train = written(tmp_path / "train.jsonl", {**ROWS[0], **row})
    exposed = expose(benchmark, str(train)).examples
    assert set(exposed[0].meta.get("leak", ())) == kinds
    assert told_leak(exposed).startswith("1 of 1 questions stands") == bool(kinds)


def test_the_starter_s_test_was_never_seen() -> None:
    assert told_leak(expose(load_benchmark("starter"), "starter:train").examples) == ""


@pytest.mark.slow
def test_a_leak_is_refused_or_marked_in_headline_leaderboard_and_gate(tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path / "mine", tiny_base(tmp_path / "base"))
    data = written(tmp_path / "test.jsonl", *ROWS)
    written(adapter / "rows.jsonl", ROWS[0])
    earlier = {"data": "rows.jsonl"}  # not of the last training, but of the one before it
    (adapter / "training.json").write_text(json.dumps({"data": "starter:train", "after": earlier}), "utf-8")
    options = RunOptions(
        adapters=(str(adapter),),
        selection=Selection(data=data),
        settings=Settings(device="cpu", quantization="none"),
        max_new_tokens=4,
        output=tmp_path / "run",
    )
    told = "1 of 2 questions stands in its training data (asked 1, table 1, header 1)"
    with pytest.raises(UsageError) as refused:
        run(options)
    assert f"mine was trained on the test: {told}" in str(refused.value)
    assert "--allow-leak" in refused.value.remedy
    assert not (tmp_path / "run").exists()
    result = run(replace(options, allow_leak=True))
    assert result is not None
    assert any(note.startswith("LEAK: mine") for note in result.notes)
    assert [pair.leak for pair in read_results(result.folder).benchmarks[0].pairs] == ["", told]
    report = write_report(result.folder).read_text("utf-8")
    assert f"It was trained on the test: {told}" in report
    assert "| **mine** LEAK |" in report
    board = write_leaderboard([result.results_file], tmp_path / "board.md")
    assert "LEAK: mine" in board
    write_baseline(result.folder, tmp_path / "baseline.json")
    lines = check(result.folder, tmp_path / "baseline.json").lines
    assert f"LEAK: mine of the run was trained on the test: {told}" in lines
    assert f"LEAK: mine of the baseline was trained on the test: {told}" in lines


def asked_of(folder: Path, *questions: str) -> Path:
    """WikiSQL's folder with a question on one table for training, the given ones on another for the test."""
    sketch = {"sel": 0, "agg": 0, "conds": [[1, 0, "2"]]}
    train = [{"table_id": "1-100-1", "question": "Who wears No. 2?", "sql": sketch}]
    test = [{"table_id": "2-200-14", "question": text, "sql": sketch} for text in questions]
    return benchmark_data.wikisql(folder, {"train": train, "test": test})


def test_wikisql_s_test_against_its_training_questions(tmp_path: Path) -> None:
    data = asked_of(tmp_path / "wikisql", "Which pos is second?", "Who wears no 2")
    test = load_benchmark("wikisql", data=data)
    own = expose(test, "wikisql:train").examples  # of the folder that the test is of
    assert [example.meta.get("leak") for example in own] == [None, ["asked"]]
    assert told_leak(expose(test, "wikisql:test").examples) == (
        "2 of 2 questions stand in its training data (asked 2, table 2, header 2)"
    )
    row = {
        "question": "Who is it?",
        "context": "CREATE TABLE table_name_7 (pos VARCHAR)",
        "answer": "SELECT 1",
    }
    full = "CREATE TABLE table_name_7 (the_nick VARCHAR, pos VARCHAR, crowd_total INTEGER)"
    assert told_leak(expose(test, str(written(tmp_path / "short.jsonl", row))).examples) == ""
    whole = {**row, "full_context": full}
    exposed = expose(test, str(written(tmp_path / "full.jsonl", whole))).examples
    assert {tuple(example.meta.get("leak", ())) for example in exposed} == {("header",)}


def test_questions_that_are_not_there_are_not_the_same(tmp_path: Path) -> None:
    data = benchmark_data.spider(tmp_path / "spider")
    (data / "dev.json").unlink()
    (data / "dev_gold.sql").write_text("SELECT count(*) FROM Student\tpets\n", "utf-8")
    test = load_benchmark("spider", data=data)
    train = written(tmp_path / "train.jsonl", {**ROWS[0], "question": "?"})
    assert told_leak(expose(test, str(train)).examples) == ""


def test_a_table_is_known_by_the_index_under_any_name(shared_data: Path, tmp_path: Path) -> None:
    by_table = defaultdict(list)
    for _, row in read_rows(shared_data / "create-context" / "wikisql-dev.jsonl.gz"):
        by_table[row["table_id"]].append({name: row[name] for name in ("question", "context", "answer")})
    pairs = [rows[:2] for rows in by_table.values() if len(rows) > 1][:50]
    test, train = (written(tmp_path / f"{at}.jsonl", *(pair[at] for pair in pairs)) for at in (0, 1))
    exposed = expose(load_file(test), str(train)).examples
    assert all("table" in example.meta["leak"] for example in exposed)
    assert sum(one["context"].split("(")[0] != other["context"].split("(")[0] for one, other in pairs) > 10
