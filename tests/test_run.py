"""The main job on a tiny pair: whole, killed and resumed, stopped, and with several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from models_tiny import tiny_adapter, tiny_base

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow
OPTIONS = ("--benchmark", "starter", "--max-new-tokens", "12", "--workers", "1", "--no-policy", "--json")
OPTIONS += ("--dequantize", "yes")  # what auto chooses hangs on a timing, and texts of two runs are compared


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    return tiny_adapter(folder / "lora", tiny_base(folder / "base"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}


def harness(*arguments: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def start(*arguments: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )


def journalled(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted(folder.glob("journal*.jsonl")) for line in path.read_text().splitlines()]
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def wait_for_journal(folder: Path, process: subprocess.Popen[str], lines: int) -> None:
    deadline = time.monotonic() + 120
    while len(journalled(folder)) < lines:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answers(folder: Path) -> dict[tuple[str, str], str]:
    (path,) = folder.glob("samples_*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["pair"], row["id"]): row["completion"] for row in rows}


def test_a_run_is_whole_and_a_second_start_generates_nothing(
    tmp_path: Path, pair: Path, environment: dict[str, str]
) -> None:
    command = ("run", "--adapter", pair, *OPTIONS, "--limit", "30")
    first = harness(*command, cwd=tmp_path, env=environment)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout.splitlines()[-1])
    assert set(document["results"]["starter"]) == {"base", "lora"}
    folder = tmp_path / document["run"]
    assert len(answers(folder)) == 60
    results = json.loads(next(folder.glob("results_*.json")).read_text())
    assert results["config"]["quantization"] == "nf4"
    assert results["cost"]["starter"]["lora"]["new_tokens"] > 0
    assert "Warning" not in first.stderr, "no noise from libraries"
    assert "transformers" in (folder / "log.txt").read_text().splitlines()[0]
    before = (folder / "journal.jsonl").read_bytes()
    again = harness(*command, cwd=tmp_path, env=environment)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["results"] == document["results"]
    assert (folder / "journal.jsonl").read_bytes() == before
    after = json.loads(next(folder.glob("results_*.json")).read_text())
    assert after["cost"] == results["cost"], "what it cost is not forgotten"
    assert after["config"] == results["config"]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_stopped_run_goes_on(
    tmp_path: Path, pair: Path, environment: dict[str, str], stop: signal.Signals
) -> None:
    command = ("run", "--adapter", pair, *OPTIONS, "--limit", "100", "--batch-size", "2", "--output", "run")
    process = start(*command, cwd=tmp_path, env=environment)
    folder = tmp_path / "run"
    wait_for_journal(folder, process, 20)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "the same command goes on from here" in err
    kept = journalled(folder)
    assert 20 <= len(kept) < 200
    second = harness(*command, cwd=tmp_path, env=environment)
    assert second.returncode == 0, second.stderr
    assert "Going on" in second.stderr
    done = journalled(folder)
    assert len(done) == 200, "nothing lost, nothing twice"
    assert done[: len(kept)] == kept
    assert (
        json.loads(second.stdout.splitlines()[-1])["results"]["starter"]["base"]["execution_accuracy"]["n"]
        > 80
    )


def test_several_processes_give_the_run_of_one(
    tmp_path: Path, pair: Path, environment: dict[str, str]
) -> None:
    options = ("run", "--adapter", str(pair), *OPTIONS, "--limit", "80", "--quantization", "none")
    alone = harness(*options, "--output", tmp_path / "one", cwd=tmp_path, env=environment)
    assert alone.returncode == 0, alone.stderr
    for processes, port in ((2, 29611), (3, 29612)):
        folder = tmp_path / str(processes)
        launcher = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_processes",
            str(processes),
        ]
        launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        launcher += ["--main_process_port", str(port), "-m", "harness", *options, "--output", str(folder)]
        crew = subprocess.run(
            launcher, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert crew.returncode == 0, crew.stderr
        results = json.loads(next(folder.glob("results_*.json")).read_text())
        for counts in results["config"]["examples_by_process"].values():
            assert len(counts) == processes
            assert sum(counts) == 80
            assert min(counts) > 0, "nobody stands idle"
        assert len(journalled(folder)) == 160
        assert [line for line in crew.stdout.splitlines() if line.startswith("{")], (
            "the leader prints its document"
        )
        same = [answers(folder)[key] == text for key, text in answers(tmp_path / "one").items()]
        assert sum(same) >= 0.97 * len(same), "other batches may flip a near tie, no more"


@pytest.mark.parametrize("dying", [1, 0], ids=["a helper", "the leader"])
def test_a_process_that_dies_without_a_launcher_is_noticed(
    tmp_path: Path, pair: Path, environment: dict[str, str], dying: int
) -> None:
    folder, port = tmp_path / "run", 29613 + dying
    options = ("run", "--adapter", str(pair), *OPTIONS, "--limit", "90", "--batch-size", "2")
    soon = (
        "import sys, harness.runs.crew as crew; crew._SILENCE = 4; from harness.__main__ import main; main()"
    )
    common = {**environment, "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    crew = [
        subprocess.Popen(
            [sys.executable, "-c", soon, *options, "--output", str(folder)],
            cwd=tmp_path,
            env={**common, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    try:
        wait_for_journal(folder, crew[0], 12)
        crew[dying].kill()
        said = [process.communicate(timeout=200)[1] for process in crew]
    finally:
        for process in crew:
            process.kill()
    if dying:
        assert [process.returncode for process in crew] == [0, -signal.SIGKILL, 0], said
        assert "Process 1 of 3 is gone" in said[0]
        assert len(answers(folder)) == 180
    else:
        assert [process.returncode for process in crew] == [-signal.SIGKILL, 2, 2], said
        assert all("the leading process is gone" in text for text in said[1:])
        assert all("Traceback" not in text for text in said[1:])


def test_another_run_is_refused_by_name(tmp_path: Path, pair: Path, environment: dict[str, str]) -> None:
    options = ("run", "--adapter", pair, *OPTIONS, "--limit", "4", "--output", "run")
    assert harness(*options, cwd=tmp_path, env=environment).returncode == 0
    other = harness(*options, "--quantization", "none", cwd=tmp_path, env=environment)
    assert other.returncode == 2
    assert "generation.quantization: nf4 there, none here" in other.stderr


def test_samples_are_drawn_and_voted_on(tmp_path: Path, pair: Path, environment: dict[str, str]) -> None:
    options = (
        "run",
        "--adapter",
        pair,
        "--no-base",
        *OPTIONS,
        "--limit",
        "5",
        "--samples",
        "3",
        "--temperature",
        "1",
    )
    ran = harness(*options, "--output", "run", cwd=tmp_path, env=environment)
    assert ran.returncode == 0, ran.stderr
    metrics = json.loads(ran.stdout.splitlines()[-1])["results"]["starter"]["lora"]
    assert {"pass@3", "majority_vote"} <= metrics.keys()
    texts = [(row["id"], row["sample"], row["text"]) for row in journalled(tmp_path / "run")]
    assert len(texts) == 15
    assert len({text for _, _, text in texts}) > 5, "samples differ"


def test_the_way_that_auto_chose_is_kept_by_other_starts_and_processes(
    tmp_path: Path, pair: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "run"
    options = (
        "run",
        "--adapter",
        pair,
        *OPTIONS,
        "--dequantize",
        "auto",
        "--limit",
        "60",
        "--batch-size",
        "2",
    )
    assert harness(*options, "--output", folder, cwd=tmp_path, env=environment).returncode == 0
    record = json.loads((folder / "run.json").read_text())
    ((what, (chosen, seen)),) = record["decided"].items()
    assert what.startswith("dequantize ")
    assert seen["step_4bit"] > 0
    other = not chosen  # what a timing now would hardly give: a start that keeps it has read it
    (folder / "run.json").write_text(json.dumps({**record, "decided": {what: [other, seen]}}))
    for path in (*folder.glob("journal*.jsonl"), *folder.glob("results_*"), folder / "starts.jsonl"):
        path.unlink()
    common = {**environment, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29631"}
    command = [sys.executable, "-m", "harness", *map(str, options), "--output", str(folder)]
    crew = [
        subprocess.Popen(command, cwd=tmp_path, env={**common, "RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=280)[1] for process in crew]
    assert [process.returncode for process in crew] == [0, 0], said
    starts = [json.loads(line)["facts"] for line in (folder / "starts.jsonl").read_text().splitlines()]
    assert [facts["dequantized"] for facts in starts] == [other, other]
    (results,) = folder.glob("results_*.json")
    assert json.loads(results.read_text())["config"]["dequantized"] is other


def test_experts_left_in_16_bits_stand_in_the_report(tmp_path: Path, environment: dict[str, str]) -> None:
    mixture = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    base = tiny_base(tmp_path / "base", family="qwen3_moe", head_dim=16, **mixture)
    folder = tmp_path / "run"
    done = harness(
        "run", "--model", base, *OPTIONS, "--limit", "4", "--output", folder, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    (results,) = folder.glob("results_*.json")
    share = json.loads(results.read_text())["config"]["four_bit_share"]["base"]
    assert 0 < share < 0.9
    report = (folder / "report.md").read_text()
    assert f"Only {100 * share:.0f} % of the weights of base are in 4-bit" in report
    assert f"{100 * share:.1f} %" in report
