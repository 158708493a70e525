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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.errors import BenchmarkError, SchemaError
from harness.records import Benchmark, Example
from harness.scoring.official.base import RIGHT, Judge, Options, Score, meta, own_names
from harness.sql.dialect import quote

AGGREGATES = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
OPERATORS = ("=", ">", "<")

_FUNCTIONS: dict[type[exp.Expr], int] = {exp.Max: 1, exp.Min: 2, exp.Count: 3, exp.Sum: 4, exp.Avg: 5}
_COMPARISONS: dict[type[exp.Expr], tuple[int, int]] = {exp.EQ: (0, 0), exp.GT: (1, 2), exp.LT: (2, 1)}
_PARTS = frozenset({"expressions", "from_", "where"})
_DIGITS = re.compile(r"[+-]?\d*\.\d+|\d+")
_UNREAD = Score(0.0, "no sketch: one known column, one table, conditions = > < joined by AND")

Value = str | int | float


class Sketch(NamedTuple):
    """``SELECT aggregate(column) WHERE …``, all by number: columns of the header, AGGREGATES, OPERATORS."""

    sel: int
    agg: int
    conds: tuple[tuple[int, int, Value], ...] = ()


def sketch_of(form: Mapping[str, Any]) -> Sketch:
    """Sketch from the release's own form ``{"sel", "agg", "conds"}``."""
    return Sketch(form["sel"], form["agg"], tuple((c, op, value) for c, op, value in form["conds"]))


def sql_to_sketch(sql: str, columns: Sequence[str]) -> Sketch | None:
    """The sketch that a query says, or None where it says none.

    Of WikiSQL's form is one SELECT of one column, bare or in MAX, MIN, COUNT, SUM or AVG, from one
    table whatever its name, with or without conditions ``column = > < value`` joined by AND (value
    first, parentheses, aliases and qualifiers are fine). All else is not: ``COUNT(*)``, DISTINCT,
    OR, >=, LIKE, ORDER BY, a second statement. A column is found by its name in ``columns``
    (case aside), else as ``colN``, else by its letters and digits if only one has these. A
    column compared with a name in double quotes is compared with a string: sketches hold nothing else.

    >>> sql_to_sketch("SELECT COUNT(No) FROM t WHERE 5 < Year AND Team = 'A'", ["No", "Year", "Team"])
    Sketch(sel=0, agg=3, conds=((1, 1, 5), (2, 0, 'A')))
    """
    try:
        statements = [s for s in sqlglot.parse(sql, read="sqlite") if s is not None]
    except (SqlglotError, RecursionError):
        return None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        return None
    query = statements[0]
    source = query.args.get("from_")
    if {part for part, value in query.args.items() if value} - _PARTS or not source:
        return None
    if not isinstance(source.this, exp.Table) or source.this.args.get("joins") or len(query.expressions) != 1:
        return None
    names = _Names(columns)
    item = query.expressions[0].unalias()
    agg = _FUNCTIONS.get(type(item), 0)
    sel = names.find(item.this if agg else item)
    conds: list[tuple[int, int, Value]] = []
    for part in _conjuncts(query.args.get("where")):
        found = names.condition(part)
        if found is None:
            return None
        conds.append(found)
    return None if sel is None else Sketch(sel, agg, tuple(conds))


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


class Engine:
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
            bound: dict[str, Value] = {}
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


@contextmanager
def logical_form(benchmark: Benchmark, options: Options) -> Iterator[Judge]:
    """Same column and aggregate, and the same conditions: as a set, or with ``ordered`` in their order."""
    yield lambda example, sql: _logical_form(example, sql, options)


@contextmanager
def execution(benchmark: Benchmark, options: Options) -> Iterator[Judge]:
    """Same answer on the release's tables, row by row."""
    engines: dict[Path, Engine] = {}

    def judge(example: Example, sql: str) -> Score:
        path = _database(benchmark, example, options)
        engine = engines.get(path) or engines.setdefault(path, Engine(path))
        table_id = meta(example, "table_id", "wikisql_execution needs the official form: --benchmark wikisql")
        return _execution(engine, table_id, example, sql)

    try:
        yield judge
    finally:
        for engine in engines.values():
            engine.close()


def remark(benchmark: Benchmark, options: Options) -> str:
    """Why answers cannot be had: no database, or examples that do not name their table; "" where they can."""
    try:
        for example in benchmark.examples:
            _database(benchmark, example, options)
            meta(example, "table_id", "")
    except BenchmarkError as error:
        return error.problem
    return ""


