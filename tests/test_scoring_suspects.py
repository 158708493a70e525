"""Golds in doubt: several pairs answer alike, and none as the gold does."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import examples, sample

from harness.outcomes import Outcome
from harness.records import SAME, Judging, Sample
from harness.reports import write_report
from harness.runs.results import read_results
from harness.runs.score import score
from harness.runs.selection import ScoreOptions, Selection
from harness.scoring.suspects import in_question, suspects

(QUESTION,) = examples(1)
CONTEXT = "CREATE TABLE singer (id INTEGER PRIMARY KEY, name VARCHAR, country VARCHAR, age INTEGER)"


def _answers(**signatures: str | None) -> list[Sample]:
    """An answer a pair: wrong with that signature, or (None) right."""
    return [
        replace(sample(QUESTION, pair, Outcome.EXACT if one is None else Outcome.WRONG), signature=one or "")
        for pair, one in signatures.items()
    ]


@pytest.mark.parametrize(
    ("answers", "agreeing"),
    [
        (_answers(a="1", b="1"), ("a", "b")),
        (_answers(a="1", b="2", c="2"), ("b", "c")),
        (_answers(a="1", b="2"), None),
        (_answers(a="1", b="1", c=None), None),
        (_answers(a=SAME + "1", b=SAME + "1"), None),
        (_answers(a="", b=""), None),
        ([replace(one, gold_status="broken") for one in _answers(a="1", b="1")], None),
        ([replace(one, sample=1) for one in _answers(a="1", b="1")], None),
        ([replace(one, outcome=Outcome.SCHEMA_ERROR) for one in _answers(a="1", b="1")], None),
    ],
    ids=["two", "most of three", "apart", "one right", "constant", "failed", "flagged", "drawn", "errors"],
)
def test_who_agrees_against_the_gold(answers: list[Sample], agreeing: tuple[str, ...] | None) -> None:
    found = suspects(answers)
    assert [one.pairs for one in found] == ([agreeing] if agreeing else [])
    assert all(one.asked == len(answers) for one in found)
    assert set(in_question(answers)) >= {one.sample.id for one in found}


def test_a_question_that_somebody_has_right_is_not_looked_at() -> None:
    assert in_question(_answers(a="", b="")) == [QUESTION.id]
    assert in_question(_answers(a="", b="", c=None)) == []
    assert in_question(_answers(a="")) == []


def test_score_writes_the_golds_in_doubt_with_their_databases(tmp_path: Path) -> None:
    golds = [
        "SELECT name FROM singer WHERE age < 40",  # the question asks for older ones
        "SELECT COUNT(*) FROM singer WHERE country = 'France'",
        "SELECT tall FROM singer",
        "SELECT name FROM singer WHERE age > 20",
    ]
    rows = [{"question": f"question {n}", "context": CONTEXT, "answer": gold} for n, gold in enumerate(golds)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    older, other = "SELECT name FROM singer WHERE age > 40", "SELECT name FROM singer WHERE 41 <= age"
    answers = {
        "a": [older, golds[1], "SELECT name FROM singer", "SELECT name FROM singer WHERE age > 21"],
        "b": [other, "SELECT COUNT(*) FROM singer", "SELECT name FROM singer", "SELECT name FROM singer"],
        "c": ["SELECT id FROM singer", "SELECT 0", "SELECT name FROM singer", "SELECT nam FROM singer"],
    }
    for name, sqls in answers.items():
        (tmp_path / f"{name}.sql").write_text("\n".join(sqls) + "\n", "utf-8")
    options = ScoreOptions(
        selection=Selection(data=tmp_path / "d.jsonl"),
        predictions=tuple(tmp_path / f"{name}.sql" for name in answers),
        judging=Judging(policy=False, witnesses=2, workers=1, cache=tmp_path / "cache"),
        output=tmp_path / "run",
        golds=tmp_path / "golds.csv",
    )
    result = score(options)
    (found,) = csv.DictReader(io.StringIO((tmp_path / "golds.csv").read_text("utf-8")))
    assert (found["id"], found["agree"], found["of"], found["pairs"]) == ("0", "2", "3", "a, b")
    assert (found["gold"], found["prediction"]) == (golds[0], older)
    assert found["gold_rows"] != found["prediction_rows"]
    assert found["database"].startswith("CREATE TABLE")
    facts = read_results(result.results_file).benchmarks[0].suite
    assert facts.suspects == ("0",)
    assert {id_: one["status"] for id_, one in facts.excluded.items()} == {"2": "broken"}
    assert len(facts.excluded["2"]["hash"]) == 16
    text = write_report(tmp_path / "run").read_text("utf-8")
    assert "## Golds in doubt" in text
    assert "| `0` | 2 of 3 | question 0 |" in text
