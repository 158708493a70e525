"""A connection beside the one that asks, where SQLite's own functions do the work that ours stand before."""

from __future__ import annotations

import atexit
import sqlite3
from functools import cache


@cache
def beside(length: int, pattern: int = 50_000) -> sqlite3.Connection:
    """The process's connection with these limits on a value's and a LIKE pattern's bytes."""
    plain = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    plain.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)
    plain.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, pattern)
    atexit.register(plain.close)
    return plain
