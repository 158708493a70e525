"""Where a row of sql-create-context came from: its WikiSQL table, or its Spider database.

The set names neither (WikiSQL tables share the names ``table_name_0`` … ``table_name_99``), so an index
leads from a row's question and used columns to its table. It is built from the WikiSQL release on first
use and kept in the cache, or read from a file ``origins.csv.gz`` beside the data:

    key,table_id,header[,columns]

    key      first 16 hex digits of SHA-256 over "question's words|used columns, sorted, joined by ','",
             or over "question's words|*" (used where the first form finds nothing)
    header   first 16 hex digits of SHA-256 over the table's columns (lower-case alphanumerics), sorted,
             joined by ','
    columns  JSON list of [name, type], where known
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from harness.benchmarks import forms
from harness.benchmarks.spider_schema import SpiderTables
from harness.errors import DataError
from harness.files import read_text

Columns = tuple[tuple[str, str], ...]
_WIKISQL_NAME = re.compile(r"table_(\d+)_(\d+)")


class Origin(NamedTuple):
    """A table or database ("1-1000181-1", "spider:pets_1") and the hash of its full header."""

    origin: str
    header: str


class Question(NamedTuple):
    """What the index is built from: a WikiSQL question, its table and the columns that its query uses."""

    question: str
    table_id: str
    header: Sequence[str]
    types: Sequence[str]
    used: Sequence[str]


class Origins:
    """Finds the origins of rows. ``columns`` holds full headers where they are known."""

    def __init__(self, keys: Mapping[str, tuple[str, ...]], headers: Mapping[str, str]) -> None:
        self._keys = keys
        self._headers = headers
        self.columns: dict[str, Columns] = {}
        self.spider: SpiderTables | None = None

    def find(self, question: str, tables: Sequence[forms.Table]) -> tuple[Origin, ...]:
        """Every origin that the row may have: none where it is unknown, several where it is ambiguous."""
        text = forms.words(question)
        used = sorted({name for table in tables for name, _ in table.columns})
        names = self._keys.get(key(text, used), ())
        if len(tables) == 1:
            if stated := _WIKISQL_NAME.fullmatch(tables[0].name):
                name = f"1-{stated[1]}-{stated[2]}"
                names = (name,) if name in self._headers else names
            elif tables[0].name.startswith("table_") and not names:
                names = self._keys.get(key(text, ["*"]), ())
        if names:
            return tuple(Origin(name, self._headers[name]) for name in names)
        if self.spider is None:
            return ()
        return tuple(Origin(f"spider:{name}", self.spider.header(name)) for name in self.spider.match(tables))


def key(text: str, used: Iterable[str]) -> str:
    """The index's key of a question (its words) and used columns (as the context writes them)."""
    return sha256(f"{text}|{','.join(used)}".encode()).hexdigest()[:16]


def header_hash(columns: Iterable[str]) -> str:
    """The hash of a full header."""
    return sha256(",".join(sorted({forms.bare(column) for column in columns})).encode()).hexdigest()[:16]


def read(path: Path) -> Origins:
    """The index in a file; DataError names the line that has not its form."""
    keys: dict[str, tuple[str, ...]] = {}
    headers: dict[str, str] = {}
    columns: dict[str, Columns] = {}
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    if (next(reader, None) or [])[:3] != ["key", "table_id", "header"]:
        raise DataError(
            f"{path}, line 1: no header 'key,table_id,header'", "see docs/benchmarks.md for its form"
        )
    for row in reader:
        if len(row) not in {3, 4}:
            raise DataError(f"{path}, line {reader.line_num}: not three or four fields", "mend that line")
        name = row[1]
        if name not in keys.get(row[0], ()):
            keys[row[0]] = (*keys.get(row[0], ()), name)
        headers[name] = row[2]
        if len(row) == 4 and row[3]:
            columns[name] = tuple((str(column), str(kind)) for column, kind in json.loads(row[3]))
    found = Origins(keys, headers)
    found.columns = columns
    return found


def build(questions: Iterable[Question], path: Path) -> None:
    """Write the index of these questions; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with (
            gzip.GzipFile(part, "wb", mtime=0) as packed,
            io.TextIOWrapper(packed, "utf-8", newline="") as text,
        ):
            csv.writer(text, lineterminator="\n").writerows(_lines(questions))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _lines(questions: Iterable[Question]) -> Iterator[tuple[str, ...]]:
    yield ("key", "table_id", "header", "columns")
    described: set[str] = set()
    for question in questions:
        asked, header, columns = forms.words(question.question), header_hash(question.header), ""
        if question.table_id not in described:
            described.add(question.table_id)
            named = zip(map(column_name, question.header), question.types, strict=True)
            columns = json.dumps(list(named), ensure_ascii=False)
        spellings = {tuple(used_names(question.used, spell)) for spell in (column_name, _loose_name)}
        for used in (*sorted(spellings), ("*",)):
            yield (key(asked, used), question.table_id, header, columns)
            columns = ""


def used_names(used: Iterable[str], spell: Callable[[str], str]) -> list[str]:
    """Used columns as a context of sql-create-context names them: those that begin with a digit are
    lost (they were read as numbers), and a context without columns has ``id``."""
    names = sorted({spell(name) for name in used} - {""})
    return [name for name in names if not name[0].isdigit()] or ["id"]


def column_name(header: str) -> str:
    """A header as a column's name.

    >>> column_name("School/Club Team (2)")
    'school_club_team_2'
    """
    return re.sub(r"[^a-z0-9]+", "_", header.lower()).strip("_")


def _loose_name(header: str) -> str:
    text = header.lower().replace(".", "").replace("#", "_number").replace("%", "_percentage")
    return re.sub(r"[^a-z0-9]", "_", text)
