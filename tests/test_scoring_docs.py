"""What the documentation of verdicts shows is what the code gives."""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "harness",
        "harness.sql.canonical",
        "harness.scoring.cause",
        "harness.scoring.policy",
        "harness.scoring.proof",
        "harness.sql.dialect",
    ],
)
def test_doctests(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module))
    assert tried
    assert not failed


def test_worked_example_of_the_docs(root: Path) -> None:
    text = (root / "docs" / "verdicts.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks[:2]:
            exec(block, names)
    shown = re.search(r"```\n(grouping .*?)```", text, re.S)
    assert shown is not None
    assert printed.getvalue().splitlines()[0].startswith("grouping")
    assert shown[1].count("CREATE TABLE") == printed.getvalue().count("CREATE TABLE")
    whole = re.findall(r"^\| `([^`…]+)` \| (\w+) \|", text, re.M)
    assert len(whole) >= 4
    for sql, outcome in whole:
        (verdict,) = names["judge"](names["suite"], [sql])
        assert verdict.outcome.value == outcome, sql


def test_reward_function_of_the_docs() -> None:
    from harness import build_suite, judge

    suite = build_suite("CREATE TABLE t (a INTEGER)", "SELECT a FROM t WHERE a > 3")
    completions = ["SELECT a FROM t WHERE a >= 4", "SELECT a FROM t", "nothing", None]
    assert [float(verdict.execution_match) for verdict in judge(suite, completions)] == [1.0, 0.0, 0.0, 0.0]


def test_the_way_of_a_gold(root: Path) -> None:
    text = (root / "docs" / "way-of-a-gold.md").read_text("utf-8")
    (code,), (shown,) = (
        re.findall(r"```python\n(.*?)```", text, re.S),
        re.findall(r"```\n(1 .*?)```", text, re.S),
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == shown
    for path in re.findall(r"`(harness/[\w/]+\.py)`", text):
        assert (root / path).is_file(), path


def test_what_a_query_says_runs_nothing(root: Path) -> None:
    """The room of SQL knows what stands below it, and no database."""
    for path in (root / "harness" / "sql").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name != "sqlite3", path
                below = name.startswith(
                    ("harness.sql", "harness.records", "harness.errors", "harness.chance")
                )
                assert below or not name.startswith("harness"), (path, name)
