"""Examples from a file: JSONL, JSON, CSV or Parquet, the first three also as .gz.

A row has ``question``, ``context`` and ``answer`` (or ``gold``), and may have ``id`` (text or integer, else
the row's number from 0; no two alike), ``db_id``, ``evidence``, ``kind`` and ``database`` (a SQLite file,
relative to the data and below its folder); other short values travel in ``Example.meta``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from harness.benchmarks.surface import form
from harness.errors import DataError
from harness.records import Example

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
_SHORT = 200
_LONE = re.compile("[\ud800-\udfff]")


class DataRow(NamedTuple):
    """One row of a file, and where it stands there: "line 3" or "item 3", counted from 1."""

    where: str
    values: Mapping[str, Any]


def stem(path: Path) -> str:
    """The file's name without any suffix: ``p.jsonl.gz`` is ``p``."""
    return path.name.split(".", 1)[0] or path.name


def read_text(path: Path) -> str:
    """The text of a file, unpacked where it ends in .gz."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "check the path") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8", "save the file as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})", "check the file") from None


def suffix(path: Path) -> str:
    """The suffix that says what a file holds: that of ``p.jsonl.gz`` is ``.jsonl``, "" where it has none."""
    return next((suffix.lower() for suffix in reversed(path.suffixes) if suffix != ".gz"), "")


def parse_json(text: str) -> Any:
    r"""A JSON value; ValueError where it is none or nested too deeply. Escapes of half a character, which no
    file and no model can take, become U+FFFD.

    >>> parse_json(r'["\ud83d\ude00", "\ud83d"]')
    ['😀', '\ufffd']
    """
    try:
        value = json.loads(text)
        return _whole(value) if "\\ud" in text.lower() else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def identity(path: Path, where: str, value: Any) -> str | None:
    """A row's id as text, None where it has none; DataError where it is neither text nor integer."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        shown = " ".join(repr(value).split())[:60]
        raise DataError(f"{path}, {where}: id {shown} is neither text nor integer", "mend that id")
    return str(value)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[DataRow]:
    """The rows of a JSONL, JSON, CSV or Parquet file; DataError names the file and the line.

    ``columns`` are all that is read of a Parquet file ("table.id" for a field of a struct).
    """
    form = suffix(path)
    if form == ".parquet":
        return _parquet(path, columns)
    if form == ".csv":
        return _csv(path)
    if form in {".json", ".jsonl", ".ndjson"}:
        text = read_text(path)
        return _array(path, text) if text.lstrip()[:1] == "[" else _lines(path, text)
    raise DataError(f"{path}: '{form}' is no format of data", f"use one of {' '.join(FORMATS)} (.gz too)")


def _lines(path: Path, text: str) -> Iterator[DataRow]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: not JSON ({error})", "mend or remove that line"
            ) from None
        yield DataRow(f"line {number}", _mapping(path, f"line {number}", values))


def _array(path: Path, text: str) -> Iterator[DataRow]:
    try:
        items = parse_json(text)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})", "mend the file") from None
    for number, values in enumerate(items, start=1):
        yield DataRow(f"item {number}", _mapping(path, f"item {number}", values))


def _mapping(path: Path, where: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise DataError(f"{path}, {where}: {type(values).__name__} instead of an object", "mend that row")
    return values


def _csv(path: Path) -> Iterator[DataRow]:
    csv.field_size_limit(1 << 24)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    line = 0
    try:
        header = next(reader, [])
        line = reader.line_num
        for fields in reader:
            values = fields or [""] * (len(header) == 1)  # an empty line is a row where there is one column
            if values and len(values) != len(header):
                raise DataError(
                    f"{path}, line {line + 1}: not {len(header)} fields as in the header",
                    "mend that row (quote fields that contain commas)",
                )
            if values:
                named = zip(header, values, strict=True)
                yield DataRow(f"line {line + 1}", {key: value for key, value in named if value != ""})
            line = reader.line_num
    except csv.Error as error:
        raise DataError(f"{path}, line {line + 1}: not CSV ({error})", "mend that line") from None


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[DataRow]:
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(4096, columns=columns):
            for values in batch.to_pylist():
                number += 1
                yield DataRow(
                    f"row {number}", {key: value for key, value in values.items() if value is not None}
                )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "check the path") from None
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not Parquet ({reason})", "check the file") from None


def to_examples(
    path: Path, rows: Iterable[DataRow], context_field: str = "context", databases: Path | None = None
) -> Iterator[Example]:
    """Rows of a file as examples; DataError names the row and the field that it lacks.

    A row's database lies below ``databases`` (the file's folder unless told); DataError where it does not.
    """
    seen: dict[str, str] = {}
    for number, (where, values) in enumerate(rows):
        gold = "answer" if "answer" in values else "gold"
        taken = {"id", "question", "context", context_field, gold, "db_id", "evidence", "kind", "database"}
        question, context, answer = (
            _text(path, where, values, field, name)
            for field, name in (("question", "question"), (context_field, context_field), (gold, "answer"))
        )
        own = identity(path, where, values.get("id")) or str(number)
        if own in seen:
            raise DataError(f"{path}, {where}: id '{own}' stands at {seen[own]} too", "make ids unique")
        seen[own] = where
        database = values.get("database")
        yield Example(
            id=own,
            question=question,
            context=context,
            gold=answer,
            db_id=_optional(values.get("db_id")),
            database=_database(path, where, str(database), databases) if database else None,
            evidence=_optional(values.get("evidence")),
            kind=_optional(values.get("kind")) or form(answer),
            meta={key: value for key, value in values.items() if key not in taken and _is_short(value)},
        )


def _text(path: Path, where: str, values: Mapping[str, Any], field: str, name: str) -> str:
    value = values.get(field)
    if value is None:
        has = ", ".join(sorted(values)) or "nothing"
        raise DataError(f"{path}, {where}: no '{name}' (it has {has})", f"give every row a '{name}'")
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{path}, {where}: '{name}' is not text", "mend that row")
    return value


def _database(path: Path, where: str, name: str, root: Path | None) -> Path:
    """A row's database, links followed; whoever wrote the row opens no other file of this machine."""
    found = (path.parent / name).resolve()
    if not found.is_relative_to((root or path.parent).resolve()):
        raise DataError(
            f"{path}, {where}: database {name!r} lies outside of {root or path.parent.resolve()}",
            "put it below the data's folder, or allow another one with --databases-root DIR",
        )
    return found


def _optional(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_short(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and len(value) <= _SHORT)


def select(
    examples: Sequence[Example], *, limit: int | None = None, ids: Sequence[str] | None = None
) -> tuple[Example, ...]:
    """The examples of these ids, in the benchmark's order, and of those the first ``limit``; each knows its
    row among all of them."""
    chosen = tuple(replace(example, row=row) for row, example in enumerate(examples))
    if ids is not None:
        wanted = set(ids)
        chosen = tuple(example for example in chosen if example.id in wanted)
        if unknown := sorted(wanted - {example.id for example in chosen}):
            raise DataError(f"no example has id '{unknown[0]}' ({len(unknown)} unknown)", "check --ids")
    return chosen[:limit]


def hash_examples(examples: Iterable[Example]) -> str:
    """SHA-256 over what is asked and what is expected: id, question, context, gold and evidence."""
    digest = hashlib.sha256()
    for example in examples:
        values = (
            example.id,
            example.question,
            example.context,
            example.gold,
            example.db_id,
            example.evidence,
        )
        digest.update(json.dumps(values, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
