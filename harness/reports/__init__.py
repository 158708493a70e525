"""What a run's folder turns into for people and for CI: report, page, leaderboard, comparison, gate."""

from __future__ import annotations

from .ci import announce
from .comparison import Comparison, Comparisons, compare, compare_all
from .exchange import export
from .gate import Gate, check, write_baseline
from .leaderboard import results_files, stale, write_leaderboard
from .page import write_page
from .report import write_report

__all__ = [
    "Comparison",
    "Comparisons",
    "Gate",
    "announce",
    "check",
    "compare",
    "compare_all",
    "export",
    "results_files",
    "stale",
    "write_baseline",
    "write_leaderboard",
    "write_page",
    "write_report",
]
