"""``report.md``: one page on a run, written for somebody who has to defend or to repair the number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RunError
from harness.records import Metric, Outcome
from harness.scoring.metrics import share as measure

from . import tables
from .charts import write_charts
from .comparison import Comparison, compare_samples, difference_table
from .failures import Failure, differing_rows, failures, telling
from .results import (
    OWN_METRICS,
    REFERENCES,
    BenchmarkResult,
    Judged,
    PairResult,
    Results,
    metric,
    read_results,
    read_samples,
)
from .tables import cell, code, count, label, markdown, percent, points, share

MEANINGS = {
    Outcome.EXACT: "the gold itself, after normalising",
    Outcome.EQUIVALENT: "another form, proved to mean the same",
    Outcome.INDISTINGUISHABLE: "another form, same answer on every database tried, not proved",
    Outcome.NULL_ONLY: "differs only where a value is NULL; counted right",
    Outcome.TIE_ONLY: "differs only where several rows tie for the first place; counted right",
    Outcome.WRONG: "runs, and answers something else on some database",
    Outcome.SYNTAX_ERROR: "is not SQL",
    Outcome.SCHEMA_ERROR: "names a table or column that does not exist",
    Outcome.EXECUTION_ERROR: "fails when it runs",
    Outcome.TIMEOUT: "ran longer than allowed",
    Outcome.DENIED: "tried something that the sandbox forbids",
    Outcome.UNTRANSPILABLE: "has no counterpart in SQLite's dialect",
    Outcome.MISSING: "no SQL was given",
}
_HEADLINE = OWN_METRICS[:5]
_FLAGGED_SHOWN = 40
_ROWS_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All that the template says of one benchmark; tables are Markdown, None where there is nothing."""

    side: BenchmarkResult
    title: str
    summary: tuple[str, ...]
    charts: dict[str, str]
    headline: str
    more: str | None
    differences: str | None
    outcomes: str | None
    causes: str | None
    breakdowns: tuple[tuple[str, str], ...]
    policy: str | None
    suite: str | None
    flagged: str | None
    official: str | None
    cost: str | None
    failures: tuple[dict[str, Any], ...]
    failed: int


def write_report(folder: Path) -> Path:
    """Write ``report.md`` and ``charts/*.svg`` into a run's folder; returns the report's path.

    Raises RunError where the folder holds no results or cannot be written, DataError on a malformed
    file.
    """
    results = read_results(folder)
    target = folder / "report.md"
    try:
        sections = [_section(results, side, folder) for side in results.benchmarks]
        target.write_text(_render(results, sections), encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror}", "check the folder's permissions"
        ) from None
    return target


def comparisons(side: BenchmarkResult, samples: Sequence[Judged]) -> list[Comparison]:
    """Each pair against the reference, joined by id; empty where there is nothing to compare with."""
    if side.reference is None:
        return []
    by_pair: dict[str, list[Judged]] = {}
    for sample in samples:
        by_pair.setdefault(sample.pair, []).append(sample)
    name = side.reference.pair
    return [
        compare_samples(
            by_pair.get(name, []), by_pair.get(pair.pair, []), benchmark=side.name, names=(name, pair.pair)
        )
        for pair in side.pairs
        if pair.pair != name
    ]


def _section(results: Results, side: BenchmarkResult, folder: Path) -> Section:
    samples = list(read_samples(results, side.name))
    charts = {
        name: path.relative_to(folder).as_posix()
        for name, path in write_charts(side, folder / "charts").items()
    }
    against = comparisons(side, samples)
    found = failures(samples, side.reference.pair if side.reference else None)
    split = side.config.get("split")
    return Section(
        side=side,
        title=f"{side.name} · {split}" if split else side.name,
        summary=tuple(_summary(side, against)),
        charts=charts,
        headline=_headline(side),
        more=_more(side),
        differences=difference_table("pair", [(f"{c.name_b} − {c.name_a}", c.difference) for c in against])
        if against
        else None,
        outcomes=_outcomes(side),
        causes=_causes(side),
        breakdowns=tuple(_breakdowns(side, samples, against)),
        policy=_policy(side),
        suite=_suite(side, samples),
        flagged=_flagged(samples),
        official=_official(side, samples),
        cost=_cost(side),
        failures=tuple(_failure(failure, side) for failure in telling(found)),
        failed=len(found),
    )