def _logical_form(example: Example, sql: str, options: Options) -> Score:
    gold, sketch = _sketches(example, sql)
    if gold is None:
        return Score(0.0, "the gold is " + _UNREAD.note)
    if sketch is None:
        return _UNREAD
    for name in ("sel", "agg"):
        if getattr(gold, name) != getattr(sketch, name):
            return Score(0.0, {"sel": "another column", "agg": "another aggregate"}[name])
    wanted, found = ([(c, op, str(v).lower()) for c, op, v in s.conds] for s in (gold, sketch))
    same = wanted == found if options.ordered else set(wanted) == set(found)
    return RIGHT if same else Score(0.0, "other conditions")


def _execution(engine: Engine, table_id: str, example: Example, sql: str) -> Score:
    gold, sketch = _sketches(example, sql)
    if gold is None:
        return Score(0.0, "the gold is " + _UNREAD.note)
    try:
        wanted = engine.run(table_id, gold)
    except ValueError as error:
        return Score(0.0, f"the gold does not run: {error}")
    if sketch is None:
        return _UNREAD
    try:
        found = engine.run(table_id, sketch)
    except ValueError as error:
        return Score(0.0, f"does not run: {error}")
    return RIGHT if found == wanted else Score(0.0, "another answer")


def _sketches(example: Example, sql: str) -> tuple[Sketch | None, Sketch | None]:
    """Gold and prediction; the gold as released where the example carries it, else read from its SQL."""
    columns: Sequence[str] | None = example.meta.get("columns") or example.meta.get("header")
    if columns is None:
        try:
            columns = next(iter(own_names(example).values()))
        except SchemaError:
            columns = ()
    released = example.meta.get("sketch")
    gold = sketch_of(released) if released else sql_to_sketch(example.gold, columns)
    return gold, sql_to_sketch(sql, columns)


def _database(benchmark: Benchmark, example: Example, options: Options) -> Path:
    for path in (options.databases, benchmark.folder and benchmark.folder / f"{benchmark.split}.db"):
        if path is not None and path.is_file():
            return path
    if example.database is None:
        raise BenchmarkError(
            f"the release's {benchmark.split}.db is not there",
            "point --data at the data/ folder of the WikiSQL release (data.tar.bz2 of salesforce/WikiSQL)",
        )
    return example.database


def _at(values: Sequence[str], place: int, what: str) -> str:
    if not 0 <= place < len(values):
        raise ValueError(f"no {what} {place}")
    return values[place]


def _conjuncts(where: exp.Expr | None) -> Iterator[exp.Expr]:
    """The conditions joined by AND, from left to right."""
    waiting = [where.this] if where is not None else []
    while waiting:
        part = waiting.pop().unnest()
        if isinstance(part, exp.And):
            waiting += [part.right, part.left]
        else:
            yield part


class _Names:
    """Numbers of columns by the names that a query may use for them."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._exact: dict[str, int] = {}
        loose: dict[str, list[int]] = {}
        for i, name in enumerate(columns):
            self._exact.setdefault(name.lower(), i)
            loose.setdefault(_letters(name), []).append(i)
        for i in range(len(columns)):
            self._exact.setdefault(f"col{i}", i)
        self._loose = {
            letters: places[0] for letters, places in loose.items() if letters and len(places) == 1
        }

    def find(self, node: exp.Expr | None) -> int | None:
        """The column that an expression names."""
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return None
        return self._exact.get(node.name.lower(), self._loose.get(_letters(node.name)))

    def condition(self, node: exp.Expr) -> tuple[int, int, Value] | None:
        """A comparison of a column with a value, whichever stands first."""
        operators = _COMPARISONS.get(type(node))
        if operators is None:
            return None
        for operator, left, right in zip(
            operators, (node.this, node.expression), (node.expression, node.this), strict=True
        ):
            column, value = self.find(left), self._value(right)
            if column is not None and value is not None:
                return column, operator, value
        return None

    def _value(self, node: exp.Expr) -> Value | None:
        if isinstance(node, exp.Column) and node.this.args.get("quoted"):
            return node.name
        negative = isinstance(node, exp.Neg)
        literal = node.this if negative else node
        if not isinstance(literal, exp.Literal):
            return None
        if literal.is_string:
            return None if negative else literal.name
        value = _numeral(literal.name)
        return -value if negative and value is not None else value


def _numeral(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
