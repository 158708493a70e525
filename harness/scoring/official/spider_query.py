"""Spider's reading of a query: its words, its parts, and everything that its reader refuses.

Exact set match does not compare SQL but what the official evaluator's own small parser makes of it, so
a query scores by what that parser sees. This module reads the same language, written anew from the
behaviour of ``process_sql.py`` (https://github.com/taoyds/test-suite-sql-eval, and its older form in
https://github.com/taoyds/spider). What it makes of SQL, and what surprises:

* Both quotes are one quote; a string must stand apart from its neighbours; words are those of NLTK's
  tokenizer (``a=1`` is one word, ``in (1,2)`` reads ``1,2`` as one word), all in lower case.
* An alias is a name before and after AS. It holds in the whole query, and the last one wins; one that
  bears a table's name is refused, and so is AS after a column.
* FROM knows tables, subqueries, JOIN and ON: no comma, no LEFT JOIN, no alias of a subquery.
* A column without a table belongs to the first table of its own FROM that has it.
* Refused: IS NULL, EXISTS, lists of several values, arithmetic on aggregates, CASE, functions.
* What follows the part that could be read (OFFSET, a second statement) is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

COMPOUNDS = frozenset({"intersect", "union", "except"})
_CLAUSES = COMPOUNDS | {"select", "from", "where", "group", "order", "limit"}
_JOINS = frozenset({"join", "on", "as"})
_AGGREGATES = frozenset({"none", "max", "min", "count", "sum", "avg"})
_ARITHMETIC = frozenset({"none", "-", "+", "*", "/"})
_OPERATORS = frozenset(["not", "between", "=", ">", "<", ">=", "<=", "!=", "in", "like", "is", "exists"])
_END = frozenset({")", ";"})

_SINGLE = r"\[\]()<>{};@#$%&?!*«»“”„‘’‒-―"  # characters that are a word each
_WORD = re.compile(rf"`+|\.{{2,}}|--|[{_SINGLE}]|[:,](?!\d)|(?:(?!--|\.\.|[:,](?!\d))[^\s`{_SINGLE}])+")
_LAST_PERIOD = re.compile(r"(?<=[^.])\.(?=[\])}>»”’\s]*$)")
_MARK = "\ue000"  # stands around a string's number while words are looked for


class Unreadable(Exception):
    """The official parser stops at this query; the message says at what."""


class OfficialColumn(NamedTuple):
    """A column, "table.column" in lower case or "*", under an aggregate ("none" for none of them)."""

    aggregate: str
    name: str
    distinct: bool | None


class OfficialExpression(NamedTuple):
    """A column, or two of them with an arithmetic operator between ("none" where there is one)."""

    operator: str
    left: OfficialColumn
    right: OfficialColumn | None


class OfficialCondition(NamedTuple):
    """``left operator first``, or ``left between first and second``."""

    negated: bool
    operator: str
    left: OfficialExpression
    first: OfficialValue
    second: OfficialValue


class OfficialConditions(NamedTuple):
    """Conditions and the "and" and "or" between them; where one is missing, a condition stands there."""

    units: tuple[OfficialCondition, ...] = ()
    connectors: tuple[OfficialCondition | str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfficialQuery:
    """A query as the official evaluator holds it.

    ``direction`` is that of the last sort key, "" without ORDER BY. ``compound`` is the set operation that
    follows, and its query.
    """

    distinct: bool | None
    select: tuple[tuple[str, OfficialExpression], ...]
    tables: tuple[str | OfficialQuery, ...]
    on: OfficialConditions
    where: OfficialConditions
    group: tuple[OfficialColumn, ...]
    having: OfficialConditions
    direction: str
    order: tuple[OfficialExpression, ...]
    limit: int | None
    compound: tuple[str, OfficialQuery] | None


OfficialValue = OfficialQuery | OfficialColumn | float | str | None


class OfficialSchema(NamedTuple):
    """``columns`` of each table, and for each column of a foreign key the one that stands for its group."""

    columns: Mapping[str, frozenset[str]]
    keys: Mapping[str, str]


def schema_of(entry: Mapping[str, Any]) -> OfficialSchema:
    """Schema from a database's entry in Spider's ``tables.json``.

    Groups of foreign keys grow as in the official evaluator: a pair joins the first group that knows
    either column (two groups never become one), the lowest column stands for it, a later group wins.
    """
    tables = [name.lower() for name in entry["table_names_original"]]
    names = [f"{tables[t]}.{c.lower()}" if t >= 0 else "*" for t, c in entry["column_names_original"]]
    columns: dict[str, set[str]] = {table: set() for table in tables}
    for table, column in entry["column_names_original"]:
        if table >= 0:
            columns[tables[table]].add(column.lower())
    groups: list[set[int]] = []
    for pair in entry["foreign_keys"]:
        group = next((g for g in groups if not g.isdisjoint(pair)), None)
        if group is None:
            groups.append(set(pair))
        else:
            group.update(pair)
    keys = {names[member]: names[min(group)] for group in groups for member in group}
    return OfficialSchema({table: frozenset(found) for table, found in columns.items()}, keys)


def words(sql: str) -> list[str]:
    """The words of a query, strings kept whole between double quotes.

    >>> words("SELECT a,b FROM t WHERE c >= 'X y'")
    ['select', 'a', ',', 'b', 'from', 't', 'where', 'c', '>=', '"X y"']
    """
    parts = sql.replace("'", '"').split('"')
    if len(parts) % 2 == 0:
        raise Unreadable("a quote that is not closed")
    strings = {f"{_MARK}{i}{_MARK}": f'"{text}"' for i, text in enumerate(parts) if i % 2}
    text = "".join(f"{_MARK}{i}{_MARK}" if i % 2 else part for i, part in enumerate(parts))
    found: list[str] = []
    for word in _WORD.findall(_LAST_PERIOD.sub(" . ", text)):
        if word == "=" and found and found[-1] in ("!", ">", "<"):
            found[-1] += "="
        else:
            found.append(strings.get(word, word.lower()))
    return found


def parse(sql: str, schema: OfficialSchema, *, any_limit: bool = True) -> OfficialQuery:
    """The query that the official parser reads out of ``sql``.

    ``any_limit`` takes whatever follows LIMIT for 1, as the evaluator of the test suites does; without
    it that must be a whole number. Raises Unreadable.
    """
    found = words(sql)
    names: dict[str, str] = {}
    for i, word in enumerate(found):
        if word == "as":
            if i + 1 == len(found):
                raise Unreadable("AS at the end")
            names[found[i + 1]] = found[i - 1]
    for table in schema.columns:
        if table in names:
            raise Unreadable(f"alias {table} is the name of a table")
    names.update((table, table) for table in schema.columns)
    try:
        return _WordReader(found, names, schema, any_limit).query()
    except RecursionError:
        raise Unreadable("nested too deep") from None


class _WordReader:
    """Reads words from left to right; ``at`` is the next one. Scope is the tables of the FROM in force."""

    def __init__(
        self, found: Sequence[str], names: Mapping[str, str], schema: OfficialSchema, any_limit: bool
    ) -> None:
        self.words = found
        self.at = 0
        self.names = names
        self.schema = schema
        self.any_limit = any_limit

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self) -> str:
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else ""

    def skip(self, word: str) -> bool:
        """Whether that word stands here; if so it is passed."""
        here = self.peek() == word
        self.at += here
        return here

    def expect(self, word: str) -> None:
        if not self.skip(word):
            raise Unreadable(f"{word!r} expected, found {self.peek()!r}")

    def query(self) -> OfficialQuery:
        block = self.skip("(")
        start = self.at
        tables, on, scope = self.sources()
        end, self.at = self.at, start
        distinct, select = self.selection(scope)
        self.at = end
        where = _paired(self.conditions(scope) if self.skip("where") else [])
        group = self.grouping(scope)
        having = _paired(self.conditions(scope) if self.skip("having") else [])
        direction, order = self.ordering(scope)
        limit = self.limit()
        self.semicolons()
        if block:
            self.expect(")")
            self.semicolons()
        compound = None
        if self.peek() in COMPOUNDS:
            compound = (self.take(), self.query())
        return OfficialQuery(
            distinct, select, tables, on, where, group, having, direction, order, limit, compound
        )

    def semicolons(self) -> None:
        while self.skip(";"):
            pass

    def sources(self) -> tuple[tuple[str | OfficialQuery, ...], OfficialConditions, tuple[str, ...]]:
        """FROM: tables, conditions of ON, and the scope; looked for from here on, wherever it stands."""
        try:
            self.at = self.words.index("from", self.at) + 1
        except ValueError:
            raise Unreadable("no FROM") from None
        tables: list[str | OfficialQuery] = []
        scope: list[str] = []
        on: list[OfficialCondition | str] = []
        while self.at < len(self.words):
            block = self.skip("(")
            if self.peek() == "select":
                tables.append(self.query())
            else:
                self.skip("join")
                tables.append(self.table(scope))
            if self.skip("on"):
                on += [*(["and"] if on else []), *self.conditions(tuple(scope))]
            if block:
                self.expect(")")
            if self.peek() in _CLAUSES | _END:
                break
        return tuple(tables), _paired(on), tuple(scope)

    def table(self, scope: list[str]) -> str:
        word = self.take()
        name = self.names.get(word)
        if name is None or name not in self.schema.columns:
            raise Unreadable(f"unknown table {word!r}")
        if self.peek() == "as":
            self.at += 2
        scope.append(name)
        return name

    def selection(self, scope: tuple[str, ...]) -> tuple[bool, tuple[tuple[str, OfficialExpression], ...]]:
        self.expect("select")
        distinct = self.skip("distinct")
        items: list[tuple[str, OfficialExpression]] = []
        while self.at < len(self.words) and self.peek() not in _CLAUSES:
            aggregate = self.take() if self.peek() in _AGGREGATES else "none"
            items.append((aggregate, self.expression(scope)))
            self.skip(",")
        return distinct, tuple(items)

    def expression(self, scope: tuple[str, ...]) -> OfficialExpression:
        block = self.skip("(")
        left = self.column(scope)
        operator, right = "none", None
        if self.peek() in _ARITHMETIC:
            operator, right = self.take(), self.column(scope)
        if block:
            self.expect(")")
        return OfficialExpression(operator, left, right)

    def column(self, scope: tuple[str, ...]) -> OfficialColumn:
        block = self.skip("(")
        if self.peek() in _AGGREGATES:
            aggregate = self.take()
            self.expect("(")
            distinct = self.skip("distinct")
            name = self.name(scope)
            self.expect(")")
            return OfficialColumn(aggregate, name, distinct)  # a parenthesis before the aggregate stays open
        distinct = self.skip("distinct")
        name = self.name(scope)
        if block:
            self.expect(")")
        return OfficialColumn("none", name, distinct)

    def name(self, scope: tuple[str, ...]) -> str:
        word = self.take()
        if word == "*":
            return word
        if "." in word:
            qualifier, _, column = word.partition(".")
            scope, word = (self.names.get(qualifier, ""),), column
        for table in scope:
            if word in self.schema.columns.get(table, ()):
                return f"{table}.{word}"
        raise Unreadable(f"unknown column {word!r}" if word else "the query ends where a column is expected")

    def conditions(self, scope: tuple[str, ...]) -> list[OfficialCondition | str]:
        found: list[OfficialCondition | str] = []
        while self.at < len(self.words):
            left = self.expression(scope)
            negated = self.skip("not")
            operator = self.take()
            if operator not in _OPERATORS:
                raise Unreadable(f"{operator!r} where an operator is expected")
            first, second = self.value(scope), None
            if operator == "between":
                self.expect("and")
                second = self.value(scope)
            found.append(OfficialCondition(negated, operator, left, first, second))
            if self.peek() in _CLAUSES | _END | _JOINS:
                break
            if self.peek() in ("and", "or"):
                found.append(self.take())
        return found

    def value(self, scope: tuple[str, ...]) -> OfficialValue:
        start = self.at
        block = self.skip("(")
        word = self.peek()
        value: OfficialValue
        if word == "select":
            value = self.query()
        elif '"' in word:
            value = word
            self.at += 1
        elif (number := _number(word)) is not None:
            value = number
            self.at += 1
        else:  # a column: what stands behind it up to AND, a comma or a clause is passed over, OR included
            end = self.at
            while end < len(self.words) and self.words[end] not in _CLAUSES | _JOINS | {",", ")", "and"}:
                end += 1
            value = _WordReader(self.words[start:end], self.names, self.schema, self.any_limit).column(scope)
            self.at = end
        if block:
            self.expect(")")
        return value

    def grouping(self, scope: tuple[str, ...]) -> tuple[OfficialColumn, ...]:
        found: list[OfficialColumn] = []
        if self.skip("group"):
            self.expect("by")
            while self.at < len(self.words) and self.peek() not in _CLAUSES | _END:
                found.append(self.column(scope))
                if not self.skip(","):
                    break
        return tuple(found)

    def ordering(self, scope: tuple[str, ...]) -> tuple[str, tuple[OfficialExpression, ...]]:
        if not self.skip("order"):
            return "", ()
        self.expect("by")
        direction = "asc"
        found: list[OfficialExpression] = []
        while self.at < len(self.words) and self.peek() not in _CLAUSES | _END:
            found.append(self.expression(scope))
            if self.peek() in ("asc", "desc"):
                direction = self.take()
            if not self.skip(","):
                break
        return direction, tuple(found)

    def limit(self) -> int | None:
        if not self.skip("limit"):
            return None
        word = self.take()
        if not word:
            raise Unreadable("LIMIT without a number")
        if self.any_limit:
            return 1
        try:
            return int(word)
        except ValueError:
            raise Unreadable(f"LIMIT {word}") from None


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _paired(found: Sequence[OfficialCondition | str]) -> OfficialConditions:
    """What stands at even places and what at odd ones. A connector at an even place stops the evaluator."""
    units = tuple(item for item in found[::2] if isinstance(item, OfficialCondition))
    if len(units) < len(found[::2]):
        raise Unreadable("conditions that are not joined by AND or OR")
    return OfficialConditions(units, tuple(found[1::2]))
