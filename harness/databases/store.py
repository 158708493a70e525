"""Suites on disk: built once, in parallel, found again by what they were built from."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from functools import cache, partial
from hashlib import blake2b
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import compress, decompress
from zlib import error as ZlibError

from harness.databases.answers import Failure, Result, Ways
from harness.databases.builder import build_suite
from harness.databases.suite import HARNESS_ERROR, Database, Suite
from harness.errors import DataError, SchemaError
from harness.files import cache_folder
from harness.records import VERDICT_VERSION, Example, Judging
from harness.sql.schema import parse_schema
from harness.workers import WorkerLost, WorkerPool

_FILE = "suites.sqlite"
_COMMIT = 100
_HELD = 64 << 20
"""Bytes of databases that an open store keeps at hand, unpacked, for whoever asks for them again."""


def key(example: Example, judging: Judging) -> str:
    """The fingerprint of an example's suite: all that it depends on, the code that builds it as well."""
    parts = [
        VERDICT_VERSION,
        _code(),
        example.context,
        example.gold,
        judging.dialect,
        judging.databases,
        judging.seed,
        asdict(judging.rules),
    ]
    return blake2b(json.dumps(parts, sort_keys=True).encode("utf-8", "replace"), digest_size=16).hexdigest()


@cache
def _code() -> str:
    """A hash of this package's sources: another generator makes other suites."""
    digest = blake2b(digest_size=16)
    here = Path(__file__).parent
    for path in [
        here.parent / "chance.py",
        *sorted((here.parent / "sql").glob("*.py")),
        *sorted(here.glob("*.py")),
    ]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def suites(
    examples: Iterable[Example],
    judging: Judging | None = None,
    *,
    store: SuiteStore | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, Suite]]:
    """The suite of each example as (id, suite), from the store or built, in any order.

    Without an open ``store`` that of ``judging.cache`` is opened for this call; it is one SQLite file that
    can be shared, and grows by what is built. Suites are built in ``judging.workers`` processes. ``progress``
    is called with the number finished so far.
    """
    judging = judging or Judging()
    if store is None:
        with SuiteStore(cache_file(judging.cache)) as own:
            yield from suites(examples, judging, store=own, progress=progress)
        return
    for finished, found in enumerate(_found_or_built(examples, judging, store), 1):
        if progress:
            progress(finished)
        yield found


def cache_file(cache: Path | None) -> Path | None:
    """The file that suites are kept in: ``cache`` itself, one in it if it is a folder, else the user's own.

    None where the user's cache cannot be written: then suites live as long as the store is open.
    """
    if cache is not None:
        return cache / _FILE if cache.is_dir() or not cache.suffix else cache
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder / _FILE if os.access(folder, os.W_OK) else None


def _found_or_built(
    examples: Iterable[Example], judging: Judging, store: SuiteStore
) -> Iterator[tuple[str, Suite]]:
    missing: dict[int, tuple[str, Example]] = {}
    numbers = count()
    ready: list[tuple[str, Suite]] = []

    def wanted() -> Iterator[Example]:
        for example in examples:
            name = key(example, judging)
            if suite := store.held.get(name):
                ready.append((example.id, replace(suite, database=example.database)))
            elif (blob := store.get(name)) is not None:
                ready.append((example.id, store.hold(name, decode(blob, example, judging))))
            else:
                missing[next(numbers)] = name, example
                yield example

    for number, blob in _built(wanted(), judging):
        yield from ready
        ready.clear()
        name, example = missing.pop(number)
        store.put(name, blob)
        yield example.id, store.hold(name, decode(blob, example, judging))
    yield from ready


def _built(examples: Iterator[Example], judging: Judging) -> Iterator[tuple[int, bytes]]:
    build = partial(_build, judging)
    with WorkerPool(build, workers=judging.workers) as pool:
        for number, blob in pool.map(examples):
            if isinstance(blob, WorkerLost):
                broken = {"gold_status": "broken", "reason": f"{HARNESS_ERROR}: {blob.reason}"}
                yield number, _packed(broken, ())
            else:
                yield number, blob


def suite_of(judging: Judging, example: Example) -> Suite:
    """The suite of an example under these settings, built anew."""
    return build_suite(
        example.context,
        example.gold,
        rules=judging.rules,
        dialect=judging.dialect,
        size=judging.databases,
        seed=judging.seed,
    )


def _build(judging: Judging, example: Example) -> bytes:
    return encode(suite_of(judging, example))


