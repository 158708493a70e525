"""The benchmarks' own metrics, as their authors score them. Each follows a published evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.errors import UsageError
from harness.records import Benchmark, Prediction
from harness.scoring.official import bird, runner, spider, spider_execution, wikisql
from harness.scoring.official.base import Options, Score, Scorer
from harness.scoring.official.spider import hardness

__all__ = [
    "SCORERS",
    "Options",
    "Score",
    "Scorer",
    "explain_official",
    "flagged_golds",
    "hardness",
    "levels",
    "remarks",
    "score_official",
]

_WIKISQL = "https://github.com/salesforce/WikiSQL (evaluate.py, lib/dbengine.py, lib/query.py)"
_SPIDER = "https://github.com/taoyds/test-suite-sql-eval (evaluation.py, process_sql.py, exec_eval.py)"
_BIRD = "https://github.com/bird-bench/mini_dev (evaluation/evaluation_ex.py, evaluation_f1.py)"

SCORERS: Mapping[str, Scorer] = {
    scorer.name: scorer
    for scorer in (
        Scorer("wikisql_logical_form", _WIKISQL, wikisql.logical_form),
        Scorer("wikisql_execution", _WIKISQL, wikisql.execution, wikisql.remark),
        Scorer("spider_exact_set_match", _SPIDER, spider.exact_set_match, spider.remark, spider.levels),
        Scorer("spider_execution", _SPIDER, spider_execution.execution, runner.remark, spider.levels),
        Scorer("bird_ex", _BIRD, bird.scored(bird.execution_accuracy), runner.remark, bird.levels),
        Scorer("bird_soft_f1", _BIRD, bird.scored(bird.soft_f1), runner.remark, bird.levels),
    )
}


def explain_official(
    name: str,
    benchmark: Benchmark,
    predictions: Mapping[str, Prediction],
    *,
    options: Options | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Score]:
    """An official metric for every example of the benchmark, each score with its reason.

    An example without a prediction scores 0. Raises UsageError for a name that is none, BenchmarkError
    where the scorer needs a file that is not there.
    """
    scorer = _scorer(name)
    scores: dict[str, Score] = {}
    with scorer.open(benchmark, options or Options()) as judge:
        for example in benchmark.examples:
            prediction = predictions.get(example.id)
            sql = prediction.sql if prediction is not None else None
            scores[example.id] = judge(example, sql) if sql else Score(0.0, "no prediction")
            if progress is not None:
                progress(1)
    return scores


def score_official(
    name: str,
    benchmark: Benchmark,
    predictions: Mapping[str, Prediction],
    *,
    options: Options | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """An official metric, 0 to 1, for every example of the benchmark; see ``explain_official``."""
    scores = explain_official(name, benchmark, predictions, options=options, progress=progress)
    return {example_id: score.value for example_id, score in scores.items()}


def flagged_golds(name: str, benchmark: Benchmark, *, options: Options | None = None) -> dict[str, str]:
    """Examples whose gold does not score 1.0 as its own prediction, each with the reason."""
    golds = {e.id: Prediction(id=e.id, pair="gold", sql=e.gold) for e in benchmark.examples}
    scores = explain_official(name, benchmark, golds, options=options)
    return {example_id: score.note for example_id, score in scores.items() if score.value < 1}


def remarks(name: str, benchmark: Benchmark, *, options: Options | None = None) -> tuple[str, ...]:
    """Lines that belong beside a metric's figure: what was not as the published evaluator has it."""
    remark = _scorer(name).remark(benchmark, options or Options())
    return (f"{name}: {remark}",) if remark else ()


def levels(name: str, benchmark: Benchmark, *, options: Options | None = None) -> dict[str, str]:
    """The official difficulty of the examples by id: Spider's hardness, BIRD's difficulty; or {}."""
    return _scorer(name).levels(benchmark, options or Options())


def _scorer(name: str) -> Scorer:
    if name not in SCORERS:
        raise UsageError(f"there is no official metric {name!r}", f"choose one of: {', '.join(SCORERS)}")
    return SCORERS[name]
