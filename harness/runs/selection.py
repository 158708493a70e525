"""Which examples a run or a score is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.benchmarks import load_benchmark, load_file
from harness.errors import UsageError
from harness.records import Benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A benchmark by name, a file of one's own, or a named benchmark whose data lie elsewhere.

    ``rules`` are fields of ``Rules`` that win over the benchmark's own.
    """

    benchmark: str | None = None
    data: Path | None = None
    split: str | None = None
    context_field: str | None = None
    limit: int | None = None
    ids: tuple[str, ...] | None = None
    seed: int = 0
    dialect: str | None = None
    rules: Mapping[str, Any] = field(default_factory=dict)

    def load(self, default: str | None = None) -> Benchmark:
        """Load it; ``default`` is the benchmark where neither name nor file is given.

        Raises:
            UsageError: nothing is named, or no example is left.
            BenchmarkError, DataError: see ``load_benchmark`` and ``load_file``.
        """
        if self.dialect:
            _check_dialect(self.dialect)
        name = self.benchmark or (None if self.data else default)
        if name:
            benchmark = load_benchmark(
                name,
                data=self.data,
                split=self.split,
                limit=self.limit,
                ids=self.ids,
                context_field=self.context_field,
                seed=self.seed,
            )
        elif self.data:
            benchmark = load_file(
                self.data,
                split=self.split,
                context_field=self.context_field,
                limit=self.limit,
                ids=self.ids,
            )
        else:
            raise UsageError("nothing says which questions to take", "give --benchmark NAME or --data FILE")
        if not benchmark.examples:
            raise UsageError(f"no example of {benchmark.name} is left", "check --limit and --ids")
        return replace(
            benchmark, rules=replace(benchmark.rules, **self.rules), dialect=self.dialect or benchmark.dialect
        )


def _check_dialect(name: str) -> None:
    from sqlglot import Dialect

    try:
        Dialect.get_or_raise(name)
    except ValueError as error:
        raise UsageError(
            f"dialect {name!r} is unknown", "sqlite, postgres, mysql, tsql, … : any that sqlglot reads"
        ) from error
