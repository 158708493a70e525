"""What SQL nobody trusts may take: the same in every process, whatever the machine and its load.

A query's work is counted in SQLite's steps. A step is a matter of nanoseconds as long as values are short, so
it runs with short ones first (``SHORT``). One that makes longer values runs anew (``LONG``): each step costs
more then, and functions that compare each character of one text with each of another pay for that in steps.
Memory is SQLite's own count of it, for the process as a whole. No limit is a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from harness.databases.beside import beside
from harness.databases.clock import freeze

LONGEST = 30_000
"""Most bytes of a query, and of one value; what is longer is refused before anything reads it."""

HEAP_MIB = 1024
"""Most memory that SQLite may take in a process, all connections together: sorters, joins, values."""

STEPS = 10_000_000
"""A query's budget, some 0.2 s."""

TICK = 20_000
"""Steps between two looks at the budget."""

BYTES = 32 * 2**20
"""A whole result's."""

_COMPARED = 10
"""Characters that are compared in the time of a step."""

_WEIGHED = {
    "like": (2, 3),
    "glob": (2,),
    "instr": (2,),
    "replace": (3,),
    "trim": (2,),
    "ltrim": (2,),
    "rtrim": (2,),
}
"""Functions whose work is the product of two lengths, with their numbers of arguments."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: LONGEST,
    sqlite3.SQLITE_LIMIT_COLUMN: 2_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


class Grade(NamedTuple):
    """How long values and LIKE's patterns may be, in bytes, and how many of a budget's steps one costs then.

    ``weighed`` says that functions pay for what they compare.
    """

    length: int
    pattern: int = 500
    cost: int = 1
    weighed: bool = False


SHORT = Grade(400, pattern=20)
LONG = Grade(LONGEST, cost=10, weighed=True)
WRITING = Grade(4 * LONGEST, cost=10, weighed=True)


def limit(connection: sqlite3.Connection, grade: Grade, charge: Callable[[int], None]) -> None:
    """Put a connection under the limits; ``charge`` is called with steps that its functions take.

    SQLite's limit of memory is the process's: it is lowered for whatever else runs there, and never raised.
    """
    connection.execute(f"PRAGMA hard_heap_limit = {HEAP_MIB * 2**20}")
    connection.execute("PRAGMA temp_store = 2")
    freeze(connection, LONGEST)
    for what, value in _LIMITS.items():
        connection.setlimit(what, value)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, grade.length)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, grade.pattern)
    if grade.weighed:
        _weigh(connection, grade, charge)


def _weigh(connection: sqlite3.Connection, grade: Grade, charge: Callable[[int], None]) -> None:
    """Have functions pay for what they compare, before they do it."""
    plain = beside(grade.length, grade.pattern)

    def called(sql: str, *given: Any) -> Any:
        first, second = (len(a) if isinstance(a, (str, bytes)) else 20 for a in given[:2])
        charge(first * second // _COMPARED)  # may raise
        return plain.execute(sql, given).fetchone()[0]

    for name, counts in _WEIGHED.items():
        for count in counts:
            sql = f"SELECT {name}({', '.join('?' * count)})"
            connection.create_function(name, count, partial(called, sql), deterministic=True)
