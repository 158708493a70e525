"""Numbers, names and code as people read them, and the templates that use them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.measures import BOUNDS, OFFICIAL, Metric
from harness.text import visible

from .statistics import holm

LONG = 500
"""So many characters of a text a report shows where nothing else is said."""

_MARKS = re.compile(r"[\\|*`\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would read as its own; an underscore inside a word it leaves alone."""

_PHRASES = {"execution_accuracy_all": "execution accuracy, flagged golds too"}
_NAMES = {"sql": "SQL", "ex": "EX", "f1": "F1", "bird": "BIRD", "spider": "Spider", "wikisql": "WikiSQL"}


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
    return f"{points(low)} to {points(high)}" if signed else f"{100 * low:.1f}–{100 * high:.1f}"


def share(metric: Metric | None) -> str:
    """A metric with its interval, for a cell.

    >>> share(Metric(0.8, 0.75, 0.84, 200)).replace(chr(0xA0), " ").replace(chr(0x2060), "")
    '**80.0** <sub>75.0–84.0</sub>'
    """
    if metric is None or metric.n == 0:
        return "–"
    return f"**{100 * metric.value:.1f}**\u00a0<sub>{span(metric.low, metric.high)}</sub>".replace(
        "–", "–\u2060"
    )


def bounds(metrics: Mapping[str, Metric]) -> str:
    """What execution accuracy is with no assumption of a verdict, and with all of them; in percent.

    >>> bounds({name: Metric(value, 0, 1, 9) for name, value in zip(BOUNDS, (0.709, 0.781))})
    '70.9 with no assumption, 78.1 with all'
    """
    if any(name not in metrics or not metrics[name].n for name in BOUNDS):
        return ""
    strict, lenient = (f"{100 * metrics[name].value:.1f}" for name in BOUNDS)
    return f"{strict} with no assumption, {lenient} with all"


def officially(metrics: Mapping[str, Metric]) -> str:
    """The benchmark's own metrics in percent, each with its questions; empty where there are none.

    >>> officially({"exact_match": Metric(0.5, 0, 1, 9), "spider_execution": Metric(0.832, 0.8, 0.86, 972)})
    'Spider execution 83.2 % of 972'
    """
    own = {name: metric for name, metric in metrics.items() if name in OFFICIAL and metric.n}
    return ", ".join(f"{label(name)} {percent(one.value)} of {count(one.n)}" for name, one in own.items())


def p_value(p: float) -> str:
    """A p value with its relation.

    >>> p_value(0.00001), p_value(0.03)
    ('< 0.0001', '= 0.030')
    """
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if p < 0.001 else f"= {p:.3f}"


def count(number: float) -> str:
    """A whole number in groups of three.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{round(number):,}"


def label(name: str) -> str:
    """A metric's or an outcome's name in words.

    >>> label("spider_exact_set_match"), label("syntax_error")
    ('Spider exact set match', 'syntax error')
    """
    return _PHRASES.get(name) or " ".join(_NAMES.get(word, word) for word in name.split("_"))


def shorten(value: object, limit: int = LONG) -> str:
    """The first ``limit`` characters, and how many more there are.

    >>> shorten("abcdef", 4), shorten("abcd", 4)
    ('abcd… (2 more characters)', 'abcd')
    """
    text = str(value)
    more = len(text) - limit
    return f"{text[:limit]}… ({count(more)} more character{'s' if more > 1 else ''})" if more > 0 else text


def cell(value: object, limit: int = 0) -> str:
    """Text that stays text in Markdown and inside its tables, cut at ``limit`` or else where it is long.

    >>> cell("a_b | *c* <b> < 3")
    'a_b \\\\| \\\\*c\\\\* &lt;b> < 3'
    """
    text = _MARKS.sub(lambda found: "\\" + found[0], _cut(value, limit))
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def code(value: object, limit: int = 0) -> str:
    """Code inside a line or a table, also where it holds backticks or bars; cut as in ``cell``."""
    text = _cut(value, limit) or " "
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks, pad = "`" * (longest + 1), " " if longest else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|")


def fence(text: str, language: str = "") -> str:
    """A fenced block; the fence is longer than any run of backticks inside.

    >>> print(fence("SELECT 1", "sql"))
    ```sql
    SELECT 1
    ```
    """
    ticks, text = "```", visible(text)
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{text.strip(chr(10))}\n{ticks}"


def render(template: str, **values: Any) -> str:
    """The template's text; what is written here is known to it as a filter."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.reports"),
        undefined=StrictUndefined,
        autoescape=template.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["holm"] = holm
    for word in (
        percent,
        points,
        span,
        share,
        bounds,
        officially,
        p_value,
        count,
        label,
        visible,
        shorten,
        cell,
        code,
        fence,
    ):
        environment.filters[word.__name__] = word
    return environment.get_template(template).render(**values)


def _cut(value: object, limit: int) -> str:
    text = " ".join(visible(value).split())
    if not limit:
        return shorten(text)
    return text[: limit - 1] + "…" if len(text) > limit else text
