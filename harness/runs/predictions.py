"""Predictions of any origin, from any of the field's file forms, joined to a benchmark's examples.

    one JSON object a line    {"id": …, "sql": …} or {"id": …, "completion": …}; without id: in order
    a table (CSV, Parquet)    columns sql or completion, and id; without id: in order
    plain lines               one SQL a line in the benchmark's order, an empty line for none
    statements                SQL over several lines each, up to a ; at a line's end, in the benchmark's order
    Spider                    the same, each line SQL<tab>db_id
    BIRD                      {"0": "SQL\\t----- bird -----\\tdb", …}, keys are ids or positions
    WikiSQL                   {"query": {"sel", "agg", "conds"}, …} a line, in order
    lm-evaluation-harness     samples_*.jsonl, by the document's id, else doc_id as position

What a file holds is read from its suffix (.csv, .parquet, .json, .jsonl), else from its first character.
Joined by id wherever there is one. "In order" is the order of the benchmark's data, whichever of its examples
are chosen. Missing, duplicate and extra predictions are kept account of; nothing
is shifted or truncated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.benchmarks.rows import identity
from harness.errors import DataError
from harness.files import parse_json, read_rows, read_text, stem, suffix
from harness.records import Benchmark, Example, Prediction

FileForm = Literal["jsonl", "plain", "statements", "table", "spider", "bird", "wikisql", "lm-eval"]
_BIRD_MARK = "\t----- bird -----\t"
_FIELDS = frozenset(("sql", "completion"))
_BEGINS = re.compile(r"\(*\s*(?:select|with|values|insert|update|delete|replace)\b", re.IGNORECASE)
_GOES_ON = re.compile(r"(?:\b(?:union|all|intersect|except|in|exists|as)|[(,=<>])$", re.IGNORECASE)
_HEADER = re.compile(r"((id|question|db_id)\s*[,;\t]\s*)*(sql|completion)(\s*[,;\t]\s*\w+)*", re.IGNORECASE)


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

    ``missing`` are ids without a prediction, or with an empty one (their ``sql`` is None, which counts as
    wrong), ``duplicates`` ids with several (the first counts), ``extra`` ids or places of the file that
    no chosen example has.
    """

    path: Path
    pair: str
    form: FileForm
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
            (self.extra, "in the file but not among the examples, left out"),
        ):
            if ids:
                shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
                lines.append(f"{self.path.name}: {len(ids)} {what}: {shown}")
        return lines


def read_predictions(path: Path, benchmark: Benchmark, *, pair: str | None = None) -> PredictionFile:
    """The predictions of a file for the examples of a benchmark.

    ``pair`` names them in reports (the file's stem otherwise). DataError where a line cannot be read
    (named), where the file holds no prediction or none for these examples, or where a line in Spider's
    form names another database than the example in its place.
    """
    form, entries = _parse(path)
    if all(_is_empty(entry) for entry in entries):
        problem = f"all of its {len(entries)} are empty" if entries else "there is nothing in it"
        raise DataError(f"{path} holds no prediction: {problem}", "give every question a line with its SQL")
    examples, name = benchmark.examples, pair or stem(path)
    form, keyed, entries = _read_for(path, benchmark, form, entries)
    found, duplicates, extra = _placed(path, benchmark, entries, keyed=keyed)
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
        duplicates=duplicates,
        extra=extra,
    )


def _read_for(
    path: Path, benchmark: Benchmark, form: FileForm, entries: list[_Entry]
) -> tuple[FileForm, bool, list[_Entry]]:
    """The entries read as these examples ask for: the file's form, whether ids join them, and the entries."""
    examples = benchmark.examples
    ids = {example.id for example in examples}
    if form == "plain" and len(entries) != int(benchmark.about.get("size", len(examples))):
        form, entries = _whole_statements(path, entries)
    if form == "plain" and any(entry.sql and "\t" in entry.sql for entry in entries):
        form, entries = _split_spider(entries, {example.db_id for example in examples if example.db_id})
    keyed = _is_keyed(path, entries)
    if form == "bird" and not _names_ids(entries, ids, benchmark):
        keyed, entries = False, [entry._replace(position=_number(path, entry)) for entry in entries]
    if form == "lm-eval" and not any(entry.key in ids for entry in entries):
        keyed = False
    return form, keyed, entries