def _summary(side: BenchmarkResult, against: Sequence[Comparison]) -> Iterable[str]:
    subjects = [pair for pair in side.pairs if pair.pair not in REFERENCES] or list(side.pairs)
    for pair in subjects:
        if pair.accuracy.n:
            accuracy = pair.accuracy
            yield (
                f"**{cell(pair.pair)}** answers **{percent(accuracy.value)}** of {count(accuracy.n)} questions "
                f"rightly (95 % interval {tables.span(accuracy.low, accuracy.high)})."
            )
    for comparison in against:
        if comparison.name_b != "rule":
            yield cell(comparison.sentence())


def _headline(side: BenchmarkResult) -> str:
    shown = [name for name in _HEADLINE if any(_has(pair, name) for pair in side.pairs)]
    rows = [
        [
            f"**{cell(pair.pair)}**",
            *(share(pair.metrics.get(name)) for name in shown),
            pair.accuracy.n,
            pair.accuracy.excluded,
        ]
        for pair in side.pairs
    ]
    return markdown(["pair", *(label(name) for name in shown), "n", "excluded"], rows)


def _more(side: BenchmarkResult) -> str | None:
    names = dict.fromkeys(name for pair in side.pairs for name in pair.metrics if name not in _HEADLINE)
    if not names:
        return None
    rows = [
        [label(name), *(share(pair.metrics.get(name)) for pair in side.pairs), _size(side.pairs, name)]
        for name in names
    ]
    return markdown(["metric", *(cell(pair.pair) for pair in side.pairs), "n"], rows)


def _outcomes(side: BenchmarkResult) -> str | None:
    rows = [
        [
            f"{'✓' if outcome.right else '✗'} {label(outcome)}",
            *(f"{pair.outcomes.get(outcome, 0)}" for pair in side.pairs),
            MEANINGS[outcome],
        ]
        for outcome in Outcome
        if any(pair.outcomes.get(outcome) for pair in side.pairs)
    ]
    head = ["outcome", *(cell(pair.pair) for pair in side.pairs), "meaning"]
    return _left_last(markdown(head, rows)) if rows else None


def _causes(side: BenchmarkResult) -> str | None:
    pairs = [pair for pair in side.pairs if pair.causes]
    totals = {
        cause: sum(pair.causes.get(cause, 0) for pair in pairs) for pair in pairs for cause in pair.causes
    }
    rows = [
        [label(cause), *(pair.causes.get(cause, 0) for pair in pairs)]
        for cause in sorted(totals, key=lambda cause: (-totals[cause], cause))
    ]
    return markdown(["cause", *(cell(pair.pair) for pair in pairs)], rows) if rows else None


def _breakdowns(
    side: BenchmarkResult, samples: Sequence[Judged], against: Sequence[Comparison]
) -> Iterable[tuple[str, str]]:
    names = dict.fromkeys(name for pair in side.pairs for name in pair.breakdown)
    for name in names:
        official = name.startswith(("wikisql_", "spider_", "bird_"))
        title = f"{label(name)} by kind" if official else f"Execution accuracy by {name}"
        yield (
            title,
            _by(name, {pair.pair: pair.breakdown.get(name, {}) for pair in side.pairs}, side, against),
        )
    if "exposure" not in names and any(sample.exposure for sample in samples):
        shares: dict[str, dict[str, Metric]] = {}
        for pair in side.pairs:
            own = [s for s in samples if s.pair == pair.pair and s.counted and s.sample == 0]
            values = sorted({sample.exposure or "unknown" for sample in own})
            shares[pair.pair] = {
                value: measure([s.right for s in own if (s.exposure or "unknown") == value])
                for value in values
            }
        yield "Execution accuracy by exposure", _by("exposure", shares, side, ())


def _by(
    name: str,
    shares: dict[str, dict[str, Metric]] | Any,
    side: BenchmarkResult,
    against: Sequence[Comparison],
) -> str:
    values = dict.fromkeys(value for by in shares.values() for value in by)
    single = against[0] if len(against) == 1 and name == "kind" else None
    rows = []
    for value in values:
        row: list[object] = [cell(value), max(by[value].n for by in shares.values() if value in by)]
        row += [share(shares[pair.pair].get(value)) for pair in side.pairs]
        if single:
            change = single.kinds.get(value)
            row.append(
                f"{points(change.value)} <sub>{tables.span(change.low, change.high, True)}</sub>"
                if change
                else "–"
            )
        rows.append(row)
    head = [name, "n", *(cell(pair.pair) for pair in side.pairs), *(["difference"] if single else [])]
    return markdown(head, rows)


def _policy(side: BenchmarkResult) -> str | None:
    rules = dict.fromkeys(rule for pair in side.pairs for rule in pair.policy)
    if not rules:
        return None
    rows = []
    for rule in rules:
        row = [code(rule)]
        for pair in side.pairs:
            flip = pair.policy.get(rule)
            row.append(
                f"{100 * flip.value:.1f} <sub>{points(flip.value - pair.accuracy.value)}</sub>"
                if flip
                else "–"
            )
        rows.append(row)
    default = ["as reported", *(f"**{100 * pair.accuracy.value:.1f}**" for pair in side.pairs)]
    return markdown(["policy", *(cell(pair.pair) for pair in side.pairs)], [default, *rows])


