"""Verdicts: what is held of a prediction, why, and the smallest database that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.databases import build_suite
    from harness.scoring.policy import policy_table
    from harness.scoring.pool import judge_all, witnesses
    from harness.scoring.verdict import judge
    from harness.scoring.witness import Explanation, explain

__all__ = ["Explanation", "build_suite", "explain", "judge", "judge_all", "policy_table", "witnesses"]

_LATE = {
    "Explanation": "harness.scoring.witness",
    "build_suite": "harness.databases",
    "explain": "harness.scoring.witness",
    "judge": "harness.scoring.verdict",
    "judge_all": "harness.scoring.pool",
    "policy_table": "harness.scoring.policy",
    "witnesses": "harness.scoring.pool",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
