"""The leaderboard: results files in, one Markdown table for each set of examples and rules out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import HarnessError
from harness.runs.results import REFERENCES, Entry, Results, read_results

from .statistics import unpaired_difference
from .wording import cell, points, render, span, write


class Row(NamedTuple):
    """One row; texts that need more than a filter are ready-made."""

    rank: str
    entry: Entry
    over_base: str
    prompt: str
    link: str


def write_leaderboard(
    results: Sequence[Path],
    target: Path,
    *,
    skip_unreadable: bool = False,
    notify: Callable[[str], None] = lambda line: None,
) -> str:
    """Write a leaderboard of these results files (or runs' folders) to ``target`` and return its text.

    Deterministic: the same files give the same text in any order. Of rows that differ in nothing but
    their time (a base beside several adapters) the newest stays. A file that cannot be read or is no results
    file raises DataError naming it; with ``skip_unreadable`` it is left out and ``notify`` gets a line
    that says so. RunError where the target cannot be written.
    """
    read = []
    for path in results:
        try:
            read.append(read_results(path))
        except HarnessError as error:
            if not skip_unreadable:
                raise
            notify(f"left out of {target}: {error.problem}")
    text = leaderboard(read, target.parent)
    write(target, text)
    return text


def leaderboard(results: Sequence[Results], folder: Path) -> str:
    """The leaderboard as Markdown; links are relative to ``folder``."""
    tables: dict[str, dict[str, Entry]] = {}
    for result in sorted(results, key=lambda result: (result.time, result.fingerprint, str(result.path))):
        for side in result.benchmarks:
            conditions = [side.name, *(side.config.get(key) for key in ("split", "data_hash", "rules"))]
            table = tables.setdefault(json.dumps(conditions, sort_keys=True), {})
            for pair in side.pairs:
                entry = Entry(result, side, pair)
                table[_identity(entry)] = entry
    return render(
        "leaderboard.md.j2",
        tables=[_rows(tables[key].values(), folder) for key in sorted(tables) if tables[key]],
    )


def ranks(intervals: Sequence[tuple[float, float]]) -> list[str]:
    """Ranks of rows by their intervals: a range where a row's interval overlaps others'.

    A row stands behind all whose lower limit lies above its upper one, and before all whose upper
    limit lies below its lower one; between the two nothing is settled.

    >>> ranks([(0.8, 0.9), (0.75, 0.85), (0.2, 0.3)])
    ['1–2', '1–2', '3']
    """
    texts = []
    for low, high in intervals:
        best = 1 + sum(other_low > high for other_low, _ in intervals)
        worst = len(intervals) - sum(other_high < low for _, other_high in intervals)
        texts.append(str(best) if best == worst else f"{best}–{worst}")
    return texts


def _rows(entries: Any, folder: Path) -> list[Row]:
    ordered = sorted(
        entries, key=lambda entry: (-entry.pair.accuracy.value, entry.pair.pair, entry.results.time)
    )
    places = ranks([(entry.pair.accuracy.low, entry.pair.accuracy.high) for entry in ordered])
    return [
        Row(place, entry, _over_base(entry), _prompt(entry.prompt), _link(entry.results.path, folder))
        for place, entry in zip(places, ordered, strict=True)
    ]


def _identity(entry: Entry) -> str:
    """What makes two rows the same contestant."""
    facts = entry.pair.facts
    weights = [facts.get(f"{part}_hash") or facts.get(part) for part in ("base", "adapter", "predictions")]
    asked = _words(entry.prompt)
    return json.dumps([entry.pair.pair, weights, asked, entry.quantization, entry.results.harness])


def _over_base(entry: Entry) -> str:
    base = next((pair.accuracy for pair in entry.benchmark.pairs if pair.pair == "base"), None)
    own = entry.pair.accuracy
    if base is None or entry.pair.pair in REFERENCES:
        return "–"
    limits = unpaired_difference((round(own.value * own.n), own.n), (round(base.value * base.n), base.n))
    interval = span(*limits, signed=True).replace(" ", "\u00a0")
    return f"{points(own.value - base.value)} <sub>{interval}</sub>"


def _prompt(prompt: Mapping[str, Any]) -> str:
    """Where a prompt came from if not from the benchmark, and a short hash of its text."""
    if not prompt:
        return "–"
    digest = hashlib.sha256(json.dumps(_words(prompt)).encode()).hexdigest()[:6]
    origin = Path(str(prompt.get("origin") or "benchmark")).name
    return f"{'' if origin == 'benchmark' else cell(origin) + ', '}{prompt.get('form') or 'chat'} `{digest}`"


def _words(prompt: Mapping[str, Any]) -> list[Any]:
    return [prompt.get(key) for key in ("system", "user", "form", "chat_template")]


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix().replace(" ", "%20")
