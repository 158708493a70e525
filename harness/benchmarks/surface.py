"""What a question, a context and a query look like from outside: words, columns, masks, skeletons, forms.

All of it is by pattern, not by parser: it runs over 78,577 rows in seconds, and it takes queries that no
parser takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

_WORD = re.compile(r"[a-z0-9]+")
_TABLE = re.compile(
    r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>\"[^\"]+\"|`[^`]+`|[^\s(]+)\s*"
    r"\((?P<body>(?:[^()'\"`]|\"[^\"]*\"|`[^`]*`|'[^']*'|\((?:[^()]|\([^()]*\))*\))*)\)",
    re.IGNORECASE,
)
_COLUMN = re.compile(r"(?P<name>\"[^\"]+\"|`[^`]+`|\[[^\]]+\]|[^\s,()]+)(?:\s+(?P<type>[A-Za-z_]+))?")
_PARTS = re.compile(r",(?![^()]*\))")
_CONSTRAINTS = frozenset(("primary", "foreign", "unique", "check", "constraint", "key"))
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\d+(?:\.\d+)?|[^\W\d]\w*(?:\.[^\W\d]\w*)?|<>|[<>!]=|\S"
)
_LITERAL = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])")
_KEYWORDS = re.compile(
    r"select|distinct|from|where|and|or|not|in|like|between|is|null|join|left|outer|inner|on|as|group|by|having|order"
    r"|asc|desc|limit|union|intersect|except|all|exists|case|when|then|else|end|count|sum|avg|min|max|cast",
    re.IGNORECASE,
)
_AGGREGATES = frozenset(("count", "sum", "avg", "min", "max"))


class ContextTable(NamedTuple):
    """A table of a context: its name, and its columns as (name, type), names as they are written."""

    name: str
    columns: tuple[tuple[str, str], ...]


def words(text: str) -> str:
    """Lower-case alphanumeric words joined by a space.

    >>> words("What's the No. of wins?")
    'what s the no of wins'
    """
    return " ".join(_WORD.findall(text.lower()))


def bare(name: str) -> str:
    """A column's name as headers are compared: lower-case alphanumerics.

    >>> bare('"School/Club Team"')
    'schoolclubteam'
    """
    return "".join(_WORD.findall(name.lower()))


def unquote(name: str) -> str:
    """A name without the quotes that it may stand in."""
    return name[1:-1] if name[:1] in {'"', "`", "["} and len(name) > 1 else name


def tables(context: str) -> tuple[ContextTable, ...]:
    """The tables of a context, each once, in order; constraints are left out.

    >>> [(table.name, table.columns) for table in tables("CREATE TABLE t (id INT, PRIMARY KEY (id))")]
    [('t', (('id', 'INT'),))]
    """
    found: dict[str, ContextTable] = {}
    for match in _TABLE.finditer(context):
        columns = []
        for part in _PARTS.split(match["body"]):
            column = _COLUMN.match(part.strip())
            if column and column["name"].lower() not in _CONSTRAINTS:
                columns.append((column["name"], (column["type"] or "").upper()))
        found.setdefault(match["name"], ContextTable(match["name"], tuple(columns)))
    return tuple(found.values())


def columns(tables: Iterable[ContextTable]) -> frozenset[str]:
    """The columns of some tables, as headers are compared."""
    return frozenset(bare(name) for table in tables for name, _ in table.columns)


def masked(question: str, gold: str) -> str:
    """The question's words with the gold's literals, and every number, put as ``_``.

    >>> masked("How many wins had Ann Lee in 1999?", "SELECT wins FROM t WHERE name = 'Ann Lee'")
    'how many wins had _ in _'
    """
    text = f" {words(question)} "
    literals = {words("".join(groups)) for groups in _LITERAL.findall(gold)}
    for literal in sorted(literals, key=lambda literal: (-len(literal), literal)):
        if literal:
            text = text.replace(f" {literal} ", " _ ")
    return " ".join("_" if word.isdecimal() else word for word in text.split())


def skeleton(sql: str) -> str:
    """A query with names put as ``_`` and literals as ``?``.

    >>> skeleton("SELECT COUNT(*) FROM head WHERE age > 56")
    'SELECT COUNT ( * ) FROM _ WHERE _ > ?'
    """
    return " ".join(_skeletal(token) for token in _TOKEN.findall(sql))


def _skeletal(token: str) -> str:
    if _KEYWORDS.fullmatch(token):
        return token.upper()
    if token[0] in "'\"" or token[0].isdigit():
        return "?"
    return "_" if token[0].isalpha() or token[0] in "_`" else token


def form(sql: str) -> str:
    """The form of a query, the first that fits: set operation, nested, join, group, order, aggregate,
    filters (several conditions), filter, projection.

    >>> form("SELECT a FROM t WHERE b = 1 AND c = 2")
    'filters'
    """
    tokens = [token.lower() for token in _TOKEN.findall(sql)]
    present = set(tokens)
    if present & {"union", "intersect", "except"}:
        return "set operation"
    if tokens.count("select") > 1:
        return "nested"
    if "join" in present:
        return "join"
    if "group" in present and "by" in present:
        return "group"
    if "order" in present and "by" in present:
        return "order"
    if any(token in _AGGREGATES and after == "(" for token, after in pairwise(tokens)):
        return "aggregate"
    if "where" in present:
        return "filters" if present & {"and", "or"} else "filter"
    return "projection"
