"""Runs SQL that nobody trusts on an SQLite database.

Covered, each by a test that attacks it:
- endless recursion, cross joins: a budget of virtual-machine steps, the same on every machine (``limits``);
- huge values and results: limits on the length of values, rows and bytes fetched, SQL text, depth, columns;
- memory (sorters, joins): SQLite's own limit of its heap;
- functions that work long in one step (instr, replace, like on long texts): they pay for it in steps;
- functions that allocate much or reach outside (printf, zeroblob, randomblob, load_extension, …): an
  allow-list of functions;
- writes, ATTACH, PRAGMA, transactions, the schema tables, EXPLAIN, several statements: the authorizer and
  the statement's first word;
- the clock and chance: functions of chance are not on the list, the clock is frozen (``clock``);
- what a context's CHECK constraints call while rows are put in: the same list and limits (``Forge``).

Not covered here, but by the worker processes (`workers`): a crash or a fault of SQLite itself.
Not covered: side channels, and a real database that is itself malformed on purpose.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType

from harness.databases.answers import Failure, Result, ResultRow
from harness.databases.limits import BYTES, LONG, LONGEST, SHORT, STEPS, TICK, WRITING, Grade, limit
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
_TOO_LONG = ("string or blob too big", "LIKE or GLOB pattern too complex", "SQL logic error")
"""What SQLite says of a value that is too long, the last where it is the message of an error itself."""


class _Box:
    """Connections of one grade, to an image and to a file; ``backwards`` ones read rows in reverse.

    Backwards is a connection of its own: to turn it on and off has SQLite prepare all statements anew.
    """

    def __init__(
        self, grade: Grade, steps: int, rows: int, functions: frozenset[str] | None, *, backwards: bool
    ) -> None:
        self._grade, self._steps, self._rows, self._functions = grade, steps, rows, functions
        self._backwards = backwards
        self.left = self.spent = 0
        self._loading = False
        self._memory = self._guarded(sqlite3.connect(":memory:", isolation_level=None))
        self._file: sqlite3.Connection | None = None
        self._connection = self._memory
        self.loaded: bytes | Path | None = None

    def _guarded(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        limit(connection, self._grade, self._charge)
        if self._backwards:
            connection.execute("PRAGMA reverse_unordered_selects = ON")
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._tick, TICK)
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

    def _tick(self) -> bool:
        self.left -= TICK * self._grade.cost
        self.spent += TICK * self._grade.cost
        return self.left < 0

    def _charge(self, steps: int) -> None:
        self.left -= steps
        self.spent += steps
        if self.left < 0:
            raise _Spent

    def load(self, database: bytes | Path) -> None:
        """Make the database the one that is queried: an image, or a file that is opened read-only."""
        self.loaded = database
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

    def query(self, sql: str) -> Result | Failure:
        """The result of one SELECT on what is loaded; whatever goes wrong is a Failure."""
        self.left = self._steps
        try:
            cursor = self._connection.execute(sql)
            if cursor.description is None:
                return _refused(sql)
            at_once = max(1, min(self._rows + 1, BYTES // (len(cursor.description) * self._grade.length)))
            first: list[ResultRow] = cursor.fetchmany(at_once)
            rows = first if len(first) < at_once else self._rest(cursor, first, at_once)
        except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError) as error:
            return _failure(sql, str(error) if self.left >= 0 else "interrupted")
        except MemoryError:
            return Failure("timeout", "more memory than a query may take")
        if isinstance(rows, str):
            cursor.close()
            return Failure("timeout", rows)
        if len(sql) > 7 and sql[:6].upper() != "SELECT" and _first_word(sql) in _DENIED:
            return Failure("denied", f"{_first_word(sql)} is not a query")
        return Result(tuple(d[0] for d in cursor.description), rows)

    def _rest(self, cursor: sqlite3.Cursor, rows: list[ResultRow], at_once: int) -> list[ResultRow] | str:
        """All rows of a long result, or what they are more than."""
        more, size = rows, 0
        while True:
            size += sum(64 + (len(v) if isinstance(v, (str, bytes)) else 0) for row in more for v in row)
            if len(rows) > self._rows:
                return f"more than {self._rows} rows"
            if size > BYTES:
                return f"more than {BYTES // 2**20} MiB"
            if len(more) < at_once:
                return rows
            more = cursor.fetchmany(at_once)
            rows = rows + more

    def close(self) -> None:
        self._memory.close()
        if self._file is not None:
            self._file.close()


class _Spent(Exception):
    """The budget is spent; SQLite makes an error of its own of it."""


class Sandbox:
    """Guarded connections. Use as a context manager; not for several threads.

    ``steps`` is the budget of a query in SQLite's virtual-machine steps (10 million are some 0.2 s; each
    costs ten where values are longer than 400 bytes), ``rows`` the longest result; more of either, more than
    32 MiB or too much memory is a "timeout". ``functions`` are those that may be called (None: all of
    SQLite's but load_extension). ``length`` admits values of up to so many bytes at no such cost.

    >>> with Sandbox() as box:
    ...     box.run(b"", "SELECT 1 AS one"), box.run(b"", "PRAGMA user_version").kind
    (Result(columns=('one',), rows=[(1,)]), 'denied')
    """

    def __init__(
        self,
        *,
        steps: int = STEPS,
        rows: int = 20_000,
        length: int | None = None,
        functions: frozenset[str] | None = FUNCTIONS,
    ) -> None:
        self._limits = steps, rows, functions
        self._short = SHORT if length is None else Grade(length)
        self._graded = length is None
        self._boxes: dict[tuple[bool, bool], _Box] = {}
        self._database: bytes | Path = b""

    @property
    def spent(self) -> int:
        """Steps that all queries so far have taken, short ones left out."""
        return sum(box.spent for box in self._boxes.values())

    def load(self, database: bytes | Path) -> None:
        """Make the database the one that is queried: an image, or a file that is opened read-only."""
        self._database = database

    def query(self, sql: str, *, backwards: bool = False) -> Result | Failure:
        """The result of one SELECT on what is loaded; whatever goes wrong is a Failure.

        ``backwards`` has SQLite read rows in reverse where the query leaves their order open.
        """
        if len(sql) > LONGEST:
            return Failure("execution_error", f"the query is longer than {LONGEST} characters")
        result = self._box(False, backwards).query(sql)
        if self._graded and isinstance(result, Failure) and result.message in _TOO_LONG:
            result = self._box(True, backwards).query(sql)
        return result

    def _box(self, long: bool, backwards: bool) -> _Box:
        """Connections for long values or not, with the database loaded."""
        box = self._boxes.get((long, backwards))
        if box is None:
            box = _Box(LONG if long else self._short, *self._limits, backwards=backwards)
            self._boxes[long, backwards] = box
        if box.loaded is not self._database:
            box.load(self._database)
        return box

    def run(self, database: bytes | Path, sql: str) -> Result | Failure:
        """``load`` and ``query``."""
        self.load(database)
        return self.query(sql)

    def close(self) -> None:
        """Give the memory back."""
        for box in self._boxes.values():
            box.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Forge:
    """One guarded connection that writes: makes databases from names, CHECKs and rows nobody trusts.

    ``cached`` is the number of statements that it keeps prepared.
    """

    def __init__(self, *, cached: int = 128) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=cached)
        self._left = 0
        limit(self._connection, WRITING, self._charge)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 64 * LONGEST)
        self._connection.set_authorizer(self._authorize)
        self._connection.set_progress_handler(self._tick, TICK)
        self._loading = False

    def _authorize(self, action: int, _: str | None, second: str | None, *__: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (second or "").lower() in FUNCTIONS else sqlite3.SQLITE_DENY
        return (
            sqlite3.SQLITE_DENY
            if action == sqlite3.SQLITE_ATTACH and not self._loading
            else sqlite3.SQLITE_OK
        )

    def _tick(self) -> bool:
        self._left -= TICK * WRITING.cost
        return self._left < 0

    def _charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _Spent

    @contextmanager
    def opened(self, image: bytes) -> Iterator[sqlite3.Connection]:
        """The connection, to an image; what goes wrong leaves no transaction open.

        Raises sqlite3.Error, or OverflowError and UnicodeError for values that SQLite does not have.
        """
        self._left = STEPS
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


@cache
def blank() -> bytes:
    """The image of a database of small pages without tables."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("PRAGMA user_version = 1")  # writes its first page
        return connection.serialize()


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
