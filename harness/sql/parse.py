"""The one door to sqlglot's parser: whatever the text, it comes back with trees or raises SqlglotError."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

DEPTH = 200
"""How deep parts may lie in one another, as in SQLite. The compiled parser has no stack for many more."""

_SHALLOW = 1_000  # characters in which no stack is filled
_BRACKETS = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|(?P<open>[(\[{]|\bcase\b)|(?P<close>[)\]}]|\bend\b)",
    re.IGNORECASE | re.DOTALL,
)


def parse(sql: str, dialect: str | None = "sqlite") -> list[exp.Expr]:
    """The statements of a text.

    Raises:
        SqlglotError: sqlglot cannot read it, or it is nested too deeply.
    """
    if len(sql) > _SHALLOW and nesting(sql) > DEPTH:
        raise ParseError("nested too deeply")
    try:
        return [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except (RecursionError, ValueError) as error:
        raise ParseError(str(error)) from None


def nesting(sql: str) -> int:
    """How deep brackets and CASE lie in one another.

    >>> nesting("SELECT (1 + (2)) FROM t WHERE a IN ('((((') AND CASE WHEN (b) THEN 1 END")
    2
    """
    depth = deepest = 0
    for found in _BRACKETS.finditer(sql):
        depth = max(0, depth + (found["open"] is not None) - (found["close"] is not None))
        deepest = max(deepest, depth)
    return deepest
