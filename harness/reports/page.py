"""``page.html``: the answers to look at in one file that opens anywhere, filterable, with witnesses."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.files import write_text
from harness.records import HEADLINE, Outcome, Sample, Witness
from harness.runs.results import read_results

from .charts import OUTCOME_COLOURS
from .failures import differing_rows
from .report import LIMIT, Section, sections
from .wording import label, render


def write_page(folder: Path) -> Path:
    """Write ``page.html`` into a run's folder; returns its path.

    It holds every answer that is wrong, forgiven (``null_only``, ``tie_only``) or judged otherwise by an
    official scorer, at most ``LIMIT`` a benchmark. It loads nothing from anywhere; its content security
    policy holds the browser to that. Raises as ``write_report`` does.
    """
    results = read_results(folder)
    made = sections(results, folder)
    rows = [_rows(section) for section in made]
    text = render(
        "page.html.j2",
        results=results,
        sections=made,
        headline=HEADLINE,
        left_out=[max(len(found) - LIMIT, 0) for found in rows],
        data_uri=_data_uri,
        data=_embed([found[:LIMIT] for found in rows]),
        meanings=_embed({outcome: outcome.meaning for outcome in Outcome}),
        colours=_embed(OUTCOME_COLOURS),
        references=_embed([section.side.reference for section in made]),
    )
    return write_text(folder / "page.html", text)


def _rows(section: Section) -> list[dict[str, Any]]:
    """The pairs under test first, and of theirs what the reference had right."""
    reference = section.side.reference
    right = {s.id: s.execution_match for s in section.samples if s.pair == reference and s.sample == 0}
    subjects = [pair.pair for pair in section.side.subjects]
    shown = section.notable
    shown.sort(key=lambda s: (s.pair not in subjects, s.execution_match, not right.get(s.id)))
    return [
        _row(sample, right.get(sample.id) if sample.pair != reference else None, section.side.folds)
        for sample in shown
    ]


def _row(sample: Sample, reference_right: bool | None, fold: bool) -> dict[str, Any]:
    groups = sample.meta.get("groups") or {}
    said = sample.completion if sample.completion and sample.completion.strip() != sample.prediction else None
    return {
        "id": sample.id,
        "pair": sample.pair,
        "question": sample.question,
        "kind": sample.kind or "",
        "outcome": sample.outcome,
        "cause": label(sample.cause or ""),
        "right": sample.execution_match,
        "reference": {True: "right", False: "wrong", None: ""}[reference_right],
        "gold": sample.gold,
        "prediction": sample.prediction,
        "context": sample.context,
        "completion": said,
        "facts": [
            "" if sample.detail == sample.cause else sample.detail,
            "" if sample.counted else f"{sample.gold_status} gold: {sample.gold_reason or 'flagged'}",
            *(f"{name}: {value}" for name, value in groups.items()),
            f"seen in training: {', '.join(sample.exposure)}" if sample.exposure else "",
            *(
                f"{label(name)}: {value:.3g} {sample.official_notes.get(name, '')}"
                for name, value in sample.official.items()
            ),
        ],
        "apart": any(map(sample.apart, sample.official)),
        "witness": _witness(sample.witness, fold) if sample.witness else None,
    }


def _witness(witness: Witness, fold: bool) -> dict[str, Any]:
    difference = differing_rows(witness, fold)
    rows = witness.prediction_rows
    return {
        "script": witness.script,
        "gold": _result(witness.gold_columns, witness.gold_rows, difference.gold),
        "prediction": None
        if rows is None
        else _result(witness.prediction_columns or (), rows, difference.prediction),
        "error": witness.prediction_error,
    }


def _result(columns: Sequence[str], rows: Sequence[Any], differing: Sequence[Any]) -> dict[str, Any]:
    left = Counter(differing)
    differs = []
    for row in rows[:100]:
        differs.append(left[row] > 0)
        left[row] -= 1
    return {"columns": columns, "rows": rows[:100], "differs": differs}


def _embed(value: object) -> str:
    """JSON that is safe inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _data_uri(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
