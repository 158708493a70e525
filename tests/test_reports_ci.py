"""The gate in CI: JUnit, the step's summary, the comment, and the action that another repository uses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from reports_run import write_run

from harness.errors import RunError
from harness.outcomes import Outcome
from harness.reports import Gate, announce, check

ROOT = Path(__file__).resolve().parents[1]
RIGHT, WRONG = Outcome.EXACT, Outcome.WRONG


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    old = write_run(tmp_path / "a", {"base": [RIGHT] * 9 + [WRONG] * 191, "p|q": [RIGHT] * 200})
    new = write_run(
        tmp_path / "b", {"base": [RIGHT] * 9 + [WRONG] * 191, "p|q": [WRONG] * 30 + [RIGHT] * 170}
    )
    return check(new, old)


def test_a_case_a_pair(gate: Gate, tmp_path: Path) -> None:
    announce(gate, junit_file=tmp_path / "deep" / "junit.xml")
    suite = ElementTree.parse(tmp_path / "deep" / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "1")
    base, mine = suite
    assert (mine.get("classname"), mine.get("name")) == ("starter", "p|q execution_accuracy")
    failure = mine.find("failure")
    assert failure is not None
    assert "a drop larger than the tolerance" in str(failure.get("message"))
    assert "broken: 0, 1, 2, " in str(failure.text)
    assert base.find("skipped") is not None, "two hundred questions cannot show a point"


def test_the_comment_is_small_and_names_what_broke(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n", "utf-8")
    announce(gate, comment_file=tmp_path / "comment.md")
    text = (tmp_path / "comment.md").read_text("utf-8")
    assert text.startswith("**The gate failed.**\n")
    assert "| REGRESSION | p\\|q | execution accuracy | 85.0 | 100.0 | −15.0 <sub>" in text
    assert "`0`, `1`, `2`, " in text
    assert ", and 10 more" in text
    assert len(text) < 2_000
    assert (tmp_path / "summary.md").read_text("utf-8") == f"before\n{text}\n"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "gone" / "summary.md"))
    with pytest.raises(RunError, match="cannot be written"):
        announce(gate)


def test_the_lines_and_the_json_name_what_broke(gate: Gate) -> None:
    assert gate.lines[2] == "  broken: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 20 more"
    flips = gate.to_json()["findings"][1]["flips"]
    assert (flips["broken"], flips["fixed_ids"], len(flips["broken_ids"])) == (30, (), 30)


def test_the_documented_workflow_uses_what_the_action_takes() -> None:
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    workflow = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    step = next(step for job in workflow["jobs"].values() for step in job["steps"] if "with" in step)
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    assert step["with"].keys() <= action["inputs"].keys()
    assert {name for name, spec in action["inputs"].items() if spec.get("required")} <= step["with"].keys()


def test_the_action_gates_another_repository(tmp_path: Path) -> None:
    """Its steps run here as a runner would run them: the same answers pass, worse ones fail the job."""
    repository = tmp_path / "other repository"
    repository.mkdir()
    rows = [
        {
            "id": str(number),
            "question": f"How many are older than {number}?",
            "context": "CREATE TABLE head (age INTEGER, name VARCHAR)",
            "answer": f"SELECT COUNT(*) FROM head WHERE age > {number}",
        }
        for number in range(30)
    ]
    (repository / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    for name, worse in (("good", 0), ("bad", 20)):
        folder = repository / name
        folder.mkdir()
        lines = ["SELECT 1" if place < worse else row["answer"] for place, row in enumerate(rows)]
        (folder / "model.sql").write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def job(predictions: str) -> tuple[int, dict[str, object]]:
        command = f"score --data data.jsonl --predictions {predictions}/model.sql --workers 1 --no-policy"
        done = subprocess.run(
            [
                *(sys.executable, ROOT / "scripts" / "try_action.py", "--repository", repository),
                *("--command", command, "--baseline", "base line.json", "--check", "--tolerance 0.02"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    code, told = job("good")
    assert code == 2, "there is no baseline yet"
    run = Path(str(told["temp"])) / "harness-run"
    check_command = [
        sys.executable,
        "-m",
        "harness",
        "check",
        run,
        "--baseline",
        repository / "base line.json",
    ]
    subprocess.run([*check_command, "--update"], check=True, capture_output=True)
    code, told = job("good")
    assert (code, told["ran"]) == (0, ["Evaluate", "Gate"])
    code, told = job("bad")
    assert code == 1
    assert "**The gate failed.**" in str(told["summary"])
    outputs = told["outputs"]
    assert isinstance(outputs, dict)
    assert "REGRESSION" in Path(outputs["comment"]).read_text("utf-8")
    assert (Path(outputs["run"]) / "report.md").exists()
