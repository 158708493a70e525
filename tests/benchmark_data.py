"""Small downloads in the official forms, made where a test wants them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = [
    {
        "id": "1-100-1",
        "header": ["Player", "No.", "Order", "School/Club Team", "2nd leg"],
        "types": ["text", "real", "text", "text", "text"],
        "rows": [["Ann Lee", 3, "a", "Duke", "1-0"], ["Bo", 12, "b", "Yale", "2-2"]],
    },
    {
        "id": "2-200-14",
        "header": ["Pos", "pos", "", 'The "Nick"', "Crowd, total"],
        "types": ["text", "text", "text", "text", "real"],
        "rows": [["1", "x", "", "Z", "12,552"]],
    },
]
QUESTIONS = [
    {
        "table_id": "1-100-1",
        "question": "Who wears No. 3?",
        "sql": {"sel": 0, "agg": 0, "conds": [[1, 0, 3]]},
    },
    {
        "table_id": "1-100-1",
        "question": "How many orders has Ann Lee's school?",
        "sql": {"sel": 2, "agg": 3, "conds": [[0, 0, "Ann Lee's"], [1, 1, "2"]]},
    },
    {"table_id": "2-200-14", "question": "Largest crowd?", "sql": {"sel": 4, "agg": 1, "conds": []}},
    {
        "table_id": "2-200-14",
        "question": "Which nick has crowd below 12,552?",
        "sql": {"sel": 3, "agg": 0, "conds": [[4, 2, "12,552"], [1, 0, "x"]]},
    },
]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def wikisql(folder: Path, questions: Any = None, tables: Any = None) -> Path:
    """A release's data/ folder with the same questions in each split."""
    tables = TABLES if tables is None else tables
    for split in ("train", "dev", "test"):
        write_lines(folder / f"{split}.jsonl", QUESTIONS if questions is None else questions.get(split, []))
        write_lines(folder / f"{split}.tables.jsonl", tables)
        with closing(sqlite3.connect(folder / f"{split}.db")) as connection, connection:
            for table in tables:
                name = "table_" + table["id"].replace("-", "_")
                columns = ", ".join(f"col{place} {kind}" for place, kind in enumerate(table["types"]))
                connection.execute(f"CREATE TABLE {name} ({columns})")
                marks = ", ".join("?" * len(table["types"]))
                rows = [[str(value).lower() for value in row] for row in table["rows"]]
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    return folder


SCHEMA = {
    "db_id": "pets",
    "table_names_original": ["Student", "Has Pet"],
    "column_names_original": [[-1, "*"], [0, "StuID"], [0, "order"], [1, "StuID"], [1, "PetID"]],
    "column_types": ["text", "number", "text", "number", "number"],
    "primary_keys": [1, [3, 4]],
    "foreign_keys": [[3, 1]],
}
PETS = (
    'CREATE TABLE Student (StuID NUMERIC, "order" TEXT, PRIMARY KEY (StuID)); '
    'CREATE TABLE "Has Pet" (StuID NUMERIC, PetID NUMERIC, PRIMARY KEY (StuID, PetID), '
    "FOREIGN KEY (StuID) REFERENCES Student (StuID))"
)


def database(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(PETS)
    return path


def spider(folder: Path, *, databases: bool = True) -> Path:
    rows = [
        {"db_id": "pets", "question": "How many students?", "query": "SELECT count(*) FROM Student"},
        {"db_id": "pets", "question": "Who has pets?", "query": 'SELECT StuID FROM "Has Pet"'},
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dev.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "tables.json").write_text(json.dumps([SCHEMA]), encoding="utf-8")
    if databases:
        database(folder / "database" / "pets" / "pets.sqlite")
    return folder


def bird(folder: Path, questions: str = "dev.json") -> Path:
    rows = [
        {
            "question_id": 7,
            "db_id": "pets",
            "question": "How many students?",
            "evidence": "a student is a row",
            "SQL": "SELECT COUNT(*) FROM Student",
            "difficulty": "simple",
        },
        {
            "question_id": 31,
            "db_id": "pets",
            "question": "Who has pets?",
            "evidence": "",
            "SQL": 'SELECT StuID FROM "Has Pet"',
            "difficulty": "moderate",
        },
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / questions).write_text(json.dumps(rows), encoding="utf-8")
    (folder / "dev_tables.json").write_text(json.dumps([SCHEMA]), encoding="utf-8")
    database(folder / "dev_databases" / "pets" / "pets.sqlite")
    return folder


def many_tables(count: int = 1600, each: int = 2) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """WikiSQL tables in twos that share a header, and questions on them that all differ."""
    tables, questions = [], []
    for number in range(count):
        kind = number // 2
        header = [f"Key {kind}", f"Size (cm) {kind % 50}", f"Town {kind}", "Year", "1st"]
        tables.append(
            {
                "id": f"2-{number + 1}-1",
                "header": header,
                "types": ["text", "real", "text", "real", "text"],
                "rows": [],
            }
        )
        for place in range(each):
            sketch = {"sel": place, "agg": 0, "conds": [[place + 1, 0, f"v{number}x{place}"]]}
            question = (
                f"What is told of thing {_letters(number)} in case {_letters(place)} with v{number}x{place}?"
            )
            questions.append({"table_id": f"2-{number + 1}-1", "question": question, "sql": sketch})
    return tables, questions


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))
