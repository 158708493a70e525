"""Predictions of any origin, from any of the field's file forms, joined to a benchmark's examples.

    one JSON object a line    {"id": …, "sql": …} or {"id": …, "completion": …}; without id: in order
    plain lines               one SQL a line in the benchmark's order, an empty line for none
    Spider                    the same, each line SQL<tab>db_id
    BIRD                      {"0": "SQL\\t----- bird -----\\tdb", …}, keys are ids or positions
    WikiSQL                   {"query": {"sel", "agg", "conds"}, …} a line, in order
    lm-evaluation-harness     samples_*.jsonl, by the document's id, else doc_id as position

Joined by id wherever there is one. Missing, duplicate and extra predictions are kept account of; nothing
is shifted or truncated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.benchmarks.files import read_text, stem
from harness.errors import DataError
from harness.records import Benchmark, Example, Prediction

Form = Literal["jsonl", "plain", "spider", "bird", "wikisql", "lm-eval"]
_BIRD_MARK = "\t----- bird -----\t"


class _Entry(NamedTuple):
    """One prediction of a file: ``where`` it stands, its ``key`` (an id) or its ``position`` from 0."""

    where: str
    position: int
    key: str | None
    sql: str | None
    completion: str | None
    db_id: str | None = None
    sketch: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFile:
    """The predictions of one file for one benchmark, one an example in its order.

    ``missing`` are ids without a prediction (their ``sql`` is None, which counts as wrong),
    ``duplicates`` ids with several (the first counts), ``extra`` ids or places of the file that no
    example has.
    """

    path: Path
    pair: str
    form: Form
    joined: Literal["id", "order"]
    predictions: tuple[Prediction, ...]
    missing: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """What a user should know, one line each; empty where every example has exactly one."""
        lines = []
        for ids, what in (
            (self.missing, "without a prediction, counted as wrong"),
            (self.duplicates, "predicted more than once, the first counts"),
            (self.extra, "in the file but not in the benchmark, left out"),
        ):
            if ids:
                shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
                lines.append(f"{self.path.name}: {len(ids)} {what}: {shown}")
        return lines


def read_predictions(path: Path, benchmark: Benchmark, *, pair: str | None = None) -> PredictionFile:
    """The predictions of a file for the examples of a benchmark.

    ``pair`` names them in reports (the file's stem otherwise). DataError where a line cannot be read
    (named), where none of the ids is one of the benchmark's, or where a line in Spider's form names
    another database than the example in its place.
    """
    text = read_text(path)
    form, entries = _parse(path, text)
    examples = benchmark.examples
    by_id = {example.id: place for place, example in enumerate(examples)}
    if form == "plain" and any(entry.sql and "\t" in entry.sql for entry in entries):
        form, entries = _split_spider(entries, {example.db_id for example in examples if example.db_id})
    keyed = _is_keyed(path, entries)
    if form == "bird" and not all(entry.key in by_id for entry in entries):
        keyed, entries = False, [entry._replace(position=_number(path, entry)) for entry in entries]
    if form == "lm-eval" and not any(entry.key in by_id for entry in entries):
        keyed = False
    found: dict[int, _Entry] = {}
    duplicates, extra = [], []
    for entry in entries:
        place = by_id.get(entry.key or "") if keyed else entry.position
        if place is None or not 0 <= place < len(examples):
            extra.append(entry.key if keyed and entry.key is not None else entry.where)
        elif place in found:
            duplicates.append(examples[place].id)
        else:
            _check_database(path, entry, examples[place])
            found[place] = entry
    if entries and not found:
        raise DataError(
            f"{path}: none of its {len(entries)} ids is one of benchmark '{benchmark.name}' "
            f"(it has '{entries[0].key}', the benchmark '{examples[0].id}')",
            "choose the benchmark and split that the predictions were made for",
        )
    name = pair or stem(path)
    return PredictionFile(
        path=path,
        pair=name,
        form=form,
        joined="id" if keyed else "order",
        predictions=tuple(
            _prediction(example, found.get(place), name) for place, example in enumerate(examples)
        ),
        missing=tuple(
            example.id
            for place, example in enumerate(examples)
            if place not in found or _is_empty(found[place])
        ),
        duplicates=tuple(duplicates),
        extra=tuple(extra),
    )


def _parse(path: Path, text: str) -> tuple[Form, list[_Entry]]:
    start = text.lstrip()
    if start[:1] == "{":
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None  # several lines, each an object
        if isinstance(whole, dict) and _is_bird(whole):
            return "bird", list(_bird(whole))
        return _objects(path, list(_json_lines(path, text)))
    if start[:1] == "[":
        try:
            items = [(f"item {number}", item) for number, item in enumerate(json.loads(text), start=1)]
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})", "mend the file") from None
        return _objects(path, items)
    lines = text.split("\n")
    if lines and not lines[-1].strip():
        lines.pop()
    return "plain", [
        _Entry(f"line {number + 1}", number, None, line.strip() or None, None)
        for number, line in enumerate(lines)
    ]


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error})", "mend that line") from None


def _objects(path: Path, items: list[tuple[str, Any]]) -> tuple[Form, list[_Entry]]:
    first = items[0][1] if items else {}
    form: Form = "jsonl"
    if isinstance(first, dict) and "query" in first and not {"sql", "completion"} & first.keys():
        form = "wikisql"
    elif isinstance(first, dict) and "doc_id" in first and ("resps" in first or "filtered_resps" in first):
        form = "lm-eval"
        items = [item for item in items if not isinstance(item[1], dict) or _same_filter(item[1], first)]
    return form, [_object(path, form, where, place, item) for place, (where, item) in enumerate(items)]


def _same_filter(item: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    return item.get("filter") == first.get("filter")


def _object(path: Path, form: Form, where: str, place: int, item: Any) -> _Entry:
    if isinstance(item, str):
        return _Entry(where, place, None, item, None)
    if not isinstance(item, dict):
        raise DataError(f"{path}, {where}: {type(item).__name__} instead of an object", "mend that line")
    if form == "wikisql":
        sketch = item.get("query")
        if not isinstance(sketch, dict):
            return _Entry(where, place, _key(item), None, None)
        raw = json.dumps(item, ensure_ascii=False)
        return _Entry(where, place, _key(item), None, raw, sketch=sketch)
    if form == "lm-eval":
        responses = item.get("filtered_resps") or item.get("resps") or [None]
        text = responses[0]
        while isinstance(text, list):
            text = text[0] if text else None
        doc = item.get("doc")
        position = item.get("doc_id")
        if not isinstance(position, int):
            raise DataError(f"{path}, {where}: 'doc_id' is no number", "mend that line")
        return _Entry(where, position, _key(doc) if isinstance(doc, dict) else None, None, _text(text))
    if not {"sql", "completion"} & item.keys():
        raise DataError(f"{path}, {where}: neither 'sql' nor 'completion'", "give every line one of them")
    return _Entry(where, place, _key(item), _text(item.get("sql")), _text(item.get("completion")))


def _key(item: Mapping[str, Any]) -> str | None:
    return None if item.get("id") is None else str(item["id"])


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_bird(whole: Mapping[str, Any]) -> bool:
    texts = all(isinstance(value, str) for value in whole.values())
    return bool(whole) and texts and not {"sql", "completion"} & whole.keys()


def _bird(whole: Mapping[str, str]) -> Iterator[_Entry]:
    for place, (key, value) in enumerate(whole.items()):
        sql, _, db_id = value.partition(_BIRD_MARK)
        yield _Entry(f"key '{key}'", place, key, sql.strip() or None, None, db_id.strip() or None)


def _number(path: Path, entry: _Entry) -> int:
    if entry.key is None or not entry.key.isdecimal():
        raise DataError(
            f"{path}, {entry.where}: neither an id of the benchmark nor a position", "mend that key"
        )
    return int(entry.key)


def _split_spider(entries: list[_Entry], databases: set[str]) -> tuple[Form, list[_Entry]]:
    split: list[_Entry] = []
    form: Form = "plain"
    for entry in entries:
        sql, tab, last = (entry.sql or "").rpartition("\t")
        if tab and (last.strip() in databases or (databases and last.strip().isidentifier())):
            form = "spider"
            split.append(entry._replace(sql=sql.strip() or None, db_id=last.strip()))
        else:
            split.append(entry)
    return form, split


def _is_keyed(path: Path, entries: list[_Entry]) -> bool:
    keyed = [entry for entry in entries if entry.key is not None]
    if keyed and len(keyed) < len(entries):
        bare = next(entry for entry in entries if entry.key is None)
        raise DataError(
            f"{path}, {bare.where}: no 'id' though other lines have one", "give every line an id, or none"
        )
    return bool(keyed)


def _check_database(path: Path, entry: _Entry, example: Example) -> None:
    if entry.db_id and example.db_id and entry.db_id != example.db_id:
        raise DataError(
            f"{path}, {entry.where}: names database '{entry.db_id}' where example '{example.id}' "
            f"is about '{example.db_id}'",
            "the lines must stand in the benchmark's order, one for each of its questions",
        )


def _is_empty(entry: _Entry) -> bool:
    return entry.sql is None and entry.completion is None


def _prediction(example: Example, entry: _Entry | None, pair: str) -> Prediction:
    if entry is None:
        return Prediction(id=example.id, pair=pair, sql=None)
    if entry.sketch is not None:
        from harness.benchmarks.wikisql import sketch_to_sql

        sql = sketch_to_sql(entry.sketch, example)
        return Prediction(id=example.id, pair=pair, sql=sql, completion=entry.completion)
    if entry.completion is None:
        return Prediction(id=example.id, pair=pair, sql=entry.sql)
    from harness.models.extract import extract_sql

    extracted = extract_sql(entry.completion)
    sql = entry.sql if entry.sql is not None else extracted.sql
    return Prediction(id=example.id, pair=pair, sql=sql, completion=entry.completion, clean=extracted.clean)
