"""Conditions on columns, and the constants in them: what profiles are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from sqlglot import exp

_Item = TypeVar("_Item")
Ref = tuple[str, str]  # table and column, both in lower case
Value = int | float | str | None
NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
COMMA_NUMBER = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\Z")
LARGEST = 2**63 - 1
"""SQLite's largest integer; what is larger is a real there."""


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
    return plain_number(text)


def plain_number(text: str) -> int | float | None:
    """The number that SQLite reads in a text: a whole one beyond 64 bits is a real, one beyond that infinite.

    >>> plain_number("9223372036854775808"), plain_number("1e400"), plain_number("nan")
    (9.223372036854776e+18, inf, None)
    """
    if not NUMBER.match(text):
        return None
    real = float(text)
    return real if abs(real) > 2 * LARGEST or any(c in text for c in ".eE") else stored(int(text))


def stored(value: int | float) -> int | float:
    """A number as SQLite keeps it: whole ones beyond 64 bits are reals."""
    return value if isinstance(value, float) or -LARGEST - 1 <= value <= LARGEST else float(value)


def is_whole(value: object) -> bool:
    """Whether a number is a whole one that SQLite keeps in 64 bits.

    >>> is_whole(3), is_whole(3.0), is_whole(3.5), is_whole(1e300), is_whole(float("inf"))
    (True, True, False, False, False)
    """
    return isinstance(value, int) or (
        isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST
    )


def constant(node: exp.Expr | None) -> tuple[Value] | None:
    """The value of a literal, wrapped in a tuple; None where the node is not one."""
    if isinstance(node, exp.Paren):
        return constant(node.this)
    if isinstance(node, exp.Neg):
        inner = constant(node.this)
        return (_negative(inner[0]),) if inner and isinstance(inner[0], (int, float)) else None
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


def _negative(value: int | float) -> int | float:
    return -LARGEST - 1 if value == LARGEST + 1 else -value


def spread(items: Sequence[_Item], most: int) -> Sequence[_Item]:
    """So many of the items, from the first to the last at even distances; all where they are fewer."""
    if len(items) <= most:
        return items
    return [items[n * (len(items) - 1) // (most - 1)] for n in range(most)]
