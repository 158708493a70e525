"""page.html in a real browser: filters, keyboard, the address, narrow screens, first paint.

Needs Debian's chromium; skips, saying so, where it is not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api as api
from reports_run import outcomes, write_run

from harness.outcomes import Outcome
from harness.reports import write_page

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)"),
]
N = 60
ANSWERS = {"base": outcomes(N, 0.3, 1), "mine": outcomes(N, 0.7, 2)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_page(write_run(tmp_path_factory.mktemp("page") / "run", ANSWERS)).as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(address)
    yield opened
    opened.close()
    assert faults == []


def shown(page: Any) -> str:
    return str(page.locator(".bar [role=status]").inner_text())


def test_right_answers_are_there_too(page: Any) -> None:
    assert shown(page) == f"{2 * N} of {2 * N}"
    page.get_by_label("right or wrong").select_option("right")
    right = sum(one.right for ended in ANSWERS.values() for one in ended)
    assert shown(page) == f"{right} of {2 * N}"


def test_the_address_keeps_filters_and_what_is_open(page: Any, browser: Any) -> None:
    page.get_by_label("pair", exact=True).select_option("mine")
    page.get_by_label("outcome").select_option("wrong")
    page.get_by_label("search").fill("person")
    page.locator("tr.row").nth(1).click()
    opened = page.locator("tr.detail").inner_text()
    again = browser.new_page()
    again.goto(page.url)
    assert shown(again) == shown(page) != f"{2 * N} of {2 * N}"
    assert again.get_by_label("search").input_value() == "person"
    assert again.locator("tr.detail").inner_text() == opened
    again.close()


def test_the_keyboard_is_enough(page: Any) -> None:
    page.locator("tr.row").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    row = page.locator("tr.row").nth(1)
    assert row.get_attribute("aria-expanded") == "true"
    assert page.locator("tr.detail").count() == 1
    assert page.evaluate("document.activeElement.className") == "row"
    page.keyboard.press("Space")
    assert page.locator("tr.detail").count() == 0
    sort = page.get_by_role("button", name="question")
    sort.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "question ↑", "sorting keeps the focus"


def test_two_pairs_side_by_side(page: Any) -> None:
    page.get_by_label("side by side").select_option(label="base → mine")
    assert shown(page) == f"{N} of {N}"
    page.get_by_label("change").select_option("fixed")
    fixed = sum(not before.right and after.right for before, after in zip(*ANSWERS.values(), strict=True))
    assert shown(page) == f"{fixed} of {N}"
    page.locator("tr.row").first.click()
    sides = page.locator("tr.detail .side")
    assert sides.count() == 2
    assert "base" in sides.nth(0).inner_text()
    assert "mine" in sides.nth(1).inner_text()
    page.reload()
    assert shown(page) == f"{fixed} of {N}"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_width_overflows(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("tr.row").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_can_be_read_in_both_schemes(browser: Any, address: str, scheme: str) -> None:
    """The chart's letters against the page: dark on light, light on dark."""
    opened = browser.new_page(color_scheme=scheme)
    opened.goto(address)
    source = opened.locator(".charts img").first.get_attribute("src")
    opened.goto(str(source))
    colour = opened.evaluate("getComputedStyle(document.querySelector('text')).fill")
    opened.close()
    red = int(colour.removeprefix("rgb(").split(",")[0])
    assert red < 80 if scheme == "light" else red > 180


def test_twenty_thousand_answers_paint_at_once(browser: Any, tmp_path: Path) -> None:
    ended = [Outcome.EXACT, Outcome.WRONG] * 5_000
    path = write_page(write_run(tmp_path / "run", {"base": ended, "mine": ended[::-1]}))
    opened = browser.new_page()
    opened.goto(path.as_uri())
    assert shown(opened) == "20,000 of 20,000"
    paints = opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    opened.close()
    assert paints < 3_000, "a loaded machine; 0.3 s is what it takes on a quiet one"
