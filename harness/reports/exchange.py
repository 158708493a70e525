"""A run in the forms of others: a model card's index, the hub's evaluation results, an Inspect log.

    model-index    ``model-index`` of a model card's front matter (YAML), as huggingface_hub reads it
    eval-results   a model repository's ``.eval_results/*.yaml``, as huggingface_hub reads it
    inspect        an evaluation log of Inspect (JSON), version 2, a sample an example

Each is of one pair on one benchmark; scores are shares between 0 and 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from harness.errors import UsageError
from harness.files import write_text
from harness.measures import HEADLINE, METRICS, Metric
from harness.records import Sample
from harness.runs.results import Entry, read_results

from .comparison import choose
from .wording import label

Format = Literal["model-index", "eval-results", "inspect"]

_DATASETS = {
    "create-context": "b-mc2/sql-create-context",
    "wikisql": "Salesforce/wikisql",
    "spider": "xlangai/spider",
}
"""Where the hub keeps what a benchmark is of, by the first part of its name; else it has its own name."""


def export(
    run: Path,
    target: Path,
    form: Format,
    *,
    benchmark: str | None = None,
    pair: str | None = None,
) -> Path:
    """Write a pair's results in another form; returns the file.

    Raises:
        UsageError: the benchmark or the pair has to be named.
        RunError: no results or samples there, or the target cannot be written.
    """
    results = read_results(run)
    names = [side.name for side in results.benchmarks]
    if benchmark is None and len(names) != 1:
        raise UsageError("the run has several benchmarks", f"name one with --benchmark: {', '.join(names)}")
    side = results.benchmark(benchmark or names[0])
    return write_text(target, _WRITERS[form](Entry(results, side, choose(side, pair, "--pair"))))


def card_data(entry: Entry | None, **facts: Any) -> Any:
    """The front matter of a model card, a ``huggingface_hub.ModelCardData``: what the hub indexes.

    ``facts`` are fields of it (``base_model``, ``license``, ``datasets``, …); of an entry its metrics are
    added.
    """
    from huggingface_hub import EvalResult, ModelCardData

    if entry is None:
        return ModelCardData(**facts)
    return ModelCardData(
        **{"model_name": entry.pair.pair, **facts},
        eval_results=[
            EvalResult(
                task_type="text-to-sql",
                task_name="Text to SQL",
                dataset_type=_dataset(entry),
                dataset_name=entry.benchmark.title,
                dataset_split=entry.benchmark.config.get("split"),
                dataset_args={"data_hash": entry.benchmark.config.get("data_hash"), "n": metric.n},
                metric_type=name,
                metric_name=label(name),
                metric_value=round(metric.value, 6),
                metric_args={"low": round(metric.low, 6), "high": round(metric.high, 6)},
            )
            for name, metric in _metrics(entry)
        ],
    )


def eval_results(entry: Entry, dataset: str | None = None) -> str:
    """A pair's metrics as the hub's evaluation results (YAML); ``dataset`` is the benchmark's id there."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=dataset or _dataset(entry),
            task_id=f"{entry.benchmark.name}/{name}",
            value=round(metric.value, 6),
            date=_moment(entry).date().isoformat(),
            notes=f"{label(name)}, n {metric.n}, 95 % interval {metric.low:.4f} to {metric.high:.4f}; "
            f"SQL harness {entry.results.harness}, data {str(entry.benchmark.config.get('data_hash'))[:12]}",
        )
        for name, metric in _metrics(entry)
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)


def _model_index(entry: Entry) -> str:
    base = entry.pair.facts.get("base")
    known = str(base) if base and not Path(str(base)).exists() else None
    return str(card_data(entry, base_model=known).to_yaml()) + "\n"


def _inspect(entry: Entry) -> str:
    samples = list(entry.samples())
    moment = _moment(entry).astimezone().isoformat()
    model = str(entry.pair.facts.get("adapter") or entry.pair.facts.get("base") or entry.pair.pair)
    dataset = {
        "name": entry.benchmark.name,
        "location": _dataset(entry),
        "samples": len(samples),
        "sample_ids": [sample.id for sample in samples],
    }
    document = {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": (entry.results.fingerprint or "none")[:22],
            "run_id": (entry.results.fingerprint or "none")[:22],
            "created": moment,
            "task": f"sql-harness/{entry.benchmark.name}",
            "task_id": (entry.results.fingerprint or "none")[:22],
            "dataset": dataset,
            "model": model,
            "config": {},
            "packages": {"sql-harness": entry.results.harness},
            "metadata": {"command": entry.results.command, "rules": entry.benchmark.config.get("rules")},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [_inspect_score(name, metric) for name, metric in _metrics(entry)],
        },
        "stats": {"started_at": moment, "completed_at": moment, "model_usage": {}},
        "samples": [_inspect_sample(sample, model) for sample in samples],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _inspect_score(name: str, metric: Metric) -> dict[str, Any]:
    values = {"accuracy": metric.value, "low": metric.low, "high": metric.high}
    return {
        "name": name,
        "scorer": name,
        "params": {},
        "scored_samples": metric.n,
        "unscored_samples": metric.excluded,
        "metrics": {key: {"name": key, "value": value, "params": {}} for key, value in values.items()},
    }


def _inspect_sample(sample: Sample, model: str) -> dict[str, Any]:
    said = sample.completion if sample.completion is not None else sample.prediction or ""
    read = {name: METRICS[name].of(sample) for name in HEADLINE}
    values = {name: value for name, value in read.items() if value is not None} | dict(sample.official)
    return {
        "id": sample.id,
        "epoch": 1,
        "input": f"{sample.context}\n\n{sample.question}",
        "target": sample.gold,
        "messages": [],
        "output": {
            "model": model,
            "choices": [
                {
                    "message": {"role": "assistant", "content": said, "source": "generate"},
                    "stop_reason": "max_tokens" if sample.finish == "length" else "stop",
                }
            ],
        },
        "scores": {
            name: {
                "value": float(value),
                "answer": sample.prediction,
                "explanation": f"{sample.outcome.words}: {sample.cause or sample.outcome.meaning}",
                "metadata": {"gold_status": sample.gold_status, "kind": sample.kind},
            }
            for name, value in values.items()
        },
        "metadata": {"db_id": sample.db_id, "kind": sample.kind, "outcome": sample.outcome.value},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _metrics(entry: Entry) -> list[tuple[str, Any]]:
    return [(name, metric) for name, metric in entry.pair.metrics.items() if metric.n]


def _dataset(entry: Entry) -> str:
    name = entry.benchmark.name
    known = [hub for start, hub in _DATASETS.items() if name.startswith(start)]
    return known[0] if known else f"sql-harness/{name}"


def _moment(entry: Entry) -> datetime:
    day, _, clock = entry.results.time.partition("T")
    return datetime.fromisoformat(f"{day}T{clock.replace('-', ':')}" if clock else day)


_WRITERS: Mapping[Format, Callable[[Entry], str]] = {
    "model-index": _model_index,
    "eval-results": eval_results,
    "inspect": _inspect,
}
