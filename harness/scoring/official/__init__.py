"""The benchmarks' own metrics, as their authors score them. Each follows a published evaluator."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UsageError
from harness.records import Benchmark
from harness.scoring.official import bird, spider_exact_set, spider_execution, wikisql
from harness.scoring.official.scorer import Options, Score, Scorer

__all__ = ["SCORERS", "Options", "Score", "Scorer", "open_scorer"]

SCORERS: Mapping[str, type[Scorer]] = {
    scorer.name: scorer
    for scorer in (
        wikisql.LogicalForm,
        wikisql.Execution,
        spider_exact_set.SpiderExactSetMatch,
        spider_execution.SpiderExecution,
        bird.ExecutionAccuracy,
        bird.SoftF1,
    )
}


def open_scorer(name: str, benchmark: Benchmark, options: Options | None = None) -> Scorer:
    """An official metric, ready to score the benchmark's predictions; to be closed, or used in a ``with``.

    Raises UsageError for a name that is none, BenchmarkError where what it needs is not there.
    """
    if name not in SCORERS:
        raise UsageError(f"there is no official metric {name!r}", f"choose one of: {', '.join(SCORERS)}")
    return SCORERS[name](benchmark, options or Options())
