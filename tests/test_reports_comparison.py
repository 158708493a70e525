"""compare: paired by id, honest about what else differs."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import RULES, outcomes, write_run

from harness.errors import RunError, UsageError
from harness.outcomes import Outcome
from harness.records import Rules, Sample
from harness.reports import Comparisons, compare, compare_all

RIGHT, WRONG = Outcome.EQUIVALENT, Outcome.WRONG


def test_counts_by_hand(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"p": [RIGHT, RIGHT, WRONG, WRONG, RIGHT, WRONG]})
    b = write_run(tmp_path / "b", {"p": [RIGHT, WRONG, RIGHT, RIGHT, RIGHT, WRONG]}, flagged={"3": "broken"})
    found = compare(a, b)
    assert (found.difference.n, found.difference.fixed, found.difference.broken) == (5, 1, 1)
    assert [change.id for change in found.fixed] == ["2"]
    assert [change.id for change in found.broken] == ["1"]
    assert (found.accuracy_a, found.accuracy_b) == (0.6, 0.6)
    assert found.remarks == ("examples left out for a flagged gold: 1",)
    assert {kind: d.n for kind, d in found.kinds.items()} == {"aggregate": 2, "filter": 2, "join": 1}
    assert "p (b) (60.0 %) is not distinguishable from p (a) (60.0 %) on 5 questions" in found.sentence()
    document = json.loads(json.dumps(found.to_json()))
    assert document["difference"]["fixed"] == 1
    assert document["broken"][0]["outcome_after"] == "wrong"
    text = Comparisons(found=(found,)).to_markdown()
    assert "## Broken (1)" in text
    assert "| `1` |" in text


def test_an_answer_that_is_missing_is_called_so(tmp_path: Path) -> None:
    def silent(made: Sample) -> Sample:
        empty = "" if made.outcome is Outcome.SYNTAX_ERROR else None
        return replace(made, prediction=empty)

    a = write_run(tmp_path / "a", {"p": [Outcome.MISSING] * 2 + [Outcome.SYNTAX_ERROR]}, change=silent)
    text = compare_all([a, write_run(tmp_path / "b", {"p": [RIGHT] * 3})]).to_markdown()
    assert text.count("| missing: (no prediction) | equivalent: `SELECT") == 2
    assert text.count("| syntax error: (empty) | equivalent: `SELECT") == 1


def test_base_and_adapter_of_one_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {"base": [WRONG] * 40, "starter": [RIGHT] * 40, "rule": [WRONG] * 40})
    found = compare(run)
    assert (found.name_a, found.name_b, found.difference.value) == ("base", "starter", 1.0)
    assert "starter (100.0 %) is better than base (0.0 %)" in found.sentence()
    assert compare(run, pair_a="starter", pair_b="rule").difference.value == -1


def test_five_fixed_are_not_yet_better(tmp_path: Path) -> None:
    """Tango's interval already leaves out 0 there, the exact test does not: the cautious one counts."""
    a = write_run(tmp_path / "a", {"p": [WRONG] * 5 + [RIGHT] * 195})
    found = compare(a, write_run(tmp_path / "b", {"p": [RIGHT] * 200}))
    assert found.difference.low > 0
    assert "not distinguishable" in found.sentence()
    found = compare(a, write_run(tmp_path / "c", {"p": [RIGHT] * 5 + [WRONG] * 20 + [RIGHT] * 175}))
    assert "is worse than" in found.sentence()


@pytest.mark.parametrize(
    ("before", "after", "strict", "lenient", "words"),
    [
        ([WRONG] * 40, [RIGHT] * 30 + [WRONG] * 10, 0.75, 0.75, "is better than"),
        ([WRONG] * 40, [Outcome.REPEAT_PREDICTION] * 10 + [RIGHT] * 30, 0.75, 1.0, "is better than"),
        ([RIGHT] * 10 + [WRONG] * 30, [RIGHT] * 10 + [Outcome.NULL_ONLY] * 30, 0.0, 0.75, "not distinguish"),
        ([Outcome.REPEAT_PREDICTION] * 40, [RIGHT] * 30 + [WRONG] * 10, 0.75, -0.25, "not distinguish"),
    ],
    ids=["proved", "more with all", "under an assumption alone", "fewer with all"],
)
def test_better_takes_the_same_sign_with_no_assumption_and_with_all(
    tmp_path: Path, before: list[Outcome], after: list[Outcome], strict: float, lenient: float, words: str
) -> None:
    found = compare(write_run(tmp_path / "a", {"base": before, "starter": after}))
    assert found.adjusted_p < 0.001
    assert (found.strict.value, found.lenient.value) == (strict, lenient)
    assert words in found.sentence()
    assert ("so it hangs on them" in found.sentence()) is ("not" in words)
    assert found.to_json()["strict"]["value"] == strict
    assert "with no assumption" in Comparisons(found=(found,)).to_markdown()


def test_the_screens_table_has_both_bounds(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {"base": [WRONG] * 4, "starter": [RIGHT, Outcome.TIE_ONLY, WRONG, WRONG]})
    _, heads, ((*cells,),) = compare_all([run]).table()
    shown = dict(zip(heads, cells, strict=True))
    assert (shown["strict"], shown["points"], shown["lenient"]) == ("+25.0", "+50.0", "+50.0")


def test_several_adapters_have_to_be_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {name: outcomes(8, 0.5, 1) for name in ("base", "x", "y")})
    with pytest.raises(UsageError, match="name one with --pair-b: x, y"):
        compare(run)
    with pytest.raises(UsageError, match="no pair 'z'"):
        compare(run, pair_b="z")
    assert compare(run, pair_b="y").name_b == "y"


