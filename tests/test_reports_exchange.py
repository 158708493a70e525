"""export and results.db: each form is read back by the library whose form it is."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from datasette.app import Datasette
from reports_run import outcomes, write_run

from harness.errors import UsageError
from harness.measures import Metric
from harness.outcomes import Outcome
from harness.reports import export
from harness.runs.results import read_results
from harness.runs.samples import write_database

sqlite3.enable_callback_tracebacks(False)  # datasette turns them on for all of the process

RIGHT, WRONG = Outcome.EXACT, Outcome.WRONG


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", {"base": outcomes(20, 0.3, 1), "mine": outcomes(20, 0.7, 2)})


def accuracy(run: Path) -> Metric:
    return read_results(run).benchmarks[0].pairs[1].accuracy


def test_a_model_card_takes_the_index(run: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    text = export(run, tmp_path / "index.yaml", "model-index").read_text("utf-8")
    found = ModelCard(f"---\n{text}---\n# Mine\n").data
    assert found.model_name == "mine"
    assert found.eval_results
    own = next(one for one in found.eval_results if one.metric_type == "execution_accuracy")
    assert own.metric_value == pytest.approx(accuracy(run).value, abs=1e-6)
    assert (own.task_type, own.dataset_split, own.metric_name) == (
        "text-to-sql",
        "test",
        "execution accuracy",
    )
    assert own.metric_args["low"] == pytest.approx(accuracy(run).low, abs=1e-6)


def test_the_hub_takes_the_evaluation_results(run: Path, tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    text = export(run, tmp_path / "results.yaml", "eval-results", pair="mine").read_text("utf-8")
    entries = {one.task_id: one for one in parse_eval_result_entries(yaml.safe_load(text))}
    own = entries["starter/execution_accuracy"]
    assert own.value == pytest.approx(accuracy(run).value, abs=1e-6)
    assert "95 % interval" in (own.notes or "")


def test_inspect_reads_the_log(run: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="inspect-ai is not installed")
    read = log.read_eval_log(str(export(run, tmp_path / "log.json", "inspect")))
    assert read.status == "success"
    assert len(read.samples) == 20
    score = next(one for one in read.results.scores if one.name == "execution_accuracy")
    assert score.metrics["accuracy"].value == pytest.approx(accuracy(run).value)
    for sample in read.samples:
        right = outcomes(20, 0.7, 2)[int(sample.id)].right
        assert sample.scores["execution_accuracy"].value == float(right)


def test_the_pair_has_to_be_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"x": [RIGHT] * 3, "y": [WRONG] * 3})
    with pytest.raises(UsageError, match="name one with --pair"):
        export(run, tmp_path / "x.yaml", "model-index")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    ended = {"a": [RIGHT, WRONG, RIGHT, WRONG], "b": [RIGHT, RIGHT, WRONG, WRONG]}
    results = read_results(write_run(tmp_path / "run", ended, flagged={"3": "broken"}))
    metrics = {side.name: {pair.pair: pair.metrics for pair in side.pairs} for side in results.benchmarks}
    path = tmp_path / "results.db"
    write_database(path, list(results.samples("starter")), metrics)
    return path


def test_the_views_say_what_they_are_described_as(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        flips = db.execute("SELECT before, after, change, id FROM flips ORDER BY before, id").fetchall()
        assert flips == [
            ("a", "b", "fixed", "1"),
            ("a", "b", "broken", "2"),
            ("b", "a", "broken", "1"),
            ("b", "a", "fixed", "2"),
        ]
        failures = db.execute("SELECT pair, id FROM failures ORDER BY pair, id").fetchall()
        assert failures == [("a", "1"), ("b", "2")]
        percent = db.execute("SELECT percent FROM scores WHERE metric = 'execution_accuracy'").fetchall()
        assert percent == [(66.7,), (66.7,)]
        described = {name for (name,) in db.execute("SELECT name FROM described")}
        there = db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        assert described == {name for (name,) in there}


def test_datasette_opens_it(database: Path) -> None:
    async def ask(path: str) -> object:
        datasette = Datasette([str(database)])
        response = await datasette.client.get(path)
        assert response.status_code == 200, response.text
        return json.loads(response.text)

    rows = asyncio.run(ask("/results/flips.json?_shape=array"))
    assert isinstance(rows, list)
    assert len(rows) == 4
