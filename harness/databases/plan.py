"""What the databases of a few queries must show: kinds of columns, pools of values, keys, conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.databases.columns import Columns, PlannedColumn, as_number, storable
from harness.databases.keys import Groups, KeyMap, keys_of
from harness.databases.values import holds, sequence
from harness.records import Rules
from harness.sql.dialect import Value, fold_text, is_whole, number_of
from harness.sql.profile import Conditions, Profile
from harness.sql.schema import Ref, Schema


class PlannedTable(NamedTuple):
    """How a table is filled: the columns that are drawn, and what holds between them.

    ``key`` are its key's columns; ``single`` the places of those that are unique by themselves, ``unique``
    those of all that are unique together. Each column refers to one of ``parents`` (None: to none that is
    filled by then); ``late`` ones, places and what they refer to, wait until all is filled, and ``waiting``
    says whether any does by then.
    """

    name: str
    columns: list[PlannedColumn]
    key: tuple[str, ...]
    single: tuple[int, ...]
    unique: list[list[int]]
    parents: list[Ref | None]
    late: list[tuple[int, Ref]]
    waiting: bool


class PlannedScope:
    """Conditions of a query on one table, and values for which some of them hold and the others do not.

    ``parts`` are the numbers of those that the gold and the last query do not share.
    """

    __slots__ = ("_columns", "_fits", "atoms", "every", "loose", "parts")

    def __init__(self, plan: Plan, conditions: Conditions) -> None:
        self.atoms, self.loose = conditions.atoms, conditions.loose
        self.every = (1 << len(self.atoms)) - 1
        self.parts = [number for number, atom in enumerate(self.atoms) if atom in plan.focus]
        self._columns = plan.columns
        self._fits: dict[int, dict[Ref, list[Value]]] = {}

    def fits(self, mask: int) -> dict[Ref, list[Value]]:
        """Values of each column for which just those of its conditions hold whose bit is set in ``mask``."""
        found = self._fits.get(mask)
        if found is not None:
            return found
        found = self._fits[mask] = {}
        for ref in {a.ref for a in self.atoms} & self._columns.keys():
            column = self._columns[ref]
            mine = [(mask >> i & 1 == 1, a) for i, a in enumerate(self.atoms) if a.ref == ref]
            pool = [*column.pool, None] if column.nullable else column.pool
            good = [v for v in pool if all(holds(a, v) == wanted for wanted, a in mine)]
            if not good:
                good = [v for v in pool if any(wanted and holds(a, v) for wanted, a in mine)]
            if not good:
                good = [v for v in pool if any(not wanted and not holds(a, v) for wanted, a in mine)]
            if good:
                found[ref] = good
        return found


_STARLESS = re.compile(r"\bcount\s*\(\s*\*\s*\)", re.I)


class Plan:
    """What all databases of a few queries share; the first of them, the gold, says what is a key or a number.

    ``sparse``: tables that no query needs stay empty; so far as ``texts`` are given, the queries themselves,
    columns that none of them can mean are ``plain``. No value of the ``single`` columns is met twice.
    """

    def __init__(
        self,
        schema: Schema,
        profiles: Sequence[Profile],
        rules: Rules,
        *,
        sparse: bool = False,
        texts: Sequence[str] = (),
        single: frozenset[Ref] = frozenset(),
    ) -> None:
        self.schema, self.rules = schema, rules
        self.profiles = profiles or (Profile(),)
        self.keys: KeyMap = keys_of(schema, self.profiles[0], rules)
        self.foreign = dict(self.keys.foreign)
        self.children = {child[0] for child in self.foreign}
        self.targets = set(self.foreign.values())
        self.leaves = {t for p in self.profiles for t in p.tables} - {
            parent[0]
            for child, parent in self.foreign.items()
            if any(child[0] in p.tables for p in self.profiles)
        }
        self.used = {t for p in self.profiles for t in p.tables}
        self.idle = self._idle() if sparse else frozenset()
        self.thresholds = sorted({n for p in self.profiles for n in p.thresholds if n > 0})
        grouped = {r for p in self.profiles for r in p.grouped}
        parents = {self.foreign.get(r, r) for r in grouped}
        self.counted = grouped | {c for c, parent in self.foreign.items() if parent in parents}
        self.shared = {r for p in self.profiles for r in p.shared}
        self.unique = self._unique(single)
        columns = Columns(schema, self.profiles, rules, self.keys)
        self.columns = {
            (t.name.lower(), c.name.lower()): columns.planned(t.name.lower(), c)
            for t in schema.tables
            for c in t.columns
        }
        self._share_groups()
        self.plain = self._plain(texts)
        self.tables = self._tables()
        first, last = (set(p.atoms) for p in (self.profiles[0], self.profiles[-1]))
        self.focus = frozenset(first ^ last)  # conditions that the gold and the last query do not share
        self.scopes: dict[str, list[PlannedScope]] = {}
        for p in self.profiles:
            for scope in p.scopes:
                self.scopes.setdefault(scope.table, []).append(PlannedScope(self, scope))
        self.disputed = self._disputed()
        self.strangers = self._strangers()

    def _tables(self) -> dict[str, PlannedTable]:
        """The tables that are filled, those that others refer to first where that can be."""
        found: dict[str, PlannedTable] = {}
        drawn: set[Ref] = set()
        waiting = False

        def visit(name: str, path: tuple[str, ...]) -> None:
            nonlocal waiting
            table = self.schema.table(name)
            if table is None or name in found or name in path or name in self.idle:
                return
            refs = [(name, c.name.lower()) for c in table.columns]
            columns = [self.columns[ref] for ref in refs if ref not in self.plain]
            for column in columns:
                parent = self.foreign.get(column.ref)
                if parent is not None and parent[0] != name:
                    visit(parent[0], (*path, name))
            names = [c.ref[1] for c in columns]
            late = [
                (i, p) for i, c in enumerate(columns) if (p := self.foreign.get(c.ref)) and p not in drawn
            ]
            waiting = waiting or bool(late)
            key, unique = self.keys.primary.get(name, ()), self.unique.get(name, ())
            found[name] = PlannedTable(
                name,
                columns,
                key,
                tuple(names.index(u[0]) for u in unique if len(u) == 1),
                [[names.index(c) for c in u] for u in (key, *unique) if u],
                [p if (p := self.foreign.get(c.ref)) in drawn else None for c in columns],
                late,
                waiting,
            )
            drawn.update(refs)

        for table in self.schema.tables:
            visit(table.name.lower(), ())
        return found

    def _idle(self) -> frozenset[str]:
        """Tables that no query names and that nothing named refers to."""
        needed, front = set(self.used), set(self.used)
        while front:
            front = {p[0] for c, p in self.foreign.items() if c[0] in front} - needed
            needed |= front
        return frozenset(t.name.lower() for t in self.schema.tables) - needed

    def _plain(self, texts: Sequence[str]) -> frozenset[Ref]:
        """Columns that cannot be what any of the texts is about, nor keys: one value serves them."""
        every = _STARLESS.sub("", " ".join(texts)).lower()
        if not texts or any(word in every for word in ("*", '""', "natural")):
            return frozenset()
        held = {(t, c) for t, key in self.keys.primary.items() for c in key}
        held |= {(t, c) for t, unique in self.unique.items() for u in unique for c in u}
        held |= {ref for link in self.keys.foreign for ref in link}
        return frozenset(
            ref for ref, c in self.columns.items() if ref[1] not in every and ref not in held and not c.closed
        )

    def _unique(self, single: frozenset[Ref]) -> dict[str, list[tuple[str, ...]]]:
        """The columns of each table that together are met once, its primary key left out."""
        found = {
            t.name.lower(): [tuple(c.lower() for c in u) for u in t.unique]
            for t in self.schema.tables
            if t.unique and self.rules.keys != "loose"
        }
        for ref in sorted(single):
            found.setdefault(ref[0], []).append((ref[1],))
        return found

    def _share_groups(self) -> None:
        """Columns that are compared with one another hold the same kind of values, from one pool."""
        groups = Groups()
        for number, p in enumerate(self.profiles):
            for a, b in (*p.links, *p.peers, *(() if number else self.keys.foreign)):
                met = [c.kind for r in (a, b) if (c := self.columns.get(r)) is not None]
                if number == 0 or met[1:] == met[:1]:
                    groups.join(a, b)
        for number, members in enumerate(groups.sets()):
            columns = [self.columns[r] for r in members if r in self.columns]
            if not columns:
                continue
            kinds = {c.kind for c in columns}
            first = next((c for c in columns if c.asked), columns[0])
            kind = first.kind
            if len(kinds) > 1:
                texts = any(c.asked for c in columns if c.kind == "text")
                kind = "integer" if kinds & {"integer", "real"} and not texts else "text"
            lead = list(dict.fromkeys(v for c in columns for v in c.pool[: c.lead]))
            pool = list(dict.fromkeys([*lead, *(v for c in columns for v in c.pool[c.lead :])]))
            for column in columns:
                column.kind, column.pool, column.lead, column.group = kind, pool, len(lead), number
                column.base = sequence(first.column.name, kind)

    def _disputed(self) -> dict[Ref, list[Value]]:
        """Values on which a condition of the gold and one of the last query, on the same column, disagree."""
        found: dict[Ref, list[Value]] = {}
        mine, theirs = (
            [a for a in p.atoms if a in self.focus] for p in (self.profiles[0], self.profiles[-1])
        )
        for ref in {a.ref for a in mine} & {a.ref for a in theirs} & self.columns.keys():
            sides = [[a for a in atoms if a.ref == ref] for atoms in (mine, theirs)]
            values = [
                v for v in self.columns[ref].pool if len({any(holds(a, v) for a in s) for s in sides}) == 2
            ]
            if values:
                found[ref] = values
        return found

    def _strangers(self) -> dict[str, list[Value]]:
        """Constants that the queries compare other columns with, by the kind that could hold them."""
        constants = [
            v
            for p in self.profiles
            for a in p.atoms
            for v in a.values
            if v is not None and a.op != "like" and storable(str(v))
        ]
        numbers = [n for v in constants if (n := number_of(v) if isinstance(v, str) else v) is not None]
        ignore = self.rules.case == "ignore"
        texts: list[Value] = [fold_text(str(v)) if ignore else str(v) for v in constants]
        whole: list[Value] = [n for n in numbers if is_whole(n)]
        return {"integer": [as_number(n, "integer") for n in whole], "real": list(numbers), "text": texts}

    def widened(self) -> Iterator[str]:
        """The tables that the gold uses and whose key of one column was widened, each with its key."""
        for table in self.schema.tables:
            low = table.name.lower()
            if low in self.keys.widened & self.used:
                key = self.keys.primary.get(low, ())
                names = [c.name for k in key for c in table.columns if c.name.lower() == k]
                yield f"{table.name} ({', '.join(names) or 'no key'})"

    def kinds(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """What each column holds: "integer", "real", "text", or "" where mixed; names in lower case."""
        found: dict[str, list[tuple[str, str]]] = {}
        for (table, name), column in self.columns.items():
            kind: str = column.kind if column.kind in ("integer", "real") else "text"
            types = {type(v) for v in column.pool}
            if (kind == "integer" and types - {int}) or (kind == "real" and types - {int, float}):
                kind = ""
            found.setdefault(table, []).append((name, kind))
        return tuple((table, tuple(columns)) for table, columns in found.items())
