"""The terminal: progress on standard error, tables and the last JSON line on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from harness.measures import Metric
from harness.runs.progress import Advance
from harness.text import visible, visible_json

T = TypeVar("T")

_LOG_EVERY = 10.0  # seconds between lines where there is no terminal


class Screen:
    """Draws what a run says. With ``as_json`` everything but the document goes to standard error."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._errors = Console(stderr=True, highlight=False)
        self._out = self._errors if as_json else Console(highlight=False)
        self._waiting: Status | None = None

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """On a terminal, say at once what is being done, with something that moves, until the next words."""
        self._still()
        if self._errors.is_terminal:
            self._waiting = self._errors.status(Text(visible(text)))
            self._waiting.start()
        try:
            yield
        finally:
            self._still()

    def _still(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def say(self, text: str) -> None:
        """One line, on standard error."""
        self._still()
        self._errors.print(visible(text), markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """A bar on a terminal; elsewhere a line every ten seconds and one at the end."""
        self._still()
        yield from self._bar(name, total) if self._errors.is_terminal else self._log(name, total)

    def _bar(self, name: str, total: int) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}", markup=False, table_column=_shortened(2)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", markup=False, table_column=_shortened(3)),
        )
        with Progress(*columns, console=self._errors, expand=True) as bar:
            task = bar.add_task(visible(name), total=total, note="")

            def advance(done: int = 1, note: str = "") -> None:
                bar.update(task, advance=done)
                if note:
                    bar.update(task, note=note)

            yield advance

    def _log(self, name: str, total: int) -> Iterator[Advance]:
        start = last = time.monotonic()
        count, told = 0, ""

        def advance(done: int = 1, note: str = "") -> None:
            nonlocal count, last, told
            count, told = count + done, note or told
            if (now := time.monotonic()) - last > _LOG_EVERY:
                last = now
                left = (now - start) / max(count, 1) * (total - count)
                self.say(f"{name}: {count}/{total}, {left:.0f} s left{', ' + told if told else ''}")

        yield advance
        self.say(f"{name}: {count}/{total} in {time.monotonic() - start:.1f} s{', ' + told if told else ''}")

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        figures: bool = True,
        names: Sequence[str] = (),
    ) -> None:
        """A table; the first column is never wrapped, the others are figures or text.

        Where it is wider than the screen, ``names`` in it become letters, told in a line below.
        """
        self._still()
        drawn = _table(title, columns, rows, figures)
        unbounded = self._out.options.update(max_width=10_000)
        if names and self._out.measure(drawn, options=unbounded).maximum > self._out.width:
            letters = {name: _letter(place) for place, name in enumerate(names)}

            def short(text: str) -> str:
                return " ".join(letters.get(word, word) for word in _split(text, letters))

            body = [[short(row[0]), *row[1:]] for row in rows]
            drawn = _table(title, [short(column) for column in columns], body, figures)
            self._out.print(drawn)
            self.show("  ".join(f"{letter} = {name}" for name, letter in letters.items()))
            return
        self._out.print(drawn)

    def walk(self, items: Iterator[T], text: Callable[[T], str]) -> list[T]:
        """Show one after the other; on a terminal the next one when Enter is pressed, "q" ends."""
        shown: list[T] = []
        for item in items:
            if shown and self._out.is_terminal and sys.stdin.isatty():
                if self._out.input("Enter: the next one, q: end ", markup=False).strip().lower() == "q":
                    break
            elif shown:
                self.show("")
            self.show(text(item))
            shown.append(item)
        return shown

    def show(self, text: str) -> None:
        """Text for people, where tables go."""
        self._still()
        self._out.print(visible(text), markup=False, soft_wrap=True)

    def finish(self, document: Mapping[str, Any]) -> None:
        """With ``--json``, the last line on standard output."""
        self._still()
        if self.as_json:
            text = json.dumps(document, ensure_ascii=False, default=str)
            sys.stdout.write(visible_json(text) + "\n")
            sys.stdout.flush()


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], figures: bool) -> Table:
    drawn = Table(title=_cell(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        first = index == 0
        drawn.add_column(_cell(column), justify="right" if figures and not first else "left", no_wrap=first)
    for row in rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def _cell(text: str) -> Text:
    """Text in a table, its brackets no markup."""
    return Text(visible(text))


def _shortened(ratio: int) -> Column:
    """A column that gives way where the line would be wider than the screen."""
    return Column(ratio=ratio, no_wrap=True, overflow="ellipsis")


def _letter(place: int) -> str:
    """A, B, … Z, A2, B2, …"""
    return chr(ord("A") + place % 26) + (str(place // 26 + 1) if place >= 26 else "")


def _split(text: str, names: Mapping[str, str]) -> list[str]:
    """A text at `` − ``, the sign between two names; else whole."""
    first, sign, second = text.partition(" − ")
    return [first, "−", second] if sign and {first, second} <= names.keys() else [text]


def percent(metric: Metric, interval: bool = True) -> str:
    """A share, with its interval.

    >>> percent(Metric(0.8125, 0.79, 0.83, 1030))
    '81.2 (79.0–83.0)'
    """
    if not metric.n:
        return "—"
    limits = f" ({100 * metric.low:.1f}–{100 * metric.high:.1f})" if interval else ""
    return f"{100 * metric.value:.1f}{limits}"
