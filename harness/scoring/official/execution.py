"""Metrics that run both queries: the databases they run on, and the process they run in.

A limit inside SQLite does not end one long step; the end of the process does. So queries run in a worker
process that is killed when the time is up. Databases are opened read-only through the sandbox, and the
worker may use 4 GiB.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from harness.databases.answers import Failure, Result
from harness.databases.sandbox import Sandbox
from harness.errors import BenchmarkError
from harness.records import Benchmark, Example, Rules
from harness.scoring.official.scorer import Options, Scorer
from harness.workers import WorkerLost, WorkerPool

Openable = Path | bytes  # a file, or the image of a populated one

ROWS = 1_000_000
_ENDLESS = 10**15  # steps: the clock decides, as it does officially


class _Query(NamedTuple):
    """A query and the database that it runs on."""

    database: Openable
    sql: str


class Runner:
    """One worker, and the seconds that a query may take in it. To be closed."""

    def __init__(self, seconds: float) -> None:
        self._pool = WorkerPool(_answer, workers=1, memory_mib=4096, seconds=seconds)

    def run(self, database: Openable, sql: str) -> Result | Failure:
        """The result of one query, or what went wrong; "timeout" where its time was up."""
        ((_, answer),) = self._pool.map([_Query(database, sql)])
        return Failure("timeout", answer.reason) if isinstance(answer, WorkerLost) else answer

    def close(self) -> None:
        """End the worker."""
        self._pool.close()


class ExecutionScorer(Scorer):
    """A metric that runs queries on the benchmark's databases.

    Where some examples have their database and others do not, the others are not scored. Where none has
    one, all run on databases that the harness populates from the schema, and the remark says so.
    """

    whole_suite = False
    """Whether the databases beside the example's own are its test suite."""

    def __init__(self, benchmark: Benchmark, options: Options) -> None:
        super().__init__(benchmark, options)
        self._runner = Runner(options.timeout)
        self.held.callback(self._runner.close)
        self._files = {example.id: self._found(example) for example in benchmark.examples}
        self._populated = not any(self._files.values())
        if self._populated and (missing := [place for e in benchmark.examples if (place := self._named(e))]):
            raise BenchmarkError(
                f"there is no database {missing[0]}", "give the folder that holds DB/DB.sqlite"
            )

    def scores(self, example: Example) -> bool:
        """Whether an example has a database to run on."""
        return self._populated or bool(self._files[example.id])

    def remark(self) -> str:
        """What belongs beside the figure: populated databases, or examples without any."""
        absent = sum(not files for files in self._files.values())
        if self._populated:
            return "all examples run on databases populated from the schema, not on the official ones"
        return f"{absent} of {len(self._files)} examples have no database and do not count" if absent else ""

    def faithful(self) -> bool:
        """Whether the examples that count run on the official databases."""
        return not self._populated

    def databases(self, example: Example) -> tuple[Openable, ...]:
        """The example's databases; () where none could be populated."""
        return self._files[example.id] or _populated(example.context, example.gold)

    def run(self, database: Openable, sql: str) -> Result | Failure:
        """The result of one query, or what went wrong."""
        return self._runner.run(database, sql)

    def _named(self, example: Example) -> Path | None:
        """Where an option or the example itself says that its database is."""
        if self.options.databases is not None:
            name = Path(example.db_id or "").name  # whoever wrote the row leaves no folder with it
            return self.options.databases / name / f"{name}.sqlite"
        return example.database

    def _found(self, example: Example) -> tuple[Path, ...]:
        own, name = self._named(example), Path(example.db_id or "").name
        if own is None and self.benchmark.folder is not None:
            own = self.benchmark.folder / "database" / name / f"{name}.sqlite"
        if own is None:
            return ()
        if self.whole_suite and name and own.parent.is_dir():
            return tuple(sorted(path for path in own.parent.iterdir() if path.suffix == ".sqlite"))
        return (own,) if own.is_file() else ()


@cache
def _sandbox() -> Sandbox:
    return Sandbox(steps=_ENDLESS, rows=ROWS, length=10_000_000, functions=None)


def _answer(query: _Query) -> Result | Failure:
    return _sandbox().run(query.database, query.sql)


def _populated(context: str, gold: str) -> tuple[bytes, ...]:
    from harness.databases import build_suite

    suite = build_suite(context, gold, rules=Rules(case="exact"))
    return tuple(database.image for database in suite.databases if database.kind == "fair")
