"""Runs queries on real databases in a process of its own, which is killed when the time is up.

A limit inside SQLite does not end one long step (``instr`` on long texts); the end of the process does.
The process opens databases read-only through the sandbox and may use 4 GiB.
"""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from harness.databases.results import Failure, Result
from harness.databases.sandbox import Sandbox
from harness.errors import BenchmarkError
from harness.records import Benchmark, Example, Rules
from harness.scoring.official.base import Options

Database = Path | bytes  # a file, or the image of a populated one

ROWS = 1_000_000
_MEMORY = 4 << 30
_ROOT = Path(__file__).resolve().parents[3]


class Runner:
    """The child process, started on first use and again after it was killed."""

    def __init__(self) -> None:
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    def run(self, database: Database, sql: str, seconds: float) -> Result | Failure:
        """The result of one query, or what went wrong; "timeout" after that many seconds."""
        _, pipe = self._child or self._start()
        try:
            pipe.send((database, sql))
            if pipe.poll(max(seconds, 0.0)):
                answer: Result | Failure = pipe.recv()
                return answer
        except (EOFError, OSError):
            self.close()
            return Failure("execution_error", "the process that ran it died")
        self.close()
        return Failure("timeout", f"more than {seconds:.3g} s")

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        code = f"from {__name__} import serve; serve({theirs.fileno()})"
        path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()
        self._child = process, ours
        return self._child

    def close(self) -> None:
        """Kill the process."""
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            pipe.close()
            process.kill()
            process.wait()


def serve(descriptor: int) -> None:
    """The child's loop: take a query, answer it, until the other end is closed."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    pipe = Connection(descriptor)
    loaded: Database = b""
    with Sandbox(steps=10**15, rows=ROWS) as box:
        while True:
            try:
                database, sql = pipe.recv()
            except (EOFError, KeyboardInterrupt):
                return
            try:
                if database != loaded:
                    box.load(database)
                    loaded = database
                pipe.send(box.query(sql))
            except MemoryError:
                pipe.send(Failure("execution_error", "out of memory"))


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
