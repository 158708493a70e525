"""The command line: its reference, its errors, its exit codes."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import __main__ as entry
from harness.cli import app

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        code = entry._main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def data_file(folder: Path, rows: int = 3) -> Path:
    path = folder / "data.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "question": f"How many heads are older than {number} ?",
                    "context": "CREATE TABLE head (age INTEGER, name VARCHAR)",
                    "answer": f"SELECT COUNT(*) FROM head WHERE age > {number}",
                }
            )
            + "\n"
            for number in range(50, 50 + rows)
        )
    )
    return path


def test_the_reference_is_what_the_commands_say() -> None:
    module = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == module["render"](), "run scripts/cli_reference.py"


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    names = [
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    ]
    assert names
    assert [name for name in names if not re.search(rf"harness {name}\b", readme)] == []


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from harness.__main__ import _main; sys.argv = ['harness', 'run', '--help']; _main(); "
    )
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'datasets', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


def test_help_shows_options_under_headings(harness: Run) -> None:
    for command, headings in (
        ("run", ["Pairs:", "Weights:", "Generation:", "Questions:", "Judging:"]),
        ("score", ["Predictions:", "Questions:", "Judging:"]),
    ):
        shown = harness(command, "--help")[1].splitlines()
        assert [line for line in shown if line in headings] == headings
        assert {"Official metrics:", "Results:", "Options:"} < set(shown)


@pytest.mark.parametrize("option", ["--adapter", "--model", "--data", "--output", "--prompt"])
def test_what_is_missing_is_told_without_torch(tmp_path: Path, option: str) -> None:
    """Loading it takes seconds, and a slip is the commonest end of a command."""
    (tmp_path / "file").write_text("")
    wrong = tmp_path / ("file/run" if option == "--output" else "nowhere")
    code = (
        f"import sys; sys.argv = ['harness', 'run', '{option}', {str(wrong)!r}]\n"
        "from harness.__main__ import _main; code = _main()\n"
        "sys.exit('torch' in sys.modules or code != 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(wrong) in done.stderr


@pytest.mark.parametrize(
    "slip",
    [["--scorer", "wikisql_executoin"], ["--scorer-option", "timout=3"], ["--dialect", "klingon"]],
)
def test_a_slip_leaves_no_folder_behind(harness: Run, tmp_path: Path, slip: list[str]) -> None:
    data, predictions = data_file(tmp_path), tmp_path / "p.jsonl"
    predictions.write_text('{"id": "0", "sql": "SELECT 1"}\n')
    whole = ["score", "--data", str(data), "--predictions", str(predictions), "--output", "mine"]
    code, _, err = harness(*whole, *slip)
    assert code == 2, err
    assert not (tmp_path / "mine").exists()
    assert harness("run", "--data", data, "--output", "mine", *slip)[0] == 2
    assert not (tmp_path / "mine").exists()
    assert harness(*whole)[0] == 0


def test_nothing_that_a_terminal_obeys_is_printed(harness: Run, tmp_path: Path) -> None:
    """Names, ids, questions and SQL are strangers' texts: no control or direction mark, no markup of rich."""
    evil = "\x1b[31m\u202e[/b][red]\x07\u200f"
    data, predictions = tmp_path / "data.jsonl", tmp_path / f"p{evil.replace('/', '')}.jsonl"
    row = {
        "id": f"q{evil}",
        "question": f"How many{evil}?",
        "context": "CREATE TABLE head (age INTEGER)",
        "answer": "SELECT COUNT(*) FROM head",
    }
    data.write_text(json.dumps(row) + "\n")
    predictions.write_text(json.dumps({"id": row["id"], "sql": f"SELECT '{evil}'"}) + "\n")
    files = ("--data", data, "--predictions", predictions, "--output", "mine")
    said = [
        harness("score", *files, "--json"),
        harness("score", *files),
        harness("show", row["id"], "--run", "mine"),
        harness("show", row["id"], "--run", "mine", "--json"),
        harness("show", f"other{evil}", "--run", "mine"),
        harness("score", *files, "--ids", f"nobody{evil}"),
        harness(f"no{evil}"),
    ]
    assert [code for code, _, _ in said] == [0, 0, 0, 0, 2, 2, 2]
    for _, out, err in said:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", out + err)
    assert json.loads(said[3][1].splitlines()[-1])["samples"][0]["id"] == row["id"]


