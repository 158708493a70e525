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
from typing import Any

from harness.errors import RunError


def digest(facts: Mapping[str, Any]) -> str:
    """SHA-256 of JSON facts, independent of their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class RunFolder:
    """One run on the disk: ``run.json`` (what it is), journals, samples, results, report."""

    def __init__(self, path: Path, record: Mapping[str, Any]) -> None:
        self.path = path
        self.time: str = record["time"]
        self.fingerprint: str = record["fingerprint"]
        self.facts: Mapping[str, Any] = record["facts"]

    @classmethod
    def open(cls, path: Path, facts: Mapping[str, Any], *, command: str = "") -> RunFolder:
        """Begin a run in ``path``, or go on with the one that is there if its facts are the same.

        Raises:
            RunError: the folder cannot be written, or holds another run (says what differs).
        """
        facts = json.loads(json.dumps(facts, default=str))
        try:
            path.mkdir(parents=True, exist_ok=True)
            record_path = path / "run.json"
            if record_path.exists():
                return cls._resume(path, facts)
            if any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise RunError(
                    f"{path} is not empty and holds no run", "give --output a new folder or an empty one"
                )
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
            record = {"time": now, "fingerprint": digest(facts), "command": command, "facts": facts}
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


def read_record(path: Path) -> dict[str, Any]:
    """``run.json`` of a run's folder.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads((path / "run.json").read_text("utf-8"))
        if not isinstance(record, dict) or not {"time", "fingerprint", "facts"} <= record.keys():
            raise ValueError("fields are missing")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} is not a run's folder ({error})", "name a folder that `run` or `score` has written"
        ) from error
    return record


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all (a crash leaves the old one)."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, "utf-8", "replace")
    draft.replace(path)


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