def _suite(side: BenchmarkResult, samples: Sequence[Judged]) -> str | None:
    strengths = {s.id: s.strength for s in samples if s.strength is not None and s.counted}
    if side.strength is None and not strengths:
        return None
    mean = side.strength if side.strength is not None else sum(strengths.values()) / len(strengths)
    parts = [f"The databases tell **{percent(mean, 2)}** of the golds' near misses from their golds"]
    if side.databases:
        parts.append(
            f"with {count(side.databases)} databases" + (" in all" if side.databases > 64 else " a question")
        )
    text = " ".join(parts) + "."
    if strengths:
        full = sum(strength >= 1 for strength in strengths.values())
        text += f" {percent(full / len(strengths))} of {count(len(strengths))} questions let none by"
        weakest = sorted(strengths.items(), key=lambda item: (item[1], item[0]))[:5]
        weak = ", ".join(f"{code(id)} ({percent(strength, 0)})" for id, strength in weakest if strength < 1)
        text += f"; the weakest: {weak}." if weak else "."
    return text


def _flagged(samples: Sequence[Judged]) -> str | None:
    flagged = {sample.id: sample for sample in reversed(samples) if not sample.counted}
    if not flagged:
        return None
    ordered = sorted(flagged.values(), key=lambda sample: (sample.gold_status, sample.id))
    rows = [
        [code(sample.id), sample.gold_status, cell(sample.gold_reason or "", 90), code(sample.gold, 140)]
        for sample in ordered[:_FLAGGED_SHOWN]
    ]
    rest = [code(sample.id) for sample in ordered[_FLAGGED_SHOWN:]]
    text = markdown(["id", "flag", "reason", "gold"], rows, left=4)
    return text + (f"\n\nand {len(rest)} more: {', '.join(rest)}" if rest else "")


def _official(side: BenchmarkResult, samples: Sequence[Judged]) -> str | None:
    parts = []
    for name in dict.fromkeys(name for sample in samples for name in sample.official):
        asked = [sample for sample in samples if name in sample.official and sample.sample == 0]
        apart = [sample for sample in asked if sample.right != (sample.official[name] >= 0.5)]
        generous = sum(sample.right for sample in apart)
        parts.append(
            f"**{label(name)}**: of {count(len(asked))} answers {len(apart)} are judged otherwise; the harness "
            f"accepts {generous} that it rejects, and rejects {len(apart) - generous} that it accepts."
        )
        if apart:
            shown = _alternate(apart, 10)
            rows = [
                [
                    code(sample.id),
                    cell(sample.pair),
                    f"{label(sample.outcome)}{': ' + cell(sample.cause) if sample.cause else ''}",
                    f"{sample.official[name]:.2g}",
                    code(sample.gold, 200),
                    code(sample.prediction or "", 200),
                    cell(sample.detail or sample.gold_reason or "", 120),
                ]
                for sample in shown
            ]
            parts.append(
                markdown(["id", "pair", "harness", "official", "gold", "prediction", "why"], rows, left=7)
            )
    return "\n\n".join(parts) or None