def test_the_doctor_says_what_an_issue_report_needs(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, _ = harness("doctor")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "versions",
        "system",
        "device",
        "memory",
        "cache",
        "hub",
    ]
    assert "transformers 5." in out
    assert str(tmp_path / "cache" / "sql-harness") in out
    assert "HF_HUB_OFFLINE" in out
    found = json.loads(harness("doctor", "--json")[1].splitlines()[-1])
    assert 0 < found["memory_free"] <= found["memory_total"]


def bad_row(folder: Path) -> list[str | Path]:
    path = data_file(folder)
    path.write_text(path.read_text() + '{"question": "no gold", "context": "CREATE TABLE t (a INTEGER)"}\n')
    return ["run", "--data", path]


def not_json(folder: Path) -> list[str | Path]:
    path = data_file(folder)
    path.write_text(path.read_text() + "{question: unquoted}\n")
    return ["score", "--data", path, "--predictions", path]


def other_architecture(folder: Path) -> list[str | Path]:
    adapter = folder / "gpt2-adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "base_model_name_or_path": str(ROOT / "adapters" / "starter-base"),
                "target_modules": ["c_attn"],
                "r": 8,
                "lora_alpha": 8,
                "task_type": "CAUSAL_LM",
            }
        )
    )
    from safetensors.numpy import save_file

    numpy = pytest.importorskip("numpy")
    prefix = "base_model.model.transformer.h.0.attn.c_attn"
    save_file(
        {f"{prefix}.lora_{side}.weight": numpy.ones((8, 8), "float32") for side in "AB"},
        adapter / "adapter_model.safetensors",
    )
    return ["run", "--adapter", adapter, "--data", data_file(folder)]


def vanished_base(folder: Path) -> list[str | Path]:
    adapter = folder / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "/home/somebody/models/qwen", "r": 8}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    return ["run", "--adapter", adapter, "--data", data_file(folder)]


def binary(folder: Path) -> Path:
    path = folder / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    return path


def unwritable(folder: Path) -> list[str | Path]:
    (folder / "file").write_text("")
    return ["run", "--data", data_file(folder), "--output", folder / "file" / "run"]


def foreign_folder(folder: Path) -> list[str | Path]:
    path = data_file(folder)
    predictions = folder / "p.jsonl"
    predictions.write_text('{"id": "0", "sql": "SELECT 1"}\n')
    return ["score", "--data", path, "--predictions", predictions, "--output", ROOT / "tests"]


