"""Suites on disk: built once, in parallel, found again by what they were built from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from hashlib import blake2b
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import compress, decompress
from zlib import error as ZlibError

from harness.databases.results import Failure, Result
from harness.databases.suite import Database, Suite, build_suite
from harness.databases.workers import WorkerLost, WorkerPool
from harness.errors import DataError, SchemaError
from harness.records import Example, Rules
from harness.sql.schema import parse_schema

_COMMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a suite depends on besides its example."""

    rules: Rules = Rules()
    dialect: str = "sqlite"
    size: int = 8
    seed: int = 0

    def key(self, example: Example) -> str:
        """The fingerprint of an example's suite: example, settings and the code that builds."""
        parts = [
            _code(),
            example.context,
            example.gold,
            self.dialect,
            self.size,
            self.seed,
            asdict(self.rules),
        ]
        return blake2b(
            json.dumps(parts, sort_keys=True).encode("utf-8", "replace"), digest_size=16
        ).hexdigest()


@cache
def _code() -> str:
    """A hash of this package's sources: another generator makes other suites."""
    digest = blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def suites(
    examples: Iterable[Example],
    *,
    rules: Rules | None = None,
    dialect: str = "sqlite",
    size: int = 8,
    seed: int = 0,
    workers: int = 1,
    cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, Suite]]:
    """The suite of each example as (id, suite), from the cache file or built, in any order.

    ``cache`` is one SQLite file that can be shared; it grows by what is built. With ``workers`` of 2 or more
    suites are built in processes of their own. ``progress`` is called with the number finished so far.
    """
    settings = Settings(rules=rules or Rules(), dialect=dialect, size=size, seed=seed)
    finished = 0
    with SuiteStore(cache) as store:
        for id_, suite in _found_or_built(examples, settings, store, workers):
            finished += 1
            if progress:
                progress(finished)
            yield id_, suite


def _found_or_built(
    examples: Iterable[Example], settings: Settings, store: SuiteStore, workers: int
) -> Iterator[tuple[str, Suite]]:
    missing: dict[int, Example] = {}
    numbers = count()
    ready: list[tuple[str, Suite]] = []

    def wanted() -> Iterator[Example]:
        for example in examples:
            blob = store.get(settings.key(example))
            if blob is not None:
                ready.append((example.id, decode(blob, example, settings)))
            else:
                missing[next(numbers)] = example
                yield example

    for number, blob in _built(wanted(), settings, workers):
        yield from ready
        ready.clear()
        example = missing.pop(number)
        store.put(settings.key(example), blob)
        yield example.id, decode(blob, example, settings)
    yield from ready


def _built(examples: Iterator[Example], settings: Settings, workers: int) -> Iterator[tuple[int, bytes]]:
    build = partial(_build, settings)
    if workers < 2:
        yield from enumerate(map(build, examples))
        return
    with WorkerPool(build, workers=workers) as pool:
        for number, blob in pool.map(examples):
            if isinstance(blob, WorkerLost):
                broken = {"gold_status": "broken", "reason": f"no suite could be built: {blob.reason}"}
                yield number, _packed(broken, ())
            else:
                yield number, blob


def _build(settings: Settings, example: Example) -> bytes:
    return encode(
        build_suite(
            example.context,
            example.gold,
            rules=settings.rules,
            dialect=settings.dialect,
            size=settings.size,
            seed=settings.seed,
        )
    )


def encode(suite: Suite) -> bytes:
    """A suite without what its example says; compressed some 8 times."""
    head = {
        "readings": suite.readings,
        "ordered": suite.ordered,
        "limited": suite.limited,
        "strength": suite.strength,
        "mutants": suite.mutants,
        "gold_status": suite.gold_status,
        "reason": suite.reason,
        "kinds": suite.kinds,
        "links": suite.links,
        "primary": suite.primary,
        "databases": [(d.kind, [_plain(a) for a in d.answers]) for d in suite.databases],
    }
    return _packed(head, [d.image for d in suite.databases])


def _packed(head: dict[str, Any], images: Sequence[bytes]) -> bytes:
    text = json.dumps(
        {**head, "sizes": [len(i) for i in images]}, separators=(",", ":"), default=_hex
    ).encode()
    return compress(len(text).to_bytes(4, "big") + text + b"".join(images), 3)


def decode(blob: bytes, example: Example, settings: Settings) -> Suite:
    """The suite that `encode` packed. Raises DataError for bytes that it did not."""
    try:
        raw = decompress(blob)
        end = 4 + int.from_bytes(raw[:4], "big")
        head = json.loads(raw[4:end], object_hook=_unhex)
        databases = []
        for (kind, answers), size in zip(head.pop("databases", ()), head.pop("sizes"), strict=True):
            databases.append(Database(raw[end : end + size], kind, tuple(_answer(a) for a in answers)))
            end += size
        head["readings"] = tuple(head.get("readings", ()))
        head["kinds"] = tuple((t, tuple((c, k) for c, k in columns)) for t, columns in head.get("kinds", ()))
        head["links"] = tuple((tuple(a), tuple(b)) for a, b in head.get("links", ()))
        head["primary"] = tuple((t, tuple(c)) for t, c in head.get("primary", ()))
    except (ZlibError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"a suite in the cache cannot be read ({error})", "delete the cache file") from error
    try:
        schema = parse_schema(example.context, dialect=settings.dialect)
    except SchemaError:
        schema = None
    return Suite(
        schema=schema,
        gold=example.gold,
        databases=tuple(databases),
        rules=settings.rules,
        dialect=settings.dialect,
        seed=settings.seed,
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
    """One SQLite file of suites by key; without a path it keeps nothing. Use as a context manager.

    Raises DataError where the file is not a store or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[str, bytes]] = []  # written together: short transactions for others' sake
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60)
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

    def get(self, key: str) -> bytes | None:
        """The packed suite of a key."""
        if self._connection is None:
            return None
        row = self._connection.execute("SELECT suite FROM suites WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def put(self, key: str, blob: bytes) -> None:
        """Keep a packed suite."""
        if self._connection is None:
            return
        self._waiting.append((key, blob))
        if len(self._waiting) >= _COMMIT:
            self._flush()

    def _flush(self) -> None:
        if self._connection is not None and self._waiting:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO suites VALUES (?, ?)", self._waiting)
            self._waiting.clear()

    def __enter__(self) -> SuiteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._flush()
            self._connection.close()
