"""A benchmark's own rows beside the suite: the real database that a right prediction must agree on as well.

Spider's and BIRD's files are read as they are. WikiSQL's release names its columns ``col0``, ``col1``, …, so
the table in question is copied under the names that the context gives them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from harness.records import Example, Rules
from harness.sql.dialect import quote


def own_database(example: Example, rules: Rules) -> bytes | Path | None:
    """The example's own database, to be opened read-only; None where there is none."""
    path = example.database
    if path is None or not path.is_file():
        return None
    names, table = example.meta.get("columns"), example.meta.get("table_id")
    if not table or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return path  # rows of one's own may have a table_id as well
    try:
        return _renamed(path, "table_" + str(table).replace("-", "_"), tuple(names), rules.case == "ignore")
    except sqlite3.Error:  # the sandbox says what is wrong with the file
        return path


@lru_cache(maxsize=256)
def _renamed(path: Path, table: str, names: tuple[str, ...], fold: bool) -> bytes | None:
    collate = " COLLATE NOCASE" if fold else ""
    with (
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as target,
    ):
        listing = source.execute(f"PRAGMA table_info({quote(table)})")
        declared = {name.lower(): kind for _, name, kind, *_ in listing}
        wanted = [f"col{n}" for n in range(len(names))]
        if not set(wanted) <= set(declared):
            return None
        columns = [f"{quote(n)} {declared[c]}{collate}" for n, c in zip(names, wanted, strict=True)]
        target.execute(f"CREATE TABLE {quote(table)} ({', '.join(columns)})")
        rows = source.execute(f"SELECT {', '.join(wanted)} FROM {quote(table)}")
        target.executemany(f"INSERT INTO {quote(table)} VALUES ({', '.join('?' * len(names))})", rows)
        # a cookie of its own, so that no statement made for another schema is used again
        target.execute(f"PRAGMA schema_version = {crc32(repr((table, names)).encode()) & 0x3FFFFFFF}")
        return target.serialize()
