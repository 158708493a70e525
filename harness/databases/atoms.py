"""Conditions on columns, and the constants in them: what profiles are made of."""

from __future__ import annotations

import re
from typing import NamedTuple

from sqlglot import exp

Ref = tuple[str, str]  # table and column, both in lower case
Value = int | float | str | None
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\Z")
COMMA_NUMBER = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")


class Atom(NamedTuple):
    """One condition on one column: ``op`` is =, !=, <, …, like, in, between, is, their negations, or near."""

    ref: Ref
    op: str
    values: tuple[Value, ...]


class Conditions(NamedTuple):
    """The conditions of one SELECT on one of its sources; ``loose`` where an OR or a NOT joins them."""

    table: str
    atoms: tuple[Atom, ...]
    loose: bool


def number_of(text: str) -> int | float | None:
    """The number that a text spells, commas between thousands allowed.

    >>> number_of("12,552"), number_of("3.5"), number_of("May 5")
    (12552, 3.5, None)
    """
    if COMMA_NUMBER.match(text):
        text = text.replace(",", "")
    elif not NUMBER.match(text):
        return None
    return float(text) if any(c in text for c in ".eE") else int(text)


def constant(node: exp.Expr | None) -> tuple[Value] | None:
    """The value of a literal, wrapped in a tuple; None where the node is not one."""
    if isinstance(node, exp.Paren):
        return constant(node.this)
    if isinstance(node, exp.Neg):
        inner = constant(node.this)
        return (-inner[0],) if inner and isinstance(inner[0], (int, float)) else None
    if isinstance(node, exp.Null):
        return (None,)
    if isinstance(node, exp.Boolean):
        return (int(node.this),)
    if isinstance(node, exp.Literal):
        if node.is_string:
            return (node.this,)
        number = number_of(node.this)
        return None if number is None else (number,)
    return None
