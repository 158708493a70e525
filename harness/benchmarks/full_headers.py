"""The questions of sql-create-context over full headers, so that a context does not give the answer away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from harness.benchmarks import downloads, surface, wikisql
from harness.benchmarks.spec import get_spec
from harness.benchmarks.spider_schema import SpiderTables, read_tables
from harness.benchmarks.splits import Record
from harness.errors import BenchmarkError
from harness.files import cache_folder

SPIDER_TABLES = (
    "https://raw.githubusercontent.com/taoyds/spider/7036cf422b1da08a907acbdc062e598bb0761bf7"
    "/evaluation_examples/examples/tables.json"
)
SPIDER_SHA256 = "61bb20aa401f03164e2d7f3b16509b7b5f79cc9c943ca7bd159046df1159e2ed"

TypedColumns = dict[str, tuple[str, str]]
"""Columns by the name under which headers are compared, each as (name, type)."""


class Widened(NamedTuple):
    """A row's context over the full header, and its gold under the new names."""

    context: str
    gold: str


class Headers:
    """Every column that is known of each table.

    WikiSQL's come from its release (with the release's types). What it lacks comes from the rows' own
    ``full_context``, else from every row on the table; then all are VARCHAR, as the types that a context
    states are taken from its gold. A Spider row has its whole database, by Spider's ``tables.json``: beside
    the data, in a folder ``spider`` next to it, in the Spider download, or fetched (pinned). ``notes`` say
    what was not to be had.
    """

    def __init__(self, records: Sequence[Record], folder: Path) -> None:
        released, self.notes = _released()
        self._spider = _spider(folder)
        if self._spider is None:
            self.notes.append("Spider's tables.json is not here: its rows keep their own columns")
        self._known: dict[str, TypedColumns] = {}
        for record in records:
            if len(record.origins) == 1 and len(record.tables) == 1:
                name = record.origins[0].origin
                columns = self._known.setdefault(name, {})
                listed: tuple[surface.ContextTable, ...] = record.tables
                if record.full_context and name not in released:
                    listed = surface.tables(record.full_context)
                for table in listed:
                    for column, _ in table.columns:
                        columns.setdefault(surface.bare(column), (column, ""))
        for name, columns in released.items():
            self._known.setdefault(name, {}).update(columns)

    def of(self, record: Record, seed: int) -> Widened:
        """The question with its columns shuffled by ``seed``, WikiSQL's tables renamed.

        Their names say nothing, but training may know them.
        """
        random = Random(f"{seed}:{record.id}")
        origin = record.origins[0].origin if record.origins else ""
        if origin.startswith("spider:") and self._spider is not None:
            schema = self._spider.schemas[origin.removeprefix("spider:")]
            wide = [
                surface.ContextTable(name, tuple((column.name, column.type) for column in columns))
                for name, columns in schema.tables.items()
            ]
            random.shuffle(wide)
            return Widened(_create(wide, random), record.gold)
        if len(record.tables) != 1:
            return Widened(_create(record.tables, random), record.gold)
        table = record.tables[0]
        own = {surface.bare(name): (name, "") for name, _ in table.columns}
        more = self._known.get(origin, {})
        columns = [(name, more.get(plain, ("", ""))[1]) for plain, (name, _) in own.items()]
        columns += [column for plain, column in more.items() if plain not in own]
        name = next(name for name in ("data", "data_table", "data_table_1") if name not in own)
        gold = re.sub(rf"(?<![\w\"'.]){re.escape(table.name)}(?![\w\"'])", name, record.gold)
        return Widened(_create([surface.ContextTable(name, tuple(columns))], random), gold)


def _released() -> tuple[Mapping[str, TypedColumns], list[str]]:
    try:
        tables = list(wikisql.tables(get_spec("wikisql")))
    except BenchmarkError as error:
        return {}, [f"headers are those that the rows name, not the WikiSQL release's ({error.problem})"]
    return {
        table.id: {
            surface.bare(name): (name, kind)
            for name, kind in zip(map(wikisql.column_name, table.header), table.types, strict=True)
        }
        for table in tables
    }, []


def _spider(folder: Path) -> SpiderTables | None:
    folders = (folder, folder.parent / "spider", cache_folder("benchmarks", "spider"))
    found = [place / name for place in folders for name in ("tables.json", "tables.json.gz")]
    kept = cache_folder("spider-tables.json")
    for file in [*found, kept]:
        if file.exists() or (file is kept and downloads.download(SPIDER_TABLES, SPIDER_SHA256, kept)):
            return read_tables(file)
    return None


def _create(tables: Iterable[surface.ContextTable], random: Random) -> str:
    statements = []
    for table in tables:
        columns = list(table.columns)
        random.shuffle(columns)
        parts = ", ".join(f"{_quoted(name)} {_TYPES.get(kind, 'VARCHAR')}" for name, kind in columns)
        statements.append(f"CREATE TABLE {_quoted(table.name)} ({parts})")
    return "; ".join(statements)


def _quoted(name: str) -> str:
    plain = surface.unquote(name)
    return plain if re.fullmatch(r"[^\W\d]\w*", plain) else f'"{plain}"'


_TYPES = {"real": "INTEGER", "number": "INTEGER", "time": "DATETIME"}
