"""Where a row of sql-create-context came from: its WikiSQL table, or its Spider database.

The set names neither (WikiSQL tables share the names ``table_name_0`` … ``table_name_99``), so an index of
facts travels with the harness, ``benchmarks/create-context/origins.txt.gz``. Its lines, but for those that
begin with #, are

    ORIGIN HEADER KEY …

    ORIGIN  a WikiSQL table ("1-1000181-1") or a Spider database ("spider:pets_1")
    HEADER  the hash of its full header: see ``header_hash``
    KEY     hashes of what is asked of it: for a table ``row_key`` of each question, for a database
            ``query_key`` of each gold, and ``schema_keys`` and ``column_key`` of its tables and columns

A hash is the first 12 hex digits of SHA-256. ``scripts/split_index.py`` makes the file.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from harness.benchmarks import surface
from harness.errors import DataError
from harness.files import asset, read_text

DIGITS = 12
_WIKISQL_NAME = re.compile(r"table_(?:name_\d+|(?:(\d+)_)?(\d+)_(\d+))", re.IGNORECASE)
"""A table of WikiSQL as sql-create-context or the release names it."""
_HASHES = re.compile(rf"[0-9a-f]{{{DIGITS}}}(?: [0-9a-f]{{{DIGITS}}})*")
_UNSAID = frozenset(("as", "asc", "inner", "outer"))
"""Words of SQL that the set's author wrote or left out without a change of meaning."""


class Origin(NamedTuple):
    """A table or database ("1-1000181-1", "spider:pets_1") and the hash of its full header."""

    origin: str
    header: str


class Facts(NamedTuple):
    """A line of the index."""

    origin: str
    header: str
    keys: Sequence[str]


class Origins:
    """Finds the origins of rows.

    ``digest`` is the hash of the index, "" of an empty one.
    """

    def __init__(self, facts: Iterable[Facts] = (), digest: str = "") -> None:
        self.digest = digest
        self._origins: dict[str, Origin] = {}
        self._by_key: dict[int, tuple[Origin, ...]] = {}
        for name, header, keys in facts:
            own = (self._origins.setdefault(name, Origin(name, header)),)
            for key in keys:
                number = int(key, 16)
                before = self._by_key.get(number)
                self._by_key[number] = own if before is None else (*before, *own)

    def find(self, question: str, tables: Sequence[surface.ContextTable], gold: str) -> tuple[Origin, ...]:
        """Every origin that the row may have: none where it is unknown, several where it is ambiguous."""
        if found := self.find_wikisql(question, tables):
            return found
        asked, shaped = self._of(query_key(gold)), self._with(tables)
        return tuple(origin for origin in asked if origin in shaped) or asked or shaped

    def find_wikisql(self, question: str, tables: Sequence[surface.ContextTable]) -> tuple[Origin, ...]:
        """Every table of WikiSQL that the row may be of; none for a row that is not of WikiSQL."""
        stated = _WIKISQL_NAME.fullmatch(surface.unquote(tables[0].name)) if len(tables) == 1 else None
        if (
            stated
            and stated[2]
            and (own := self._origins.get("-".join((stated[1] or "1", stated[2], stated[3]))))
        ):
            return (own,)
        return self._of(row_key(question, {name for table in tables for name, _ in table.columns}))

    def _of(self, key: str) -> tuple[Origin, ...]:
        return self._by_key.get(int(key, 16), ())

    def _with(self, tables: Sequence[surface.ContextTable]) -> tuple[Origin, ...]:
        """Databases that have these tables with these columns; a context's lone ``Id`` counts as none."""
        if not tables:
            return ()
        named = [
            (
                surface.unquote(table.name).lower(),
                {surface.unquote(name).lower() for name, _ in table.columns} - {"id"},
            )
            for table in tables
        ]
        wanted = [key for name, columns in named for key in schema_keys(name, columns)]
        found = self._all(wanted)
        if not found:  # a column that the set's author could not place stands in every table of its query
            wanted = [key for name, columns in named for key in (table_key(name), *map(column_key, columns))]
            found = self._all(wanted)
        return tuple(sorted(found))

    def _all(self, keys: Iterable[str]) -> set[Origin]:
        return set.intersection(*(set(self._of(key)) for key in keys))


def of_wikisql(tables: Sequence[surface.ContextTable]) -> bool:
    """Whether the tables bear the names that WikiSQL's have in sql-create-context and in the release."""
    return bool(tables) and all(_WIKISQL_NAME.fullmatch(surface.unquote(table.name)) for table in tables)


def row_key(question: str, used: Iterable[str]) -> str:
    """The key of a WikiSQL question (its words) and its used columns, as a context writes them."""
    return _hash(f"{surface.words(question)}|{','.join(sorted(used))}")


def query_key(gold: str) -> str:
    """The key of a Spider gold: its words in any order, but for those that say nothing."""
    return _hash("=" + " ".join(sorted(word for word in surface.words(gold).split() if word not in _UNSAID)))


def schema_keys(table: str, columns: Iterable[str]) -> Iterator[str]:
    """The keys of a table of a Spider database with its columns, names in lower case."""
    yield table_key(table)
    yield from (_hash(f".{table}.{column}") for column in columns)


def table_key(table: str) -> str:
    """The key of a Spider table's name, in lower case."""
    return _hash(f".{table}")


def column_key(column: str) -> str:
    """The key of a column in any table of a Spider database, in lower case."""
    return _hash(f"..{column}")


def header_hash(columns: Iterable[str]) -> str:
    """The hash of a full header: its columns as headers are compared, sorted, each once."""
    return _hash(",".join(sorted({surface.bare(column) for column in columns})))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:DIGITS]


@cache
def shipped() -> Origins:
    """The index that travels with the harness."""
    return read(asset("benchmarks", "create-context", "origins.txt.gz"))


def read(path: Path) -> Origins:
    """The index in a file; DataError names the line that has not its form."""
    text = read_text(path)
    return Origins(_lines(path, text), sha256(text.encode()).hexdigest())


def _lines(path: Path, text: str) -> Iterator[Facts]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.startswith("#"):
            match line.split(" "):
                case [origin, header, *keys] if _HASHES.fullmatch(" ".join((header, *keys))):
                    yield Facts(origin, header, keys)
                case _:
                    raise DataError(
                        f"{path}, line {number}: not ORIGIN HEADER KEY …", "install the harness again"
                    )


def write(path: Path, facts: Iterable[Facts], about: Sequence[str] = ()) -> None:
    """Write an index, the same bytes for the same facts; ``about`` are lines for people."""
    lines = [f"# {line}" for line in about]
    lines += [" ".join((origin, header, *sorted(set(keys)))) for origin, header, keys in facts]
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(path, "wb", mtime=0) as packed:
        packed.write("".join(f"{line}\n" for line in lines).encode())
