"""Keys that a sensible owner of the schema would have declared: guessed from names, positions and joins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.databases.composites import widened
from harness.databases.likeness import SUFFIX, common, likeness, norm, singular
from harness.records import Rules
from harness.sql.profile import Profile
from harness.sql.schema import Ref, Schema, Table

_GENERIC = frozenset(("id", "code", "uid", "key", "number", "no", "name"))


@dataclass(frozen=True, slots=True)
class KeyMap:
    """``primary`` columns of each table (lower case), and ``foreign`` (child, parent) pairs of columns.

    ``widened`` are the tables that were declared or guessed to have a single column for their key and are
    taken to have those of ``primary``, or none.
    """

    primary: dict[str, tuple[str, ...]]
    foreign: tuple[tuple[Ref, Ref], ...]
    widened: frozenset[str] = frozenset()


def keys_of(schema: Schema, gold: Profile, rules: Rules) -> KeyMap:
    """Primary and foreign keys that databases respect under ``rules.keys`` and ``rules.composites``.

    "declared" takes what the CREATE statements say; "sound" adds guesses by name and by the joins of the
    gold, only where there are two tables or more; "loose" has none.
    """
    if rules.keys == "loose":
        return KeyMap({}, ())
    primary = {
        t.name.lower(): tuple(c.lower() for c in t.primary_key) for t in schema.tables if t.primary_key
    }
    foreign: dict[Ref, Ref] = {}
    for table in schema.tables:
        for key in table.foreign_keys:
            target = schema.table(key.target)
            if target is None:
                continue
            there = key.target_columns or target.primary_key
            for child, parent in zip(key.columns, there, strict=False):
                if target.column(parent):
                    foreign[table.name.lower(), child.lower()] = (target.name.lower(), parent.lower())
                    if len(there) == 1:
                        primary.setdefault(target.name.lower(), (parent.lower(),))
    if rules.keys == "sound" and len(schema.tables) > 1:
        _guess_primary(schema, primary)
        _from_links(schema, gold.links, primary, foreign)
        _guess_foreign(schema, primary, foreign)
    wide: dict[str, tuple[str, ...]] = {}
    if rules.composites == "widened":
        wide = widened(schema, primary, foreign, gold.tallies)
        primary = {table: key for table, key in (primary | wide).items() if key}
    return KeyMap(primary, tuple(foreign.items()), frozenset(wide))


def _own(table: Table, column: str) -> int:
    """How much a column looks like its table's key, 0 to 100."""
    return likeness(table.name, column)


def _guess_primary(schema: Schema, primary: dict[str, tuple[str, ...]]) -> None:
    for table in schema.tables:
        low = table.name.lower()
        if low in primary:
            continue
        best, best_score = "", 0
        for place, column in enumerate(table.columns):
            score = _own(table, column.name)
            name = norm(column.name)
            elsewhere = max((_own(t, column.name) for t in schema.tables if t is not table), default=0)
            refers = score < 85 <= elsewhere and name not in _GENERIC
            if refers or (place and score < 85 and not name.endswith("id")):
                score = 0
            elif place == 0 and score == 0 and SUFFIX.search(name) and elsewhere < 75:
                rivals = [t for t in schema.tables if t is not table and t.column(column.name)]
                mine = common(table.name, column.name)
                score = 0 if any(common(t.name, column.name) >= mine for t in rivals) else 40
            if score - 2 * place > best_score:
                best, best_score = column.name.lower(), score - 2 * place
        if best:
            primary[low] = (best,)


def _from_links(
    schema: Schema,
    links: Iterable[tuple[Ref, Ref]],
    primary: dict[str, tuple[str, ...]],
    foreign: dict[Ref, Ref],
) -> None:
    for a, b in links:
        if a[0] == b[0] or a in foreign or b in foreign:
            continue
        keyed = [primary.get(r[0]) == (r[1],) for r in (a, b)]
        if keyed == [False, False]:
            scores = [_link_score(schema, r, primary) for r in (a, b)]
            if max(scores) == 0 or scores[0] == scores[1]:
                continue
            keyed = [scores[0] > scores[1], scores[1] > scores[0]]
            winner = a if keyed[0] else b
            primary[winner[0]] = (winner[1],)
        if keyed == [True, True]:
            keyed = [_own_ref(schema, a) >= _own_ref(schema, b), True]
        child, parent = (b, a) if keyed[0] else (a, b)
        if not _reaches(foreign, parent, child):
            foreign[child] = parent
            table = schema.table(child[0])
            guessed = table is not None and not table.primary_key and _own_ref(schema, child) < 75
            if guessed and primary.get(child[0]) == (child[1],):
                del primary[child[0]]  # what refers to another table's key is no key by its place alone


def _own_ref(schema: Schema, ref: Ref) -> int:
    table = schema.table(ref[0])
    return _own(table, ref[1]) if table else 0


def _link_score(schema: Schema, ref: Ref, primary: dict[str, tuple[str, ...]]) -> int:
    if ref[0] in primary:
        return 0
    return _own_ref(schema, ref) or (20 if norm(ref[1]) in _GENERIC else 0)


def _reaches(foreign: dict[Ref, Ref], start: Ref, goal: Ref) -> bool:
    for _ in range(len(foreign) + 1):
        if start == goal:
            return True
        if start not in foreign:
            return False
        start = foreign[start]
    return True


def _guess_foreign(schema: Schema, primary: dict[str, tuple[str, ...]], foreign: dict[Ref, Ref]) -> None:
    parents = [(low, key[0]) for low, key in primary.items() if len(key) == 1]
    for table in schema.tables:
        for column in table.columns:
            ref = (table.name.lower(), column.name.lower())
            name = norm(column.name)
            if (
                ref in foreign
                or (primary.get(ref[0]) == (ref[1],) and name == "id")
                or not SUFFIX.search(name)
            ):
                continue
            own = primary.get(ref[0]) == (ref[1],)
            if own and _own(table, column.name) >= 75:
                continue
            candidates = [p for p in parents if p[0] != ref[0] and not _reaches(foreign, p, ref)]
            equal = next((p for p in candidates if norm(p[1]) == name and name not in _GENERIC), None)
            if equal is None and not own:
                equal = next((p for p in candidates if _refers(name, p)), None)
            if equal is not None:
                foreign[ref] = equal


def _refers(name: str, parent: Ref) -> bool:
    key, one, plural = norm(parent[1]), singular(parent[0]), norm(parent[0])
    if name in (one + "id", plural + "id", one + "code", plural + "code"):
        return True
    if key in _GENERIC:
        return len(one) > 2 and SUFFIX.sub("", name).endswith(one)
    return name == key or (len(key) > 4 and name.endswith(key))


class Groups:
    """Disjoint sets of columns that are compared with one another."""

    def __init__(self) -> None:
        self._parent: dict[Ref, Ref] = {}

    def find(self, ref: Ref) -> Ref:
        """The column that stands for a column's set."""
        parent = self._parent.setdefault(ref, ref)
        while parent != self._parent[parent]:
            parent = self._parent[parent]
        return parent

    def join(self, a: Ref, b: Ref) -> None:
        """Put two columns into one set."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self._parent[b] = a

    def sets(self) -> list[list[Ref]]:
        """All sets, in the order in which they were met."""
        found: dict[Ref, list[Ref]] = {}
        for ref in self._parent:
            found.setdefault(self.find(ref), []).append(ref)
        return list(found.values())