def _placed(
    path: Path, benchmark: Benchmark, entries: list[_Entry], *, keyed: bool
) -> tuple[dict[int, _Entry], tuple[str, ...], tuple[str, ...]]:
    """The entry of each example by its place, the ids that are there twice, and what is no example's."""
    examples = benchmark.examples
    by_id = {example.id: place for place, example in enumerate(examples)}
    by_row = {place if example.row is None else example.row: place for place, example in enumerate(examples)}
    found: dict[int, _Entry] = {}
    duplicates: list[str] = []
    extra: list[str] = []
    for entry in entries:
        place = by_id.get(entry.key or "") if keyed else by_row.get(entry.position)
        if place is None:
            extra.append(entry.key if keyed and entry.key is not None else entry.where)
        elif place in found:
            duplicates.append(examples[place].id)
        else:
            _check_database(path, entry, examples[place])
            found[place] = entry
    if not found and not keyed:
        raise DataError(
            f"{path}: its {len(entries)} predictions are joined by place, and none is for a chosen example "
            f"(the first of these is row {min(by_row) + 1} of the data)",
            "give every row of the data a line, or give predictions ids",
        )
    if not found:
        raise DataError(
            f"{path}: none of its {len(entries)} ids is one of benchmark '{benchmark.name}' "
            f"(it has '{entries[0].key}', the benchmark '{examples[0].id}')",
            "choose the benchmark and split that the predictions were made for",
        )
    return found, tuple(duplicates), tuple(extra)


def _parse(path: Path) -> tuple[FileForm, list[_Entry]]:
    kind = suffix(path)
    if kind in {".csv", ".parquet"}:
        return "table", _table(path)
    text = read_text(path)
    start = text.lstrip()[:1]
    if start == "{":
        try:
            whole = parse_json(text)
        except ValueError:
            return _objects(path, list(_json_lines(path, text)))  # several lines, each an object
        return ("bird", list(_bird(whole))) if _is_bird(whole) else _objects(path, [("line 1", whole)])
    if start == "[":
        try:
            items = [(f"item {number}", item) for number, item in enumerate(parse_json(text), start=1)]
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})", "mend the file") from None
        return _objects(path, items)
    if start and (start == '"' or kind in {".json", ".jsonl", ".ndjson"}):
        return _objects(path, list(_json_lines(path, text)))
    lines = text.split("\n") if start else []
    if lines and _HEADER.fullmatch(lines[0].strip()):
        raise DataError(
            f"{path}, line 1: '{lines[0].strip()}' is a table's header", "save it as .csv, with commas"
        )
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
                yield f"line {number}", parse_json(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error})", "mend that line") from None


def _table(path: Path) -> list[_Entry]:
    rows = list(read_rows(path))
    names = {name for _, values in rows for name in values}
    if rows and not names & _FIELDS:
        raise DataError(
            f"{path}: no column 'sql' or 'completion' with anything in it", "give the table one of them"
        )
    empty = dict.fromkeys(names)
    return [
        _object(path, "table", where, place, {**empty, **values})
        for place, (where, values) in enumerate(rows)
    ]


def _objects(path: Path, items: list[tuple[str, Any]]) -> tuple[FileForm, list[_Entry]]:
    first = items[0][1] if items else {}
    form: FileForm = "jsonl"
    if isinstance(first, dict) and "query" in first and not _FIELDS & first.keys():
        form = "wikisql"
    elif isinstance(first, dict) and "doc_id" in first and ("resps" in first or "filtered_resps" in first):
        form = "lm-eval"
        items = [item for item in items if not isinstance(item[1], dict) or _same_filter(item[1], first)]
    return form, [_object(path, form, where, place, item) for place, (where, item) in enumerate(items)]


