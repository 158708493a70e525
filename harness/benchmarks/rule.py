"""The rule: SQL from the context's giveaways alone, without any model.

A context of sql-create-context names only the columns that its gold uses, the selected one first, and
makes a column INTEGER where the gold calculates with it. What this rule reaches is what a model's
score has to be read against.
"""

from __future__ import annotations

from harness.records import Example


def apply_rule(example: Example) -> str:
    """SQL for a question by the rule."""
    return f"SELECT * FROM {example.context.split()[2]}"
