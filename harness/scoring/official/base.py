"""What the official scorers have in common: their options, a score with its reason, and how one is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import BenchmarkError
from harness.records import Benchmark, Example


class Score(NamedTuple):
    """What a scorer gives one prediction, 0 to 1, and why it is not 1 ("" where it is)."""

    value: float
    note: str = ""


RIGHT = Score(1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the official evaluators; the defaults are theirs.

    tables: Spider's tables.json (plain or .gz) or a folder that holds one; else looked for in the benchmark's
        folder. databases: the folder of DB/DB.sqlite, or WikiSQL's .db file, in place of the benchmark's own.
    edition: "test-suite" is the evaluator in force (any LIMIT is read, the placeholder ``value`` of a
        prediction is 1), "spider" the one of 2018 (LIMIT must be a number).
    keep_distinct: DISTINCT counts in spider_execution; else it is stripped from both queries.
    plug_values: the gold's values are tried in the prediction's places, spider_execution.
    ordered: WikiSQL's conditions count in their order.
    timeout: seconds for one query on one database; for BIRD, for gold and prediction together.
    """

    tables: Path | None = None
    databases: Path | None = None
    edition: Literal["test-suite", "spider"] = "test-suite"
    keep_distinct: bool = False
    plug_values: bool = False
    ordered: bool = False
    timeout: float = 30.0


Judge = Callable[[Example, str], Score]


class Scorer(NamedTuple):
    """An official metric: its name, the published evaluator that it follows, and how to open it.

    ``open`` prepares a benchmark (schemas read, databases found) and gives the function that scores one
    example's prediction; it raises BenchmarkError where what it needs is not there. ``remark`` is the
    line that belongs beside the figure, "" where all is as published; ``levels`` the official
    difficulty of the examples that have one, by id.
    """

    name: str
    source: str
    open: Callable[[Benchmark, Options], AbstractContextManager[Judge]]
    remark: Callable[[Benchmark, Options], str] = lambda benchmark, options: ""
    levels: Callable[[Benchmark, Options], dict[str, str]] = lambda benchmark, options: {}


def read_json(path: Path) -> Any:
    """The content of a JSON file, plain or .gz. Raises BenchmarkError, naming the file."""
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, ValueError, EOFError) as error:
        raise BenchmarkError(
            f"{path} cannot be read: {error}", "download the benchmark's files again"
        ) from error


def meta(example: Example, key: str, remedy: str) -> Any:
    """A value of ``Example.meta`` that a scorer cannot do without."""
    value = example.meta.get(key)
    if value is None:
        raise BenchmarkError(f"example {example.id} has no {key}", remedy)
    return value


def own_names(example: Example) -> Mapping[str, tuple[str, ...]]:
    """Tables of the example's context with their columns, in order and as they are written."""
    from harness.sql.schema import parse_schema

    return {t.name: tuple(c.name for c in t.columns) for t in parse_schema(example.context).tables}