def _alternate(apart: Sequence[Judged], limit: int) -> list[Judged]:
    """As many of either direction as there are places for, sound golds first."""
    ordered = sorted(apart, key=lambda sample: not sample.counted)
    right = [sample for sample in ordered if sample.right][: limit // 2]
    return right + [sample for sample in ordered if not sample.right][: limit - len(right)]


def _cost(side: BenchmarkResult) -> str | None:
    costs = [(pair.pair, pair.cost) for pair in side.pairs if pair.cost]
    if not costs:
        return None
    stages = dict.fromkeys(stage for _, cost in costs for stage in cost.seconds)
    rows: list[list[object]] = [["examples", *(count(cost.examples) for _, cost in costs)]]
    rows.append(["prompt tokens", *(count(cost.prompt_tokens) for _, cost in costs)])
    rows.append(["generated tokens", *(count(cost.new_tokens) for _, cost in costs)])
    rows += [[f"{stage}, s", *(_seconds(cost.seconds.get(stage)) for _, cost in costs)] for stage in stages]
    rows.append(["**all stages, s**", *(f"**{_seconds(cost.total_seconds)}**" for _, cost in costs)])
    rows.append(["examples/s", *(_rate(cost.examples, cost.total_seconds) for _, cost in costs)])
    rows.append(["generated tokens/s", *(_rate(cost.new_tokens, cost.total_seconds) for _, cost in costs)])
    if any(cost.padding_share is not None for _, cost in costs):
        rows.append(
            ["padding", *("–" if c.padding_share is None else percent(c.padding_share) for _, c in costs)]
        )
    if any(cost.peak_memory_bytes for _, cost in costs):
        rows.append(
            ["peak memory, GiB", *(f"{(cost.peak_memory_bytes or 0) / 2**30:.2f}" for _, cost in costs)]
        )
    return markdown(["", *(cell(name) for name, _ in costs)], rows)


def _failure(failure: Failure, side: BenchmarkResult) -> dict[str, Any]:
    sample, witness = failure.sample, failure.sample.witness
    fold = (side.config.get("rules") or {}).get("case", "ignore") == "ignore"
    facts = [sample.kind, label(sample.cause or sample.outcome)]
    if failure.reference_right is not None and side.reference:
        facts.append(f"{side.reference.pair} {'right' if failure.reference_right else 'wrong too'}")
    return {
        "sample": sample,
        "title": " · ".join(cell(fact) for fact in facts if fact),
        "diff": diff_block(witness.gold_columns, differing_rows(witness, fold), witness) if witness else None,
        "error": witness.prediction_error if witness else None,
        "script": witness.script if witness else None,
    }


def diff_block(columns: Sequence[str], difference: Any, witness: Any) -> str | None:
    """The differing rows as an aligned table for a ``diff`` block: − gold, + prediction."""
    if difference is None:
        rows = [("-", row) for row in witness.gold_rows[:_ROWS_SHOWN]]
        hidden = len(witness.gold_rows) - len(rows)
    else:
        groups = ((" ", difference.common), ("-", difference.gold), ("+", difference.prediction))
        rows = [(mark, row) for mark, group in groups for row in group[:_ROWS_SHOWN]]
        hidden = sum(max(len(group) - _ROWS_SHOWN, 0) for _, group in groups)
    lines = [("-", [str(name) for name in columns])]
    if difference is not None and witness.prediction_columns:
        lines.append(("+", [str(name) for name in witness.prediction_columns]))
    body = [(mark, [_value(value) for value in row]) for mark, row in rows]
    wide = max((len(row) for _, row in [*lines, *body]), default=0)
    widths = [
        max((len(row[i]) for _, row in [*lines, *body] if i < len(row)), default=0) for i in range(wide)
    ]
    if difference is not None and [row for _, row in lines[:1]] == [row for _, row in lines[1:]]:
        lines = [(" ", lines[0][1])]

    def draw(mark: str, row: Sequence[str]) -> str:
        return (
            f"{mark} "
            + " │ ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip()
        )

    text = [draw(mark, row) for mark, row in lines] + ["  " + "─┼─".join("─" * width for width in widths)]
    text += [draw(mark, row) for mark, row in body]
    for name, mark in (("gold", "-"), ("prediction", "+")):
        if difference is not None and not any(sign in {mark, " "} for sign, _ in body):
            text.append(f"{mark} ({name}: no rows)")
    if difference is None and not witness.gold_rows:
        text.append("- (gold: no rows)")
    return "\n".join(text + ([f"  … {hidden} more rows"] if hidden else []))


def _value(value: object) -> str:
    if value is None:
        return "NULL"
    text = " ".join(str(value).split()) if isinstance(value, str) else str(value)
    return (text if len(text) <= 40 else text[:39] + "…") if text else "''"


def _has(pair: PairResult, name: str) -> bool:
    return name in pair.metrics and pair.metrics[name].n > 0


def _size(pairs: Iterable[PairResult], name: str) -> str:
    sizes = sorted({pair.metrics[name].n for pair in pairs if name in pair.metrics})
    return "–".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))


def _left_last(table: str) -> str:
    lines = table.split("\n")
    return "\n".join([lines[0], lines[1].removesuffix("--: |") + ":-- |", *lines[2:]])


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f}" if seconds < 100 else count(seconds)


def _rate(number: int, seconds: float) -> str:
    return f"{number / seconds:.1f}" if seconds > 0 else "–"


def _render(results: Results, sections: Sequence[Section]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(cell=cell, code=code, fence=fence)
    return environment.get_template("report.md.j2").render(results=results, sections=sections)


def fence(text: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any run of backticks inside.

    >>> print(fence("SELECT 1", "sql"))
    ```sql
    SELECT 1
    ```
    """
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{text.strip()}\n{ticks}"


__all__ = ["MEANINGS", "comparisons", "diff_block", "fence", "metric", "write_report"]
