"""What is said of a run before any figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import examples, sample

from harness.models.extract import extract_sql
from harness.outcomes import Outcome
from harness.records import Sample
from harness.runs.remarks import remarks

MISSING, DENIED, RIGHT = Outcome.MISSING, Outcome.DENIED, Outcome.EXACT


def answers(*ended: Outcome, pair: str = "p") -> list[Sample]:
    return [sample(example, pair, one) for example, one in zip(examples(len(ended)), ended, strict=True)]


def test_answers_without_a_query_name_the_prompt() -> None:
    (said,) = remarks(
        [*answers(*[MISSING] * 5, *[DENIED] * 2, *[RIGHT] * 3), *answers(*[RIGHT] * 10, pair="q")]
    )
    assert said.startswith("Most answers of p hold no query (missing 50 %, denied 20 %)")
    assert "--prompt FILE" in said
    assert remarks(answers(*[MISSING] * 4, *[RIGHT] * 6)) == []
    assert remarks([]) == []


@pytest.mark.parametrize(
    "text",
    [
        "Explain that the table has no such column.",
        "Drop me a line if you need more.",
        "Vacuum cleaners are not in the schema.",
        "I am sorry, I cannot answer that.",
    ],
)
def test_prose_is_no_query(text: str) -> None:
    assert extract_sql(text).sql is None


@pytest.mark.parametrize("text", ["DROP TABLE t", "VACUUM;", "PRAGMA user_version"])
def test_what_is_no_select_is_still_handed_on(text: str) -> None:
    assert extract_sql(text).sql == text.rstrip(";")


def test_contexts_that_hold_a_part_are_told() -> None:
    def part(made: Sample) -> Sample:
        return replace(made, db_id="d", context=f"CREATE TABLE t (c{made.id} TEXT)")

    made = [part(one) for one in answers(*[Outcome.SCHEMA_ERROR] * 3, *[RIGHT] * 7)]
    (said,) = remarks(made)
    assert "10 of 10 questions hold only a part of their database" in said
    assert "p 30 % of all answers" in said
    assert remarks([replace(one, database=Path("d.sqlite")) for one in made]) == []
    assert remarks([replace(one, context="CREATE TABLE t (c TEXT)") for one in made]) == []
    whole = "CREATE TABLE t (name VARCHAR, age INTEGER, more TEXT)"
    wide = [replace(one, db_id=None, meta={"full_context": whole}) for one in made]
    assert len(remarks(wide)) == 1
