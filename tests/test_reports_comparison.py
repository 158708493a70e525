"""compare: paired by id, honest about what else differs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import RULES, outcomes, write_run

from harness.errors import RunError, UsageError
from harness.records import Outcome, Rules, Sample
from harness.reports import compare

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
    text = found.to_markdown()
    assert "## Broken (1)" in text
    assert "| `1` |" in text


def test_an_answer_that_is_missing_is_called_so(tmp_path: Path) -> None:
    def silent(made: Sample) -> Sample:
        empty = "" if made.outcome is Outcome.SYNTAX_ERROR else None
        return replace(made, prediction=empty)

    a = write_run(tmp_path / "a", {"p": [Outcome.MISSING] * 2 + [Outcome.SYNTAX_ERROR]}, change=silent)
    text = compare(a, write_run(tmp_path / "b", {"p": [RIGHT] * 3})).to_markdown()
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
