"""Near misses of a query: what a model that almost understood the question would have written.

An operator is a small function with a name: from one node of the gold to texts that could stand in its place.
``BUILDING`` operators choose a suite's databases; ``HELD_OUT`` ones are kept from that, to test the suite.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlglot import exp

from harness.chance import Chance
from harness.sql import operators as _operators
from harness.sql.mutation import BUILDING, HELD_OUT, Operator, Site
from harness.sql.statement import Statement

__all__ = ["BUILDING", "HELD_OUT", "Mutant", "mutants_of"]

_ENTERED = _operators  # its operators enter BUILDING when it is read


CHARACTERS = 4_000_000
"""Most characters that the near misses of one query are written in."""


class Mutant(NamedTuple):
    """A near miss, and the name of the operator that made it."""

    operator: str
    sql: str


def mutants_of(
    query: Statement,
    operators: Iterable[str] | None = None,
    *,
    limit: int = 64,
    seed: int | str = 0,
) -> list[Mutant]:
    """Near misses by the named operators (default: BUILDING), at most ``limit`` by a fair draw.

    Texts are distinct and differ from the gold's; some do not run and some are equivalent.
    """
    table = {**BUILDING, **HELD_OUT}
    by_kind: dict[type[exp.Expr], list[tuple[str, Operator]]] = {}
    for name in operators if operators is not None else BUILDING:
        for kind in table[name][0]:
            by_kind.setdefault(kind, []).append((name, table[name][1]))
    site, text = Site(query), query.printed
    left = CHARACTERS
    found: dict[str, dict[str, None]] = {}
    seen = {text.sql}
    for node in query.tree.walk():
        for name, function in by_kind.get(type(node), ()):
            for target, replacement in function(node, site):
                sql = text.edited(target, replacement)
                left -= len(text.sql)
                if left < 0:
                    break
                if sql is not None and sql not in seen:
                    seen.add(sql)
                    found.setdefault(name, {})[sql] = None
    total = sum(map(len, found.values()))
    if total <= limit:
        return [Mutant(name, sql) for name, sqls in found.items() for sql in sqls]
    return _drawn(
        {name: list(sqls) for name, sqls in found.items()}, limit, Chance("mutants", seed, text.sql)
    )


def _drawn(found: dict[str, list[str]], limit: int, chance: Chance) -> list[Mutant]:
    """One of each operator in turn, until there are enough."""
    chosen: list[Mutant] = []
    while len(chosen) < limit and found:
        for name in list(found):
            sqls = found[name]
            chosen.append(Mutant(name, sqls.pop(chance.below(len(sqls)))))
            if not sqls:
                del found[name]
    return chosen[:limit]
