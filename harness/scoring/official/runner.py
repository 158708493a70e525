"""Runs queries on real databases in a worker process, which is killed when the time is up.

A limit inside SQLite does not end one long step; the end of the process does. Databases are opened
read-only through the sandbox, and the worker may use 4 GiB.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from harness.databases.results import Failure, Result
from harness.databases.sandbox import Sandbox
from harness.databases.workers import WorkerLost, WorkerPool
from harness.errors import BenchmarkError
from harness.records import Benchmark, Example, Rules
from harness.scoring.official.base import Options

Database = Path | bytes  # a file, or the image of a populated one

ROWS = 1_000_000
_ENDLESS = 10**15  # steps: the clock decides, as it does officially


class _Query(NamedTuple):
    database: Database
    sql: str


class Runner:
    """One worker, and the seconds that a query may take in it. To be closed."""

    def __init__(self, seconds: float) -> None:
        self._pool = WorkerPool(_answer, workers=1, memory_mib=4096, seconds=seconds)

    def run(self, database: Database, sql: str) -> Result | Failure:
        """The result of one query, or what went wrong; "timeout" where its time was up."""
        ((_, answer),) = self._pool.map([_Query(database, sql)])
        return Failure("timeout", answer.reason) if isinstance(answer, WorkerLost) else answer

    def close(self) -> None:
        """End the worker."""
        self._pool.close()


@cache
def _sandbox() -> Sandbox:
    return Sandbox(steps=_ENDLESS, rows=ROWS, length=10_000_000, functions=None)


def _answer(query: _Query) -> Result | Failure:
    return _sandbox().run(query.database, query.sql)


def files_of(benchmark: Benchmark, example: Example, options: Options, *, siblings: bool) -> tuple[Path, ...]:
    """The example's database, with ``siblings`` all beside it too (a test suite); () where it has none.

    Raises BenchmarkError where a folder or file was named for it and is not there.
    """
    name = example.db_id or ""
    own = example.database
    if options.databases is not None:
        own = options.databases / name / f"{name}.sqlite"
    elif own is None and benchmark.folder is not None:
        own = benchmark.folder / "database" / name / f"{name}.sqlite"
    if own is None:
        return ()
    if siblings and name and own.parent.is_dir():
        files = sorted(path for path in own.parent.iterdir() if path.suffix == ".sqlite")
    else:
        files = [own] if own.is_file() else []
    if not files and (options.databases is not None or example.database is not None):
        raise BenchmarkError(f"there is no database {own}", "give the folder that holds DB/DB.sqlite")
    return tuple(files)


def databases_of(
    benchmark: Benchmark, example: Example, options: Options, *, siblings: bool
) -> tuple[Database, ...]:
    """``files_of``; where there is no file, the databases that the harness populates from the schema."""
    return files_of(benchmark, example, options, siblings=siblings) or _populated(
        example.context, example.gold
    )


def remark(benchmark: Benchmark, options: Options) -> str:
    """What belongs beside the figure: on how many examples the databases are populated ones."""
    made = sum(not files_of(benchmark, example, options, siblings=False) for example in benchmark.examples)
    share = "all" if made == len(benchmark.examples) else f"{made} of {len(benchmark.examples)}"
    return (
        f"{share} examples run on databases populated from the schema, not on the official ones"
        if made
        else ""
    )


def _populated(context: str, gold: str) -> tuple[bytes, ...]:
    from harness.databases import build_suite

    suite = build_suite(context, gold, rules=Rules(case="exact"))
    return tuple(database.image for database in suite.databases if database.kind == "fair")
