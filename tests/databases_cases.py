"""Cases of the databases' tests, read from tests/cases/databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "cases" / "databases"


def cases(name: str) -> list[Any]:
    """One parameter set a line of a case file; a case's reason is its test's id."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["why"]) for case in map(json.loads, lines)]
