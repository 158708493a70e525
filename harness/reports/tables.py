"""Numbers and tables as people read them: percentages, p values, Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records import Metric

_NAMES = {
    "sql": "SQL",
    "ex": "EX",
    "f1": "F1",
    "bird": "BIRD",
    "spider": "Spider",
    "wikisql": "WikiSQL",
}


def percent(value: float, digits: int = 1) -> str:
    """A share in percent.

    >>> percent(0.8125)
    '81.2 %'
    """
    return f"{100 * value:.{digits}f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(-0.031)
    '−3.1'
    """
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def span(low: float, high: float, signed: bool = False) -> str:
    """An interval in percent or, signed, in percentage points.

    >>> span(0.79, 0.83), span(-0.01, 0.02, signed=True)
    ('79.0–83.0', '−1.0 to +2.0')
    """
    if signed:
        return f"{points(low)} to {points(high)}"
    return f"{100 * low:.1f}–{100 * high:.1f}"


def share(metric: Metric | None) -> str:
    """A metric with its interval, for a cell.

    >>> share(Metric(0.8, 0.75, 0.84, 200))
    '**80.0** <sub>75.0–84.0</sub>'
    """
    if metric is None or metric.n == 0:
        return "–"
    return f"**{100 * metric.value:.1f}** <sub>{span(metric.low, metric.high)}</sub>"


def p_value(p: float) -> str:
    """A p value with its sign of relation.

    >>> p_value(0.00001), p_value(0.03)
    ('< 0.0001', '= 0.030')
    """
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if p < 0.001 else f"= {p:.3f}"


def count(number: float) -> str:
    """A whole number with thin groups of three.

    >>> count(1234567)
    '1 234 567'
    """
    return f"{round(number):,}".replace(",", " ")


def label(name: str) -> str:
    """A metric's or an outcome's name in words.

    >>> label("spider_exact_set_match"), label("syntax_error")
    ('Spider exact set match', 'syntax error')
    """
    return " ".join(_NAMES.get(word, word) for word in name.split("_"))


def cell(value: object, limit: int = 0) -> str:
    """Text that is safe inside a Markdown table; ``limit`` cuts it."""
    text = " ".join(str(value).split())
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text.replace("|", "\\|").replace("<", "&lt;")


def code(value: object, limit: int = 0) -> str:
    """Code that is safe inside a Markdown table, even where it holds backticks or bars."""
    text = " ".join(str(value).split()) or " "
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    ticks = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|")


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """A Markdown table; the first ``left`` columns are text, the others numbers set to the right.

    >>> print(markdown(["pair", "n"], [["base", 5]]))
    | pair | n |
    | :-- | --: |
    | base | 5 |
    """
    rule = [":--" if column < left else "--:" for column in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(str(item) for item in line) + " |" for line in lines)
