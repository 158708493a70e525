"""The rule: SQL from what a context of sql-create-context gives away, without any model.

Its first column is the one that the gold selects, INTEGER where the gold calculates with it; the others
are those of the gold's conditions. So the aggregate is read off the question's words, and a condition takes
what follows its column's name ("with a venue of X"), else the next thing that stands out in the question
(quoted, capitalised, with a digit). A model's score on that benchmark has to be read against what this
reaches.
"""

from __future__ import annotations

import re

from harness.benchmarks import surface
from harness.records import Example

_AGGREGATES = (
    ("COUNT", re.compile(r"\bhow many|\bnumber of|\bhow much\b|\bamount of|\bcount\b", re.IGNORECASE)),
    ("AVG", re.compile(r"\baverage|\bmean\b", re.IGNORECASE)),
    ("SUM", re.compile(r"\btotal|\bsum\b|\bcombined", re.IGNORECASE)),
    ("MIN", re.compile(r"\blowest|\bleast|\bsmallest|\bmin|\bearliest|\bfewest|\bfirst\b", re.IGNORECASE)),
    ("MAX", re.compile("")),
)
_STANDS_OUT = re.compile(
    r"[\"“](?P<quoted>[^\"”]+)[\"”]"
    r"|(?P<value>(?:[A-Z$#*]|\w*\d)[^\s?\"]*(?:\s+(?:(?:of|the|de|and|in|at)\s+)?(?:[A-Z(]|\w*\d)[^\s?\"]*)*)"
)
_COMPARED = (
    r"(?:(?P<more>more|larger|greater|bigger|higher|later|over|above|after)"
    r"|(?P<less>less|smaller|fewer|lower|earlier|under|below|before))(?: than)?"
)
_LINK = rf"(?:(?:of|is|was|are) )?(?:{_COMPARED} )?(?:an? |the )?"
_END = r"(?=,? (?:and|with|when|where|that|who|has|have|for|in|is|was|as)\b|, |[?;]|\.$|$)"


def apply_rule(example: Example) -> str:
    """SQL for a question over its context, right or wrong."""
    table = next(iter(surface.tables(example.context)), None)
    if table is None or not table.columns:
        return "SELECT 1"
    (selected, kind), *others = table.columns
    rest = example.question.strip()[1:]  # the first letter is a capital whatever the word
    named = [name for name, pattern in _AGGREGATES if pattern.search(example.question)]
    if kind == "INTEGER":
        selected = f"{next(name for name in named if name != 'COUNT')}({selected})"
    elif named[0] == "COUNT":
        selected = f"COUNT({selected})"
    conditions = []
    for name, _ in others:
        words = r"\W+".join(map(re.escape, surface.unquote(name).split("_")))
        told = re.search(
            rf"\b{words}s? (?=of|is|was|are|[a-z]+ than){_LINK}(?P<value>.+?){_END}", rest, re.IGNORECASE
        )
        found = told or _STANDS_OUT.search(rest)
        if found is None:
            continue
        parts = found.groupdict()
        sign = ">" if parts.get("more") else "<" if parts.get("less") else "="
        value = (parts["value"] or parts["quoted"]).strip(" .,'\"")
        rest = f"{rest[: found.start()]} ; {rest[found.end() :]}"
        conditions.append(
            f'{name} {sign} "{value}"' if sign == "=" else f"{name} {sign} {value.replace(',', '')}"
        )
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {selected} FROM {table.name}{where}"
