"""What one column of a database holds: a kind, believable values, the queries' constants and near misses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from harness.databases.keys import KeyMap
from harness.databases.values import (
    Kind,
    dates_with,
    holds,
    kind_of,
    like_samples,
    near,
    quantity_like,
    sequence,
)
from harness.records import Rules
from harness.sql.dialect import Value, fold_text, is_whole, number_of, quote, stored
from harness.sql.profile import VALUES, Atom, Profile
from harness.sql.profile_reader import profile_of
from harness.sql.schema import Column, Ref, Schema
from harness.sql.solving import PART
from harness.sql.statement import statement

TEXT = 2_000
"""Most bytes of a constant that a column takes up."""

_YEAR = re.compile(r"(?:1[5-9]|20)\d\d\Z")


@dataclass(slots=True)
class PlannedColumn:
    """What a column holds: a kind, a function to believable values, a pool of constants and near misses.

    The pool's first ``lead`` values are the constants themselves. ``group`` numbers columns that share a
    pool (-1: none); ``ordered`` ones are sorted by or asked for extremes; ``closed`` ones hold
    what an ENUM or a CHECK allows; for ``asked`` ones the gold names constants.
    """

    column: Column
    ref: Ref
    kind: Kind
    base: Callable[[int], Value]
    pool: list[Value]
    lead: int = 0
    group: int = -1
    ordered: bool = False
    nullable: bool = False
    closed: bool = False
    asked: bool = False
    _usual: list[Value] = field(default_factory=list)

    def usual(self, start: int, count: int) -> list[Value]:
        """So many of the believable values, from one of them on."""
        known = self._usual
        known.extend(map(self.base, range(len(known), start + count)))
        return known[start : start + count]


class Columns:
    """Plans the columns of a schema for a few queries.

    The first of them, the gold, says of what kind a column is: another must not change what it holds.
    """

    def __init__(self, schema: Schema, profiles: Sequence[Profile], rules: Rules, keys: KeyMap) -> None:
        self._profiles, self._rules, self._keys = profiles, rules, keys
        self._foreign = dict(keys.foreign)
        self._bounds = _checked(schema)

    def planned(self, table: str, column: Column) -> PlannedColumn:
        """The plan of a table's column (the table's name in lower case)."""
        ref, profiles = (table, column.name.lower()), self._profiles
        kind = self._kind(ref, column)
        asked = any(v is not None for v in self._constants(ref))
        bounds = self._bounds.get(ref, [])
        lead, pool, base = self._values(ref, column, kind, bounds)
        keyed = ref in self._foreign or ref[1] in self._keys.primary.get(table, ())
        return PlannedColumn(
            column,
            ref,
            kind,
            base,
            list(dict.fromkeys([*lead, *pool])),
            lead=len(lead),
            ordered=any(ref in p.extremes or ref in p.ordered for p in profiles),
            nullable=any(ref in p.nullable for p in profiles) and not keyed and not column.not_null,
            closed=bool(column.values or bounds),
            asked=asked,
        )

    def _kind(self, ref: Ref, column: Column) -> Kind:
        """What the gold, else the declared type and the name, take the column for."""
        gold = self._profiles[0]
        use: bool | None = gold.numeric.get(ref)
        plain = [v for a in gold.atoms if a.ref == ref and a.op not in ("near", PART) for v in a.values]
        whole = column.affinity == "INTEGER" and ref in gold.cast  # a CAST to REAL says that it is none
        decimals = not whole and any(map(_has_decimals, plain))
        texts = self._texts(ref)
        if use and column.affinity == "INTEGER" and not decimals:
            use = False  # a real that it is computed with makes no real of it: n / t > 0.3
        if self._rules.types == "declared":
            use = None
        elif use is None and not texts and column.affinity in ("TEXT", "NUMERIC", "BLOB"):
            keyed = ref in self._foreign or self._keys.primary.get(ref[0]) == (ref[1],)
            sorted_by = ref in gold.extremes or ref in gold.ordered
            use = False if (sorted_by or keyed) and quantity_like(column.name) else None
        kind = kind_of(column.name, column.affinity, column.type, use)
        dated = any(ref in p.dated for p in self._profiles) and column.affinity != "INTEGER"
        if dated and kind in ("text", "date"):
            return "datetime"
        if texts and kind != "text" and use is None:
            return "text"
        if kind == "integer" and self._rules.types == "inferred" and decimals:
            return "real"
        return kind

    def _texts(self, ref: Ref) -> bool:
        """Whether the gold compares the column with a text that is no number."""
        return any(isinstance(v, str) and number_of(v) is None for v in self._constants(ref))

    def _constants(self, ref: Ref) -> Iterator[Value]:
        """What the gold compares the column with."""
        return (v for a in self._profiles[0].atoms if a.ref == ref and a.op != PART for v in a.values)

    def _values(
        self, ref: Ref, column: Column, kind: Kind, bounds: Sequence[Atom]
    ) -> tuple[list[Value], list[Value], Callable[[int], Value]]:
        """The constants, their near misses, and what the column usually holds."""
        profiles, base = self._profiles, sequence(column.name, kind)
        atoms = [a for p in profiles for a in p.atoms if a.ref == ref]
        lead, pool = self._pool([*atoms, *bounds], kind)
        if any(ref in p.signed for p in profiles) and kind in ("integer", "real"):
            pool += [-3, -8, -1]
        if column.default is not None and column.affinity == "TEXT":
            pool.append(column.default)
        if column.values or bounds:
            found = (v for v in (*lead, *pool, *map(base, range(20))) if all(holds(a, v) for a in bounds))
            usual = tuple(column.values or found)
            if usual:
                lead, pool, base = [], list(usual), lambda i: usual[i % len(usual)]
        elif lead or pool:
            pool += map(base, range(3))
        unfit: tuple[type, ...] = (float,) if kind == "integer" else ()
        if kind in ("integer", "real") and not self._texts(ref):
            unfit = (*unfit, str)
        lead, pool = ([self._stored(v, kind) for v in values] for values in (lead, pool))
        lead, pool = ([v for v in values if not isinstance(v, unfit)] for values in (lead, pool))
        return list(dict.fromkeys(lead)), pool, base

    def _stored(self, value: Value, kind: Kind) -> Value:
        """A value as a column of that kind holds it under the rules."""
        if kind in ("integer", "real"):
            return as_number(value, kind)
        return fold_text(value) if isinstance(value, str) and self._rules.case == "ignore" else value

    def _pool(self, atoms: Sequence[Atom], kind: Kind) -> tuple[list[Value], list[Value]]:
        """The constants that conditions name, and their near misses."""
        lead: list[Value] = []
        others: list[list[Value]] = []
        for atom in atoms:
            for value in atom.values:
                if value is None or (isinstance(value, str) and not storable(value)):
                    continue
                first, rest = self._around(atom.op, value, kind)
                lead += first
                others.append(rest)
            if atom.op.endswith("between") and len(atom.values) == 2:
                numbers = [v for v in atom.values if isinstance(v, (int, float)) and math.isfinite(v)]
                if len(numbers) == 2 and numbers[1] > numbers[0]:
                    others.append([sum(numbers) / 2 if kind == "real" else stored(sum(numbers) // 2)])
        mixed = [v for values in zip_longest(*others) for v in values if v is not None]
        return lead[:VALUES], mixed[: 4 * VALUES]

    def _around(self, op: str, value: Value, kind: Kind) -> tuple[list[Value], list[Value]]:
        """A constant as a column meets it (none, or one value), and what just is not it."""
        if op == PART:
            return ([value], []) if kind == "text" else ([], [])
        if kind == "integer" and isinstance(value, float) and not is_whole(value) and math.isfinite(value):
            low = stored(math.floor(value))
            return [low], [low + 1, low - 1, low + 2]
        if op.endswith("like") and isinstance(value, str):
            hits, misses = like_samples(value)
            return [hits[0]], [*hits[1:], *misses]
        if op == "near" and kind in ("date", "datetime") and _YEAR.match(str(value)):
            year, time = int(str(value)), " 10:20:00" if kind == "datetime" else ""
            days = (f"{year + 1}-01-01", f"{year - 1}-12-31", f"{year}-12-31")
            return [f"{year}-05-17{time}"], [f"{day}{time}" for day in days]
        if op == "near" and kind == "datetime" and isinstance(value, str):
            dates = dates_with(value)
            return dates[:1], dates[1:]
        return [value], list(near(value, kind, exact_case=self._rules.case == "exact"))


def storable(text: str) -> bool:
    """Whether a database takes a text: not too long, no half characters."""
    if len(text) <= TEXT and text.isascii():
        return True
    try:
        return len(text.encode()) <= TEXT
    except UnicodeEncodeError:
        return False


def as_number(value: Value, kind: Kind) -> Value:
    """A value as a column of numbers takes it: a text that says a number is that number."""
    if isinstance(value, str):
        number = number_of(value)
        return value if number is None else number
    if kind == "integer" and isinstance(value, float) and is_whole(value):
        return int(value)
    return value


def _has_decimals(value: Value) -> bool:
    number = number_of(value) if isinstance(value, str) else value
    return isinstance(number, float) and not is_whole(number)


def _checked(schema: Schema) -> dict[Ref, list[Atom]]:
    """The conditions that CHECK constraints put on columns, where they are plain conjunctions."""
    found: dict[Ref, list[Atom]] = {}
    for table in schema.tables:
        for check in table.checks:
            query = statement(f"SELECT 1 FROM {quote(table.name)} WHERE {check}", schema)
            for scope in profile_of(query).scopes if query is not None else ():
                for atom in scope.atoms if not scope.loose else ():
                    found.setdefault(atom.ref, []).append(atom)
    return found
