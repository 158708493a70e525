"""What a finished run shows: its report, page and table, and the leaderboard of the runs so far."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError
from harness.reports import write_leaderboard, write_page, write_report
from harness.runs.conclude import RunResult
from harness.runs.latest import remember
from harness.screen import Screen, percent

_WITH_INTERVALS = 3  # so many pairs fit into 80 columns with their intervals


def present(screen: Screen, result: RunResult, *, own_folder: bool) -> None:
    """Report, page and leaderboard of a finished run, and its table on the screen."""
    remember(result.folder)
    with screen.waiting("Writing report and page"):
        report = write_report(result.folder)
        page = write_page(result.folder)
    board = _board_of_runs(screen, result.results_file) if own_folder else None
    for benchmark, pairs in result.results.items():
        names = list(dict.fromkeys(metric for metrics in pairs.values() for metric in metrics))
        rows = [
            [
                name.replace("_", " "),
                *(
                    percent(metrics[name], interval=len(pairs) <= _WITH_INTERVALS) if name in metrics else "—"
                    for metrics in pairs.values()
                ),
            ]
            for name in names
        ]
        n = max((metrics["execution_accuracy"].n for metrics in pairs.values()), default=0)
        told = "% (95 % interval)" if len(pairs) <= _WITH_INTERVALS else "%"
        screen.table(f"{benchmark}, {n:,} examples, {told}", ("metric", *pairs), rows, names=tuple(pairs))
    for label, path in (("Report", report), ("Page", page), ("Leaderboard", board), ("Run", result.folder)):
        if path is None:
            continue
        screen.show(f"{label + ':':<13}{path}")
    for note in result.notes:
        if note.startswith("LEAK"):
            screen.show(note)
    screen.finish(result.to_json())


def _board_of_runs(screen: Screen, newest: Path) -> Path | None:
    """The leaderboard of the runs so far; what cannot be read there costs nobody his results."""
    runs = Path("reports", "runs")
    try:
        write_leaderboard(
            sorted({*runs.glob("*/results_*.json"), newest}),
            runs / "LEADERBOARD.md",
            skip_unreadable=True,
            notify=screen.say,
        )
    except HarnessError as error:
        screen.say(f"No leaderboard: {error}")
        return None
    return runs / "LEADERBOARD.md"
