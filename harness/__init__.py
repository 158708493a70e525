"""A batch evaluation harness for models that write SQL.

Three calls judge SQL without a model, a benchmark or a file:

>>> from harness import build_suite, explain, judge
>>> suite = build_suite("CREATE TABLE head (name TEXT, age TEXT)", "SELECT name FROM head WHERE age > 56")
>>> verdicts = judge(suite, ["select NAME from head where 57 <= age", "SELECT age FROM heads"])
>>> [verdict.outcome.value for verdict in verdicts]
['equivalent', 'schema_error']
>>> explanation = explain(suite, "SELECT name FROM head WHERE age >= 56")
>>> explanation.verdict.outcome.value, explanation.cause
('wrong', 'operator')
>>> len(explanation.witness.gold_rows) < len(explanation.witness.prediction_rows)
True

``judge`` keeps no state and takes all completions of one question at once, so it serves as a reward function:
``[float(v.execution_match) for v in judge(suite, completions)]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.databases import build_suite
    from harness.scoring import explain, judge

__all__ = ["__version__", "build_suite", "explain", "judge"]

__version__ = "0.1.0"

_LATE = {"build_suite": "harness.databases", "explain": "harness.scoring", "judge": "harness.scoring"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
