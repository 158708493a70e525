"""Files: assets and caches; text, JSON, YAML and rows of data read, whole files or none written.

Rows come from JSONL, JSON, CSV or Parquet, all but the last also as .gz. Whatever is wrong is one line that
names the file and, where there is one, the line.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError, HarnessError, RunError

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
_ENDINGS = (*FORMATS, ".ndjson", ".txt", ".sql")
_PACKAGE = Path(__file__).resolve().parent
_LONE = re.compile("[\ud800-\udfff]")


class DataRow(NamedTuple):
    """One row of a file, and where it stands there: "line 3" or "item 3", counted from 1."""

    where: str
    values: Mapping[str, Any]


def asset(*parts: str) -> Path:
    """Path of an asset such as ``asset("benchmarks", "starter.yaml")``; it may not exist.

    Looked for in the installed wheel (``harness/_assets``) first, then at the repository's root.
    """
    installed = _PACKAGE.joinpath("_assets", *parts)
    return installed if installed.exists() else _PACKAGE.parent.joinpath(*parts)


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again, under ``XDG_CACHE_HOME``; not created."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root, "sql-harness", *parts)


def stem(path: Path) -> str:
    """The file's name without the endings that say its form: ``Qwen2.5-3B.jsonl.gz`` is ``Qwen2.5-3B``.

    >>> stem(Path("runs/Qwen2.5-3B.jsonl.gz")), stem(Path("gpt3.5")), stem(Path(".csv"))
    ('Qwen2.5-3B', 'gpt3.5', '.csv')
    """
    name = path.name
    for ending in (".gz", *_ENDINGS):
        name = name[: -len(ending)] if name.lower().endswith(ending) and name.lower() != ending else name
    return name


def suffix(path: Path) -> str:
    """The suffix that says what a file holds: that of ``p.jsonl.gz`` is ``.jsonl``, "" where it has none."""
    return next((suffix.lower() for suffix in reversed(path.suffixes) if suffix != ".gz"), "")


def read_text(path: Path, *, error: type[HarnessError] = DataError, what: str = "") -> str:
    """The text of a file, unpacked where it ends in .gz.

    Raises ``error`` where it cannot be read or is not UTF-8; ``what`` is the noun before its name there.
    """
    name = f"{what} {path}".lstrip()
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        if path.is_symlink():
            raise error(f"{name}: a link to {path.readlink()}, which is not there", "mend the link") from None
        raise error(f"{name}: no such file", "check the path") from None
    except UnicodeDecodeError as failure:
        line = data[: failure.start].count(b"\n") + 1
        raise error(f"{name}, line {line}: not UTF-8", "save the file as UTF-8") from None
    except (OSError, EOFError, zlib.error) as failure:
        raise error(f"{name}: cannot be read ({failure})", "check the file") from None


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


def read_json(path: Path, *, error: type[HarnessError] = DataError, what: str = "") -> Any:
    """What a JSON file holds. Raises ``error`` where it cannot be read or is none."""
    try:
        return parse_json(read_text(path, error=error, what=what))
    except ValueError as failure:
        raise error(f"{what} {path}: not JSON ({failure})".lstrip(), "mend the file") from None


def read_object(path: Path, *, error: type[HarnessError] = DataError, what: str = "") -> dict[str, Any]:
    """The object that a JSON file holds. Raises ``error`` where it cannot be read or is none."""
    value = read_json(path, error=error, what=what)
    if not isinstance(value, dict):
        raise error(f"{what} {path} holds no JSON object".lstrip(), "mend the file, or save it again")
    return value


def read_yaml(path: Path, *, error: type[HarnessError] = DataError, what: str = "") -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises ``error`` where it cannot be read or is none."""
    import yaml

    name = f"{what} {path}".lstrip()
    text = read_text(path, error=error, what=what)
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as failure:
        mark = getattr(failure, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        told = getattr(failure, "problem", None) or failure
        raise error(f"{name}{line}: not YAML ({told})", "mend that line") from None
    if not isinstance(content, dict):
        raise error(f"{name}: no mapping of keys", "write it as lines of 'key: value'")
    return {str(key): value for key, value in content.items()}


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


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all, with its folder; what cannot be encoded is written as ``?``.

    Raises:
        RunError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, "utf-8", "replace")
        draft.replace(path)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror})", "free space there, or choose another path"
        ) from None
    return path


def write_json(path: Path, value: object) -> Path:
    """Write JSON whole or not at all; raises as ``write_text`` does."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
