"""A benchmark's own rows: files as they are, WikiSQL's tables under the names of the context."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.records import Example, Rules
from harness.scoring.own_database import own_database


def example(database: Path | None, **meta: Any) -> Example:
    context = "CREATE TABLE table_1_7_2 (Player TEXT, No REAL)"
    return Example(id="0", question="", context=context, gold="SELECT 1", database=database, meta=meta)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "dev.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE table_1_7_2 (col0 text, col1 real)")
        connection.execute("INSERT INTO table_1_7_2 VALUES ('bo', 3)")
    return path


def test_a_table_of_the_release_bears_the_contexts_names(release: Path) -> None:
    image = own_database(example(release, table_id="1-7-2", columns=["Player", "No"]), Rules(case="ignore"))
    assert isinstance(image, bytes)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        assert connection.execute("SELECT No FROM table_1_7_2 WHERE Player = 'BO'").fetchall() == [(3,)]


@pytest.mark.parametrize("columns", [None, 5, "ab", ["a", None], []])
def test_what_names_no_columns_leaves_the_file_as_it_is(release: Path, columns: object) -> None:
    assert own_database(example(release, table_id="1-7-2", columns=columns), Rules()) == release


def test_no_file_and_a_file_that_is_no_database(tmp_path: Path) -> None:
    assert own_database(example(None), Rules()) is None
    assert own_database(example(tmp_path / "absent.db"), Rules()) is None
    other = tmp_path / "other.db"
    other.write_text("no database at all, but some text" * 50)
    assert own_database(example(other, table_id="1-7-2", columns=["Player", "No"]), Rules()) == other