BAD: list[tuple[str, Callable[[Path], list[str | Path]], str]] = [
    ("missing adapter", lambda f: ["run", "--adapter", f / "nowhere", "--data", data_file(f)], "nowhere"),
    ("missing adapter, no benchmark", lambda f: ["run", "--adapter", f / "nowhere"], "nowhere"),
    ("other architecture", other_architecture, "c_attn"),
    ("vanished base", vanished_base, "--model"),
    ("unknown benchmark", lambda f: ["run", "--benchmark", "spidre"], "spidre"),
    ("malformed row", bad_row, "line 4"),
    ("not JSON", not_json, "line 4"),
    ("unwritable output", unwritable, "--output"),
    ("folder of something else", foreign_folder, "--output"),
    ("unknown option", lambda f: ["run", "--adaptor", "x"], "--adaptor"),
    ("unknown command", lambda f: ["evaluate"], "evaluate"),
    ("bad choice", lambda f: ["run", "--quantization", "nf8"], "nf8"),
    ("bad number", lambda f: ["run", "--limit", "0"], "--limit"),
    ("missing data file", lambda f: ["run", "--data", f / "gone.jsonl"], "gone.jsonl"),
    ("nothing to score", lambda f: ["score", "--data", data_file(f)], "--predictions"),
    ("nothing to score against", lambda f: ["score", "--predictions", data_file(f)], "--benchmark"),
    ("missing predictions", lambda f: ["score", "--data", data_file(f), "--predictions", f / "p"], "p"),
    ("no such run", lambda f: ["check", f / "run", "--baseline", f / "b.json"], "run"),
    ("no run to show", lambda f: ["show", "1"], "--run"),
    ("nothing to show", lambda f: ["show"], "--failed"),
    ("a database of many", lambda f: ["show", "--failed", "--database", f / "x.sql"], "--failed"),
    ("unknown id", lambda f: ["run", "--data", data_file(f), "--ids", "99"], "99"),
    ("missing recipe", lambda f: ["train", f / "recipe.yaml"], "recipe.yaml"),
    ("no results", lambda f: ["leaderboard", f], "results"),
    ("unknown dialect", lambda f: ["score", "--data", data_file(f), "--dialect", "klingon"], "klingon"),
    ("unreadable ids", lambda f: ["run", "--data", data_file(f), "--ids", f"@{binary(f)}"], "--ids"),
    ("no ids", lambda f: ["run", "--data", data_file(f), "--ids", ""], "--ids"),
    ("show what is no run", lambda f: ["show", "0", "--run", f], "not a run's folder"),
    ("audit of nothing", lambda f: ["benchmarks", "--audit"], "no benchmark"),
    (
        "adapter and endpoint",
        lambda f: ["run", "--adapter", "x", "--endpoint", "http://127.0.0.1:1"],
        "--endpoint",
    ),
    ("missing prompt file", lambda f: ["run", "--prompt", f / "prompt.yaml"], "prompt.yaml"),
    ("unknown scorer", lambda f: ["run", "--scorer", "spider_em"], "spider_em"),
    ("unknown scorer's option", lambda f: ["run", "--scorer-option", "editon=x"], "editon"),
]


@pytest.mark.parametrize(("arguments", "named"), [pytest.param(a, n, id=i) for i, a, n in BAD])
def test_bad_input_is_one_line_with_a_remedy(
    harness: Run, tmp_path: Path, arguments: Callable[[Path], list[str | Path]], named: str
) -> None:
    code, out, err = harness(*arguments(tmp_path))
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2, err
    assert lines[-1].startswith("error: ")
    assert named in lines[-1]
    assert "; " in lines[-1], "an error names its remedy"
    assert "Traceback" not in err + out
    assert "unexpected" not in lines[-1]


