"""check: stops what is worse, lets through what is not, refuses what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import write_run

from harness.errors import DataError, HarnessError, RunError, UsageError
from harness.records import Outcome, Rules, Sample
from harness.reports import check, write_baseline
from harness.runs.results import read_results

RIGHT, WRONG = Outcome.EXACT, Outcome.WRONG
BEFORE = [RIGHT] * 150 + [WRONG] * 50


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    run = write_run(tmp_path / "before", {"base": [WRONG] * 200, "starter": BEFORE})
    return write_baseline(run, tmp_path / "baselines" / "starter.json")


def after(tmp_path: Path, broken: int, fixed: int = 0, pair: str = "starter", **options: object) -> Path:
    ended = [WRONG] * broken + [RIGHT] * (150 - broken) + [RIGHT] * fixed + [WRONG] * (50 - fixed)
    answers = {"base": [WRONG] * 200, pair: ended}
    return write_run(tmp_path / f"after-{broken}-{fixed}-{pair}", answers, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "fixed", "passed", "why"),
    [
        (0, 0, True, "the same"),
        (4, 0, True, "four answers of 200 may be chance: p is 1/16"),
        (5, 0, False, "five may not: p is 1/32"),
        (12, 8, True, "two points lower, with changes either way"),
        (0, 30, True, "better"),
        (35, 24, False, "over the tolerance though p is 0.1"),
        (30, 0, False, "much worse"),
    ],
)
def test_a_paired_gate(
    tmp_path: Path, baseline: Path, broken: int, fixed: int, passed: bool, why: str
) -> None:
    gate = check(after(tmp_path, broken, fixed), baseline)
    assert gate.passed is passed, why
    base, found = gate.findings
    assert (base.pair, base.value, base.regression) == ("base", 0.0, False)
    assert (found.pair, found.unpaired, found.regression) == ("starter", "", not passed)
    assert found.value - found.baseline == pytest.approx((fixed - broken) / 200)
    assert gate.lines[1].startswith("ok: " if passed else "REGRESSION: ")
    assert json.loads(json.dumps(gate.to_json()))["passed"] is passed


def test_few_examples_fail_by_the_tolerance(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"p": [RIGHT] * 10})
    new = write_run(tmp_path / "b", {"p": [RIGHT] * 9 + [WRONG]})
    assert not check(new, old).passed
    assert check(new, old, tolerance=0.2).passed
    assert "more than the tolerance of 5.0 %" in check(new, old).lines[0]


def test_a_bare_results_file_is_compared_unpaired(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"p": BEFORE})
    bare = tmp_path / "results.json"
    bare.write_bytes(next(old.glob("results_*.json")).read_bytes())
    gate = check(write_run(tmp_path / "b", {"p": [WRONG] * 6 + BEFORE[6:]}), bare)
    assert gate.passed, "six of 200 are not settled without knowing which"
    assert "(Fisher, unpaired: the baseline keeps no mark a question)" in gate.lines[0]
    assert not check(write_run(tmp_path / "c", {"p": [WRONG] * 20 + BEFORE[20:]}), bare).passed


def test_flagged_golds_do_not_count(tmp_path: Path, baseline: Path) -> None:
    gate = check(after(tmp_path, 30, flagged={str(number): "broken" for number in range(30)}), baseline)
    assert gate.passed
    assert gate.findings[1].value == pytest.approx(120 / 170)


def test_an_adapter_may_bear_another_name(tmp_path: Path, baseline: Path) -> None:
    gate = check(after(tmp_path, 30, pair="starter-v2"), baseline)
    assert not gate.passed
    assert "starter-v2 (the baseline's starter)" in gate.lines[1]


def test_the_base_is_gated_too(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"base": BEFORE, "starter": BEFORE})
    new = write_run(tmp_path / "b", {"base": [WRONG] * 200, "starter": BEFORE})
    assert [(found.pair, found.regression) for found in check(new, old).findings] == [
        ("base", True),
        ("starter", False),
    ]
    assert check(new, old, pair="starter").passed
    alone = write_run(tmp_path / "c", {"starter": BEFORE})
    with pytest.raises(UsageError, match="no pair 'base' on starter"):
        check(alone, old)
    with pytest.raises(UsageError, match="no pair 'base' on starter"):
        check(new, alone, pair="base")


def test_an_adapter_of_several_may_not_go_missing(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"base": [WRONG] * 20, "x": [RIGHT] * 20, "y": [WRONG] * 20})
    new = write_run(tmp_path / "b", {"base": [WRONG] * 20, "x": [RIGHT] * 20})
    with pytest.raises(UsageError, match="no pair 'y' on starter"):
        check(new, old)
    assert [found.pair for found in check(new, old, pair="x").findings] == ["x"]


def test_other_metrics_and_pairs(tmp_path: Path, baseline: Path) -> None:
    gate = check(after(tmp_path, 20), baseline, metrics=("execution_accuracy", "exact_match", "valid_sql"))
    assert {found.unpaired for found in gate.findings} == {""}
    assert [(found.metric, found.regression) for found in gate.findings if found.pair == "starter"] == [
        ("execution_accuracy", True),
        ("exact_match", True),
        ("valid_sql", False),
    ]
    assert check(after(tmp_path, 21), baseline, pair="base").passed


def test_every_binary_metric_is_paired(tmp_path: Path) -> None:
    """Among them an official one; where a metric has other values too, the gate says why it is not."""

    def scored(made: Sample) -> Sample:
        even = float(int(made.id) % 2)
        official = {"spider_exact_set_match": even, "bird_soft_f1": even / 2}
        return replace(made, official=official)

    folder = write_run(tmp_path / "a", {"p": BEFORE}, flagged={"0": "broken"}, change=scored)
    old = write_baseline(folder, tmp_path / "baseline.json")
    marks = json.loads(old.read_text("utf-8"))["marks"]["starter"]["p"]
    assert marks["execution_accuracy"] == "x" + "1" * 149 + "0" * 50
    assert marks["execution_accuracy_all"] == "1" * 150 + "0" * 50
    assert marks["schema_adherence"] == "1" * 200
    assert marks["spider_exact_set_match"] == "01" * 100
    metrics = tuple(read_results(folder).benchmarks[0].pairs[0].metrics)
    gate = check(folder, old, metrics=metrics)
    assert gate.passed
    assert {found.metric: found.unpaired for found in gate.findings if found.unpaired} == {
        "bird_soft_f1": "the baseline has no 0 or 1 a question for it",
    }
    for found in gate.findings:
        assert found.value == pytest.approx(found.baseline)


def test_the_baseline_is_small_and_a_results_file(baseline: Path) -> None:
    assert baseline.stat().st_size < 14_000
    marks = json.loads(baseline.read_text("utf-8"))["marks"]["starter"]
    assert marks["starter"]["execution_accuracy"] == "1" * 150 + "0" * 50
    assert marks["ids"][:3] == ["0", "1", "2"]
    assert read_results(baseline).benchmark("starter").reference == "base"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data_hash": "e" * 64}, RunError, "has other examples of starter"),
        ({"rules": Rules(case="exact")}, RunError, "has other rules of the verdict"),
        ({"name": "another"}, RunError, "has no benchmark 'starter'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, baseline: Path, options: dict[str, object], error: type[HarnessError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(after(tmp_path, 0, **options), baseline)


def test_bad_options(tmp_path: Path, baseline: Path) -> None:
    run = after(tmp_path, 0)
    with pytest.raises(UsageError, match="out of range"):
        check(run, baseline, tolerance=5)
    with pytest.raises(UsageError, match="the metric 'beauty'; they have: execution_accuracy"):
        check(run, baseline, metrics=("beauty",))
    with pytest.raises(UsageError, match="no pair 'x'"):
        check(run, baseline, pair="x")


def test_a_malformed_baseline_is_named(tmp_path: Path, baseline: Path) -> None:
    data = json.loads(baseline.read_text("utf-8"))
    data["marks"]["starter"]["starter"]["execution_accuracy"] = "101"
    baseline.write_text(json.dumps(data), "utf-8")
    with pytest.raises(DataError, match=r"marks in .*starter\.json are malformed"):
        check(after(tmp_path, 0), baseline)
    with pytest.raises(DataError, match=r"absent\.json cannot be read"):
        check(after(tmp_path, 0), tmp_path / "absent.json")


def test_samples_that_part_are_not_paired(tmp_path: Path) -> None:
    """The metric is their mean: the first sample alone must not stand for it."""
    folder = write_run(tmp_path / "a", {"p": [RIGHT] * 8})
    path = next(folder.glob("samples_*"))
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    more = [{**row, "sample": 1, "outcome": "wrong" if row["id"] == "3" else row["outcome"]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows + more), "utf-8")
    gate = check(folder, folder, metrics=("execution_accuracy", "valid_sql"))
    assert [found.unpaired for found in gate.findings] == ["the baseline has no 0 or 1 a question for it", ""]


def test_nothing_counted_is_no_pass(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {"p": [RIGHT] * 3}, flagged={str(n): "broken" for n in range(3)})
    for baseline in (folder, write_baseline(folder, tmp_path / "baseline.json")):
        with pytest.raises(RunError, match="share no counted example of starter"):
            check(folder, baseline)
