"""The report's charts as SVG; the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records import Metric, Outcome

from .results import BenchmarkResult, PairResult
from .tables import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT = "#24292f", "#6e7781"
_GREY = "#a8b1bb"
_PAIRS = ("#2563eb", "#d97706", "#0d9488", "#9333ea", "#db2777", "#65a30d")
OUTCOME_COLOURS = {
    Outcome.EXACT: "#15803d",
    Outcome.EQUIVALENT: "#4ba66a",
    Outcome.INDISTINGUISHABLE: "#86c89b",
    Outcome.NULL_ONLY: "#b7dfc3",
    Outcome.TIE_ONLY: "#d9efdf",
    Outcome.WRONG: "#dc4c3f",
    Outcome.SCHEMA_ERROR: "#e98a4b",
    Outcome.SYNTAX_ERROR: "#f2bb6f",
    Outcome.EXECUTION_ERROR: "#a16207",
    Outcome.TIMEOUT: "#7c6f9c",
    Outcome.DENIED: "#57507a",
    Outcome.UNTRANSPILABLE: "#b9b2cf",
    Outcome.MISSING: "#cfd5db",
}
_STYLE: Any = {
    "svg.hashsalt": "harness",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": "#d0d7de",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": _SOFT,
    "ytick.color": _INK,
    "ytick.major.size": 0,
    "grid.color": "#eaeef2",
    "figure.facecolor": "white",
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
                figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
                written[name] = path
    return written


def colours(side: BenchmarkResult) -> dict[str, str]:
    """A colour a pair: grey for the references, so that what is under test stands out."""
    subjects = [pair.pair for pair in side.pairs if pair.pair not in {"base", "rule"}]
    named = {pair: _PAIRS[place % len(_PAIRS)] for place, pair in enumerate(subjects)}
    return {pair.pair: named.get(pair.pair, _GREY) for pair in side.pairs}


def _accuracy(side: BenchmarkResult, figure: Figure) -> bool:
    rows = [(pair.pair, pair.metrics) for pair in side.pairs]
    figure.set_size_inches(7.6, 0.9 + 0.5 * len(rows))
    axes = _percent_axes(figure, [name for name, _ in rows])
    for place, (name, metrics) in enumerate(rows):
        exact, accuracy = metrics.get("exact_match"), metrics.get("execution_accuracy")
        if exact:
            axes.plot(
                [100 * exact.value], [place], "o", color="white", mec=colours(side)[name], ms=7, mew=1.6
            )
        if accuracy:
            _whisker(axes, accuracy, place, colours(side)[name], 9)
            axes.annotate(
                f"{100 * accuracy.value:.1f}",
                (100 * accuracy.value, place),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
    axes.set_xlabel("● execution accuracy with 95 % interval   ○ exact match   (% of counted examples)")
    return True


def _outcomes(side: BenchmarkResult, figure: Figure) -> bool:
    rows = [pair for pair in side.pairs if pair.outcomes]
    if not rows:
        return False
    figure.set_size_inches(7.6, 1.25 + 0.42 * len(rows))
    axes = _percent_axes(figure, [pair.pair for pair in rows])
    present = [outcome for outcome in Outcome if any(pair.outcomes.get(outcome) for pair in rows)]
    left = [0.0] * len(rows)
    for outcome in present:
        widths = [100 * pair.outcomes.get(outcome, 0) / sum(pair.outcomes.values()) for pair in rows]
        axes.barh(
            range(len(rows)),
            widths,
            left=left,
            height=0.62,
            color=OUTCOME_COLOURS[outcome],
            edgecolor="white",
            linewidth=0.6,
            label=label(outcome),
        )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    figure.legend(
        loc="outside lower center", ncols=5, frameon=False, fontsize=9, handlelength=1, columnspacing=1.2
    )
    axes.set_xlim(0, 100)
    return True


def _causes(side: BenchmarkResult, figure: Figure) -> bool:
    pairs = [pair for pair in side.pairs if pair.causes]
    causes = sorted({cause for pair in pairs for cause in pair.causes})
    subjects = [pair for pair in pairs if pair.pair not in {"base", "rule"}] or pairs
    causes.sort(key=lambda cause: -sum(pair.causes.get(cause, 0) for pair in subjects))
    if not causes:
        return False
    totals = {pair.pair: max(sum(pair.outcomes.values()), sum(pair.causes.values())) for pair in pairs}
    rows = [[100 * pair.causes.get(cause, 0) / totals[pair.pair] for cause in causes] for pair in pairs]
    _grouped(side, figure, [pair.pair for pair in pairs], [label(cause) for cause in causes], rows)
    figure.axes[0].set_xlabel("% of all answers")
    return True


def _kinds(side: BenchmarkResult, figure: Figure) -> bool:
    pairs = [pair for pair in side.pairs if len(pair.breakdown.get("kind", {})) > 1]
    kinds = sorted({kind for pair in pairs for kind in pair.breakdown["kind"]})
    if not kinds or len(kinds) > 40:
        return False
    first = ([pair for pair in pairs if pair.pair not in {"base", "rule"}] or pairs)[0].breakdown["kind"]
    kinds.sort(key=lambda kind: -first[kind].value if kind in first else 1)
    figure.set_size_inches(7.6, 1.3 + (0.2 + 0.13 * len(pairs)) * len(kinds))
    axes = _percent_axes(figure, [f"{kind}  ({_n(pairs, kind)})" for kind in kinds])
    for number, pair in enumerate(pairs):
        shift = 0.24 * (number - (len(pairs) - 1) / 2)
        for place, kind in enumerate(kinds):
            if kind in pair.breakdown["kind"]:
                _whisker(axes, pair.breakdown["kind"][kind], place + shift, colours(side)[pair.pair], 6)
        axes.plot([], [], "o", color=colours(side)[pair.pair], label=pair.pair)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    axes.set_xlabel("execution accuracy with 95 % interval, % (number of examples)")
    return True


def _grouped(
    side: BenchmarkResult, figure: Figure, pairs: Sequence[str], names: Sequence[str], rows: list[list[float]]
) -> None:
    figure.set_size_inches(7.6, 1.3 + (0.12 + 0.2 * len(pairs)) * len(names))
    axes = _axes(figure, names)
    height = 0.76 / len(pairs)
    for number, (pair, values) in enumerate(zip(pairs, rows, strict=True)):
        places = [place + height * (number - (len(pairs) - 1) / 2) for place in range(len(names))]
        bars = axes.barh(places, values, height=height * 0.92, color=colours(side)[pair], label=pair)
        axes.bar_label(
            bars, [f"{value:.1f}" if value else "" for value in values], padding=3, fontsize=8, color=_SOFT
        )
    axes.margins(x=0.12)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)


def _whisker(axes: Axes, metric: Metric, place: float, colour: str, size: float) -> None:
    axes.plot([100 * metric.low, 100 * metric.high], [place, place], color=colour, lw=2, alpha=0.45, zorder=3)
    axes.plot([100 * metric.value], [place], "o", color=colour, ms=size, zorder=4)


def _percent_axes(figure: Figure, names: Sequence[str]) -> Axes:
    axes = _axes(figure, names)
    axes.set_xlim(0, 103)
    axes.set_xticks(range(0, 101, 20))
    return axes


def _axes(figure: Figure, names: Sequence[str]) -> Axes:
    axes: Any = figure.subplots()
    axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    axes.set_ylim(len(names) - 0.45, -0.6)
    axes.grid(axis="x")
    return axes  # type: ignore[no-any-return]


def _n(pairs: Sequence[PairResult], kind: str) -> int:
    return max(pair.breakdown["kind"][kind].n for pair in pairs if kind in pair.breakdown["kind"])
