"""The card of an adapter, and what ``publish`` sends where: against a stand-in of the hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_stand_in import TOKEN, Hub, hub
from huggingface_hub import parse_eval_result_entries
from models_tiny import tiny_adapter, tiny_base
from reports_run import outcomes, write_run

from harness.errors import ModelError, RunError
from harness.models.sources import find_adapter
from harness.training import publish
from harness.training.card import KEEP
from harness.training.record import TrainingRecord, trained_with

TOLD = TrainingRecord(
    data="b-mc2/sql-create-context",
    data_hash="ab" * 32,
    licence="CC-BY-4.0",
    rows=1000,
    held_out=50,
    left_out=2,
    validation_loss=0.21,
    kept_step=100,
    recipe={
        "kind": "sft",
        "licence": "apache-2.0",
        "data": {"hub": "b-mc2/sql-create-context"},
        "prompt": {"system": "You write SQL.", "user": "{context}\n{question}"},
    },
    base="Qwen/Qwen2.5-1.5B-Instruct",
    base_hash="cd" * 32,
    command="python -m harness train sql-assistant-fixed",
    steps=119,
    loss=0.25,
    seconds=600.0,
    tokens=200_000,
    device="cuda:0",
    versions=trained_with(),
)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    made = tiny_adapter(folder / "mine", tiny_base(folder / "base"), named="Qwen/Qwen2.5-1.5B-Instruct")
    TOLD.write(made)
    (made / "optimizer.pt").write_bytes(b"stays")
    return made


@pytest.fixture
def run(adapter: Path, tmp_path: Path) -> Path:
    return ran(tmp_path / "reports" / "runs" / "mine", find_adapter(str(adapter))[0].hash)


def ran(folder: Path, hash_: str, leak: str = "") -> Path:
    made = write_run(folder, {"base": outcomes(40, 0.5, 1), "mine": outcomes(40, 0.8, 2)})
    path = next(made.glob("results_*.json"))
    document = json.loads(path.read_text("utf-8"))
    document["pairs"]["mine"] = {"base": "Qwen/Qwen2.5-1.5B-Instruct", "adapter_hash": hash_, "leak": leak}
    path.write_text(json.dumps(document), "utf-8")
    return made


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def stand_in() -> Iterator[Hub]:
    with hub() as made:
        yield made


def published(stand_in: Hub, adapter: Path, *options: str, token: str = TOKEN) -> Any:
    """``publish --json`` in a process that knows the stand-in as its hub."""
    root = Path(__file__).parents[1]
    told = os.environ | {
        "HF_ENDPOINT": stand_in.url,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(root),
    }
    return subprocess.run(
        [sys.executable, "-m", "harness", "publish", str(adapter), "--json", *options],
        env=told,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_goes_is_what_the_dry_run_said(adapter: Path, run: Path, stand_in: Hub) -> None:
    said = publish(adapter, repository="somebody/mine", benchmark_id="me/bench", dry_run=True)
    assert not stand_in.files
    assert not (adapter / ".eval_results").exists()
    done = published(stand_in, adapter, "--repo", "somebody/mine", "--benchmark-id", "me/bench", "--private")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["url"].startswith(stand_in.url)
    assert told["files"] == said.to_json()["files"]
    kept = stand_in.files["somebody/mine"]
    assert {path: hashlib.sha256(content).hexdigest() for path, content in kept.items()} == {
        file.path: file.sha256 for file in said.files
    }
    assert set(kept) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
        ".eval_results/starter.yaml",
        next(run.glob("results_*.json")).name,
    }
    assert stand_in.private == {"somebody/mine": True}
    assert (adapter / "README.md").read_bytes() == kept["README.md"]
    assert any(
        entry["dataset"]["id"] == "me/bench" for entry in yaml.safe_load(kept[".eval_results/starter.yaml"])
    )
    written = json.loads(next(run.glob("results_*.json")).read_text("utf-8"))["results"]["starter"]["mine"]
    entered = {
        entry.task_id.removeprefix("starter/"): entry
        for entry in parse_eval_result_entries(yaml.safe_load(kept[".eval_results/starter.yaml"]))
    }
    assert entered.keys() == {name for name, metric in written.items() if metric["n"]}
    for name, entry in entered.items():
        assert (entry.dataset_id, entry.value) == (
            "me/bench",
            pytest.approx(written[name]["value"], abs=1e-6),
        )
    again = published(stand_in, adapter)  # into the repository of one's own that is there
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["repository"] == "somebody/mine"


def test_a_hub_that_refuses_gets_one_line(adapter: Path, stand_in: Hub) -> None:
    for token, said in (("hf_other", "refuses the token"), ("", "wants a token")):
        refused = published(stand_in, adapter, "--repo", "somebody/mine", token=token)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    foreign = published(stand_in, adapter, "--repo", "another/mine")
    assert "refuses the token for another/mine (403)" in foreign.stderr
    misnamed = published(stand_in, adapter, "--repo", "a/b/c")
    assert (misnamed.returncode, "OWNER/NAME" in misnamed.stderr) == (2, True)


def test_figures_of_other_weights_do_not_go(adapter: Path, tmp_path: Path) -> None:
    other = ran(tmp_path / "other", "0" * 64)
    with pytest.raises(RunError, match=r"is of other weights: it evaluated 000000000000.*run --adapter"):
        publish(adapter, run=other, dry_run=True)
    without = publish(adapter, dry_run=True)
    assert "No run here is of these weights: the card goes without figures." in without.notes
    card = next(file.content.decode() for file in without.files if file.path == "README.md")
    assert "model-index" not in card
    assert "No run of these weights is reported yet" in card
    with pytest.raises(ModelError, match="neither adapter_config"):
        publish(tmp_path, dry_run=True)


def test_the_card_says_what_the_hub_indexes_and_a_reader_wants(adapter: Path, run: Path) -> None:
    from huggingface_hub import ModelCard

    sent = {file.path: file.content for file in publish(adapter, run=run, dry_run=True).files}
    card = ModelCard(sent["README.md"].decode())
    front = card.data.to_dict()
    assert (front["base_model"], front["base_model_relation"]) == ("Qwen/Qwen2.5-1.5B-Instruct", "adapter")
    assert (front["library_name"], front["license"]) == ("peft", "apache-2.0")
    assert front["datasets"] == ["b-mc2/sql-create-context"]
    results = {one.metric_type: one for one in card.data.eval_results}
    written = json.loads(next(run.glob("results_*.json")).read_text("utf-8"))["results"]["starter"]
    accuracy = written["mine"]["execution_accuracy"]
    assert results["execution_accuracy"].metric_value == pytest.approx(accuracy["value"])
    base = written["base"]["execution_accuracy"]
    cells = [f"{100 * m['value']:.1f} ({100 * m['low']:.1f}–{100 * m['high']:.1f})" for m in (accuracy, base)]
    assert f"| execution accuracy | {cells[0]} | {cells[1]} |" in card.text
    for said in (
        "ab" * 32,
        "train sql-assistant-fixed",
        "CC-BY-4.0: 948, 50 held out to choose the step by, 2 too long and left out;",
        "119 steps, 0.2500 mean loss, weights of step 100, whose loss on the rows held out was 0.2100",
        "## Limits",
        "You write SQL.",
    ):
        assert said in card.text


def test_a_card_s_figures_over_the_training_s_own_questions_say_so(adapter: Path, tmp_path: Path) -> None:
    leaking = ran(tmp_path / "leak", find_adapter(str(adapter))[0].hash, "40 of 40 questions stand in it")
    card = next(f for f in publish(adapter, run=leaking, dry_run=True).files if f.path == "README.md")
    assert "trained on the test: 40 of 40 questions stand in it" in card.content.decode()


def card_of(*, adapter: Path, **options: Any) -> str:
    """The card as a dry run has it."""
    files = publish(adapter, dry_run=True, **options).files
    return next(file.content.decode() for file in files if file.path == "README.md")


def test_what_the_author_wrote_stays_when_the_card_is_written_anew(
    adapter: Path, run: Path, stand_in: Hub, tmp_path: Path
) -> None:
    own = shutil.copytree(adapter, tmp_path / "own")
    (own / "README.md").write_text("# Mine\n\nBy hand, of another trainer.\n", "utf-8")
    said = publish(own, repository="somebody/own", dry_run=True)
    assert any("it stays as README.old.md" in note for note in said.notes)
    assert (own / "README.md").read_text("utf-8").startswith("# Mine")
    assert published(stand_in, own, "--repo", "somebody/own").returncode == 0
    assert (own / "README.old.md").read_text("utf-8").startswith("# Mine")
    assert "README.old.md" not in stand_in.files["somebody/own"]
    card = own / "README.md"
    with card.open("a", encoding="utf-8") as file:
        file.write("\n## Thanks\n\nTo my \u00e9l\u00e8ves.\n")
    again = card_of(adapter=own, repository="somebody/own")
    assert again == card.read_text("utf-8")
    assert again.endswith(f"{KEEP}\n\n## Thanks\n\nTo my \u00e9l\u00e8ves.\n")
    other = ran(tmp_path / "reports" / "runs" / "later", find_adapter(str(own))[0].hash, "all of it")
    renewed = card_of(adapter=own, run=other)
    assert "trained on the test: all of it" in renewed
    assert renewed.count("## Results on") == again.count("## Results on") == 1
    assert renewed.endswith("To my \u00e9l\u00e8ves.\n")
    card.write_text("# Not ours", "utf-8")
    with pytest.raises(ModelError, match=r"README\.old\.md is there too; move one of them away"):
        publish(own, dry_run=True)


@pytest.mark.slow
def test_what_the_card_says_to_run_runs(root: Path, tmp_path: Path) -> None:
    from harness.training import train

    tuned = train(
        Path("sql-assistant-fixed"),
        output=tmp_path / "tuned",
        model=str(root / "adapters" / "starter-base"),
        data=root / "benchmarks" / "starter" / "train.jsonl",
        limit=24,
        settings=("training.validation=4",),
        device="cpu",
    )
    card = (tuned / "README.md").read_text("utf-8")
    assert "Rows of `train.jsonl`: 20, 4 held out to choose the step by;" in card
    code = card.partition("```python\n")[2].partition("```")[0]
    assert 'from_pretrained("BASE")' in code
    told = code.replace('"BASE"', repr(str(root / "adapters" / "starter-base")))
    done = subprocess.run(
        [sys.executable, "-c", told.replace('"OWNER/tuned"', repr(str(tuned)))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    before = (tuned / "README.md").read_bytes()
    assert card_of(adapter=tuned) == before.decode()  # with no run of these weights nothing is renewed
