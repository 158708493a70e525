"""report.md: what it says, that it renders, and that nothing in the data can break it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from reports_run import KINDS, WITNESS, outcomes, write_run

from harness.errors import DataError, RunError
from harness.outcomes import Outcome
from harness.records import Sample, Witness
from harness.reports import write_page, write_report
from harness.reports.failures import diff_block, differing_rows, failures, telling
from harness.runs.results import read_results
from harness.scoring.metrics import share

N = 80
ANSWERS = {"base": outcomes(N, 0.3, 1), "starter": outcomes(N, 0.7, 2)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    write_run(folder, ANSWERS, flagged={"5": "broken", "7": "uninformative"})
    write_report(folder)
    return folder


def tables(text: str) -> Iterator[list[list[str]]]:
    """The Markdown tables of a text, as cells."""
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        yield [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]


def test_headline_counts_what_the_samples_say(run: Path) -> None:
    text = (run / "report.md").read_text("utf-8")
    counted = [one for place, one in enumerate(ANSWERS["starter"]) if place not in (5, 7)]
    right = sum(one.right for one in counted)
    strict, lenient = (
        100 * sum(one.counts in counts for one in counted) / len(counted)
        for counts in (("right",), ("right", "marked", "assumed"))
    )
    bounds = f"({strict:.1f} with no assumption, {lenient:.1f} with all)"
    assert (
        f"**starter** answers **{100 * right / len(counted):.1f} %** {bounds} of {len(counted)} questions"
        in text
    )
    assert strict < 100 * right / len(counted)
    head, _, *rows = next(tables(text))
    assert [cell.strip() for cell in head[:3]] == ["pair", "execution accuracy", "exact match"]
    assert [row[0].strip() for row in rows] == ["**base**", "**starter**"]
    assert rows[1][-2:] == [f" {len(counted)} ", " 2 "]


def test_sections_in_their_order(run: Path) -> None:
    titles = re.findall(r"^## (.*)$", (run / "report.md").read_text("utf-8"), flags=re.M)
    assert titles == [
        "Scores",
        "Against base",
        "How the answers ended",
        "Why the wrong ones are wrong",
        "Execution accuracy by kind",
        "The most telling failures",
        "The rules behind the number",
        "How strong the test is",
        "What it cost",
        "How to reproduce it",
    ]


def test_every_table_is_rectangular(run: Path) -> None:
    found = list(tables((run / "report.md").read_text("utf-8")))
    assert len(found) >= 8
    for table in found:
        assert len({len(row) for row in table}) == 1, table
        assert all(re.fullmatch(r" :?--+:? ", cell) for cell in table[1])


def test_flagged_golds_stand_by_name(run: Path) -> None:
    text = (run / "report.md").read_text("utf-8")
    assert re.search(r"\| `5` \| broken \|", text)
    assert re.search(r"\| `7` \| uninformative \|", text)
    assert "the weakest: `3` (90 %)" in text


def test_twenty_failures_those_that_the_base_had_right_first(run: Path) -> None:
    text = (run / "report.md").read_text("utf-8")
    titles = re.findall(r"^### \d+\. (.*)$", text, flags=re.M)
    broken = sum(
        a.right and not b.right
        for place, (a, b) in enumerate(zip(*ANSWERS.values(), strict=True))
        if place not in (5, 7)
    )
    wrong = sum(not one.right for place, one in enumerate(ANSWERS["starter"]) if place not in (5, 7))
    assert len(titles) == min(20, wrong)
    lead = min(broken, 10)
    assert all(title.endswith("base right") for title in titles[:lead])
    assert len({title.split(" · ")[0] for title in titles}) == len(KINDS)
    assert len({title.split(" · ")[1] for title in titles}) >= 4


def test_policy_changes_are_against_the_same_sample(run: Path) -> None:
    text = (run / "report.md").read_text("utf-8")
    assert "the change in points on the same 10 questions." in text
    assert "| as reported, all questions |" in text
    assert "| as judged, the sample | 60.0 | 60.0 |" in text
    assert "| `case=exact` | 50.0 <sub>−10.0</sub> | 50.0 <sub>−10.0</sub> |" in text


def test_a_policy_table_of_all_has_no_row_of_the_sample(tmp_path: Path) -> None:
    policy = {
        "starter": {"p": {"as judged": share([1.0] * 3 + [0.0]), "case=exact": share([1.0, 1.0, 0.0, 0.0])}}
    }
    ended = [Outcome.EXACT] * 3 + [Outcome.WRONG]
    text = write_report(write_run(tmp_path / "run", {"p": ended}, policy=policy)).read_text("utf-8")
    rows = text.split("## The rules behind the number")[1].split("##")[0]
    assert "the change in points.\n" in rows
    assert "| as reported | **75.0** |\n| `case=exact` | 50.0 <sub>−25.0</sub> |" in rows
    assert "as judged" not in rows


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python -m harness run --limit 8", "the first 8 of 604 questions"),
        ("python -m harness run --ids 1,2", "8 of 604 questions"),
    ],
)
def test_a_part_of_the_questions_is_called_so(tmp_path: Path, command: str, said: str) -> None:
    sizes = {"sizes": {"starter": {"original": 604, "effective": 8}}}
    folder = write_run(tmp_path / "run", {"p": [Outcome.EXACT] * 8}, command=command, **sizes)
    head = write_report(folder).read_text("utf-8").split("## Scores")[0]
    assert f"; asked were {said}, and the interval is of questions like these)." in head
    assert said in write_page(folder).read_text("utf-8").split("<table")[0]


def test_failures_say_whose_they_are(tmp_path: Path) -> None:
    answers = {"base": [Outcome.WRONG] * 40, "a_": [Outcome.WRONG] * 2 + [Outcome.EXACT] * 38}
    answers["b"] = [Outcome.EXACT] * 39 + [Outcome.WRONG]
    text = write_report(write_run(tmp_path / "run", answers)).read_text("utf-8")
    assert (
        "3 of a\\_'s 2, b's 1 wrong answers, chosen for variety of cause and kind.\n"
        "Left out: base's 40. `page.html` has all of them." in text
    )


def test_no_question_counts(tmp_path: Path) -> None:
    flagged = {str(number): "broken" for number in range(4)}
    answers = {"base": [Outcome.EXACT] * 4, "p": [Outcome.WRONG] * 4}
    folder = write_run(tmp_path / "run", answers, flagged=flagged)
    text = write_report(folder).read_text("utf-8")
    assert "\n\nNo question can be counted: all golds are flagged.\n\n## Scores" in text
    assert "in common" not in text
    assert "## Against" not in text
    assert "\n\n\n" not in text
    assert "4 golds are flagged" in text
    assert "No question can be counted" in write_page(folder).read_text("utf-8")


def test_one_gold_is_flagged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"p": [Outcome.EXACT] * 4}, flagged={"1": "broken"})
    assert "\n1 gold is flagged and left out" in write_report(folder).read_text("utf-8")


def test_control_characters_and_lengths(tmp_path: Path) -> None:
    """A model may write anything: nothing of it may reach a terminal, nor fill the report."""

    def strange(made: Sample) -> Sample:
        sql = f"SELECT '{chr(0)}{chr(27)}[31m{chr(0x202E)}{chr(13)}' FROM t -- {'x' * 90_000}"
        return replace(made, kind=f"a{chr(7)}", question="why " * 5_000, prediction=sql)

    folder = write_run(tmp_path / "run", {"p": [Outcome.WRONG] * 3}, change=strange)
    text = write_report(folder).read_bytes().decode()
    assert not re.findall("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    assert "SELECT '\\x00\\x1b[31m\\u202e\\r' FROM t -- xxx" in text
    assert re.search(r"x… \(89,\d{3} more characters\)\n```", text)
    assert "… (19,499 more characters)**" in text
    assert len(text) < 20_000
    for chart in (folder / "charts").glob("*.svg"):
        assert chr(7) not in chart.read_text("utf-8")


def test_charts_are_there_and_the_same_each_time(run: Path) -> None:
    text = (run / "report.md").read_text("utf-8")
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(linked) == 4
    before = {name: (run / name).read_bytes() for name in linked}
    write_report(run)
    assert {name: (run / name).read_bytes() for name in linked} == before
    assert (run / "report.md").read_text("utf-8") == text
    for drawn in before.values():
        assert drawn.startswith(b"<?xml")
        assert b"http" not in drawn.replace(b"http://www.w3.org", b"").replace(
            b"http://purl.org", b""
        ).replace(b"http://creativecommons.org", b"")


def test_charts_follow_the_readers_colours(run: Path) -> None:
    """No ground, no fixed dark text; every colour that is left can be seen on white and on black."""
    for chart in (run / "charts").glob("*.svg"):
        text = chart.read_text("utf-8")
        assert "prefers-color-scheme: dark" in text
        assert "fill: currentColor" in text
        assert not re.search(r"#(ffffff|000000|24292f;)", text.split("</style>")[1])
        width = re.search(r'width="([\d.]+)pt"', text)
        assert width
        assert float(width[1]) <= 350, "390 pixels of a phone show it at nearly its own size"


def test_the_largest_cause_is_drawn_whosever_it_is(tmp_path: Path) -> None:
    def refused(made: Sample) -> Sample:
        return replace(made, cause="denied") if made.outcome is Outcome.DENIED else made

    answers = {"base": [Outcome.DENIED] * 12, "p": [Outcome.WRONG] * 2 + [Outcome.EXACT] * 10}
    folder = write_run(tmp_path / "run", answers, change=refused)
    write_report(folder)
    assert ">denied<" in (folder / "charts" / "causes_starter.svg").read_text("utf-8")


def test_levels_keep_the_benchmarks_order(tmp_path: Path) -> None:
    def levelled(made: Sample) -> Sample:
        return replace(made, kind=("medium", "extra", "easy", "hard")[int(made.id) % 4])

    folder = write_run(tmp_path / "run", {"p": outcomes(40, 0.5, 1)}, change=levelled)
    text = write_report(folder).read_text("utf-8").split("## Execution accuracy by kind")[1]
    assert [row[0].strip() for row in next(tables(text))[2:]] == ["easy", "medium", "hard", "extra"]


def test_no_question_is_no_rule(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", {"p": [Outcome.WRONG] * 3}, change=lambda made: replace(made, question=" ")
    )
    text = write_report(folder).read_text("utf-8")
    assert "\n****" not in text
    assert text.count("**(no question)**") == 3


def test_the_prompt_keeps_its_lines(tmp_path: Path) -> None:
    asked = {"p": {"prompt": {"system": "Be brief.\n\n  Only SQL.", "user": "{question}", "form": "chat"}}}
    text = write_report(write_run(tmp_path / "run", {"p": [Outcome.EXACT] * 3}, pairs=asked)).read_text(
        "utf-8"
    )
    assert "\n[system]\nBe brief.\n\n  Only SQL.\n\n[user]\n{question}\n```" in text


def test_three_pairs_meet_each_other(tmp_path: Path) -> None:
    answers = {name: outcomes(40, share, 1) for name, share in (("a", 0.2), ("b", 0.6), ("c", 0.9))}
    text = write_report(write_run(tmp_path / "run", answers)).read_text("utf-8")
    section = text.split("### Every pair against every other")[1].split("\n## ")[0]
    assert [row[0].strip() for row in next(tables(section))[2:]] == ["b − a", "c − a", "c − b"]
    assert "raised for the 3 comparisons (Holm)" in section


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    def hostile(made: Sample) -> Sample:
        sql = "SELECT '```' FROM t | <script>alert(1)</script>\n## not a title"
        question = "# a | b\n<img src=x> *c* `d`"
        return replace(made, question=question, kind="a|b $x$ <i>", prediction=sql)

    folder = write_run(tmp_path / "run", {"a|b": outcomes(12, 0.2, 3)}, change=hostile)
    text = write_report(folder).read_text("utf-8")
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text, flags=re.M | re.S)
    assert "<script>" not in outside
    assert "<img" not in outside
    assert "## not a title" not in outside
    for table in tables(text):
        assert len({len(row) for row in table}) == 1, table


def test_scored_files_have_neither_base_nor_cost(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run",
        {"system-1": outcomes(40, 0.4, 1), "system-2": outcomes(40, 0.6, 2)},
        pairs={"system-1": {"predictions": "p.txt"}, "system-2": {"predictions": "q.txt"}},
        cost={},
        config={},
    )
    text = write_report(folder).read_text("utf-8")
    assert "## Against system-1" in text
    assert "What it cost" not in text


def test_official_scorers_beside_the_verdict(tmp_path: Path) -> None:
    def scored(made: Sample) -> Sample:
        value = 1.0 if made.id == "3" else float(made.execution_match)
        return replace(made, official={"spider_exact_set_match": value}, detail="values ignored")

    odd = {"starter": {"spider_exact_set_match": {"6": "the official parser cannot read it"}}}
    folder = write_run(
        tmp_path / "run",
        {"p": [Outcome.WRONG] * 5 + [Outcome.EXACT] * 3},
        change=scored,
        official_flagged=odd,
    )
    path = next(folder.glob("samples_*"))
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows[3]["official_notes"] = {"spider_exact_set_match": "distinct ignored"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    text = write_report(folder).read_text("utf-8")
    assert "**Spider exact set match** judges 1 of 8 answers otherwise." in text
    assert (
        "- The harness accepts 0 that it rejects.\n- The harness rejects 1 that it accepts: literal 1."
        in text
    )
    assert "as their own prediction: 1<" in text
    assert "- `6`: the official parser cannot read it" in text
    assert re.search(r"\| `3` \| p \| wrong \| 1 \|.*values ignored; distinct ignored \|", text)


def test_accuracy_by_exposure(tmp_path: Path) -> None:
    seen = [["table", "header"], ["table"], ["none"], ["none"], ["none"], ["header"]]

    def exposed(made: Sample) -> Sample:
        return replace(made, meta={"exposure": seen[int(made.id)]})

    ended = [Outcome.EXACT, Outcome.WRONG, Outcome.WRONG, Outcome.EXACT, Outcome.WRONG, Outcome.EXACT]
    text = write_report(write_run(tmp_path / "run", {"p": ended}, change=exposed)).read_text("utf-8")
    section = text.split("## Execution accuracy by exposure")[1].split("##")[0]
    values = {
        cells[0].strip(): (cells[1].strip(), cells[2][:9].strip()) for cells in next(tables(section))[2:]
    }
    assert values == {"table": ("2", "**50.0**"), "header": ("2", "**100.0*"), "none": ("3", "**33.3**")}
    assert "Exposure unknown" not in text


def test_a_pair_of_unknown_exposure_is_called_so(tmp_path: Path) -> None:
    def exposed(made: Sample) -> Sample:
        meta = {} if made.pair == "base" else {"exposure": ["skeleton"]}
        return replace(made, meta=meta)

    answers = {"base": [Outcome.WRONG] * 4, "p": [Outcome.EXACT] * 4}
    text = write_report(write_run(tmp_path / "run", answers, change=exposed)).read_text("utf-8")
    section = text.split("## Execution accuracy by exposure\n\n")[1].split("##")[0]
    assert section.startswith("A row counts the questions of which the training data holds that much")
    assert "| skeleton | 4 | unknown | **100.0**" in section


def test_exposure_that_nobody_knows_is_called_so(run: Path) -> None:
    assert "Exposure unknown: no training data is declared" in (run / "report.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("pairs", "reference"),
    [(["base"], None), (["x", "rule"], "rule"), (["rule", "base", "x"], "base"), (["x", "y"], "x")],
)
def test_what_a_pair_is_held_against(tmp_path: Path, pairs: list[str], reference: str | None) -> None:
    folder = write_run(tmp_path / "run", {pair: outcomes(9, 0.4, len(pair)) for pair in pairs})
    assert read_results(folder).benchmark("starter").reference == reference
    text = write_report(folder).read_text("utf-8")
    assert re.findall(r"^## Against (.*)$", text, flags=re.M) == ([reference] if reference else [])
    assert text.count(f"those that {reference} has right") == (
        " right\n" in "".join(re.findall("^###.*\n", text, re.M))
    )


@pytest.mark.parametrize("flagged", [{}, {str(number): "broken" for number in range(6)}])
def test_small_runs(tmp_path: Path, flagged: dict[str, str]) -> None:
    folder = write_run(tmp_path / "run", {"base": [Outcome.EXACT] * 6}, flagged=flagged)
    text = write_report(folder).read_text("utf-8")
    assert "telling failures" not in text
    for table in tables(text):
        assert len({len(row) for row in table}) == 1


def test_only_the_first_sample_is_compared(tmp_path: Path) -> None:
    """Of several samples an example, the later ones must not stand for the first."""
    folder = write_run(tmp_path / "run", {"base": [Outcome.WRONG] * 4, "starter": [Outcome.EXACT] * 4})
    path = next(folder.glob("samples_*"))
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    more = [{**row, "sample": 1, "execution_match": not row["execution_match"]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows + more), "utf-8")
    assert "| starter − base | 4 | **+100.0** |" in write_report(folder).read_text("utf-8")


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run's folder"):
        write_report(tmp_path)


def test_a_malformed_sample_names_its_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"base": [Outcome.EXACT] * 3})
    path = next(folder.glob("samples_*"))
    lines = path.read_text("utf-8").splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "outcome": "splendid"})
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(DataError, match=r"line 2 is no sample: outcome"):
        write_report(folder)


@pytest.mark.parametrize("line", [b"[]", b"3", b"{}", b'{"id": "\xff"}', b'{"id": "\\ud800"}', b""])
def test_no_line_of_samples_ends_in_a_traceback(tmp_path: Path, line: bytes) -> None:
    folder = write_run(tmp_path / "run", {"base": [Outcome.EXACT] * 3})
    path = next(folder.glob("samples_*"))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DataError, match="line 4 is no sample"):
        write_report(folder)


def test_missing_samples_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"base": [Outcome.EXACT] * 3})
    next(folder.glob("samples_*")).unlink()
    with pytest.raises(RunError, match=r"samples_starter_.* is not there"):
        write_report(folder)


CASES = [
    # gold, prediction, fold → common, gold's alone, prediction's alone
    ([("A",), ("b",)], [("a",), ("c",)], True, 1, 1, 1),
    ([("A",), ("b",)], [("a",), ("c",)], False, 0, 2, 2),
    ([(1,), (1,), (2,)], [(1,), (2,)], True, 2, 1, 0),
    ([(0.1 + 0.2,)], [(0.3,), (None,)], True, 1, 0, 1),
    ([(1, 2)], [(1,)], True, 0, 1, 1),
    ([(1,), (2,)], [(2,), (1,)], True, 0, 2, 2),
    ([], [(1,)], True, 0, 0, 1),
    ([(1,)], [], True, 0, 1, 0),
]


@pytest.mark.parametrize(("gold", "prediction", "fold", "common", "left", "right"), CASES)
def test_rows_that_differ(
    gold: list[tuple[object, ...]],
    prediction: list[tuple[object, ...]],
    fold: bool,
    common: int,
    left: int,
    right: int,
) -> None:
    witness = Witness(
        script="",
        gold_columns=("x",),
        gold_rows=tuple(gold),
        prediction_columns=("y",),
        prediction_rows=tuple(prediction),
    )
    found = differing_rows(witness, fold)
    assert (len(found.common), len(found.gold), len(found.prediction)) == (common, left, right)
    drawn = diff_block(witness, fold)
    assert sum(line.startswith("- ") for line in drawn.splitlines()) == 1 + max(left, not gold)
    assert sum(line.startswith("+ ") for line in drawn.splitlines()) == 1 + max(right, not prediction)


def test_a_failed_prediction_shows_the_golds_rows() -> None:
    witness = Witness(script="", gold_columns=("n",), gold_rows=((None,), ("x" * 90,)), prediction_error="no")
    drawn = diff_block(witness)
    assert "- NULL" in drawn
    assert "…" in drawn
    assert "+" not in drawn.replace("─┼─", "")


def test_the_choice_of_failures_is_varied(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"base": outcomes(200, 0.4, 5), "starter": [Outcome.WRONG] * 200})
    found = failures(read_results(folder).samples("starter"), "base")
    chosen = telling(found, 20)
    assert len(found) == 200
    assert len({(one.sample.cause, one.sample.kind) for one in chosen}) == 20
    assert [bool(one.reference_right) for one in chosen[:10]] == [True] * 10
    assert WITNESS.script == chosen[0].sample.witness.script if chosen[0].sample.witness else False
