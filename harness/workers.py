"""Worker processes for what may die or hang: a net of memory and time, and a new one for each lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

import psutil

from harness.errors import UsageError

_Task = TypeVar("_Task")
_Value = TypeVar("_Value")
_CHUNK = 16
_START = 120.0  # seconds that a process may take to start: interpreter and imports, on a busy machine
_PATIENCE = 20  # times its seconds that a task may take by the clock


class WorkerLost(NamedTuple):
    """What came of a task whose worker died or ran out of time; ``reason`` is one line."""

    reason: str


class WorkerError(Exception):
    """Where a worker's exception was raised: the traceback there, the cause of the one here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class WorkerPool(Generic[_Task, _Value]):
    """Maps a function of a module over tasks in processes of their own. Use as a context manager.

    A worker may take ``memory_mib`` more address space than it starts with, and ``seconds`` of processor time
    for one task, so that a busy machine ends none; one that uses none of it is waited for 20 times as long.
    One that dies or hangs is replaced; only the task that it was at is lost. Tasks are read as they are
    needed, so that memory stays flat.

    >>> with WorkerPool(abs, workers=2) as pool:
    ...     sorted(pool.map([-1, 2, -3]))
    [(0, 1), (1, 2), (2, 3)]
    """

    def __init__(
        self,
        function: Callable[[_Task], _Value],
        *,
        workers: int,
        memory_mib: int = 2048,
        seconds: float = 60.0,
    ) -> None:
        self._function, self._memory, self._seconds = function, memory_mib, seconds
        # fork is fast, but not safe where threads run or torch holds them
        plain = threading.active_count() == 1 and "torch" not in sys.modules and sys.platform == "linux"
        self._context = multiprocessing.get_context("fork" if plain else "spawn")
        self._workers: list[_Worker] = []
        self._count = max(1, workers)

    def map(self, tasks: Iterable[_Task]) -> Iterator[tuple[int, _Value | WorkerLost]]:
        """The number of each task and what came of it, in the order in which they finish.

        Raises what the function raises, from a WorkerError that says where; UsageError where no process can
        be started.
        """
        numbered = enumerate(tasks)
        waiting: deque[tuple[int, _Task]] = deque()
        while True:
            while len(self._workers) < self._count:
                self._workers.append(self._started())
            for worker in self._workers:
                if not worker.tasks:
                    chunk = [waiting.popleft() for _ in range(min(_CHUNK, len(waiting)))]
                    chunk = chunk or list(islice(numbered, _CHUNK))
                    if chunk:
                        worker.give(chunk)
            busy = {w.connection: w for w in self._workers if w.tasks}
            if not busy:
                return
            for ready in wait(list(busy), timeout=0.5):
                worker = busy[ready]  # type: ignore[index]
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    if not worker.runs:
                        raise UsageError(
                            "a worker process ended before it ran",
                            "have memory free; a script of your own calls the harness below"
                            " if __name__ == '__main__':",
                        ) from None
                    yield self._lost(worker, "the worker died (out of memory, or SQLite crashed)", waiting)
                    continue
                if message is None:
                    worker.start()
                    continue
                number, _ = worker.done()
                value, trace, records = message
                for record in records:
                    logging.getLogger(record.name).handle(record)
                if trace:
                    raise value from WorkerError(trace)
                yield number, value
            for worker in list(self._workers):
                if worker.tasks and worker.overdue(self._seconds):
                    yield self._lost(worker, f"no answer within {self._seconds:g} s", waiting)

    def _started(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_work, args=(theirs, self._function, self._memory), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, mine)

    def _lost(
        self, worker: _Worker, reason: str, waiting: deque[tuple[int, _Task]]
    ) -> tuple[int, WorkerLost]:
        self._workers.remove(worker)
        number, _ = worker.done()
        waiting.extend(worker.tasks)
        worker.stop()
        return number, WorkerLost(reason)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def __enter__(self) -> WorkerPool[_Task, _Value]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    """One process, its pipe, and the tasks that it has not answered yet."""

    def __init__(self, process: Any, connection: Connection) -> None:
        self.process, self.connection = process, connection
        self.tasks: deque[tuple[int, Any]] = deque()
        self._watched = psutil.Process(process.pid)
        self._grace = _START
        self._begin()

    def _begin(self) -> None:
        self._since, self._used = time.monotonic(), self._processor()

    def _processor(self) -> float:
        """Seconds of processor time so far."""
        with suppress(psutil.Error):  # it has just died: the pipe will tell
            used = self._watched.cpu_times()
            return float(used.user + used.system)
        return 0.0

    @property
    def runs(self) -> bool:
        """Whether its process has said that it runs."""
        return not self._grace

    def overdue(self, seconds: float) -> bool:
        """Whether the task that it is at has had its seconds."""
        waited = time.monotonic() - self._since - self._grace
        return waited > seconds and (self._processor() - self._used > seconds or waited > _PATIENCE * seconds)

    def start(self) -> None:
        """The process runs: from now on its time counts."""
        self._grace = 0.0
        self._begin()

    def give(self, chunk: list[tuple[int, Any]]) -> None:
        self.tasks.extend(chunk)
        self._begin()
        self.connection.send([task for _, task in chunk])

    def done(self) -> tuple[int, Any]:
        self._begin()
        return self.tasks.popleft()

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()
        self.process.close()


class _Said(QueueHandler):
    """Keeps what a worker logs until it is sent with an answer: the parent's handlers write it."""

    def __init__(self) -> None:
        super().__init__(SimpleQueue())
        self._records: list[logging.LogRecord] = []

    def enqueue(self, record: logging.LogRecord) -> None:
        """Keep a record, its traceback made text."""
        self._records.append(record)

    def taken(self) -> list[logging.LogRecord]:
        """The records since the last time."""
        records, self._records = self._records, []
        return records


def _work(connection: Connection, function: Callable[[Any], Any], memory_mib: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = _Said()
    logging.getLogger().handlers[:] = [said]
    limit_memory(memory_mib)
    with suppress(OSError):  # the parent is gone
        connection.send(None)
    while True:
        try:
            chunk = connection.recv()
        except (EOFError, OSError):
            return
        for task in chunk:
            answer: tuple[Any, str, list[logging.LogRecord]]
            try:
                answer = (function(task), "", said.taken())
            except MemoryError:
                os._exit(1)
            except Exception as error:  # goes to the parent, which raises it
                answer = (error, traceback.format_exc(), said.taken())
            try:
                connection.send(answer)
            except (BrokenPipeError, OSError):
                return


def limit_memory(mib: int) -> None:
    """Let this process take at most so many MiB of address space beyond what it has (on Linux)."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            size = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = size + mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    except (ImportError, OSError, ValueError):  # not Linux: the time limit stays
        return
