"""The report's charts as SVG; the same results give the same bytes.

They have no ground of their own: text and lines are in ``currentColor``, dark on light pages and light
where the reader prefers dark. At 4.8 inches wide they can still be read on a phone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.measures import BOUNDS, LEVELS, Metric, level
from harness.outcomes import Outcome
from harness.runs.results import BenchmarkResult
from harness.text import visible

from .wording import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY = "#a8b1bb"
_COLOURS = ("#2563eb", "#d97706", "#0d9488", "#9333ea", "#db2777", "#65a30d")
_GREENS = ((21, 128, 61), (217, 239, 223))
_OTHERS = ("f2bb6f", "dc4c3f", "e98a4b", "a16207", "7c6f9c", "57507a", "b9b2cf", "cfd5db", "8c959f", "4b5563")


def _outcome_colours() -> dict[Outcome, str]:
    """Greens from dark to light for what counts as right, a colour of its own for each other outcome."""
    right = [outcome for outcome in Outcome if outcome.right]
    wrong = [outcome for outcome in Outcome if not outcome.right]
    shades = [
        "#"
        + "".join(f"{round(a + (b - a) * place / len(right[1:])):02x}" for a, b in zip(*_GREENS, strict=True))
        for place in range(len(right))
    ]
    others = {outcome: f"#{hue}" for outcome, hue in zip(wrong, _OTHERS, strict=True)}
    return dict(zip(right, shades, strict=True)) | others


OUTCOME_COLOURS = _outcome_colours()
_INK, _EDGE, _GRID = "#24292f", "#d0d7de", "#eaeef2"
_IN_CURRENT_COLOUR = {
    f"fill: {_INK}": "fill: currentColor",
    f"stroke: {_INK}": "stroke: currentColor",
    f"stroke: {_EDGE}": "stroke: currentColor; stroke-opacity: 0.3",
    f"stroke: {_GRID}": "stroke: currentColor; stroke-opacity: 0.14",
}
_SCHEMES = f"svg{{color: {_INK}}} @media (prefers-color-scheme: dark) {{svg{{color: #e6edf3}}}}"
_WIDTH = 4.8
_STYLE: Any = {
    "svg.hashsalt": "harness",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _EDGE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": _EDGE,
    "xtick.labelcolor": _INK,
    "ytick.color": _INK,
    "ytick.major.size": 0,
    "grid.color": _GRID,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def write_charts(side: BenchmarkResult, folder: Path) -> dict[str, Path]:
    """Write the charts that this result has something for; name ("accuracy", "kinds", …) → file."""
    import matplotlib
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    drawings = {"accuracy": _accuracy, "outcomes": _outcomes, "causes": _causes, "kinds": _kinds}
    with matplotlib.rc_context(_STYLE):
        for name, draw in drawings.items():
            figure = Figure(layout="constrained")
            if draw(side, figure):
                path = folder / f"{name}_{side.name.replace('/', '__')}.svg"
                drawn = io.StringIO()
                figure.savefig(
                    drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
                )
                path.write_text(_adapt(drawn.getvalue()), encoding="utf-8")
                written[name] = path
    return written


def _adapt(svg: str) -> str:
    for fixed, current in _IN_CURRENT_COLOUR.items():
        svg = svg.replace(fixed, current)
    return svg.replace('<style type="text/css">', f'<style type="text/css">{_SCHEMES} ', 1)


def _colours(side: BenchmarkResult) -> dict[str, str]:
    """A colour each pair: grey for the references, so that what is under test stands out."""
    subjects = [pair.pair for pair in side.subjects]
    return {
        pair.pair: _COLOURS[subjects.index(pair.pair) % len(_COLOURS)] if pair.pair in subjects else _GREY
        for pair in side.pairs
    }


def _accuracy(side: BenchmarkResult, figure: Figure) -> bool:
    if not any(pair.accuracy.n for pair in side.pairs):
        return False
    axes = _axes(figure, [pair.pair for pair in side.pairs], 1.1 + 0.5 * len(side.pairs))
    for place, pair in enumerate(side.pairs):
        colour, exact = _colours(side)[pair.pair], pair.metrics.get("exact_match")
        if exact:
            axes.plot([100 * exact.value], [place], "o", color="none", mec=colour, ms=7, mew=1.6)
        _whisker(axes, pair.accuracy, place, colour, 9)
        ends = [100 * pair.metrics[name].value for name in BOUNDS if name in pair.metrics]
        axes.plot(ends, [place] * len(ends), "|", color=colour, ms=13, mew=1.6)
        where = (100 * pair.accuracy.value, place)
        axes.annotate(
            f"{where[0]:.1f}", where, xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set_xlabel(
        "● execution accuracy with 95 % interval\n"
        "|  |  with no assumption and with all\n"
        "○ exact match (% of counted examples)"
    )
    return True


def _outcomes(side: BenchmarkResult, figure: Figure) -> bool:
    rows = [pair for pair in side.pairs if pair.outcomes]
    if not rows:
        return False
    axes = _axes(figure, [pair.pair for pair in rows], 1.9 + 0.42 * len(rows))
    left = [0.0] * len(rows)
    for outcome, colour in OUTCOME_COLOURS.items():
        widths = [100 * pair.outcomes.get(outcome, 0) / sum(pair.outcomes.values()) for pair in rows]
        if any(widths):
            places, name = range(len(rows)), label(outcome)
            axes.barh(places, widths, 0.62, left=left, color=colour, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    figure.legend(loc="outside lower center", ncols=3, handlelength=1, columnspacing=1.2)
    axes.set_xlim(0, 100)
    return True


def _causes(side: BenchmarkResult, figure: Figure) -> bool:
    pairs = [pair for pair in side.pairs if pair.causes]
    causes = side.causes
    if not causes:
        return False
    from matplotlib.ticker import MaxNLocator

    axes = _axes(figure, [label(cause) for cause in causes], 1.2 + (0.1 + 0.15 * len(pairs)) * len(causes))
    height = 0.76 / len(pairs)
    for pair, shift in zip(pairs, _shifts(len(pairs), height), strict=True):
        answers = sum(pair.outcomes.values()) or sum(pair.causes.values())
        values = [100 * pair.causes.get(cause, 0) / answers for cause in causes]
        places = [place + shift for place in range(len(causes))]
        bars = axes.barh(
            places, values, height * 0.92, color=_colours(side)[pair.pair], label=visible(pair.pair)
        )
        axes.bar_label(bars, [f"{value:.1f}" if value else "" for value in values], padding=3, fontsize=8)
    axes.set_xlim(auto=True)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.margins(x=0.1)
    axes.set_xlabel("% of all answers")
    figure.legend(loc="outside upper center", ncols=2)
    return True


def _kinds(side: BenchmarkResult, figure: Figure) -> bool:
    by_pair: dict[str, Mapping[str, Metric]] = {
        pair.pair: pair.breakdown["kind"] for pair in side.pairs if pair.breakdown.get("kind")
    }
    sizes = {kind: metric.n for kinds in by_pair.values() for kind, metric in kinds.items()}
    if not 1 < len(sizes) <= 40:
        return False
    first = by_pair.get(side.subjects[0].pair, {})
    kinds = sorted(sizes, key=level)
    if not all(kind in LEVELS for kind in kinds):
        kinds.sort(key=lambda kind: (-first[kind].value if kind in first else 1, kind))
    names = [f"{kind}  ({sizes[kind]})" for kind in kinds]
    axes = _axes(figure, names, 1.2 + (0.16 + 0.08 * len(by_pair)) * len(kinds))
    for (pair, shares), shift in zip(
        by_pair.items(), _shifts(len(by_pair), min(0.24, 0.8 / len(by_pair))), strict=True
    ):
        for place, kind in enumerate(kinds):
            if kind in shares:
                _whisker(axes, shares[kind], place + shift, _colours(side)[pair], 6)
        axes.plot([], [], "o", color=_colours(side)[pair], label=visible(pair))
    figure.legend(loc="outside upper center", ncols=2)
    axes.set_xlabel("execution accuracy with 95 % interval, %\n(number of examples)")
    return True


def _whisker(axes: Axes, metric: Metric, place: float, colour: str, size: float) -> None:
    axes.plot([100 * metric.low, 100 * metric.high], [place, place], color=colour, lw=2, alpha=0.45, zorder=3)
    axes.plot([100 * metric.value], [place], "o", color=colour, ms=size, zorder=4)


def _axes(figure: Figure, names: Sequence[str], height: float) -> Axes:
    """Axes of 0 to 100 % with a named row each."""
    figure.set_size_inches(_WIDTH, height)
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), [visible(name) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.6)
    axes.set_xlim(-1.5, 103)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x")
    return axes


def _shifts(rows: int, height: float) -> list[float]:
    """Where the pairs of one row lie, around its middle."""
    return [height * (number - (rows - 1) / 2) for number in range(rows)]
