"""The pin: what a change makes the harness say otherwise is found, and nothing else."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIN = runpy.run_path(str(ROOT / "scripts" / "pin.py"))


def pin(folder: Path, verdicts: list[dict[str, Any]], document: dict[str, Any]) -> Path:
    PIN["put"](folder / "verdicts.jsonl", verdicts)
    PIN["put"](folder / "samples.jsonl", [{"pair": "base", "id": "1", "outcome": "wrong"}])
    PIN["put"](folder / "documents.jsonl", [PIN["_steady"]({"command": "run", "document": document})])
    PIN["put"](folder / "pin.json", [{"every": 1}])
    return folder


def line(number: int, outcome: str, rows: int | None) -> dict[str, Any]:
    return {"source": "spider", "pair": "p", "id": str(number), "outcome": outcome, "witness_rows": rows}


def test_only_what_changed_is_named(tmp_path: Path, capsys: Any) -> None:
    old = pin(
        tmp_path / "a",
        [line(1, "exact", None), line(2, "wrong", 3), line(3, "wrong", 1)],
        {"run": "/x/runs/r"},
    )
    new = pin(
        tmp_path / "b",
        [line(1, "exact", None), line(2, "exact", None), line(3, "wrong", 2)],
        {"run": "/y/runs/r"},
    )
    assert PIN["compare"](old, old, 5) == 0
    capsys.readouterr()
    assert PIN["compare"](old, new, 5) == 2
    said = capsys.readouterr().out.splitlines()
    assert json.loads(said[-1])["kinds"] == {
        "verdicts: outcome: wrong → exact": 1,
        "verdicts: witness_rows": 1,
    }
    assert any("spider p 2" in text for text in said)


def test_a_verdict_that_is_gone_is_a_difference(tmp_path: Path) -> None:
    old, new = pin(tmp_path / "a", [line(1, "exact", None)], {}), pin(tmp_path / "b", [], {})
    assert PIN["compare"](old, new, 1) == 1
