"""WikiSQL's two official metrics: logical form and execution.

Both compare sketches, WikiSQL's form of a query: one column, an aggregate or none, conditions joined by AND.
Follows ``evaluate.py`` and ``lib/`` of https://github.com/salesforce/WikiSQL (Zhong et al. 2017), written
anew from their behaviour. What surprises in execution, and is kept:

* Two conditions on one column share a bind name: the later value stands in both.
* Strings are lower-cased, as they are in the release's databases.
* In a column of type ``real`` a string becomes a number: commas are dropped, and what is then no
  number is searched for its first digits. So "12 km" is 12, "-12 km" is 12 as well (a sign counts
  before a decimal point only), "1,234 people" is 1, and a string without digits is an error.
* Results are compared in order, as lists.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from harness.benchmarks.sketch import AGGREGATES, OPERATORS, Sketch, SketchValue
from harness.errors import BenchmarkError, SchemaError
from harness.records import Benchmark, Example
from harness.scoring.official.scorer import RIGHT, Options, Score, Scorer
from harness.scoring.official.sketch_reader import read_sketch
from harness.sql.dialect import quote
from harness.sql.schema import parse_schema

SOURCE = "https://github.com/salesforce/WikiSQL (evaluate.py, lib/dbengine.py, lib/query.py)"

_DIGITS = re.compile(r"[+-]?\d*\.\d+|\d+")
_UNREAD = Score(0.0, "no sketch: one known column, one table, conditions = > < joined by AND")
_UNREAD_GOLD = Score(0.0, f"the gold is {_UNREAD.note}")


def number(text: str) -> float:
    """A string as the release's engine reads it in a numeric column. Raises ValueError.

    >>> number("1,234.5"), number("1,234 km"), number("-3 km"), number("-3.5 km")
    (1234.5, 1.0, 3.0, -3.5)
    """
    try:
        return float(Decimal(text.replace(",", "")))
    except InvalidOperation:
        found = _DIGITS.search(text)
    if found is None:
        raise ValueError(f"{text!r} has no digits")
    return float(found[0])


class ReleaseEngine:
    """Runs sketches on a release's database (tables ``table_<id>``, columns ``col0`` …), opened read-only."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise BenchmarkError(
                f"{path} is not there", "point --data at the data/ folder of the WikiSQL release"
            )
        self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)

    def run(self, table_id: str, sketch: Sketch) -> list[Any]:
        """The answer, a value a row. Raises ValueError, with the reason, where the engine would stop."""
        table = table_id if table_id.startswith("table") else "table_" + table_id.replace("-", "_")
        try:
            types = {row[1]: row[2] for row in self._connection.execute(f"PRAGMA table_info({quote(table)})")}
            selected = _at(list(types), sketch.sel, "column")
            aggregate = _at(AGGREGATES, sketch.agg, "aggregate")
            bound: dict[str, SketchValue] = {}
            conditions = []
            for place, operator, value in sketch.conds:
                column = _at(list(types), place, "column")
                if isinstance(value, str):
                    value = value.lower()
                    value = number(value) if types[column].lower() == "real" else value
                conditions.append(f"{column} {_at(OPERATORS, operator, 'operator')} :{column}")
                bound[column] = value
            where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            sql = f"SELECT {aggregate}({selected}) FROM {quote(table)}{where}"
            return [row[0] for row in self._connection.execute(sql, bound)]
        except (sqlite3.Error, OverflowError) as error:
            raise ValueError(str(error)) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class LogicalForm(Scorer):
    """Same column and aggregate, and the same conditions: as a set, or with ``ordered`` in their order."""

    name = "wikisql_logical_form"
    source = SOURCE

    def _explain(self, example: Example, sql: str) -> Score:
        gold, sketch = _sketches(example, sql)
        if gold is None:
            return _UNREAD_GOLD
        if sketch is None:
            return _UNREAD
        if gold.sel != sketch.sel:
            return Score(0.0, "another column")
        if gold.agg != sketch.agg:
            return Score(0.0, "another aggregate")
        wanted, found = ([(c, op, str(v).lower()) for c, op, v in s.conds] for s in (gold, sketch))
        same = wanted == found if self.options.ordered else set(wanted) == set(found)
        return RIGHT if same else Score(0.0, "other conditions")


class Execution(Scorer):
    """Same answer on the release's tables, row by row. Examples that do not name their table do not count."""

    name = "wikisql_execution"
    source = SOURCE

    def __init__(self, benchmark: Benchmark, options: Options) -> None:
        super().__init__(benchmark, options)
        self._engines: dict[Path, ReleaseEngine] = {}
        self._tables = {e.id: str(e.meta["table_id"]) for e in benchmark.examples if e.meta.get("table_id")}
        if not self._tables:
            raise BenchmarkError("no example has a table_id", "take the official form: --benchmark wikisql")
        for example in benchmark.examples:
            self._database(example)

    def scores(self, example: Example) -> bool:
        """Whether an example names its table."""
        return example.id in self._tables

    def remark(self) -> str:
        """What belongs beside the figure: examples without a table."""
        total = len(self.benchmark.examples)
        lacking = total - len(self._tables)
        return f"{lacking} of {total} examples have no table_id and do not count" if lacking else ""

    def faithful(self) -> bool:
        """True: examples without a table do not count."""
        return True

    def _explain(self, example: Example, sql: str) -> Score:
        path = self._database(example)
        if path not in self._engines:
            self._engines[path] = ReleaseEngine(path)
            self.held.callback(self._engines[path].close)
        engine, table = self._engines[path], self._tables[example.id]
        gold, sketch = _sketches(example, sql)
        if gold is None:
            return _UNREAD_GOLD
        try:
            wanted = engine.run(table, gold)
        except ValueError as error:
            return Score(0.0, f"the gold does not run: {error}")
        if sketch is None:
            return _UNREAD
        try:
            found = engine.run(table, sketch)
        except ValueError as error:
            return Score(0.0, f"does not run: {error}")
        return RIGHT if found == wanted else Score(0.0, "another answer")

    def _database(self, example: Example) -> Path:
        folder, split = self.benchmark.folder, self.benchmark.split
        for path in (self.options.databases, folder and folder / f"{split}.db"):
            if path is not None and path.is_file():
                return path
        if example.database is None:
            raise BenchmarkError(
                f"the release's {split}.db is not there",
                "point --data at the data/ folder of the WikiSQL release (salesforce/WikiSQL's data.tar.bz2)",
            )
        return example.database


def _sketches(example: Example, sql: str) -> tuple[Sketch | None, Sketch | None]:
    """Gold and prediction; the gold as released where the example carries it, else read from its SQL."""
    names = _columns(example)
    try:
        gold = Sketch.of(example.meta["sketch"])
    except (KeyError, TypeError, ValueError):  # data of one's own may say anything there
        gold = None
    return gold or read_sketch(example.gold, names), read_sketch(sql, names)


def _columns(example: Example) -> tuple[str, ...]:
    for name in ("columns", "header"):
        told = example.meta.get(name)
        if isinstance(told, list) and told and all(isinstance(column, str) for column in told):
            return tuple(told)
    try:
        return tuple(column.name for column in parse_schema(example.context).tables[0].columns)
    except (SchemaError, IndexError):
        return ()


def _at(values: Sequence[str], place: int, what: str) -> str:
    if not 0 <= place < len(values):
        raise ValueError(f"no {what} {place}")
    return values[place]
