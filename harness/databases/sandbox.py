"""Runs SQL that nobody trusts on an SQLite database.

Covered, each by a test that attacks it:
- endless recursion, cross joins: a budget of virtual-machine steps, the same on every machine;
- huge values and results: limits on the length of values, rows fetched, SQL text, depth and columns;
- functions that work long or allocate much in one step (printf, zeroblob, randomblob, load_extension, …):
  an allow-list of functions;
- writes, ATTACH, PRAGMA, transactions, the schema tables, EXPLAIN, several statements: the authorizer and
  the statement's first word;
- the clock and chance: functions of chance are not on the list, the clock is frozen by ``to_sqlite``.

Not covered here, but by the worker processes (`workers`): memory of SQLite as a whole (sorters, joins), one
step that takes long (instr or replace on the longest texts), a crash of SQLite itself.
Not covered: side channels, and a real database that is itself malformed on purpose.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from types import TracebackType

from harness.databases.results import Failure, Result
from harness.sql.dialect import words

FUNCTIONS = frozenset(
    words(
        "abs avg ceil ceiling coalesce concat concat_ws count cume_dist date datetime dense_rank exp "
        "first_value floor glob group_concat ifnull iif instr julianday lag last_value lead length like "
        "likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile nullif percent_rank "
        "pow power quote rank replace round row_number rtrim sign sqrt strftime string_agg substr substring "
        "sum time total trim trunc typeof unicode unixepoch unlikely upper char acos asin atan atan2 cos "
        "sin tan pi degrees radians hex"
    )
)
_ALLOWED = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE))
_FIRST = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*([A-Za-z]*)", re.S)
_DENIED = frozenset(
    words(
        "EXPLAIN PRAGMA ATTACH DETACH VACUUM BEGIN COMMIT END ROLLBACK SAVEPOINT RELEASE INSERT UPDATE "
        "DELETE REPLACE CREATE DROP ALTER REINDEX ANALYZE"
    )
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 30_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 500,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_STEP = 20_000


class Sandbox:
    """One guarded connection. Use as a context manager; not for several threads.

    ``steps`` is the budget of a query in SQLite's virtual-machine steps (10 million are some 0.2 s),
    ``rows`` the longest result; more of either is a "timeout". ``length`` is the longest value in bytes,
    ``functions`` those that may be called (None: all of SQLite's but load_extension).

    >>> with Sandbox() as box:
    ...     box.run(b"", "SELECT 1 AS one"), box.run(b"", "PRAGMA user_version").kind
    (Result(columns=('one',), rows=[(1,)]), 'denied')
    """

    def __init__(
        self,
        *,
        steps: int = 10_000_000,
        rows: int = 20_000,
        length: int = 30_000,
        functions: frozenset[str] | None = FUNCTIONS,
    ) -> None:
        self._length, self._functions = length, functions
        self._budget = max(1, steps // _STEP)
        self._rows = rows
        self._left = 0
        self._loading = False
        self._memory = self._guarded(sqlite3.connect(":memory:", isolation_level=None))
        self._file: sqlite3.Connection | None = None
        self._connection = self._memory

    def _guarded(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.execute("PRAGMA temp_store = 2")
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._length)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._tick, _STEP)
        return connection

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            hidden = first is not None and first[:7].lower() in ("sqlite_", "pragma_")
            return sqlite3.SQLITE_DENY if hidden else sqlite3.SQLITE_OK
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            name = (second or "").lower()
            known = name != "load_extension" if self._functions is None else name in self._functions
            return sqlite3.SQLITE_OK if known else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK if self._loading else sqlite3.SQLITE_DENY

    def _tick(self) -> int:
        self._left -= 1
        return self._left < 0

    def load(self, database: bytes | Path) -> None:
        """Make the database the one that is queried: an image, or a file that is opened read-only."""
        if isinstance(database, bytes):
            self._connection = self._memory
            if database:
                self._loading = True
                self._memory.deserialize(database)
                self._loading = False
            return
        if self._file is not None:
            self._file.close()
        uri = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
        self._file = self._guarded(sqlite3.connect(uri, uri=True, isolation_level=None))
        self._file.text_factory = _text  # real files hold what is not UTF-8; images never do
        self._connection = self._file

    def query(self, sql: str, *, backwards: bool = False) -> Result | Failure:
        """The result of one SELECT on what is loaded; whatever goes wrong is a Failure.

        ``backwards`` has SQLite read rows in reverse where the query leaves their order open.
        """
        if backwards:
            self._reverse("ON")
            try:
                return self.query(sql)
            finally:
                self._reverse("OFF")
        self._left = self._budget
        try:
            cursor = self._connection.execute(sql)
            if cursor.description is None:
                return _refused(sql)
            rows = cursor.fetchmany(self._rows + 1)
        except sqlite3.Error as error:
            return _failure(sql, str(error))
        except (sqlite3.Warning, UnicodeError, ValueError) as error:
            return _failure(sql, str(error))
        except MemoryError:
            return Failure("execution_error", "out of memory")
        if len(rows) > self._rows:
            cursor.close()
            return Failure("timeout", f"more than {self._rows} rows")
        if len(sql) > 7 and sql[:6].upper() != "SELECT" and _first_word(sql) in _DENIED:
            return Failure("denied", f"{_first_word(sql)} is not a query")
        return Result(tuple(d[0] for d in cursor.description), rows)

    def _reverse(self, state: str) -> None:
        self._loading, self._left = True, self._budget
        self._connection.execute(f"PRAGMA reverse_unordered_selects = {state}")
        self._loading = False

    def run(self, database: bytes | Path, sql: str) -> Result | Failure:
        """``load`` and ``query``."""
        self.load(database)
        return self.query(sql)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _first_word(sql: str) -> str:
    found = _FIRST.match(sql)
    return found[1].upper() if found else ""


def _refused(sql: str) -> Failure:
    word = _first_word(sql)
    return (
        Failure("denied", f"{word} is not a query")
        if word
        else Failure("syntax_error", "there is no statement")
    )


def _failure(sql: str, message: str) -> Failure:
    if message.startswith(("no such column", "no such table")):
        return Failure("schema_error", message)
    if "interrupted" in message:
        return Failure("timeout", "more steps than the budget allows")
    if (
        any(word in message for word in ("not authorized", "prohibited", "one statement"))
        or _first_word(sql) in _DENIED
    ):
        return Failure("denied", message)
    if any(
        word in message
        for word in ("syntax error", "incomplete input", "unrecognized token", "null char", "utf-8")
    ):
        return Failure("syntax_error", message)
    return Failure("execution_error", message)
