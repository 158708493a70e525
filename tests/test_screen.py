"""The terminal at 80 columns: nothing is cut, pairs can be told apart."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from harness.screen import Screen

LONG = ("spider-dev-system-1", "spider-dev-system-12", "Qwen2.5-1.5B-SQL-Assistant")


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_long_names_become_letters_with_a_legend(capsys: pytest.CaptureFixture[str]) -> None:
    figures = ["31.2 (29.0–33.5)"] * 3
    Screen().table("t", ("metric", *LONG), [["execution accuracy", *figures]], names=LONG)
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines()[:-1])
    assert "…" not in out
    assert out.count("31.2 (29.0–33.5)") == 3
    assert "A = spider-dev-system-1  B = spider-dev-system-12  C = Qwen2.5-1.5B-SQL-Assistant" in out


def test_names_of_a_comparison_become_letters_too(capsys: pytest.CaptureFixture[str]) -> None:
    row = [f"{LONG[1]} − {LONG[0]}", "1,028", "+20.0", "+16.5 to +23.6", "298", "92", "< 0.0001"]
    heads = ("pair", "n", "points", "95 % interval", "fixed", "broken", "p")
    Screen().table("t", heads, [row], names=LONG)
    out = capsys.readouterr().out
    assert "│ B − A │ 1,028 │" in out
    assert "+16.5 to +23.6" in out


def test_what_fits_keeps_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table("t", ("metric", "base", "mine"), [["raw match", "1.0", "2.0"]], names=("base", "mine"))
    out = capsys.readouterr().out
    assert "mine" in out
    assert "A =" not in out


def terminal(monkeypatch: pytest.MonkeyPatch) -> tuple[Screen, io.StringIO]:
    """A screen on a terminal of 80 columns, and what it shows."""
    shown = io.StringIO()
    screen = Screen()
    console = Console(file=shown, force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(screen, "_errors", console)
    return screen, shown


def test_a_stage_moves_within_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, shown = terminal(monkeypatch)
    with screen.stage("Generating · Qwen2.5-1.5B-SQL-Assistant-r16-lr2e-4", 12_345) as advance:
        advance(6_000, "52.5 examples/s, 1,240 tokens/s, 0.7 GiB")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    lines = [line for part in plain.split("\n") for line in part.split("\r")]
    assert max(map(len, lines)) <= 80
    assert re.search(r"Generating · Qwen.*6000/12345 .*52\.5 examples/s", lines[-2])


def test_something_moves_before_the_first_words(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, shown = terminal(monkeypatch)

    def fail() -> None:
        with screen.waiting("Reading the [benchmark]"):
            time.sleep(0.5)
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert "Reading the [benchmark]" in shown.getvalue()
    assert shown.getvalue().rindex("\x1b[?25h") > shown.getvalue().rindex("\x1b[?25l"), "the cursor is back"
    with screen.waiting("Reading"), screen.stage("Judging", 3) as advance:
        advance(3)
    assert "3/3" in shown.getvalue()


def test_without_a_terminal_nothing_waits(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().waiting("Reading"):
        pass
    assert capsys.readouterr().err == ""
