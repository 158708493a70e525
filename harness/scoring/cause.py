"""Why a prediction is wrong, by clause: the strong canonical forms of gold and prediction compared.

A prediction can be wrong in several clauses; ``causes`` names them all, the one that weighs most first. The
comparison is of the queries' text, not of their results: it says what differs, and a witness shows that it
matters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from harness.sql.terms import TRUE, Compound, Condition, Form, Leaf, Not, Select, show

CLAUSES = (
    "set operation",
    "join",
    "wrong column",
    "aggregate",
    "grouping",
    "missing condition",
    "extra condition",
    "operator",
    "literal",
    "nested query",
    "distinct",
    "order",
    "limit",
)
"""The clauses that can be wrong, most telling first; "other" where none of them is seen to differ."""

PAIRED = 40
"""Most conditions of one query that are paired with the other's."""

_AGGREGATE = re.compile(r"(count|sum|avg|min|max|total)\((distinct )?(.*)\)")
_SELECT = re.compile(r"\bselect\b")


def causes(gold: Form | None, prediction: Form | None) -> tuple[str, ...]:
    """The clauses in which two queries differ, in the order of ``CLAUSES``; ("other",) if none is seen.

    >>> from harness.sql.canonical import Canonicaliser
    >>> from harness.sql.schema import parse_schema
    >>> kinds = {"head": {"name": "text", "age": "integer"}}
    >>> read = Canonicaliser(parse_schema("CREATE TABLE head (name, age)"), kinds=kinds, strong=True).form
    >>> causes(read("SELECT name FROM head WHERE age > 56"), read("SELECT name FROM head WHERE age < 56"))
    ('operator',)
    """
    if gold is None or prediction is None:
        return ("other",)
    found = set(_differences(gold, prediction))
    return tuple(name for name in CLAUSES if name in found) or ("other",)


def _differences(gold: Form, other: Form) -> Iterator[str]:
    if isinstance(gold, Compound) and isinstance(other, Compound):
        if gold.operator != other.operator:
            yield "set operation"
        pairs = [(gold.left, other.left), (gold.right, other.right)]
        crossed = [(gold.left, other.right), (gold.right, other.left)]
        for left, right in min(pairs, crossed, key=lambda two: sum(a != b for a, b in two)):
            yield from _differences(left, right)
    elif isinstance(gold, Select) and isinstance(other, Select):
        yield from _clauses(gold, other)
    else:
        yield "set operation"
        return
    if gold.order != other.order:
        yield "order"
    if gold.limit != other.limit:
        yield "limit"


def _clauses(gold: Select, other: Select) -> Iterator[str]:
    if gold.sources != other.sources or gold.joins != other.joins:
        yield "join"
    yield from _outputs(gold.select, other.select)
    if gold.distinct != other.distinct:
        yield "distinct"
    if gold.group != other.group:
        yield "grouping"
    yield from _conditions(gold.where, other.where)
    yield from _conditions(gold.having, other.having)


def _outputs(gold: tuple[str, ...], other: tuple[str, ...]) -> Iterator[str]:
    missing, extra = Counter(gold) - Counter(other), Counter(other) - Counter(gold)
    ours, theirs = [_split(text) for text in missing.elements()], [_split(text) for text in extra.elements()]
    for name, column, distinct in list(ours):
        match = next((one for one in theirs if one[1] == column), None)
        match = match or next((one for one in theirs if (name or one[0]) and "*" in (one[1], column)), None)
        if match:
            theirs.remove(match)
            ours.remove((name, column, distinct))
            yield "distinct" if match[0] == name and match[2] != distinct else "aggregate"
    if ours or theirs:
        yield "wrong column"


def _split(text: str) -> tuple[str, str, bool]:
    """The aggregate ("" for none), what it is of, and whether of distinct values."""
    match = _AGGREGATE.fullmatch(text)
    return (match[1], match[3], bool(match[2])) if match else ("", text, False)


def _conditions(gold: Condition, other: Condition) -> Iterator[str]:
    if gold == other:
        return
    ours, theirs = dict(_literals(gold)), dict(_literals(other))
    missing = [item for key, item in ours.items() if key not in theirs][:PAIRED]
    extra = [item for key, item in theirs.items() if key not in ours][:PAIRED]
    if not missing and not extra:
        yield "operator"
    for name, same in _PAIRINGS:
        for item in list(missing):
            match = next((one for one in extra if same(item, one)), None)
            if match:
                missing.remove(item)
                extra.remove(match)
                yield name
    for rest, name in ((missing, "missing condition"), (extra, "extra condition")):
        for negated, atom in rest:
            yield "join" if not negated and _joins(atom) else name


def _literals(item: Condition, negated: bool = False) -> Iterator[tuple[str, tuple[bool, Leaf]]]:
    if isinstance(item, Leaf):
        yield f"{negated}{item.text}", (negated, item)
    elif isinstance(item, Not):
        yield from _literals(item.item, not negated)
    else:
        for one in item.items:
            yield from _literals(one, negated)


_Signed = tuple[bool, Leaf]


def _literal(one: _Signed, other: _Signed) -> bool:
    a, b = one[1], other[1]
    if one[0] == other[0] and not a.left and not b.left:
        pattern = r"'(?:[^']|'')*'|\b\d[\d.]*\b"
        return not _SELECT.search(a.text) and re.sub(pattern, "?", a.text) == re.sub(pattern, "?", b.text)
    return one[0] == other[0] and bool(a.left) and (a.left, a.operator) == (b.left, b.operator)


def _operator(one: _Signed, other: _Signed) -> bool:
    a, b = one[1], other[1]
    return a.text == b.text or (bool(a.left) and a.left == b.left)


def _column(one: _Signed, other: _Signed) -> bool:
    a, b = one[1], other[1]
    return one[0] == other[0] and bool(a.left and b.left) and a.constant == b.constant


def _nested(one: _Signed, other: _Signed) -> bool:
    return bool(_SELECT.search(one[1].text) and _SELECT.search(other[1].text))


_PAIRINGS = (
    ("literal", _literal),
    ("operator", _operator),
    ("wrong column", _column),
    ("nested query", _nested),
)


def _joins(atom: Leaf) -> bool:
    parts = atom.text.split(" = ")
    return len(parts) > 1 and all("." in part and "'" not in part and "(" not in part for part in parts)


def summary(found: tuple[str, ...], gold: Form | None, prediction: Form | None) -> str:
    """One line for people: the clauses that differ, and the conditions where they are short."""
    text = found[0] + (f" (also: {', '.join(found[1:])})" if len(found) > 1 else "")
    if len(found) == 1 and isinstance(gold, Select) and isinstance(prediction, Select):
        for ours, theirs in ((gold.where, prediction.where), (gold.having, prediction.having)):
            if ours != theirs and len(show(ours)) + len(show(theirs)) < 160:
                said, wanted = (show(one) if one != TRUE else "no condition" for one in (theirs, ours))
                return f"{text}: {said} instead of {wanted}"
    return text
