"""A query taken apart into canonical texts: clauses, conditions, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

_NAME = re.compile(r"[a-z_]\w*")


class Leaf(NamedTuple):
    """A condition that is not taken apart; ``left operator constant`` where it is such a comparison."""

    text: str
    left: str = ""
    operator: str = ""
    constant: int | float | str | None = None
    kind: str = ""


class Not(NamedTuple):
    """The negation of a condition."""

    item: Condition


class Junction(NamedTuple):
    """Conditions joined by "and" or "or", sorted, each once."""

    operator: Literal["and", "or"]
    items: tuple[Condition, ...]


Condition: TypeAlias = "Leaf | Not | Junction"
TRUE = Junction("and", ())


class Select(NamedTuple):
    """One SELECT taken apart; every text is canonical. ``joins`` holds outer joins, in order."""

    distinct: bool
    select: tuple[str, ...]
    sources: tuple[str, ...]
    joins: tuple[str, ...]
    where: Condition
    group: tuple[str, ...]
    having: Condition
    order: tuple[str, ...]
    limit: str
    aggregated: bool


class Compound(NamedTuple):
    """Two queries under a set operation."""

    operator: str
    left: Form
    right: Form
    order: tuple[str, ...]
    limit: str


Form: TypeAlias = "Select | Compound"


def show(item: Condition) -> str:
    """A condition as text, in a form that is equal for equal conditions."""
    if isinstance(item, Leaf):
        return item.text
    if isinstance(item, Not):
        return f"not({show(item.item)})"
    return f"{item.operator}({', '.join(map(show, item.items))})"


def render(form: Form) -> str:
    """The canonical text of a query's form."""
    if isinstance(form, Compound):
        text = f"({render(form.left)}) {form.operator} ({render(form.right)})"
        return text + _tail(form.order, form.limit)
    parts = [
        "select distinct" if form.distinct else "select",
        ", ".join(form.select),
        f"from {', '.join(form.sources)}",
        *form.joins,
    ]
    if form.where != TRUE:
        parts.append(f"where {show(form.where)}")
    if form.group:
        parts.append(f"group by {', '.join(form.group)}")
    if form.having != TRUE:
        parts.append(f"having {show(form.having)}")
    return " ".join(parts) + _tail(form.order, form.limit)


def _tail(order: tuple[str, ...], limit: str) -> str:
    return (f" order by {', '.join(order)}" if order else "") + (f" limit {limit}" if limit else "")


def conjunction(items: Iterable[Condition], operator: Literal["and", "or"] = "and") -> Condition:
    """Conditions joined, flattened, sorted and without repetition."""
    flat: dict[str, Condition] = {}
    for item in items:
        inner = item.items if isinstance(item, Junction) and item.operator == operator else (item,)
        flat.update((show(one), one) for one in inner)
    if len(flat) == 1:
        return next(iter(flat.values()))
    return Junction(operator, tuple(flat[key] for key in sorted(flat)))


@lru_cache(maxsize=20_000)
def quoted(name: str) -> str:
    """A lower-case name, in brackets where it is not a plain word."""
    return name if _NAME.fullmatch(name) else f"[{name}]"
