"""Stand-ins until the databases room has its worker pool and its store of suites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.databases import build_suite


class WorkerLost:
    """A worker that died over a task."""


class WorkerPool:
    """In this process."""

    def __init__(self, function: Any, **_: Any) -> None:
        self.function = function

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def map(self, tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Each task's number and value."""
        for number, task in enumerate(tasks):
            yield number, self.function(task)


def suites(
    examples: Any, *, rules: Any, dialect: Any, size: Any, seed: Any, **_: Any
) -> Iterator[tuple[str, Any]]:
    """Built on the way."""
    for e in examples:
        yield e.id, build_suite(e.context, e.gold, rules=rules, dialect=dialect, size=size, seed=seed)