def _same_filter(item: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    return item.get("filter") == first.get("filter")


def _object(path: Path, form: FileForm, where: str, place: int, item: Any) -> _Entry:
    if item is None or isinstance(item, str):
        return _Entry(where, place, None, _text(path, where, item), None)
    if not isinstance(item, dict):
        raise DataError(f"{path}, {where}: {type(item).__name__} instead of an object", "mend that line")
    if form == "wikisql":
        sketch = item.get("query")
        key = identity(path, where, item.get("id"))
        if sketch is None:
            return _Entry(where, place, key, None, None)
        if not isinstance(sketch, dict):
            raise DataError(f"{path}, {where}: 'query' is no sketch", "SQL text belongs in 'sql'")
        raw = json.dumps(item, ensure_ascii=False)
        return _Entry(where, place, key, None, raw, sketch=sketch)
    if form == "lm-eval":
        responses = item.get("filtered_resps") or item.get("resps") or [None]
        text = responses[0]
        while isinstance(text, list):
            text = text[0] if text else None
        doc = item.get("doc")
        position = item.get("doc_id")
        if not isinstance(position, int):
            raise DataError(f"{path}, {where}: 'doc_id' is no number", "mend that line")
        key = identity(path, where, doc.get("id")) if isinstance(doc, dict) else None
        return _Entry(where, position, key, None, _text(path, where, text))
    if not _FIELDS & item.keys():
        raise DataError(f"{path}, {where}: neither 'sql' nor 'completion'", "give every line one of them")
    key = identity(path, where, item.get("id"))
    sql, completion = (_text(path, where, item.get(name)) for name in ("sql", "completion"))
    return _Entry(where, place, key, sql, completion)


def _text(path: Path, where: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise DataError(f"{path}, {where}: {type(value).__name__} where text belongs", "mend that row")


def _is_bird(whole: Any) -> bool:
    if not isinstance(whole, dict) or not whole or {*_FIELDS, "query", "id"} & whole.keys():
        return False
    return all(isinstance(value, str) for value in whole.values())


def _bird(whole: Mapping[str, str]) -> Iterator[_Entry]:
    for place, (key, value) in enumerate(whole.items()):
        sql, _, db_id = value.partition(_BIRD_MARK)
        yield _Entry(f"key '{key}'", place, key, sql.strip() or None, None, db_id.strip() or None)


def _names_ids(entries: list[_Entry], ids: set[str], benchmark: Benchmark) -> bool:
    """Whether BIRD's keys are ids and not positions: where only some examples are chosen, most keys are
    those of others."""
    known = sum(entry.key in ids for entry in entries)
    if len(ids) == int(benchmark.about.get("size", len(ids))):
        return known == len(entries)
    return known > 0 and {entry.key for entry in entries} != {str(place) for place in range(len(entries))}


def _number(path: Path, entry: _Entry) -> int:
    if entry.key is None or not entry.key.isdecimal():
        raise DataError(
            f"{path}, {entry.where}: neither an id of the benchmark nor a position", "mend that key"
        )
    return int(entry.key)


def _whole_statements(path: Path, lines: list[_Entry]) -> tuple[FileForm, list[_Entry]]:
    """Lines that are not as many as the questions, read as parts of statements where that is what they are.

    They are where every part up to a ; at a line's end begins as a statement does, once. DataError where they
    are not, and most lines begin none.
    """
    filled = [entry for entry in lines if entry.sql and not entry.sql.startswith("--")]
    bare = [entry for entry in filled if not _BEGINS.match(entry.sql or "")]
    if not bare:
        return "plain", lines
    parts: list[list[_Entry]] = [[]]
    for entry in filled:
        parts[-1].append(entry)
        text = "\n".join(part.sql or "" for part in parts[-1])
        if text.endswith(";") and text.count("'") % 2 == 0:
            parts.append([])
    parts = [part for part in parts if part]
    if any(len(part) > 1 for part in parts) and all(map(_is_one_statement, parts)):
        return "statements", [
            _Entry(part[0].where, place, None, _joined(part), None) for place, part in enumerate(parts)
        ]
    if 2 * len(bare) > len(filled):
        raise DataError(
            f"{path}, {bare[0].where}: {bare[0].sql!r} begins no statement, as {len(bare)} lines do not",
            "give each question one line, or end each statement with a ; at the end of a line",
        )
    return "plain", lines


def _joined(part: list[_Entry]) -> str | None:
    return "\n".join(entry.sql or "" for entry in part).strip().rstrip(";").strip() or None


def _is_one_statement(part: list[_Entry]) -> bool:
    """Whether lines are one statement, or a lone ``;``: a second begins only where a line goes on."""
    texts = [entry.sql or "" for entry in part]
    if texts == [";"]:
        return True
    if not _BEGINS.match(texts[0]):
        return False
    if texts[0].lower().startswith("with"):
        return True
    starts = (before for before, text in pairwise(texts) if _BEGINS.match(text))
    return all(_GOES_ON.search(before) for before in starts)


def _split_spider(entries: list[_Entry], databases: set[str]) -> tuple[FileForm, list[_Entry]]:
    split: list[_Entry] = []
    form: FileForm = "plain"
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
    return not _sql(entry) and not (entry.completion or "").strip() and entry.sketch is None


def _sql(entry: _Entry) -> str | None:
    return entry.sql if entry.sql and entry.sql.strip() else None


def _prediction(example: Example, entry: _Entry | None, pair: str) -> Prediction:
    if entry is None:
        return Prediction(id=example.id, pair=pair, sql=None)
    if entry.sketch is not None:
        from harness.benchmarks.wikisql import sketch_to_sql

        sql = sketch_to_sql(entry.sketch, example)
        return Prediction(id=example.id, pair=pair, sql=sql, completion=entry.completion)
    if entry.completion is None:
        return Prediction(id=example.id, pair=pair, sql=_sql(entry))
    from harness.models.extract import extract_sql

    extracted = extract_sql(entry.completion)
    sql = _sql(entry) or extracted.sql
    return Prediction(id=example.id, pair=pair, sql=sql, completion=entry.completion, clean=extracted.clean)
