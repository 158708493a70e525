"""``page.html``: all failures of a run in one file that opens anywhere, filterable, with their witnesses."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import RunError

from .charts import OUTCOME_COLOURS, write_charts
from .comparison import Comparison
from .failures import differing_rows
from .report import MEANINGS, comparisons
from .results import OWN_METRICS, BenchmarkResult, Counterexample, Judged, Results, read_results, read_samples
from .tables import label, percent, span

LIMIT = 5000
"""So many answers a benchmark go into the page; a browser stays quick with them."""


def write_page(folder: Path) -> Path:
    """Write ``page.html`` into a run's folder; returns its path.

    The page holds every answer that is wrong, forgiven (``null_only``, ``tie_only``) or judged otherwise by
    an official scorer, at most ``LIMIT`` a benchmark. It loads nothing from anywhere and says so to
    the browser by its content security policy. Raises RunError and DataError as ``write_report``.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    results = read_results(folder)
    environment = Environment(
        loader=PackageLoader("harness.reports"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    environment.filters.update(label=label, percent=percent)
    target = folder / "page.html"
    try:
        sections = [_section(results, side, folder) for side in results.benchmarks]
        text = environment.get_template("page.html.j2").render(
            results=results,
            sections=sections,
            data=_embed([section["rows"] for section in sections]),
            meanings=_embed({outcome.value: MEANINGS[outcome] for outcome in MEANINGS}),
            references=_embed([section["reference"] for section in sections]),
            metrics=OWN_METRICS[:5],
            colours=_embed({outcome.value: colour for outcome, colour in OUTCOME_COLOURS.items()}),
            span=span,
        )
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror}", "check the folder's permissions"
        ) from None
    return target


def _section(results: Results, side: BenchmarkResult, folder: Path) -> dict[str, Any]:
    samples = list(read_samples(results, side.name))
    reference = side.reference.pair if side.reference else None
    known = {sample.id: sample.right for sample in samples if sample.pair == reference and sample.sample == 0}
    fold = (side.config.get("rules") or {}).get("case", "ignore") == "ignore"
    shown = [sample for sample in samples if _worth(sample)]
    against: Sequence[Comparison] = comparisons(side, samples)
    charts = write_charts(side, folder / "charts")
    return {
        "side": side,
        "against": [comparison.sentence() for comparison in against if comparison.name_b != "rule"],
        "charts": {name: _data_uri(path) for name, path in charts.items()},
        "rows": [
            _row(sample, known.get(sample.id) if sample.pair != reference else None, fold)
            for sample in shown[:LIMIT]
        ],
        "left_out": max(len(shown) - LIMIT, 0),
        "reference": reference,
    }


def _worth(sample: Judged) -> bool:
    forgiven = sample.outcome.value in {"null_only", "tie_only"}
    apart = any((value >= 0.5) != sample.right for value in sample.official.values())
    return not sample.right or forgiven or apart


def _row(sample: Judged, reference_right: bool | None, fold: bool) -> dict[str, Any]:
    row = {
        "id": sample.id,
        "pair": sample.pair,
        "question": sample.question,
        "kind": sample.kind or "",
        "outcome": sample.outcome.value,
        "cause": label(sample.cause or "") if sample.cause else "",
        "right": sample.right,
        "reference": {True: "right", False: "wrong", None: ""}[reference_right],
        "gold_status": sample.gold_status,
        "gold": sample.gold,
        "prediction": sample.prediction,
        "detail": sample.detail,
        "context": sample.context,
        "official": {label(name): value for name, value in sample.official.items()},
    }
    if sample.completion is not None and sample.completion.strip() != (sample.prediction or "").strip():
        row["completion"] = sample.completion
    if sample.exposure:
        row["exposure"] = sample.exposure
    if sample.witness:
        row["witness"] = _witness(sample.witness, fold)
    return row


def _witness(witness: Counterexample, fold: bool) -> dict[str, Any]:
    difference = differing_rows(witness, fold)
    gold = difference.gold if difference else witness.gold_rows
    prediction = difference.prediction if difference else ()
    ran = witness.prediction_rows is not None
    return {
        "script": witness.script,
        "gold": _result(witness.gold_columns, witness.gold_rows, gold),
        "prediction": _result(witness.prediction_columns or (), witness.prediction_rows or (), prediction)
        if ran
        else None,
        "error": witness.prediction_error,
    }


def _result(
    columns: Sequence[str], rows: Sequence[tuple[Any, ...]], differing: Sequence[tuple[Any, ...]]
) -> dict[str, Any]:
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
