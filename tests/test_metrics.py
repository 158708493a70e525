"""Shares, their intervals, and what counts in which metric."""

from __future__ import annotations

import pytest

from harness.measures import Metric
from harness.outcomes import Outcome
from harness.records import Example, Prediction, Sample, Verdict
from harness.scoring.metrics import breakdown, share, summarise, wilson


def sample(id_: str, outcome: Outcome, *, pair: str = "p", number: int = 0, **verdict: object) -> Sample:
    return Sample.of(
        Example(id=id_, question="?", context="", gold="", kind="filter", meta={"groups": {"seen": "no"}}),
        Prediction(id=id_, pair=pair, sql="SELECT 1", sample=number),
        Verdict(id=id_, pair=pair, outcome=outcome, sample=number, **verdict),  # type: ignore[arg-type]
    )


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for successes, n in [(0, 5), (3, 7), (80, 100), (612, 1034)]:
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson(successes, n) == pytest.approx((expected.low, expected.high))


def test_flagged_golds_are_excluded_from_the_headline_and_counted_beside_it() -> None:
    samples = [
        sample("1", Outcome.EXACT, exact_match=True),
        sample("2", Outcome.WRONG),
        sample("3", Outcome.INDISTINGUISHABLE, gold_status="uninformative"),
    ]
    metrics = summarise(samples)["p"]
    assert metrics["execution_accuracy"][0] == 0.5
    assert (metrics["execution_accuracy"].n, metrics["execution_accuracy"].excluded) == (2, 1)
    assert metrics["execution_accuracy_all"].value == pytest.approx(2 / 3)
    assert metrics["execution_accuracy_all"].excluded == 0
    assert metrics["exact_match"].value == 0.5


def test_format_compliance_is_absent_where_no_completion_is_known() -> None:
    assert "format_compliance" not in summarise([sample("1", Outcome.EXACT)])["p"]
    known = summarise([sample("1", Outcome.EXACT, format_compliance=False)])["p"]
    assert known["format_compliance"].value == 0.0


def test_official_metrics_count_every_example() -> None:
    samples = [
        sample("1", Outcome.EXACT, official={"bird_soft_f1": 1.0}),
        sample("2", Outcome.WRONG, official={"bird_soft_f1": 0.5}, gold_status="broken"),
    ]
    metric = summarise(samples)["p"]["bird_soft_f1"]
    assert (metric.value, metric.n) == (0.75, 2)
    assert metric.low < 0.75 < metric.high


def test_several_samples_give_pass_at_k_and_the_majority_of_results() -> None:
    samples = [
        sample("1", Outcome.WRONG, number=0, signature="a"),
        sample("1", Outcome.EXACT, number=1, signature="b", exact_match=True),
        sample("1", Outcome.EXACT, number=2, signature="b"),
        sample("2", Outcome.EXACT, number=0, signature="c"),
        sample("2", Outcome.WRONG, number=1, signature="d"),
        sample("2", Outcome.WRONG, number=2, signature="d"),
    ]
    metrics = summarise(samples)["p"]
    assert metrics["execution_accuracy"].value == pytest.approx(0.5)
    assert metrics["execution_accuracy"].n == 2
    assert metrics["pass@3"].value == 1.0
    assert metrics["majority_vote"].value == 0.5


def test_breakdown_counts_outcomes_causes_and_groups() -> None:
    table = breakdown(
        [
            sample("1", Outcome.EXACT, official={"spider_execution": 1.0}),
            sample("2", Outcome.WRONG, cause="literal", official={"spider_execution": 0.0}),
        ]
    )["p"]
    assert table["outcome"] == {"exact": 1, "wrong": 1}
    assert table["cause"] == {"literal": 1}
    assert isinstance(kind := table["kind"]["filter"], Metric)
    assert kind.value == 0.5
    assert table["seen"].keys() == {"no"}
    assert isinstance(official := table["spider_execution"]["filter"], Metric)
    assert official.n == 2


def test_nothing_counted_is_a_share_of_unknown_size() -> None:
    assert share([]) == Metric(0.0, 0.0, 1.0, 0)
