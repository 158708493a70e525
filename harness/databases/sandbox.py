"""Runs SQL that nobody trusts on an SQLite database.

Covered, each by a test that attacks it:
- endless recursion, cross joins: a budget of virtual-machine steps, the same on every machine;
- huge values and results: limits on the length of values, rows and bytes fetched, SQL text, depth, columns;
- functions that work long or allocate much in one step (printf, zeroblob, randomblob, load_extension, …):
  an allow-list of functions;
- writes, ATTACH, PRAGMA, transactions, the schema tables, EXPLAIN, several statements: the authorizer and
  the statement's first word;
- the clock and chance: functions of chance are not on the list, the clock is frozen by ``to_sqlite``;
- what a context's CHECK constraints call while rows are put in: the same list and limits (``Forge``).

Not covered here, but by the worker processes (`workers`): memory of SQLite as a whole (sorters, joins), one
step that takes long (instr or replace on the longest texts), a crash of SQLite itself.
Not covered: side channels, and a real database that is itself malformed on purpose.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from harness.databases.results import Failure, Result, Row
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
LONGEST = 30_000
"""Most bytes of a query, and of one value; what is longer is refused before anything reads it."""

_BYTES = 32 * 2**20  # a whole result's
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: LONGEST,
    sqlite3.SQLITE_LIMIT_COLUMN: 2_000,
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
_STEPS = 10_000_000
_SECONDS = 60.0  # as a worker has: only one step that takes very long comes so far


class Sandbox:
    """One guarded connection. Use as a context manager; not for several threads.

    ``steps`` is the budget of a query in SQLite's virtual-machine steps (10 million are some 0.2 s),
    ``rows`` the longest result; more of either, or more than 32 MiB, is a "timeout". ``length`` is the
    longest value in bytes, ``functions`` those that may be called (None: all of SQLite's but load_extension).

    >>> with Sandbox() as box:
    ...     box.run(b"", "SELECT 1 AS one"), box.run(b"", "PRAGMA user_version").kind
    (Result(columns=('one',), rows=[(1,)]), 'denied')
    """

    def __init__(
        self,
        *,
        steps: int = _STEPS,
        rows: int = 20_000,
        length: int = LONGEST,
        functions: frozenset[str] | None = FUNCTIONS,
    ) -> None:
        self._length, self._functions = length, functions
        self._budget = max(1, steps // _STEP)
        self._rows = rows
        self._left, self._until = 0, 0.0
        self._spent = 0
        self._loading = False
        self._memory = self._guarded(sqlite3.connect(":memory:", isolation_level=None))
        self._file: sqlite3.Connection | None = None
        self._connection = self._memory

    def _guarded(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        _limit(connection, self._length)
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

    @property
    def spent(self) -> int:
        """Steps that all queries so far have taken, short ones left out."""
        return self._spent * _STEP

    def _tick(self) -> int:
        self._left -= 1
        self._spent += 1
        return self._left < 0 or time.monotonic() > self._until

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
        if len(sql) > LONGEST:
            return Failure("execution_error", f"the query is longer than {LONGEST} characters")
        self._left, self._until = self._budget, time.monotonic() + _SECONDS
        try:
            cursor = self._connection.execute(sql)
            if cursor.description is None:
                return _refused(sql)
            rows = self._fetched(cursor)
        except sqlite3.Error as error:
            return _failure(sql, str(error))
        except (sqlite3.Warning, UnicodeError, ValueError) as error:
            return _failure(sql, str(error))
        except MemoryError:
            return Failure("execution_error", "out of memory")
        if isinstance(rows, str):
            cursor.close()
            return Failure("timeout", rows)
        if len(sql) > 7 and sql[:6].upper() != "SELECT" and _first_word(sql) in _DENIED:
            return Failure("denied", f"{_first_word(sql)} is not a query")
        return Result(tuple(d[0] for d in cursor.description), rows)

    def _fetched(self, cursor: sqlite3.Cursor) -> list[Row] | str:
        """All rows of a result, or what they are more than."""
        at_once = max(1, min(self._rows + 1, _BYTES // (len(cursor.description) * self._length)))
        rows = more = cursor.fetchmany(at_once)
        size = 0
        while len(more) == at_once or size:
            size += sum(64 + (len(v) if isinstance(v, (str, bytes)) else 0) for row in more for v in row)
            if len(rows) > self._rows:
                return f"more than {self._rows} rows"
            if size > _BYTES:
                return f"more than {_BYTES // 2**20} MiB"
            if len(more) < at_once:
                return rows
            more = cursor.fetchmany(at_once)
            rows = rows + more
        return rows if len(rows) <= self._rows else f"more than {self._rows} rows"

    def _reverse(self, state: str) -> None:
        self._loading, self._left, self._until = True, self._budget, time.monotonic() + _SECONDS
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


class Forge:
    """One guarded connection that writes: makes databases from names, CHECKs and rows nobody trusts."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._left = 0
        _limit(self._connection, 64 * LONGEST)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 64 * LONGEST)
        self._connection.set_authorizer(self._authorize)
        self._connection.set_progress_handler(self._tick, _STEP)
        self._loading = False

    def _authorize(self, action: int, _: str | None, second: str | None, *__: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (second or "").lower() in FUNCTIONS else sqlite3.SQLITE_DENY
        return (
            sqlite3.SQLITE_DENY
            if action == sqlite3.SQLITE_ATTACH and not self._loading
            else sqlite3.SQLITE_OK
        )

    def _tick(self) -> int:
        self._left -= 1
        return self._left < 0

    @contextmanager
    def opened(self, image: bytes = b"") -> Iterator[sqlite3.Connection]:
        """The connection, to the image if one is given; what goes wrong leaves no transaction open.

        Raises sqlite3.Error, or OverflowError and UnicodeError for values that SQLite does not have.
        """
        self._left = _STEPS // _STEP
        if image:
            self._loading = True
            self._connection.deserialize(image)
            self._loading = False
        try:
            yield self._connection
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()


def _limit(connection: sqlite3.Connection, length: int) -> None:
    connection.execute("PRAGMA temp_store = 2")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)


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
