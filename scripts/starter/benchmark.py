"""The starter benchmark: questions on small schemas, made by this code from one seed.

``generate`` writes ``train.jsonl``, ``validation.jsonl`` and ``test.jsonl`` (id, question, context,
answer, kind, domain) byte for byte the same each time. The splits share no table; see ``domains``.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import NamedTuple

from harness.files import asset

from .domains import SPLITS, Domain, Split, domains
from .questions import KINDS, ask

SEED = 7
_PER_KIND = {"train": 2, "validation": 3, "test": 2}
_JOINS = {"train": 6, "validation": 8, "test": 6}


class Row(NamedTuple):
    """One record as it stands in the files."""

    id: str
    question: str
    context: str
    answer: str
    kind: str
    domain: str


def rows(split: Split, seed: int = SEED) -> list[Row]:
    """The split's records: as many of each kind from each domain, joins apart (they are more)."""
    found = []
    for domain in domains():
        if domain.split == split:
            found += _rows(domain, random.Random(f"{seed} {domain.name}"))
    return found


def generate(seed: int = SEED, folder: Path | None = None) -> dict[Split, Path]:
    """Write the three files into ``folder`` (the benchmark's own by default) and say where they are."""
    folder = folder or asset("benchmarks") / "starter"
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for split in SPLITS:
        written[split] = folder / f"{split}.jsonl"
        lines = [json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows(split, seed)]
        written[split].write_text("".join(lines), encoding="utf-8", newline="\n")
    return written


def _rows(domain: Domain, rng: random.Random) -> list[Row]:
    found: dict[str, Row] = {}
    for kind in KINDS:
        wanted = (_JOINS if kind == "join" else _PER_KIND)[domain.split]
        count = 0
        for _ in range(wanted * 8):
            if count == wanted or (question := ask(kind, domain, rng)) is None:
                break
            if question.question not in found:
                count += 1
                name = f"{domain.name}-{kind}-{count}"
                found[question.question] = Row(
                    name, question.question, domain.context, question.answer, kind, domain.name
                )
    return list(found.values())