def test_the_other_runs_pair_of_the_same_name(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {name: outcomes(8, 0.5, 1) for name in ("base", "x", "y")})
    b = write_run(tmp_path / "b", {"base": outcomes(8, 0.5, 1), "y": outcomes(8, 0.5, 2)})
    assert compare(a, b).name_a == "y (a)"
    assert compare(b, a, pair_a="y").name_b == "y (a)"
    with pytest.raises(UsageError, match="--pair-b: base, x, y"):
        compare(b, a)


def test_other_data_is_refused(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"p": [RIGHT] * 4})
    b = write_run(tmp_path / "b", {"p": [RIGHT] * 4}, data_hash="e" * 64)
    with pytest.raises(RunError, match="different examples of starter"):
        compare(a, b)


def test_two_variants_of_a_benchmark(tmp_path: Path) -> None:
    """The same questions put in another way: here one of them is another question."""

    def other(made: Sample) -> Sample:
        if made.id != "1":
            return made
        return replace(made, question="Something else?")

    a = write_run(tmp_path / "a", {"p": [RIGHT] * 4})
    b = write_run(tmp_path / "b", {"p": [WRONG] * 4}, name="variant", data_hash="e" * 64, change=other)
    found = compare(a, b)
    assert (found.benchmark, found.difference.n, found.difference.broken) == ("starter → variant", 3, 3)
    assert found.remarks[0] == "the benchmarks differ (starter and variant)"
    c = write_run(
        tmp_path / "c",
        {"p": [RIGHT] * 2},
        name="foreign",
        change=lambda made: replace(made, question="?"),
    )
    with pytest.raises(RunError, match="starter and foreign share no question"):
        compare(a, c)
    with pytest.raises(RunError, match="has no benchmark 'starter'"):
        compare(a, c, benchmark="starter")


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    pairs = {
        "p": {"base": "b", "prompt": {"system": "You are terse.", "user": "{question}", "origin": "adapter"}}
    }
    a = write_run(tmp_path / "a", {"p": [RIGHT] * 4}, rules=RULES)
    b = write_run(
        tmp_path / "b",
        {"p": [RIGHT] * 4},
        rules=Rules(case="exact"),
        pairs=pairs,
        config={"quantization": "none"},
    )
    remarks = compare(a, b).remarks
    assert remarks[0].startswith("the prompts differ (")
    assert "system: 'You are a SQL expert.' and 'You are terse.'" in remarks[0]
    assert remarks[1] == "the rules of the verdict differ (case: 'ignore' and 'exact')"
    assert remarks[2] == "the settings differ (quantization: 'nf4' and 'none')"


def test_three_runs_meet_each_other(tmp_path: Path) -> None:
    """Six broken of forty alone pass for a difference; among three tests they do not."""
    ended = {"a": [RIGHT] * 40, "b": [WRONG] * 6 + [RIGHT] * 34, "c": [RIGHT] * 40}
    runs = [write_run(tmp_path / name, {"p": outcome}) for name, outcome in ended.items()]
    found = compare_all(runs)
    assert [(one.name_a, one.name_b) for one in found.found] == [
        ("p (a)", "p (b)"),
        ("p (a)", "p (c)"),
        ("p (b)", "p (c)"),
    ]
    assert found.found[0].difference.p == pytest.approx(1 / 32)
    assert found.found[0].adjusted_p == pytest.approx(3 / 32)
    assert "not distinguishable" in found.found[0].sentence()
    assert "over all comparisons" in found.found[0].sentence()
    assert "is worse than" in compare_all(runs[:2]).found[0].sentence()
    assert len(found.to_json()["comparisons"]) == 3
    assert compare_all(runs[:2]).to_json()["difference"]["broken"] == 6
    with pytest.raises(UsageError, match="are of two runs"):
        compare_all(runs, pair_a="p")


def test_pairs_of_one_run_meet_each_other(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {name: outcomes(8, 0.5, 1) for name in ("base", "x", "y")})
    assert len(compare_all([run]).found) == 3
    assert len(compare_all([run], pair_b="y").found) == 1


def test_every_flip_can_be_listed_and_written(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"p": [RIGHT] * 30 + [WRONG] * 2})
    found = compare_all([a, write_run(tmp_path / "b", {"p": [WRONG] * 30 + [RIGHT] * 2})])
    told = [line.split()[0] for line in found.lines(flips=True) if line.startswith(("broken ", "fixed "))]
    assert told == ["broken"] * 30 + ["fixed"] * 2
    found.write_csv(tmp_path / "flips.csv")
    rows = list(csv.DictReader((tmp_path / "flips.csv").read_text("utf-8").splitlines()))
    assert [row["change"] for row in rows] == told
    assert rows[0]["id"] == "0"
    assert rows[0]["pair_after"] == "p (b)"
    assert len(found.table()[2]) == 1


def test_questions_of_one_schema_are_not_independent(tmp_path: Path) -> None:
    """All that broke lies in one schema of ten: with other schemas it might have been none, or all."""

    def grouped(made: Sample) -> Sample:
        return replace(made, db_id=str(int(made.id) // 20))

    a = write_run(tmp_path / "a", {"p": [RIGHT] * 200}, change=grouped)
    b = write_run(tmp_path / "b", {"p": [WRONG] * 20 + [RIGHT] * 180}, change=grouped)
    found = compare(a, b)
    assert found.by_schema is not None
    assert found.by_schema.clusters == 10
    assert found.by_schema.low < found.difference.low < found.difference.high < found.by_schema.high == 0
    alone = write_run(tmp_path / "c", {"p": [RIGHT] * 9}, change=lambda made: replace(made, db_id=made.id))
    assert compare(alone, alone, pair_a="p", pair_b="p").by_schema is None
