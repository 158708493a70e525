"""page.html: complete, self-contained, and safe with whatever a model wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from reports_run import outcomes, write_run

from harness.outcomes import Outcome
from harness.records import Sample
from harness.reports import write_page


class Page(HTMLParser):
    """Tags with their attributes, and the JSON of the page's data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside = False
        self.data: list[dict[str, Any]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.data = json.loads(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


def test_the_page_loads_nothing_from_anywhere(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"base": outcomes(30, 0.3, 1), "starter": outcomes(30, 0.6, 2)})
    text = write_page(folder).read_text("utf-8")
    assert "default-src 'none'" in text
    for tag, attributes in Page(text).tags:
        assert tag not in {"link", "iframe", "object", "embed"}
        assert "href" not in attributes
        assert (attributes.get("src") or "data:").startswith("data:"), attributes
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", text)


def test_every_answer_is_in_it_those_to_look_at_first(tmp_path: Path) -> None:
    answers = {"base": outcomes(50, 0.3, 1), "starter": outcomes(50, 0.6, 2)}
    folder = write_run(tmp_path / "run", answers, flagged={"4": "broken"})
    section = Page(write_page(folder).read_text("utf-8")).data[0]
    rows = [{**section["examples"][row["example"]], **row} for row in section["answers"]]
    assert {(row["pair"], row["id"]) for row in rows} == {
        (pair, str(place)) for pair in answers for place in range(50)
    }
    assert len(section["examples"]) == 50
    assert section["contexts"] == ["CREATE TABLE t (name VARCHAR, age INTEGER)"]
    kept = [not Outcome(row["outcome"]).right or Outcome(row["outcome"]).marked for row in rows]
    assert kept == sorted(kept, reverse=True)
    pairs = [row["pair"] for row, look in zip(rows, kept, strict=True) if look]
    assert pairs == sorted(pairs, reverse=True), "the pair under test comes first"
    for row in rows:
        known = answers["base"][int(row["id"])].right
        assert row.get("reference", "") == ("" if row["pair"] == "base" else "right" if known else "wrong")
        assert ("witness" not in row) == Outcome(row["outcome"]).right
        assert ("flagged" in row) == (row["id"] == "4")
    witness = next(row["witness"] for row in rows if "witness" in row)
    assert witness["gold"]["differs"] == [False, True], "'Ann' and 'ann' are the same where case is ignored"
    assert witness["prediction"]["differs"] == [False, True]


def test_the_hint_names_the_run(tmp_path: Path) -> None:
    text = write_page(write_run(tmp_path / "a run", {"p": [Outcome.WRONG] * 3})).read_text("utf-8")
    assert "--run ${run}" in text
    assert "a run" in text.split("run = ")[1].split(";")[0]


def test_markup_in_the_data_stays_data(tmp_path: Path) -> None:
    evil = "SELECT '</script><script>alert(1)</script><!--'"

    def hostile(made: Sample) -> Sample:
        return replace(made, prediction=evil, kind="<b>", pair="<i>p")

    folder = write_run(tmp_path / "run", {"<i>p": [Outcome.WRONG] * 3}, change=hostile)
    text = write_page(folder).read_text("utf-8")
    assert "alert(1)</script>" not in text
    page = Page(text)
    assert [row["prediction"] for row in page.data[0]["answers"]] == [evil] * 3
    assert "i" not in {tag for tag, _ in page.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 2
