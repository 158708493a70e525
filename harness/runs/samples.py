"""The samples of a run: ``samples_<benchmark>_<time>.jsonl``, and ``results.db`` made of them.

A line is a ``Sample`` through one adapter, with two additions for other readers: ``execution_match``, and
each official metric under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.errors import DataError, RunError
from harness.files import write_text
from harness.measures import Metric
from harness.options import reason
from harness.records import Sample

_SAMPLE = TypeAdapter(Sample)
_OWN = {field.name for field in fields(Sample)} | {"execution_match"}
_LEFT_OUT: Any = {"official": True, "witness": {"image"}}


_TABLES = {
    "samples": "a row a question, pair and sample: queries, outcome, cause, witness (JSON), official scores",
    "metrics": "every metric of every pair with its 95 % interval; n examples counted, excluded left out",
    "described": "this list",
}
_VIEWS = {
    "failures": (
        "wrong answers to sound golds, with cause and detail",
        "SELECT pair, id, kind, outcome, cause, detail, question, gold, prediction FROM samples "
        "WHERE NOT execution_match AND gold_status = 'ok' AND sample = 0",
    ),
    "flips": (
        "questions that one pair (before) and another (after) answer differently: fixed or broken",
        "SELECT a.pair AS before, b.pair AS after, "
        "CASE WHEN b.execution_match THEN 'fixed' ELSE 'broken' END AS change, "
        "a.id, a.kind, a.question, a.gold, a.prediction AS prediction_before, "
        "b.prediction AS prediction_after, "
        "a.outcome AS outcome_before, b.outcome AS outcome_after "
        "FROM samples a JOIN samples b ON a.id = b.id AND a.sample = 0 AND b.sample = 0 AND a.pair <> b.pair "
        "WHERE a.execution_match <> b.execution_match AND a.gold_status = 'ok'",
    ),
    "scores": (
        "the metrics in percent, a row a benchmark, pair and metric, best first",
        "SELECT benchmark, pair, metric, round(100 * value, 1) AS percent, round(100 * low, 1) AS low, "
        "round(100 * high, 1) AS high, n, excluded FROM metrics ORDER BY benchmark, metric, value DESC",
    ),
}
"""Views of ``results.db``: what each holds, and its SELECT."""


def samples_path(folder: Path, benchmark: str, time: str) -> Path:
    """Where a benchmark's samples lie."""
    return folder / f"samples_{benchmark.replace('/', '__')}_{time}.jsonl"


def sample_row(sample: Sample) -> dict[str, Any]:
    """A flat JSON object; the names are those that scripts rely on."""
    row = _SAMPLE.dump_python(sample, exclude=_LEFT_OUT)
    return {
        **row,
        "outcome": sample.outcome.value,
        "execution_match": sample.execution_match,
        **sample.official,
    }


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Write a line a sample."""
    write_text(path, "".join(f"{_text(sample_row(sample))}\n" for sample in samples))


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file, in its order.

    Raises:
        RunError: there is no such file, or it cannot be read.
        DataError: a line is no sample (named).
    """
    if not path.exists():
        raise RunError(f"{path} is not there", "give a run's own folder: it holds the samples")
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield _read(json.loads(line.decode()))
                except (ValueError, TypeError, RecursionError) as error:
                    raise DataError(
                        f"{path}, line {number} is no sample: {reason(error)}", "start that run again"
                    ) from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror})", "mend its permissions") from None


def _read(row: Any) -> Sample:
    if isinstance(row, dict):
        official = {key: row[key] for key in row if key not in _OWN and isinstance(row[key], (int, float))}
        row = {**row, "official": official}
    return _SAMPLE.validate_python(row)


def write_database(
    path: Path, samples: Sequence[Sample], results: Mapping[str, Mapping[str, Mapping[str, Metric]]]
) -> None:
    """Write ``results.db``, which opens in Datasette: what it holds stands in its table ``described``."""
    from sqlite_utils import Database

    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    db = Database(draft)
    db.execute("PRAGMA synchronous = OFF")  # a draft that a crash spoils is made again
    db["samples"].insert_all(
        ({key: _cell(value) for key, value in sample_row(sample).items()} for sample in samples),
        pk=("pair", "id", "sample"),
        alter=True,
    )
    db["metrics"].insert_all(
        (
            {"benchmark": benchmark, "pair": pair, "metric": metric, **value._asdict()}
            for benchmark, pairs in results.items()
            for pair, metrics in pairs.items()
            for metric, value in metrics.items()
        ),
        pk=("benchmark", "pair", "metric"),
    )
    if samples:
        db["samples"].create_index(["pair", "execution_match"])
        db["samples"].create_index(["id", "sample"])
        for name, (_, select) in _VIEWS.items():
            db.create_view(name, select)
    described = {**_TABLES, **({name: what for name, (what, _) in _VIEWS.items()} if samples else {})}
    db["described"].insert_all(({"name": name, "what": what} for name, what in described.items()), pk="name")
    db.close()
    draft.replace(path)


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)):
        return _text(value)
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
