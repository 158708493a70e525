"""The benchmarks' own metrics, as their authors score them. Each follows a published evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from harness.errors import UsageError
from harness.records import Benchmark
from harness.scoring.official.scorer import Options, Score, Scorer

__all__ = ["SCORERS", "Options", "Score", "Scorer", "open_scorer"]

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

SCORERS: Mapping[str, type[Scorer]] = Scorer.named
"""Every official metric by its name: a scorer is there by standing in a module of this folder."""


def open_scorer(name: str, benchmark: Benchmark, options: Options | None = None) -> Scorer:
    """An official metric, ready to score the benchmark's predictions; to be closed, or used in a ``with``.

    Raises UsageError for a name that is none, BenchmarkError where what it needs is not there.
    """
    if name not in SCORERS:
        raise UsageError(f"there is no official metric {name!r}", f"choose one of: {', '.join(SCORERS)}")
    return SCORERS[name](benchmark, options or Options())