def encode(suite: Suite) -> bytes:
    """A suite without what its example says; compressed some 8 times."""
    head = {
        "readings": suite.readings,
        "forms": suite.forms,
        "ordered": suite.ordered,
        "limited": suite.limited,
        "strength": suite.strength,
        "mutants": suite.mutants,
        "gold_status": suite.gold_status,
        "reason": suite.reason,
        "kinds": suite.kinds,
        "links": suite.links,
        "primary": suite.primary,
        "widened": suite.widened,
        "databases": [(d.kind, [_plain(a) for a in d.answers], d.ways) for d in suite.databases],
    }
    return _packed(head, [d.image for d in suite.databases])


def _packed(head: dict[str, Any], images: Sequence[bytes]) -> bytes:
    text = json.dumps(
        {**head, "sizes": [len(i) for i in images]}, separators=(",", ":"), default=_hex
    ).encode()
    return compress(len(text).to_bytes(4, "big") + text + b"".join(images), 3)


def decode(blob: bytes, example: Example, judging: Judging) -> Suite:
    """The suite that `encode` packed. Raises DataError for bytes that it did not."""
    try:
        raw = decompress(blob)
        end = 4 + int.from_bytes(raw[:4], "big")
        head = json.loads(raw[4:end], object_hook=_unhex)
        databases = []
        for (kind, answers, ways), size in zip(head.pop("databases", ()), head.pop("sizes"), strict=True):
            told = Ways([*map(tuple, ways[0])], [*map(tuple, ways[1])], ways[2]) if ways else None
            databases.append(Database(raw[end : end + size], kind, tuple(_answer(a) for a in answers), told))
            end += size
        head["readings"] = tuple(head.get("readings", ()))
        head["forms"] = tuple(head.get("forms", ()))
        head["kinds"] = tuple((t, tuple((c, k) for c, k in columns)) for t, columns in head.get("kinds", ()))
        head["links"] = tuple((tuple(a), tuple(b)) for a, b in head.get("links", ()))
        head["widened"] = tuple(head.get("widened", ()))
        head["primary"] = tuple((t, tuple(c)) for t, c in head.get("primary", ()))
    except (ZlibError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"a suite in the cache cannot be read ({error})", "delete the cache file") from error
    try:
        schema = parse_schema(example.context, dialect=judging.dialect)
    except SchemaError:
        schema = None
    return Suite(
        schema=schema,
        gold=example.gold,
        databases=tuple(databases),
        rules=judging.rules,
        dialect=judging.dialect,
        seed=judging.seed,
        database=example.database,
        **head,
    )


def _plain(answer: Result | Failure) -> list[Any]:
    if isinstance(answer, Result):
        return [answer.columns, answer.rows]
    return [answer.kind, answer.message, None]


def _answer(plain: list[Any]) -> Result | Failure:
    if len(plain) == 3:
        return Failure(plain[0], plain[1])
    return Result(tuple(plain[0]), [tuple(row) for row in plain[1]])


def _hex(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    raise TypeError(f"not a value of SQLite: {value!r}")


def _unhex(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else value


class SuiteStore:
    """One SQLite file of suites by key, open for as long as a run asks; use as a context manager.

    Without a path it is a file of SQLite's own that goes when the store is closed. ``held`` are suites at
    hand, so that a run's later questions about an example unpack nothing again.

    Raises DataError where the file is not a store or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.held: dict[str, Suite] = {}
        self._room = _HELD
        self._waiting: dict[str, bytes] = {}  # written together: short transactions for others' sake
        with ExitStack() as opened:
            try:
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = opened.enter_context(closing(sqlite3.connect(path or "", timeout=60)))
                self._connection.execute("PRAGMA page_size = 16384")  # suites are some 2 to 6 KB
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS suites (key TEXT PRIMARY KEY, suite BLOB NOT NULL)"
                )
            except (sqlite3.Error, OSError) as error:
                raise DataError(
                    f"the suite cache {path} cannot be used ({error})", "delete it or name another"
                ) from error
            opened.pop_all()

    def get(self, key: str) -> bytes | None:
        """The packed suite of a key."""
        if key in self._waiting:
            return self._waiting[key]
        row = self._connection.execute("SELECT suite FROM suites WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def put(self, key: str, blob: bytes) -> None:
        """Keep a packed suite."""
        self._waiting[key] = blob
        if len(self._waiting) >= _COMMIT:
            self._flush()

    def hold(self, key: str, suite: Suite) -> Suite:
        """Keep a suite at hand while there is room, and give it back."""
        size = sum(len(database.image) for database in suite.databases)
        if size <= self._room:
            self._room -= size
            self.held[key] = suite
        return suite

    def _flush(self) -> None:
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO suites VALUES (?, ?)", self._waiting.items())
        self._waiting.clear()

    def __enter__(self) -> SuiteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._connection.close()
