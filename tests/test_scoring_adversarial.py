"""Pairs of queries that somebody else wrote to deceive: those that differ are never called equal."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from harness import build_suite, judge
from harness.outcomes import Outcome

INDISTINGUISHABLE = 6
"""Differing pairs that no database made tells apart; it may fall."""


@pytest.mark.slow
def test_pairs_written_to_deceive(shared_data: Path) -> None:
    path = shared_data / "pairs" / "adversarial.jsonl.gz"
    if not path.is_file():
        pytest.skip("no adversarial pairs beside this checkout")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    found: Counter[tuple[str, Outcome]] = Counter()
    rejected = []
    for pair in pairs:
        (verdict,) = judge(build_suite(pair["context"], pair["answer"]), [pair["sql"]])
        found[pair["label"], verdict.outcome] += 1
        if pair["label"] == "same" and not verdict.execution_match:
            rejected.append(pair["id"])
    assert rejected == []
    assert found["different", Outcome.EXACT] == 0
    assert found["different", Outcome.EQUIVALENT] == 0
    accepted = sum(n for (label, outcome), n in found.items() if label == "different" and outcome.right)
    assert accepted <= INDISTINGUISHABLE, found
