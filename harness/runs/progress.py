"""What a run says while it works; the command line draws it, a library user may stay silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[..., None]


class Progress(Protocol):
    """Where a run's words go."""

    def say(self, text: str) -> None:
        """One line for people."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """A bar; the value it gives is called with ``(done, note="")`` as work gets done."""


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Drop the bar."""
        yield lambda done=1, note="": None
