"""``page.html``: every answer in one file that opens anywhere, to filter, wrong ones with their witness."""

from __future__ import annotations

import base64
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.files import write_text
from harness.measures import HEADLINE
from harness.outcomes import Outcome
from harness.records import Sample, Witness
from harness.runs.results import read_results

from .charts import OUTCOME_COLOURS
from .failures import differing_rows
from .report import LIMIT, Section, sections
from .wording import label, render


def write_page(folder: Path) -> Path:
    """Write ``page.html`` into a run's folder; returns its path.

    It holds every answer, at most ``LIMIT`` a benchmark: first those to look at (wrong, forgiven, judged
    otherwise by an official scorer), then the right ones. It loads nothing from anywhere; its content
    security policy holds the browser to that. Raises as ``write_report`` does.
    """
    results = read_results(folder)
    made = sections(results, folder)
    text = render(
        "page.html.j2",
        results=results,
        sections=made,
        headline=HEADLINE,
        left_out=[max(sum(s.sample == 0 for s in section.samples) - LIMIT, 0) for section in made],
        data_uri=_data_uri,
        data=_embed([_data(section) for section in made]),
        meanings=_embed({outcome: outcome.meaning for outcome in Outcome}),
        colours=_embed(OUTCOME_COLOURS),
        run=shlex.quote(str(folder)),
    )
    return write_text(folder / "page.html", text)


def _data(section: Section) -> dict[str, Any]:
    """The section's examples, each once, and its answers, which name theirs by place.

    Answers to look at come first, of these the pairs under test, and of theirs what the reference had right.
    """
    reference = section.side.reference
    right = {s.id: s.execution_match for s in section.samples if s.pair == reference and s.sample == 0}
    subjects = [pair.pair for pair in section.side.subjects]
    shown = [sample for sample in section.samples if sample.sample == 0]
    shown.sort(key=lambda s: (not s.notable, s.pair not in subjects, s.execution_match, not right.get(s.id)))
    contexts: dict[str, int] = {}
    places: dict[str, int] = {}
    examples: list[dict[str, Any]] = []
    answers = []
    for sample in shown[:LIMIT]:
        if sample.id not in places:
            places[sample.id] = len(examples)
            examples.append(
                {
                    "id": sample.id,
                    "question": sample.question.strip() or "(no question)",
                    "kind": sample.kind or "",
                    "gold": sample.gold,
                    "context": contexts.setdefault(sample.context, len(contexts)),
                }
            )
        known = right.get(sample.id) if sample.pair != reference else None
        answers.append(_answer(sample, places[sample.id], known, section.side.folds))
    return {
        "reference": reference or "",
        "pairs": [pair.pair for pair in section.side.pairs],
        "contexts": list(contexts),
        "examples": examples,
        "answers": answers,
    }


def _answer(sample: Sample, place: int, reference_right: bool | None, fold: bool) -> dict[str, Any]:
    groups = sample.meta.get("groups") or {}
    said = sample.completion if sample.completion and sample.completion.strip() != sample.prediction else None
    facts = [
        "" if sample.detail == sample.cause else sample.detail,
        "" if sample.counted else f"{sample.gold_status} gold: {sample.gold_reason or 'flagged'}",
        *(f"{name}: {value}" for name, value in groups.items()),
        f"seen in training: {', '.join(sample.exposure)}" if sample.exposure else "",
        *(
            f"{label(name)}: {value:.3g} {sample.official_notes.get(name, '')}"
            for name, value in sample.official.items()
        ),
    ]
    made: dict[str, Any] = {
        "example": place,
        "pair": sample.pair,
        "outcome": sample.outcome,
        "prediction": sample.prediction,
    }
    more = {
        "cause": label(sample.cause or ""),
        "right": sample.execution_match,
        "reference": {True: "right", False: "wrong", None: ""}[reference_right],
        "completion": said,
        "facts": [fact for fact in facts if fact],
        "apart": any(map(sample.apart, sample.official)),
        "flagged": not sample.counted,
        "witness": _witness(sample.witness, fold) if sample.witness else None,
    }
    return made | {key: value for key, value in more.items() if value}


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