def test_score_prints_its_results_as_the_last_line(harness: Run, tmp_path: Path) -> None:
    data = data_file(tmp_path)
    predictions = tmp_path / "mine.v2.jsonl"
    predictions.write_text(
        '{"id": "0", "sql": "select count(*) from head where age > 50"}\n'
        '{"id": "1", "completion": "```sql\\nSELECT COUNT(*) FROM head WHERE age >= 51\\n```"}\n'
        '{"id": "2", "sql": "SELECT COUNT(*) FROM head WHERE agee > 52"}\n'
    )
    code, out, err = harness(
        "score", "--data", data, "--predictions", predictions, "--workers", "1", "--json"
    )
    assert code == 0, err
    document = json.loads(out.splitlines()[-1])
    metrics = document["results"]["data"]["mine.v2"]
    assert metrics["execution_accuracy"]["n"] == 3
    assert metrics["execution_accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert metrics["exact_match"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert metrics["schema_adherence"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    folder = tmp_path / document["run"]
    rows = [json.loads(line) for line in next(folder.glob("samples_*.jsonl")).read_text().splitlines()]
    assert [row["outcome"] for row in rows] == ["exact", "wrong", "schema_error"]
    assert rows[1]["witness"]["gold_rows"] != rows[1]["witness"]["prediction_rows"]
    for name in ("report.md", "page.html", "results.db", "run.json"):
        assert (folder / name).stat().st_size > 0
    assert "mine" in (tmp_path / "reports" / "runs" / "LEADERBOARD.md").read_text()

    (tmp_path / "reports" / "runs" / "junk").mkdir()
    (tmp_path / "reports" / "runs" / "junk" / "results_1.json").write_text("{")
    assert harness("score", "--data", data, "--predictions", predictions, "--workers", "1")[0] == 0

    code, out, _ = harness("show", "1", "--run", folder)
    assert code == 0
    assert "smallest database" in out
    assert "difference   SELECT COUNT(*) FROM head WHERE age [->-]{+>=+} 51" in out
    assert "── " in out
    latest = harness("show", "1")[1].splitlines()
    assert latest[2:] == out.splitlines()[2:], "the latest run is found without its folder"
    code, _, err = harness("show", "11")
    assert code == 2
    assert "did you mean 1?" in err
    code, out, _ = harness("show", "--failed", "--json")
    assert [row["id"] for row in json.loads(out.splitlines()[-1])["samples"]] == ["1", "2"]
    code, out, _ = harness("show", "--failed", "--cause", "schema-error", "--json")
    assert [row["id"] for row in json.loads(out.splitlines()[-1])["samples"]] == ["2"]
    code, _, err = harness("show", "--failed", "--cause", "bad-luck")
    assert code == 2
    assert "schema error (1)" in err
    target = tmp_path / "witness.sqlite"
    assert harness("show", "1", "--run", folder, "--database", target)[0] == 0
    code, _, err = harness("show", "1", "--run", folder, "--database", target)
    assert code == 2, "what exists is not overwritten"
    assert "exists already" in err
    import sqlite3

    connection = sqlite3.connect(target)
    gold = connection.execute("SELECT COUNT(*) FROM head WHERE age > 51").fetchall()
    mine = connection.execute("SELECT COUNT(*) FROM head WHERE age >= 51").fetchall()
    connection.close()
    assert gold != mine


def test_the_gate_has_three_exit_codes(harness: Run, tmp_path: Path) -> None:
    data = data_file(tmp_path, rows=40)
    good, bad = tmp_path / "model.jsonl", tmp_path / "worse" / "model.jsonl"
    golds = [json.loads(line)["answer"] for line in data.read_text().splitlines()]
    bad.parent.mkdir()
    good.write_text("".join(json.dumps({"id": str(i), "sql": sql}) + "\n" for i, sql in enumerate(golds)))
    bad.write_text("".join(json.dumps({"id": str(i), "sql": "SELECT 1"}) + "\n" for i in range(len(golds))))
    for name, path in (("good", good), ("bad", bad)):
        code, _, err = harness(
            "score",
            "--data",
            data,
            "--predictions",
            path,
            "--output",
            tmp_path / name,
            "--workers",
            "1",
            "--no-policy",
        )
        assert code == 0, err
    baseline = tmp_path / "baseline.json"
    assert harness("check", tmp_path / "good", "--baseline", baseline, "--update")[0] == 0
    assert harness("check", tmp_path / "good", "--baseline", baseline)[0] == 0
    assert harness("check", tmp_path / "bad", "--baseline", baseline)[0] == 1
    assert harness("check", tmp_path / "bad", "--baseline", tmp_path / "none.json")[0] == 2


def test_nothing_asked_is_answered_with_the_help(harness: Run) -> None:
    code, out, err = harness()
    assert code == 0
    assert len(out.splitlines()) > 10
    assert err == ""


def test_files_of_predictions_with_one_name_stay_apart(harness: Run, tmp_path: Path) -> None:
    data = data_file(tmp_path)
    paths = [tmp_path / "a" / "p.sql", tmp_path / "b" / "p.sql", tmp_path / "p-2.sql"]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"SELECT COUNT(*) FROM head WHERE age > {50 + number}\n" * 3)
    given = [part for path in reversed(paths) for part in ("--predictions", path)]
    code, out, err = harness("score", "--data", data, *given, "--workers", "1", "--no-policy", "--json")
    assert code == 0, err
    pairs = json.loads(out.splitlines()[-1])["results"]["data"]
    assert sorted(pairs) == ["p", "p-2", "p-3"]
    assert all(
        metrics["execution_accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6) for metrics in pairs.values()
    )


def test_other_rules_are_another_run(harness: Run, tmp_path: Path) -> None:
    data = data_file(tmp_path)
    predictions = tmp_path / "p.sql"
    predictions.write_text("SELECT 1\n" * 3)
    given = ("score", "--data", data, "--predictions", predictions, "--workers", "1", "--no-policy", "--json")
    folders = {
        json.loads(harness(*given, "--case", case)[1].splitlines()[-1])["run"] for case in ("exact", "ignore")
    }
    assert len(folders) == 2
