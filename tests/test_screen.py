"""The terminal at 80 columns: nothing is cut, pairs can be told apart."""

from __future__ import annotations

import pytest

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
