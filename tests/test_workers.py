"""Workers that die, hang or eat all memory are replaced, and only the task that they were at is lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import workers
from harness.workers import WorkerLost, WorkerPool


def _work(task: str) -> str:
    if task == "die":
        os._exit(3)
    if task == "hang":
        while True:
            pass
    if task == "wait":
        time.sleep(60)
    if task == "eat":
        return str(len(bytearray(2**32)))
    if task == "none":
        raise MemoryError
    if task == "log":
        logging.getLogger("some.library").warning("said in a worker")
    if task == "fail":
        raise ValueError("a bug")
    return task.upper()


def test_lost_workers_are_replaced() -> None:
    tasks = ["a", "die", "b", "eat", "c", "hang", "d", "wait"]
    with WorkerPool(_work, workers=2, memory_mib=256, seconds=0.5) as pool:
        answers = dict(pool.map(tasks))
    assert {i: v for i, v in answers.items() if isinstance(v, str)} == {0: "A", 2: "B", 4: "C", 6: "D"}
    lost = {i: v.reason for i, v in answers.items() if isinstance(v, WorkerLost)}
    assert sorted(lost) == [1, 3, 5, 7]
    assert "0.5 s" in lost[5]


def test_a_task_that_waits_for_its_processor_is_not_lost() -> None:
    with WorkerPool(_slow, workers=1, seconds=0.2) as pool:
        assert list(pool.map([1.0])) == [(0, 1.0)]


def _slow(seconds: float) -> float:
    time.sleep(seconds)  # as a process that others leave no processor to
    return seconds


def test_a_bug_in_the_function_reaches_the_caller_with_its_place() -> None:
    with WorkerPool(_work, workers=1) as pool, pytest.raises(ValueError, match="a bug") as caught:
        list(pool.map(["a", "fail"]))
    assert 'raise ValueError("a bug")' in str(caught.value.__cause__)


def test_a_script_that_workers_cannot_import_again_is_told_so(tmp_path: Path) -> None:
    """Without a guard a new process runs the script again and ends: that is no answer to the task."""
    imports = "import torch\nfrom harness.workers import WorkerPool\n"
    script = imports + "print(list(WorkerPool(abs, workers=1).map([-1])))"
    (tmp_path / "mine.py").write_text(script, "utf-8")
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True)
    *_, last = done.stderr.splitlines()
    assert "UsageError: a worker process ended before it ran" in last
    assert "__main__" in last
    assert not done.stdout


def test_the_start_of_a_worker_takes_no_time_from_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "limit_memory", lambda _: time.sleep(2.0))
    with WorkerPool(_work, workers=1, seconds=1.0) as pool:
        assert list(pool.map(["a"])) == [(0, "A")]


def test_one_that_waits_for_nothing_is_lost_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 2)
    with WorkerPool(_work, workers=1, seconds=0.3) as pool:
        assert list(pool.map(["wait", "a"])) == [(0, WorkerLost("no answer within 0.3 s")), (1, "A")]


def test_a_worker_that_is_killed_from_outside_loses_one_task() -> None:
    others = set(psutil.Process().children())
    with WorkerPool(_work, workers=1) as pool:
        found = pool.map(["a", "wait", "b"])
        assert next(found) == (0, "A")
        (child,) = set(psutil.Process().children()) - others
        threading.Timer(0.3, child.kill).start()
        (number, lost), last = found
        assert (number, type(lost), last) == (1, WorkerLost, (2, "B"))


def test_what_a_worker_logs_is_handled_by_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    with WorkerPool(_work, workers=1) as pool, caplog.at_level(logging.WARNING):
        assert list(pool.map(["log"])) == [(0, "LOG")]
    assert caplog.messages == ["said in a worker"]


# ---- the worker's own side, in this process ----


@pytest.fixture
def side(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process can be a worker for a while."""
    root = logging.getLogger()
    handlers, interrupt = root.handlers[:], signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(workers, "limit_memory", lambda _: None)
    yield
    root.handlers[:] = handlers
    signal.signal(signal.SIGINT, interrupt)


def _answers(tasks: list[str], *, wanted: int) -> list[Any]:
    """What ``_work`` sends for the tasks until the parent has enough and goes."""
    mine, theirs = multiprocessing.Pipe()
    mine.send(tasks)
    heard: list[Any] = []

    def parent() -> None:
        heard.extend(mine.recv() for _ in range(wanted))
        mine.close()

    thread = threading.Thread(target=parent)
    thread.start()
    workers._work(theirs, _work, 64)
    thread.join()
    theirs.close()
    return heard


@pytest.mark.usefixtures("side")
def test_a_worker_says_that_it_runs_answers_and_ends_with_its_parent() -> None:
    began, first, (error, trace, _), (word, _, records) = _answers(["a", "fail", "log"], wanted=4)
    assert began is None
    assert first == ("A", "", [])
    assert str(error) == "a bug"
    assert 'raise ValueError("a bug")' in trace
    assert word == "LOG"
    assert [record.getMessage() for record in records] == ["said in a worker"]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("side")
def test_a_worker_whose_parent_goes_amid_its_tasks_ends() -> None:
    assert len(_answers(["a"] * 20_000, wanted=2)) == 2


@pytest.mark.usefixtures("side")
def test_a_worker_without_memory_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def die(code: int) -> None:
        raise Died(code)

    monkeypatch.setattr(os, "_exit", die)
    with pytest.raises(Died):
        _answers(["none"], wanted=1)


def test_the_limit_of_memory_is_beyond_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: asked.append((what, limits)))
    workers.limit_memory(100)
    ((what, (soft, _)),) = asked
    assert what == resource.RLIMIT_AS
    assert soft >= psutil.Process().memory_info().vms + 90 * 2**20
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**40, 2**20))
    workers.limit_memory(100)
    assert asked[-1][1][0] == 2**20  # never above the hard limit
    monkeypatch.setattr(resource, "getrlimit", _fails)
    workers.limit_memory(100)  # where there is none, the other limits stay


def _fails(_: int) -> None:
    raise OSError


def test_a_process_that_is_gone_has_used_nothing() -> None:
    with WorkerPool(_work, workers=1, seconds=0.1) as pool:
        list(pool.map(["a"]))
        (worker,) = pool._workers
        worker.process.kill()
        worker.process.join()
        worker.tasks.append((0, "a"))
        assert not worker.overdue(1.0)
        assert worker._processor() == 0.0
