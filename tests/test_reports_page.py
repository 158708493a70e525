"""page.html: complete, self-contained, and safe with whatever a model wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from reports_run import outcomes, write_run

from harness.records import Outcome, Sample
from harness.reports import write_page


class Page(HTMLParser):
    """Tags with their attributes, and the JSON of the page's data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside = False
        self.data: list[list[dict[str, Any]]] = []
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


def test_every_answer_to_look_at_is_in_it(tmp_path: Path) -> None:
    answers = {"base": outcomes(50, 0.3, 1), "starter": outcomes(50, 0.6, 2)}
    folder = write_run(tmp_path / "run", answers, flagged={"4": "broken"})
    rows = Page(write_page(folder).read_text("utf-8")).data[0]
    expected = {
        (pair, str(place))
        for pair, ended in answers.items()
        for place, one in enumerate(ended)
        if not one.right or one is Outcome.NULL_ONLY
    }
    assert {(row["pair"], row["id"]) for row in rows} == expected
    pairs = [row["pair"] for row in rows]
    assert pairs == sorted(pairs, reverse=True), "the pair under test comes first"
    for row in rows:
        known = answers["base"][int(row["id"])].right
        assert row["reference"] == ("" if row["pair"] == "base" else "right" if known else "wrong")
        assert (row["witness"] is None) == Outcome(row["outcome"]).right
    witness = next(row["witness"] for row in rows if row["witness"])
    assert witness["gold"]["differs"] == [False, True], "'Ann' and 'ann' are the same where case is ignored"
    assert witness["prediction"]["differs"] == [False, True]


def test_markup_in_the_data_stays_data(tmp_path: Path) -> None:
    evil = "SELECT '</script><script>alert(1)</script><!--'"

    def hostile(made: Sample) -> Sample:
        return replace(made, prediction=evil, kind="<b>", pair="<i>p")

    folder = write_run(tmp_path / "run", {"<i>p": [Outcome.WRONG] * 3}, change=hostile)
    text = write_page(folder).read_text("utf-8")
    assert "alert(1)</script>" not in text
    page = Page(text)
    assert [row["prediction"] for row in page.data[0]] == [evil] * 3
    assert "i" not in {tag for tag, _ in page.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 2
