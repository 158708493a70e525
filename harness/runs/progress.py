"""What a run says while it works; the command line draws it, a library user may stay silent."""

from __future__ import annotations

import time
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


_FIRST, _SOON, _LONG = 8, 5.0, 120.0  # answers and seconds before a forecast; seconds that are worth one
_FEW = 200  # examples of a shorter run


class Forecast:
    """How long a run will take, told once, as soon as some answers are there."""

    def __init__(self, answers: int, examples: int) -> None:
        self._answers, self._examples = answers, examples
        self._start, self._done, self._told = time.monotonic(), 0, False

    def after(self, done: int) -> str | None:
        """The forecast, when ``done`` more answers have come; None before, after, and for short runs."""
        self._done += done
        spent = time.monotonic() - self._start
        if self._told or self._done < _FIRST or spent < _SOON:
            return None
        self._told = True
        return forecast(spent / self._done, self._answers, self._examples)


def forecast(seconds: float, answers: int, examples: int) -> str | None:
    """How long answers take in words, at so many seconds each; None where it is not worth a line.

    >>> forecast(5.7, 2000, 1000)
    'About 3 h 10 min for 2,000 answers (--limit 200: about 38 min).'
    >>> forecast(0.1, 604, 604) is None
    True
    """
    if seconds * answers < _LONG:
        return None
    shorter = seconds * answers * _FEW / examples
    hint = f" (--limit {_FEW}: about {duration(shorter)})" if examples >= 2 * _FEW else ""
    return f"About {duration(seconds * answers)} for {answers:,} answers{hint}."


def duration(seconds: float) -> str:
    """A time in the units that people use.

    >>> duration(45), duration(1200), duration(11400), duration(7200)
    ('45 s', '20 min', '3 h 10 min', '2 h')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")
