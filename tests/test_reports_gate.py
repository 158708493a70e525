"""check: stops what is worse, lets through what is not, refuses what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import write_run

from harness.errors import DataError, HarnessError, RunError, UsageError
from harness.outcomes import Outcome
from harness.records import Rules, Sample
from harness.reports import check, write_baseline
from harness.reports.ci import comment
from harness.runs.results import read_results
from harness.scoring.metrics import marks

RIGHT, WRONG = Outcome.EXACT, Outcome.WRONG
BEFORE = [RIGHT] * 150 + [WRONG] * 50


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    run = write_run(tmp_path / "before", {"base": [WRONG] * 200, "starter": BEFORE})
    target = tmp_path / "baselines" / "starter.json"
    assert write_baseline(run, target) == ("base", "starter")
    return target


def after(tmp_path: Path, broken: int, fixed: int = 0, pair: str = "starter", **options: object) -> Path:
    ended = [WRONG] * broken + [RIGHT] * (150 - broken) + [RIGHT] * fixed + [WRONG] * (50 - fixed)
    answers = {"base": [WRONG] * 200, pair: ended}
    return write_run(tmp_path / f"after-{broken}-{fixed}-{pair}", answers, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "fixed", "passed", "why"),
    [
        (0, 0, True, "the same"),
        (5, 0, True, "five answers of 200 may be chance: p is 1/32, and there are two pairs"),
        (6, 0, False, "six may not: p is 1/64"),
        (12, 8, True, "two points lower, with changes either way"),
        (0, 30, True, "better"),
        (35, 24, True, "over the tolerance, and p is 0.1"),
        (30, 0, False, "much worse"),
    ],
)
def test_a_paired_gate(
    tmp_path: Path, baseline: Path, broken: int, fixed: int, passed: bool, why: str
) -> None:
    gate = check(after(tmp_path, broken, fixed), baseline)
    assert gate.passed is passed, why
    base, found = gate.findings
    assert (base.change.pair, base.change.value, base.regression) == ("base", 0.0, False)
    assert (found.change.pair, found.change.unpaired, found.regression) == ("starter", "", not passed)
    assert -found.change.drop == pytest.approx((fixed - broken) / 200)
    assert gate.lines[1].startswith(f"{found.word}: ")
    document = json.loads(json.dumps(gate.to_json()))
    assert document["passed"] is passed
    told = document["findings"][1]
    assert (told["n"], told["tolerance"]) == (200, 0.01)
    assert (told["flips"]["fixed"], told["flips"]["broken"]) == (fixed, broken)
    assert told["flips"]["broken_ids"] == [str(number) for number in range(broken)]
    assert told["reason"] in gate.lines[1]


def test_a_finding_has_the_score_with_no_assumption_and_with_all(tmp_path: Path) -> None:
    marked = [Outcome.TIE_ONLY] * 50 + [RIGHT] * 100 + [Outcome.REPEAT_PREDICTION] * 50
    before, now = (write_run(tmp_path / n, {"starter": rows}) for n, rows in (("a", BEFORE), ("b", marked)))
    write_baseline(before, tmp_path / "kept.json")
    gate = check(now, tmp_path / "kept.json", metrics=("execution_accuracy", "valid_sql"))
    first, other = gate.findings
    assert (first.change.strict, first.change.lenient) == ((0.75, 0.5), (0.75, 1.0))
    assert "(75.0 to 50.0 with no assumption, 75.0 to 100.0 with all)" in gate.lines[0]
    assert first.to_json()["lenient"] == (0.75, 1.0)
    assert other.change.strict is None
    assert "75.0 to 50.0 with no assumption" in comment(gate)


def test_few_examples_are_inconclusive(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"p": [RIGHT] * 10})
    new = write_run(tmp_path / "b", {"p": [RIGHT] * 9 + [WRONG]})
    gate = check(new, old)
    assert gate.passed
    assert gate.inconclusive
    assert gate.lines[0].startswith("INCONCLUSIVE: ")
    assert "too few questions to show a drop of the tolerance of 1.0 points: so many show " in gate.lines[0]
    assert "with --strict it fails" in gate.lines[-1]
    assert not check(new, old, strict=True).passed
    assert check(new, old, tolerance=0.9, strict=True).passed, "so large a drop would be seen"


def test_the_same_answers_are_no_worse_whatever_the_power(tmp_path: Path) -> None:
    """600 questions show drops of 1.2 points at best, and yet nothing at all has changed."""
    run = write_run(tmp_path / "a", {"p": [RIGHT] * 600})
    (found,) = check(run, run, strict=True).findings
    assert found.smallest > 0.01
    assert found.word == "ok"
    few = write_run(tmp_path / "b", {"p": [RIGHT] * 40})
    assert [one.word for one in check(few, few).findings] == ["INCONCLUSIVE"]


def test_many_tests_are_one_check(tmp_path: Path) -> None:
    """Holm: the same change passes beside four other metrics, none of which moved."""
    old = write_run(tmp_path / "a", {"p": BEFORE})
    new = write_run(tmp_path / "b", {"p": [WRONG] * 6 + BEFORE[6:]})
    assert not check(new, old).passed
    more = ("execution_accuracy", "valid_sql", "schema_adherence", "raw_match")
    gate = check(new, old, metrics=more)
    assert gate.passed
    assert gate.findings[0].p == pytest.approx(4 / 64)
    assert gate.findings[0].reason.endswith("may well be chance") or gate.findings[0].inconclusive


def test_a_pair_alone_becomes_the_baseline(tmp_path: Path, baseline: Path) -> None:
    run = after(tmp_path, 0)
    target = tmp_path / "one.json"
    assert write_baseline(run, target, pair="starter") == ("starter",)
    kept = json.loads(target.read_text("utf-8"))
    assert list(kept["results"]["starter"]) == list(kept["pairs"]) == ["starter"]
    assert list(kept["marks"]["starter"]) == ["ids", "starter"]
    assert [found.change.pair for found in check(run, target).findings] == ["starter"]
    with pytest.raises(UsageError, match="has no pair 'stater'"):
        write_baseline(run, target, pair="stater")


def test_a_baseline_of_a_newer_version_is_refused(tmp_path: Path, baseline: Path) -> None:
    kept = json.loads(baseline.read_text("utf-8"))
    baseline.write_text(json.dumps({**kept, "harness": "99.10.0"}), "utf-8")
    with pytest.raises(DataError, match=r"written by harness 99\.10\.0, newer than this one"):
        check(after(tmp_path, 0), baseline)


def test_a_bare_results_file_is_compared_unpaired(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"p": BEFORE})
    bare = tmp_path / "results.json"
    kept = json.loads(next(old.glob("results_*.json")).read_text("utf-8"))
    bare.write_text(json.dumps({**kept, "marks": {}}), "utf-8")
    gate = check(write_run(tmp_path / "b", {"p": [WRONG] * 6 + BEFORE[6:]}), bare)
    assert gate.passed, "six of 200 are not settled without knowing which"
    assert "(Fisher, unpaired: the baseline keeps no mark a question)" in gate.lines[0]
    assert not check(write_run(tmp_path / "c", {"p": [WRONG] * 20 + BEFORE[20:]}), bare).passed


def test_flagged_golds_do_not_count(tmp_path: Path, baseline: Path) -> None:
    gate = check(after(tmp_path, 30, flagged={str(number): "broken" for number in range(30)}), baseline)
    assert gate.passed
    assert gate.findings[1].change.value == pytest.approx(120 / 170)


def test_an_adapter_may_bear_another_name(tmp_path: Path, baseline: Path) -> None:
    gate = check(after(tmp_path, 30, pair="starter-v2"), baseline)
    assert not gate.passed
    assert "starter-v2 (the baseline's starter)" in gate.lines[1]


def test_the_base_is_gated_too(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", {"base": BEFORE, "starter": BEFORE})
    new = write_run(tmp_path / "b", {"base": [WRONG] * 200, "starter": BEFORE})
    assert [(found.change.pair, found.regression) for found in check(new, old).findings] == [
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
    assert [found.change.pair for found in check(new, old, pair="x").findings] == ["x"]


def test_other_metrics_and_pairs(tmp_path: Path, baseline: Path) -> None:
    gate = check(after(tmp_path, 20), baseline, metrics=("execution_accuracy", "exact_match", "valid_sql"))
    assert {found.change.unpaired for found in gate.findings} == {""}
    assert [
        (found.change.metric, found.regression) for found in gate.findings if found.change.pair == "starter"
    ] == [
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
    old = tmp_path / "baseline.json"
    write_baseline(folder, old)
    kept = json.loads(old.read_text("utf-8"))["marks"]["starter"]["p"]
    assert kept["execution_accuracy"] == "x" + "1" * 149 + "0" * 50
    assert kept["execution_accuracy_all"] == "1" * 150 + "0" * 50
    assert kept["schema_adherence"] == "1" * 200
    assert kept["spider_exact_set_match"] == "01" * 100
    metrics = tuple(read_results(folder).benchmarks[0].pairs[0].metrics)
    gate = check(folder, old, metrics=metrics)
    assert gate.passed
    assert {
        found.change.metric: found.change.unpaired for found in gate.findings if found.change.unpaired
    } == {
        "bird_soft_f1": "the baseline has no 0 or 1 a question for it",
    }
    for found in gate.findings:
        assert found.change.value == pytest.approx(found.change.baseline)


def test_the_baseline_is_small_and_a_results_file(baseline: Path) -> None:
    assert baseline.stat().st_size < 14_000
    kept = json.loads(baseline.read_text("utf-8"))["marks"]["starter"]
    assert kept["starter"]["execution_accuracy"] == "1" * 150 + "0" * 50
    assert kept["ids"][:3] == ["0", "1", "2"]
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


def test_verdicts_of_another_version_are_told(tmp_path: Path, baseline: Path) -> None:
    kept = json.loads(baseline.read_text("utf-8"))
    kept["configs"]["starter"]["verdicts"] = 0
    baseline.write_text(json.dumps(kept), "utf-8")
    gate = check(after(tmp_path, 0), baseline)
    assert gate.passed
    assert gate.lines[0].startswith(
        "Note: the baseline's verdicts on starter are of version 0, the run's of "
    )


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
    samples = list(read_results(folder).samples("starter"))
    more = [replace(one, sample=1, outcome=WRONG if one.id == "3" else one.outcome) for one in samples]
    folder = write_run(tmp_path / "b", {"p": [RIGHT] * 8}, marks={"starter": marks([*samples, *more])})
    gate = check(folder, folder, metrics=("execution_accuracy", "valid_sql"))
    assert [found.change.unpaired for found in gate.findings] == [
        "the baseline has no 0 or 1 a question for it",
        "",
    ]


def test_nothing_counted_is_no_pass(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {"p": [RIGHT] * 3}, flagged={str(n): "broken" for n in range(3)})
    write_baseline(folder, tmp_path / "baseline.json")
    for baseline in (folder, tmp_path / "baseline.json"):
        with pytest.raises(RunError, match="share no counted example of starter"):
            check(folder, baseline)
