"""Composite keys of which one column is told: a key by it alone would leave nothing to count.

Schemas are published with a single column of the key of a table that links two others, and a guess from names
takes the number of a flight for a key beside its airline. Believed, such a key makes each of these groups one
row, and a query that counts cannot be told from one that does not. The rule reads the schema first, and the
gold where it counts the rows of groups; it never looks at a prediction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.databases.likeness import likeness, norm, singular
from harness.sql.profile import Tally
from harness.sql.schema import Ref, Schema, Table

OWN = 85
"""From this likeness on a key bears the name of its own table, and is believed though it refers elsewhere."""

SORT_OF_KEY = 75
"""From this likeness on another column numbers the rows of its table."""

_COUNTED = re.compile(r"(?:no|num|number|nr)\Z")
_TELLS = re.compile(r"(?:id|code|no|num|number|nr)\Z|year|date|day|month|semester")
_NAMES = re.compile(r"(?:name|title)\Z")


def widened(
    schema: Schema,
    primary: Mapping[str, tuple[str, ...]],
    foreign: Mapping[Ref, Ref],
    tallies: Iterable[Tally],
) -> dict[str, tuple[str, ...]]:
    """The tables whose single key is no key by itself, each with the columns that are (none: nobody knows).

    ``primary`` and ``foreign`` are the keys believed so far, names in lower case, ``tallies`` the groups that
    the gold counts.

    A key that refers to another table, and bears not its own one's name, is widened by the column that
    numbers the rows (flights: Airline, FlightNo), else by what else refers (Friend: student_id, friend_id),
    by the column that the table is called after (countrylanguage), or by a code or date that stands next to
    it. One that was guessed and is a number beside a reference is widened by that. Where none of it is
    there, a key falls by which the gold would count groups of one row each.
    """
    tallies = tuple(tallies)
    found: dict[str, tuple[str, ...]] = {}
    referred = {parent for child, parent in foreign.items() if child[0] != parent[0]}
    for table in schema.tables:
        low = table.name.lower()
        key = primary.get(low, ())
        ref = (low, key[0]) if key else (low, "")
        if len(key) != 1 or ref in referred or any(key == _lower(unique) for unique in table.unique):
            continue
        guessed = not table.primary_key
        own = likeness(table.name, ref[1]) >= OWN
        refers = ref in foreign or _named_after(schema, table, ref[1])
        others = [c for c in _lower(c.name for c in table.columns) if c != ref[1] and (low, c) in foreign]
        if refers and not own:
            if partners := _partners(table, ref, others, foreign):
                found[low] = (ref[1], *partners)
            elif any(_single(tally, ref, foreign) for tally in tallies):
                found[low] = _told_by_text(table, ref[1])
        elif guessed and others and _COUNTED.search(norm(ref[1])):
            found[low] = (others[0], ref[1])
        elif guessed and any(_single(tally, ref, foreign) for tally in tallies):
            found[low] = (others[0], ref[1]) if others else ()
    return found


def _partners(table: Table, key: Ref, others: list[str], foreign: Mapping[Ref, Ref]) -> tuple[str, ...]:
    """What tells apart the rows that share a key's value; empty where the schema does not say."""
    columns = list(_lower(column.name for column in table.columns))
    numbered = [
        c for c in columns if c != key[1] and c not in others and likeness(table.name, c) >= SORT_OF_KEY
    ]
    if numbered:
        return (numbered[0],)
    if others:
        return tuple(others)
    parent = foreign[key][0] if key in foreign else ""
    called = [
        c for c in columns if parent and norm(table.name) in (singular(parent) + norm(c), parent + norm(c))
    ]
    after = columns.index(key[1]) + 1
    beside = [c for c in columns[after : after + 1] if _TELLS.search(norm(c))]
    return tuple((called or beside)[:1])


def _single(tally: Tally, key: Ref, foreign: Mapping[Ref, Ref]) -> bool:
    """Whether a tally would count groups of one row each if the column were a key.

    It would where it groups by the column, or by what that refers to, and has no table beside it but those
    that each row refers to.
    """
    table, parent = key[0], foreign.get(key)
    reached, front = {table}, {table}
    while front:
        front = {there[0] for child, there in foreign.items() if child[0] in front} - reached
        reached |= front
    return (
        table in tally.tables
        and tally.tables <= reached
        and any(
            ref in (key, parent) or (parent and ref[0] == parent[0] and _NAMES.search(norm(ref[1])))
            for ref in tally.columns
        )
    )


def _told_by_text(table: Table, key: str) -> tuple[str, ...]:
    """The key with the first column that is no number, as it more likely tells apart than measures."""
    for column in table.columns:
        if column.name.lower() != key and column.affinity == "TEXT":
            return key, column.name.lower()
    return ()


def _named_after(schema: Schema, table: Table, column: str) -> bool:
    """Whether a column is called like another table."""
    return any(
        norm(column) in (singular(other.name), norm(other.name))
        for other in schema.tables
        if other is not table
    )


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)
