"""The leaderboard: results files in, one Markdown table for each set of examples and rules out."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import HarnessError, RunError
from harness.files import write_text
from harness.measures import METRICS
from harness.runs.results import REFERENCES, Entry, Results, read_results

from .marks import bounded, read_marks
from .statistics import holm, unpaired_difference
from .wording import cell, points, render, span

_CONDITIONS = ("split", "data_hash", "rules", "verdicts")
"""What rows of one table have in common."""


class Ranked(NamedTuple):
    """One row; texts that need more than a filter are ready-made. ``name`` tells it from all others."""

    rank: str
    name: str
    entry: Entry
    over_base: str
    prompt: str
    link: str


class Board(NamedTuple):
    """One table: its rows, how they were ranked, and the metrics beside the harness's own that some has."""

    rows: list[Ranked]
    ranked: str
    metrics: list[str]


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
    write_text(target, text)
    return text


def results_files(places: Sequence[Path]) -> list[Path]:
    """The results files of files and folders: of a run, of several runs, or of committed results.

    Raises RunError where a place holds none.
    """
    files: list[Path] = []
    for place in places:
        found = (
            sorted(place.glob("*.json" if place.name == "results" else "results_*.json"))
            or sorted(place.glob("*/results_*.json"))
            if place.is_dir()
            else [place]
        )
        if not found or not found[0].exists():
            raise RunError(f"{place} holds no results", "name a run's folder or a results_<time>.json")
        files += found
    return files


def stale(results: Sequence[Path], target: Path) -> bool:
    """Whether ``target`` is not what ``write_leaderboard`` would write there."""
    text = leaderboard([read_results(path) for path in results], target.parent)
    try:
        return target.read_text(encoding="utf-8") != text
    except OSError:
        return True


def leaderboard(results: Sequence[Results], folder: Path) -> str:
    """The leaderboard as Markdown; links are relative to ``folder``."""
    tables: dict[str, dict[str, Entry]] = {}
    for result in sorted(results, key=lambda result: (result.time, result.fingerprint, str(result.path))):
        for side in result.benchmarks:
            conditions = [
                side.name,
                *(side.config.get(key) for key in ("split", "data_hash", "rules", "verdicts")),
            ]
            table = tables.setdefault(json.dumps(conditions, sort_keys=True), {})
            for pair in side.pairs:
                entry = Entry(result, side, pair)
                table[_identity(entry)] = entry
    return render(
        "leaderboard.md.j2",
        boards=[_board(tables[key].values(), folder) for key in sorted(tables) if tables[key]],
    )


def ranks(better: Sequence[Sequence[bool]]) -> list[str]:
    """Ranks of rows from which of them is shown to be better than which: a range where that is not settled.

    A row stands behind all that are better, and before all that it is better than.

    >>> ranks([[False, False, True], [False, False, True], [False, False, False]])
    ['1–2', '1–2', '3']
    """
    texts = []
    for row in range(len(better)):
        best = 1 + sum(other[row] for other in better)
        worst = len(better) - sum(better[row])
        texts.append(str(best) if best == worst else f"{best}–{worst}")
    return texts


def _better(entries: Sequence[Entry]) -> tuple[list[list[bool]], str]:
    """Which row is better than which, and by what that was told.

    By McNemar's test between all rows that keep marks, at 5 % over the whole table (Holm), where the
    difference has the same sign with no assumption of a verdict and with all of them; by intervals
    that do not overlap where one of the two keeps none.
    """
    marks = [read_marks(entry) for entry in entries]
    better = [[False] * len(entries) for _ in entries]
    tested: list[tuple[int, int, float]] = []
    for a, b in combinations(range(len(entries)), 2):
        found = bounded(marks[b], marks[a])
        if found is None:
            one, other = entries[a].pair.accuracy, entries[b].pair.accuracy
            better[a][b], better[b][a] = one.low > other.high, other.low > one.high
            continue
        winner, loser = (a, b) if found.counted.value > 0 else (b, a)
        tested.append((winner, loser, found.counted.p if found.agree else 1.0))
    for (winner, loser, _), p in zip(tested, holm([p for _, _, p in tested]), strict=True):
        better[winner][loser] = p < 0.05
    paired = (
        f"the paired test (McNemar's, Holm over {len(tested)} comparisons, 5 %), where its sign is the same "
        "with no assumption and with all"
    )
    bare = [
        entry.pair.pair
        for entry, known in zip(entries, marks, strict=True)
        if "execution_accuracy" not in known
    ]
    if not bare:
        return better, paired
    alone = f"intervals, which keep more ranks open: {', '.join(bare)} without a mark a question"
    return better, f"{paired}, and by {alone}" if tested else alone


def _board(entries: Iterable[Entry], folder: Path) -> Board:
    ordered = sorted(
        entries, key=lambda entry: (-entry.pair.accuracy.value, entry.pair.pair, entry.results.time)
    )
    better, ranked = _better(ordered)
    looks = Counter((entry.pair.pair, entry.pair.facts.get("base")) for entry in ordered)
    rows = [
        Ranked(
            place,
            entry.pair.pair
            if looks[entry.pair.pair, entry.pair.facts.get("base")] == 1
            else f"{entry.pair.pair} ({_home(entry)})",
            entry,
            _over_base(entry),
            _prompt(entry.prompt),
            _link(entry.results.path, folder),
        )
        for place, entry in zip(ranks(better), ordered, strict=True)
    ]
    known = dict.fromkeys(name for entry in ordered for name in entry.pair.metrics)
    return Board(rows, ranked if len(rows) > 1 else "", [name for name in known if name not in METRICS])


def _home(entry: Entry) -> str:
    """What its file is called: the run's folder, or the file's own name where it was committed."""
    path = entry.results.path
    return path.parent.name if path.name.startswith("results_") else path.stem


def _identity(entry: Entry) -> str:
    """What makes two rows the same contestant."""
    facts = entry.pair.facts
    weights = [facts.get(f"{part}_hash") or facts.get(part) for part in ("base", "adapter", "predictions")]
    asked = _words(entry.prompt)
    return json.dumps([entry.pair.pair, weights, asked, entry.quantization, entry.results.harness])


def _over_base(entry: Entry) -> str:
    base = next((pair for pair in entry.benchmark.pairs if pair.pair == "base"), None)
    if base is None or entry.pair.pair in REFERENCES:
        return "–"
    own, other = entry.pair.accuracy, base.accuracy
    found = bounded(read_marks(entry._replace(pair=base)), read_marks(entry))
    if found is not None:
        difference, limits = found.counted.value, (found.counted.low, found.counted.high)
    else:
        difference = own.value - other.value
        limits = unpaired_difference(
            (round(own.value * own.n), own.n), (round(other.value * other.n), other.n)
        )
    interval = span(*limits, signed=True).replace(" ", "\u00a0")
    return f"{points(difference)} <sub>{interval}</sub>"


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
