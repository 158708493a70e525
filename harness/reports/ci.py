"""The gate's answer where CI looks for it: JUnit XML, the step's summary, a comment on a pull request."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from harness.errors import RunError
from harness.files import write_text
from harness.text import visible

from .gate import Finding, Gate
from .wording import cell, code, count, p_value, percent, points, span

_IDS = 20
"""So many flipped examples a comment names; ``--json`` has all."""


def junit(gate: Gate) -> str:
    """A test suite with a case for each benchmark, pair and metric; an inconclusive one is skipped."""
    failed = [one for one in gate.findings if _fails(gate, one)]
    skipped = [one for one in gate.findings if one.inconclusive and one not in failed]
    suite = ElementTree.Element(
        "testsuite",
        name="harness check",
        tests=str(len(gate.findings)),
        failures=str(len(failed)),
        skipped=str(len(skipped)),
        errors="0",
    )
    for one in gate.findings:
        change = one.change
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=visible(change.benchmark),
            name=visible(f"{change.pair} {change.metric}"),
        )
        if one in failed:
            ElementTree.SubElement(case, "failure", message=one.reason, type=one.word).text = _details(one)
        elif one in skipped:
            ElementTree.SubElement(case, "skipped", message=one.reason)
        ElementTree.SubElement(case, "system-out").text = visible(one.line())
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def comment(gate: Gate) -> str:
    """Markdown for a pull request: the answer, a row a finding, the examples that broke in a fold."""
    words = "passed" if gate.passed and not gate.inconclusive else "inconclusive" if gate.passed else "failed"
    lines = [
        f"**The gate {words if words != 'inconclusive' else 'is inconclusive'}.**",
        "",
        "| | pair | metric | now, % | baseline, % | points | bounds, % | fixed | broken | n | p |",
        "| :-- | :-- | :-- | --: | --: | --: | :-- | --: | --: | --: | --: |",
    ]
    for one in gate.findings:
        change = one.change
        flips = ["–", "–"] if change.fixed is None or change.broken is None else [change.fixed, change.broken]
        lines.append(
            f"| {one.word} | {cell(change.pair)} | {cell(change.metric.replace('_', ' '))} "
            f"| {percent(change.value).rstrip(' %')} | {percent(change.baseline).rstrip(' %')} "
            f"| {points(-change.drop)} <sub>{span(change.low, change.high, signed=True)}</sub> "
            f"| {change.bounds or '–'} "
            f"| {flips[0]} | {flips[1]} | {count(change.n)} | {p_value(one.p).removeprefix('= ')} |"
        )
    lines += ["", *dict.fromkeys(f"{one.word}: {one.reason}." for one in gate.findings if one.word != "ok")]
    for one in gate.findings:
        if one.change.broken_ids:
            lines += [
                "",
                f"<details><summary>Broken in {cell(one.change.pair)}, "
                f"{cell(one.change.metric.replace('_', ' '))}: {len(one.change.broken_ids)}</summary>",
                "",
                _named(one.change.broken_ids),
                "",
                "</details>",
            ]
    return "\n".join(lines) + "\n"


def announce(gate: Gate, *, junit_file: Path | None = None, comment_file: Path | None = None) -> None:
    """Write what is asked for, and in a GitHub job the step's summary; RunError where a file cannot be."""
    if junit_file:
        write_text(junit_file, junit(gate))
    if comment_file:
        write_text(comment_file, comment(gate))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(comment(gate) + "\n")
        except OSError as error:
            raise RunError(
                f"{summary} cannot be written: {error.strerror}",
                "unset GITHUB_STEP_SUMMARY, or mend its path",
            ) from None


def _fails(gate: Gate, one: Finding) -> bool:
    return one.regression or (gate.strict and one.inconclusive)


def _details(one: Finding) -> str:
    broken = ", ".join(map(visible, one.change.broken_ids))
    return visible(one.line()) + (f"\nbroken: {broken}" if broken else "")


def _named(ids: tuple[str, ...]) -> str:
    more = f", and {len(ids) - _IDS} more" if len(ids) > _IDS else ""
    return ", ".join(code(id_, 60) for id_ in ids[:_IDS]) + more
