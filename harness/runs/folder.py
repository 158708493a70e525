"""A run's folder and its fingerprint: what makes a second start go on, and another run be refused."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import DataError, RunError
from harness.files import read_json, write_json
from harness.options import reason


class RunRecord(TypedDict):
    """What ``run.json`` says: when the run began, by which command, what makes it the same run, and which
    choices it has made since (``decide``).
    """

    time: str
    fingerprint: str
    command: str
    facts: dict[str, Any]
    decided: NotRequired[dict[str, Any]]


_RECORD = TypeAdapter(RunRecord)


def digest(facts: Mapping[str, Any]) -> str:
    """SHA-256 of JSON facts, independent of their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class RunFolder:
    """One run on the disk: ``run.json`` (what it is), journals, samples, results, report."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path = path
        self.time, self.fingerprint, self.facts = record["time"], record["fingerprint"], record["facts"]

    @classmethod
    def open(cls, path: Path, facts: Mapping[str, Any], *, command: str = "") -> RunFolder:
        """Begin a run in ``path``, or go on with the one that is there if its facts are the same.

        Raises:
            RunError: the folder cannot be written, or holds another run (says what differs).
        """
        facts = json.loads(json.dumps(facts, default=str))
        try:
            if path.is_symlink() and not path.exists():
                raise RunError(
                    f"{path} is a link to {path.readlink()}, which is not there", "give --output a folder"
                )
            path.mkdir(parents=True, exist_ok=True)
            record_path = path / "run.json"
            if record_path.exists():
                return cls._resume(path, facts)
            if any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise RunError(
                    f"{path} is not empty and holds no run", "give --output a new folder or an empty one"
                )
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
            record = RunRecord(time=now, fingerprint=digest(facts), command=command, facts=dict(facts))
            with _lock(path):
                if record_path.exists():  # another process was faster
                    return cls._resume(path, facts)
                write_json(record_path, record)
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path, record)

    @classmethod
    def _resume(cls, path: Path, facts: Mapping[str, Any]) -> RunFolder:
        record = read_record(path)
        if record["fingerprint"] != digest(facts):
            changed = ", ".join(_differences(record["facts"], facts)) or "its facts"
            raise RunError(
                f"{path} holds another run (it differs in {changed})",
                "give --output another folder, or repeat that run's options to go on with it",
            )
        if not os.access(path, os.W_OK):
            raise RunError(f"{path} cannot be written", "give --output a folder that you may write")
        return cls(path, record)

    def decide(self, what: str, measure: Callable[[], Any]) -> Any:
        """What an earlier start of the run has decided, else what ``measure`` gives now, kept."""
        record = read_record(self.path)
        decided = record.setdefault("decided", {})
        if what not in decided:
            decided[what] = measure()
            write_json(self.path / "run.json", record)
        return decided[what]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            RunError: another process is writing to it.
        """
        with _lock(self.path):
            yield


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with (path / ".lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another process is writing to {path}", "wait for it, or give --output another folder"
            ) from error
        yield


def read_record(path: Path) -> RunRecord:
    """``run.json`` of a run's folder.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise DataError(f"it is a link to {path.readlink()}, which is not there")
        return _RECORD.validate_python(read_json(path / "run.json"))
    except (DataError, ValidationError) as error:
        said = error.problem if isinstance(error, DataError) else f"run.json: {reason(error)}"
        raise RunError(
            f"{path} is not a run's folder ({said})", "name a folder that `run` or `score` has written"
        ) from None


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path} cannot be written ({error.strerror or error})", "give --output a folder that you may write"
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{prefix}{key}.")
        elif (prefix, key) == ("benchmark.", "data"):
            if before != after:
                yield "the examples: --limit, --ids or the data themselves"
        elif before != after:
            shown = f"{prefix}{key}: {before} there, {after} here"
            yield shown if len(shown) < 160 else f"{prefix}{key}"
