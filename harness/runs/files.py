"""The result files of a run: ``samples_*.jsonl``, ``results_*.json`` and ``results.db``.

Names and outer shape follow what users of lm-evaluation-harness know.
"""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import RunError
from harness.records import Benchmark, Metric, Sample, Witness
from harness.runs.folder import RunFolder, read_record, write_json, write_text

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "sqlglot")


def samples_path(folder: RunFolder, benchmark: str) -> Path:
    """Where a benchmark's samples lie."""
    return folder.path / f"samples_{benchmark.replace('/', '__')}_{folder.time}.jsonl"


def results_path(folder: RunFolder) -> Path:
    """Where the run's results lie."""
    return folder.path / f"results_{folder.time}.json"


def write_samples(
    path: Path, samples: Iterable[Sample], witnesses: Mapping[int, Witness]
) -> list[dict[str, Any]]:
    """Write a line a sample; ``witnesses`` are by the sample's position. Returns the rows."""
    rows = []
    for index, sample in enumerate(samples):
        row = sample.to_json()
        if index in witnesses:
            row["witness"] = {k: v for k, v in asdict(witnesses[index]).items() if k != "image"}
        rows.append(row)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, default=_plain) + "\n" for row in rows))
    return rows


def write_results(folder: RunFolder, body: Mapping[str, Any]) -> Path:
    """Write ``results_<time>.json``: ``body`` with what says where and with what it was made."""
    path = results_path(folder)
    head = {
        "harness": __version__,
        "run": str(folder.path),
        "time": folder.time,
        "fingerprint": folder.fingerprint,
    }
    write_json(path, to_json({**head, **body, "versions": versions(), "machine": machine()}))
    return path


def write_database(path: Path, rows: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> None:
    """Write ``results.db`` (tables ``samples`` and ``metrics``), which opens in Datasette."""
    from sqlite_utils import Database

    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    db = Database(draft)
    flat = [{key: _cell(value) for key, value in row.items()} for row in rows]
    db["samples"].insert_all(flat, pk=("pair", "id", "sample"), alter=True)
    db["metrics"].insert_all(
        (
            {"benchmark": benchmark, "pair": pair, "metric": metric, **_metric(value)}
            for benchmark, pairs in results.items()
            for pair, metrics in pairs.items()
            for metric, value in metrics.items()
        ),
        pk=("benchmark", "pair", "metric"),
    )
    if flat:
        db["samples"].create_index(["pair", "execution_match"])
    db.close()
    draft.replace(path)


def read_results(folder: Path) -> dict[str, Any]:
    """The results of a run's folder.

    Raises:
        RunError: it is no run's folder, the run has not ended, or the file is spoiled.
    """
    read_record(folder)
    found = sorted(folder.glob("results_*.json"))
    if not found:
        raise RunError(f"{folder} holds no results", "start that run again: it goes on where it stopped")
    try:
        results = json.loads(found[-1].read_text("utf-8"))
        if not isinstance(results, dict) or not isinstance(results.get("configs"), dict):
            raise ValueError("it has no configs")
    except ValueError as error:
        raise RunError(f"{found[-1]} is not a results file ({error})", "start that run again") from error
    return results


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The rows of every ``samples_*.jsonl`` of a run's folder.

    Raises:
        RunError: there are none, or a line is spoiled.
    """
    rows = []
    for path in sorted(folder.glob("samples_*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                row = json.loads(line)
                if not isinstance(row, dict) or not {"id", "pair", "gold", "context"} <= row.keys():
                    raise ValueError("it is no sample")
            except ValueError as error:
                raise RunError(
                    f"{path}, line {number}, cannot be read ({error})", "start that run again"
                ) from error
            rows.append(row)
    if not rows:
        raise RunError(f"{folder} holds no samples", "start that run again: it goes on where it stopped")
    return rows


def describe_benchmark(benchmark: Benchmark) -> dict[str, Any]:
    """What ``configs`` says of a benchmark."""
    return {
        "split": benchmark.split,
        "data_hash": benchmark.data_hash,
        "prompt": asdict(benchmark.prompt),
        "rules": asdict(benchmark.rules),
        "dialect": benchmark.dialect,
        "scorers": list(benchmark.scorers),
        "max_new_tokens": benchmark.max_new_tokens,
        "examples": len(benchmark.examples),
        "about": dict(benchmark.about),
    }


def versions() -> dict[str, str]:
    """Versions of what a verdict or a completion may depend on."""
    found = {"harness": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the run ran on, as far as it may matter to its figures."""
    import os

    return {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}


def to_json(value: Any) -> Any:
    """Metrics as objects, mappings and sequences likewise, all else as it is."""
    if isinstance(value, Metric):
        return _metric(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def _metric(value: Metric) -> dict[str, Any]:
    return {key: round(item, 6) if isinstance(item, float) else item for key, item in value._asdict().items()}


def _cell(value: Any) -> Any:
    return (
        json.dumps(value, ensure_ascii=False, default=_plain)
        if isinstance(value, (dict, list, tuple))
        else value
    )


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)
