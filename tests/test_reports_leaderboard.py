"""The leaderboard: order, honest ranks, one table for what can be compared."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pytest
from reports_run import outcomes, write_run

from harness.errors import DataError, RunError
from harness.records import Outcome, Rules
from harness.reports import write_leaderboard, write_report
from harness.reports.leaderboard import ranks


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    share = {"good": 0.95, "middling": 0.6, "poor": 0.2}
    return [
        write_run(tmp_path / name, {"base": outcomes(120, 0.2, 1), name: outcomes(120, right, 2)})
        for name, right in share.items()
    ]


def test_best_first_each_base_once(runs: list[Path], tmp_path: Path) -> None:
    text = write_leaderboard(runs, tmp_path / "reports" / "LEADERBOARD.md")
    found = rows(text)
    assert [row[1].replace("*", "").split()[0] for row in found] == ["good", "middling", "poor", "base"]
    assert [row[0] for row in found] == ["1", "2", "3–4", "3–4"]
    link = re.search(r"\[2\d{3}-\d\d-\d\d\]\(([^)]+)\)", text)
    assert link
    assert (tmp_path / "reports" / link[1]).resolve().is_file()


def test_the_order_of_the_files_does_not_matter(runs: list[Path], tmp_path: Path) -> None:
    files = [next(run.glob("results_*.json")) for run in runs]
    texts = {write_leaderboard(order, tmp_path / "LEADERBOARD.md") for order in permutations(files)}
    assert len(texts) == 1


@pytest.mark.parametrize("other", [{"data_hash": "e" * 64}, {"rules": Rules(case="exact")}])
def test_other_examples_or_rules_are_another_table(tmp_path: Path, other: dict[str, object]) -> None:
    a = write_run(tmp_path / "a", {"x": outcomes(20, 0.5, 1)})
    b = write_run(tmp_path / "b", {"y": outcomes(20, 0.5, 2)}, **other)  # type: ignore[arg-type]
    text = write_leaderboard([a, b], tmp_path / "LEADERBOARD.md")
    assert text.count("## starter · test") == 2
    assert [row[0] for row in rows(text)] == ["1", "1"]


def test_a_malformed_file_is_named(tmp_path: Path) -> None:
    good = write_run(tmp_path / "a", {"x": [Outcome.EXACT] * 3})
    for number, broken in enumerate(
        ("", "{", "[]", "{}", "null", '{"harness": "0.1"}', '{"harness": "0.1", "time": "t", "results": 3}')
    ):
        bad = tmp_path / f"bad{number}.json"
        bad.write_text(broken, "utf-8")
        with pytest.raises(DataError, match=rf"bad{number}\.json is no results file"):
            write_leaderboard([good, bad], tmp_path / "LEADERBOARD.md")
    with pytest.raises(DataError, match="cannot be read"):
        write_leaderboard([tmp_path / "absent.json"], tmp_path / "LEADERBOARD.md")


def test_foreign_files_can_be_left_out(runs: list[Path], tmp_path: Path) -> None:
    """After a run nothing that lies about may spoil its end; each file left out gets a line."""
    for number, content in enumerate((b"[]", b"{}", b"\xff\xfe\x00", b'{"results": {"a": 1}}')):
        (tmp_path / f"results_{number}.json").write_bytes(content)
    (tmp_path / "results_4.json").mkdir()
    said: list[str] = []
    files = [*runs, *sorted(tmp_path.glob("results_*.json"))]
    text = write_leaderboard(files, tmp_path / "LEADERBOARD.md", skip_unreadable=True, notify=said.append)
    assert text == write_leaderboard(runs, tmp_path / "LEADERBOARD.md")
    assert len(said) == 5
    for number, line in enumerate(said):
        assert line.startswith("left out of ")
        assert f"results_{number}.json" in line
        assert "\n" not in line


FOREIGN: list[tuple[str, object]] = [
    ("configs", {"starter": {"rules": 3}}),
    ("configs", {"starter": {"examples": "many"}}),
    ("pairs", {"x": {"prompt": "SELECT"}}),
    ("pairs", {"x": 3}),
    ("n-samples", {"starter": {"original": "all"}}),
    ("policy", []),
    ("results", {"starter": {"x": {"exact_match": {"value": 3.0, "low": 0.0, "high": 1.0, "n": 1}}}}),
    ("config", None),
    ("cost", {"starter": {"x": {"seconds": 3}}}),
]


@pytest.mark.parametrize(("key", "value"), FOREIGN)
def test_a_part_out_of_shape_is_one_line(tmp_path: Path, key: str, value: object) -> None:
    path = next(write_run(tmp_path / "a", {"x": [Outcome.EXACT] * 3}).glob("results_*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")
    for read in (lambda: write_leaderboard([path], tmp_path / "L.md"), lambda: write_report(tmp_path / "a")):
        with pytest.raises(DataError, match=rf"is no results file: {key}"):
            read()


def test_a_part_of_the_questions_is_called_so(tmp_path: Path) -> None:
    sizes = {"sizes": {"starter": {"original": 604, "effective": 20}}}
    run = write_run(tmp_path / "a", {"x": outcomes(20, 0.5, 1)}, **sizes)
    assert "20 examples (20 of 604 questions)" in write_leaderboard([run], tmp_path / "LEADERBOARD.md")


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        write_leaderboard([], tmp_path / "file" / "LEADERBOARD.md")


def test_a_metric_out_of_shape_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {"x": [Outcome.EXACT] * 3})
    path = next(folder.glob("results_*.json"))
    data = json.loads(path.read_text("utf-8"))
    del data["results"]["starter"]["x"]["exact_match"]["low"]
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(DataError, match=r"exact_match\.low: Field required"):
        write_leaderboard([path], tmp_path / "LEADERBOARD.md")


def test_no_results_yet(tmp_path: Path) -> None:
    path = next(write_run(tmp_path / "a", {"x": [Outcome.EXACT] * 3}).glob("results_*.json"))
    data = {**json.loads(path.read_text("utf-8")), "results": {"starter": {}}}
    path.write_text(json.dumps(data), "utf-8")
    assert "No results yet." in write_leaderboard([path], tmp_path / "LEADERBOARD.md")
    assert "No results yet." in write_leaderboard([], tmp_path / "LEADERBOARD.md")


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], []),
        ([(0.5, 0.6)], ["1"]),
        ([(0.8, 0.9), (0.75, 0.85), (0.7, 0.77)], ["1–2", "1–3", "2–3"]),
        ([(0.8, 0.9), (0.1, 0.2), (0.05, 0.15)], ["1", "2–3", "2–3"]),
    ],
)
def test_ranks(intervals: list[tuple[float, float]], expected: list[str]) -> None:
    assert ranks(intervals) == expected
