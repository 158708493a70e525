"""The leaderboard: order, honest ranks, one table for what can be compared."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from reports_run import outcomes, write_run

from harness.errors import DataError, RunError
from harness.outcomes import Outcome
from harness.records import Rules, Sample
from harness.reports import stale, write_leaderboard, write_report
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
    assert (
        "\nRanked by the paired test (McNemar's, Holm over 6 comparisons, 5 %), where its sign is the same "
        in text
    )
    link = re.search(r"\[2\d{3}-\d\d-\d\d\]\(([^)]+)\)", text)
    assert link
    assert (tmp_path / "reports" / link[1]).resolve().is_file()


def test_a_lead_under_an_assumption_alone_is_no_rank(tmp_path: Path) -> None:
    proved, assumed = [Outcome.EXACT] * 50, [Outcome.NULL_ONLY] * 50
    a = write_run(tmp_path / "a", {"x": proved + assumed, "y": proved + [Outcome.WRONG] * 50})
    found = rows(write_leaderboard([a], tmp_path / "LEADERBOARD.md"))
    assert [(row[0], row[1][:5], row[3]) for row in found] == [
        ("1–2", "**x**", "50.0–100.0"),
        ("1–2", "**y**", "50.0–50.0"),
    ]
    b = write_run(tmp_path / "b", {"x": [Outcome.EQUIVALENT] * 100, "y": proved + [Outcome.WRONG] * 50})
    assert [row[0] for row in rows(write_leaderboard([b], tmp_path / "LEADERBOARD.md"))] == ["1", "2"]


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
    with pytest.raises(DataError, match=r"exact_match\.low: (Field required|Missing required argument)"):
        write_leaderboard([path], tmp_path / "LEADERBOARD.md")


def test_no_results_yet(tmp_path: Path) -> None:
    path = next(write_run(tmp_path / "a", {"x": [Outcome.EXACT] * 3}).glob("results_*.json"))
    data = {**json.loads(path.read_text("utf-8")), "results": {"starter": {}}}
    path.write_text(json.dumps(data), "utf-8")
    assert "No results yet." in write_leaderboard([path], tmp_path / "LEADERBOARD.md")
    assert "No results yet." in write_leaderboard([], tmp_path / "LEADERBOARD.md")


def test_ranks_are_of_the_paired_test_where_marks_are_kept(tmp_path: Path) -> None:
    """Thirty-six broken and none fixed: the intervals overlap, the questions do not lie."""
    right = [Outcome.EXACT] * 500
    for name, wrong in (("a", 100), ("b", 136)):
        ended = [Outcome.WRONG] * wrong + right[wrong:]
        write_run(tmp_path / name, {name: ended})
    text = write_leaderboard([tmp_path / "a", tmp_path / "b"], tmp_path / "L.md")
    assert [row[0] for row in rows(text)] == ["1", "2"]
    path = next((tmp_path / "b").glob("results_*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "marks": {}}), "utf-8")
    text = write_leaderboard([tmp_path / "a", tmp_path / "b"], tmp_path / "L.md")
    assert [row[0] for row in rows(text)] == ["1–2", "1–2"]
    assert "Ranked by intervals, which keep more ranks open: b without a mark a question." in text


def test_rows_that_look_the_same_get_their_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        prompt = {"x": {"base": "b", "prompt": {"system": name}}}
        write_run(tmp_path / name, {"x": outcomes(20, 0.5, number)}, pairs=prompt)
    names = {
        row[1] for row in rows(write_leaderboard([tmp_path / "first", tmp_path / "second"], tmp_path / "L"))
    }
    assert names == {"**x (first)** on `b`", "**x (second)** on `b`"}


def test_what_made_a_row_stands_in_a_fold(tmp_path: Path) -> None:
    def scored(made: Sample) -> Sample:
        return replace(made, official={"spider_exact_set_match": 1.0})

    run = write_run(tmp_path / "a", {"x": outcomes(20, 0.5, 1)}, change=scored)
    text = write_leaderboard([run], tmp_path / "L.md")
    assert "| Spider exact set match, % |" in text
    fold = text.split("<details>")[1]
    assert re.search(r"\| x \| 99\.80 % \| 0\.7 \| \S+ \| \S+ \| `python -m harness run` \|", fold)


def test_a_stale_board_is_told(runs: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "LEADERBOARD.md"
    assert stale(runs, target)
    write_leaderboard(runs, target)
    assert not stale(runs, target)
    assert stale(runs[:2], target)


@pytest.mark.parametrize(
    ("better", "expected"),
    [
        ([], []),
        (["."], ["1"]),
        (["..x", "...", "..."], ["1–2", "1–3", "2–3"]),
        ([".xx", "...", "..."], ["1", "2–3", "2–3"]),
    ],
)
def test_ranks(better: list[str], expected: list[str]) -> None:
    assert ranks([[one == "x" for one in row] for row in better]) == expected
