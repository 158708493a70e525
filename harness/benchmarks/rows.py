"""Examples from the rows of a file.

A row has ``question``, ``context`` and ``answer`` (or ``gold``; a list where several are right), and may have
``id`` (text or integer, else the row's number from 0; no two alike), ``db_id``, ``evidence``, ``kind`` and
``database`` (a SQLite file, relative to the data and below its folder); other short values travel in
``Example.meta``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.benchmarks.surface import form
from harness.errors import DataError
from harness.files import DataRow
from harness.records import Example

_SHORT = 200


def identity(path: Path, where: str, value: Any) -> str | None:
    """A row's id as text, None where it has none; DataError where it is neither text nor integer."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        shown = " ".join(repr(value).split())[:60]
        raise DataError(f"{path}, {where}: id {shown} is neither text nor integer", "mend that id")
    return str(value)


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
        question, context = (_text(path, where, values, name, name) for name in ("question", context_field))
        answer, *others = _golds(path, where, values, gold)
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
            others=tuple(dict.fromkeys(one for one in others if one != answer)),
            db_id=_optional(values.get("db_id")),
            database=_database(path, where, str(database), databases) if database else None,
            evidence=_optional(values.get("evidence")),
            kind=_optional(values.get("kind")) or form(answer),
            meta={key: value for key, value in values.items() if key not in taken and _is_short(value)},
        )


def _golds(path: Path, where: str, values: Mapping[str, Any], field: str) -> list[str]:
    """A row's golds: one text, or a list of them."""
    given = values.get(field)
    if not isinstance(given, (list, tuple)):
        return [_text(path, where, values, field, "answer")]
    if not given or not all(isinstance(one, str) and one.strip() for one in given):
        raise DataError(f"{path}, {where}: 'answer' is a list of other things than texts", "mend that row")
    return list(given)


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
    """SHA-256 over what is asked and what is expected: id, question, context, golds and evidence."""
    digest = hashlib.sha256()
    for example in examples:
        values = (
            example.id,
            example.question,
            example.context,
            example.gold,
            example.db_id,
            example.evidence,
            *([example.others] if example.others else ()),
        )
        digest.update(json.dumps(values, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
