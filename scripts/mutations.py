"""Near misses of a gold and an adversary, both written apart from the harness's, to test its suites with.

``near_misses`` edits the parsed query; ``Adversary`` searches many small databases, filled with the constants
of both queries and their neighbours, for one on which the two differ although all keys are sound.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import sqlglot
from sqlglot import exp

from harness.databases import Result, Sandbox, Suite, same
from harness.databases.answers import Expected
from harness.databases.fairness import Fairness
from harness.databases.keys import keys_of
from harness.sql import Schema
from harness.sql.profile_reader import profile_of
from harness.sql.schema import Ref
from harness.sql.statement import statement

Mutation = Callable[[Any, Schema], Iterator[Any]]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    """Enter a mutation under its function's name."""
    MUTATIONS[function.__name__] = function
    return function


def near_misses(sql: str, schema: Schema, *, each: int = 3, seed: str = "") -> Iterator[tuple[str, str]]:
    """At most ``each`` near misses of every mutation, as (name, SQL); some may not run or be equivalent."""
    tree = sqlglot.parse_one(sql, read="sqlite")
    seen = {tree.sql("sqlite")}
    for name, function in MUTATIONS.items():
        texts = list(dict.fromkeys(t.sql("sqlite") for t in function(tree, schema)))
        texts = [t for t in texts if t not in seen]
        random.Random(f"{seed}/{name}/{sql}").shuffle(texts)
        seen.update(texts[:each])
        yield from ((name, text) for text in texts[:each])


def _swapped(tree: Any, node: Any, new: Any) -> Any:
    """A copy of the tree with one node replaced (None: the tree's copy where ``new`` did it in place)."""
    path: list[tuple[str, int | None]] = []
    while node.parent is not None and node is not tree:
        path.append((node.arg_key, node.index))
        node = node.parent
    copy = place = tree.copy()
    for key, index in reversed(path):
        place = place.args[key] if index is None else place.args[key][index]
    place.replace(new)
    return copy


def _edited(tree: Any, select: Any, change: Callable[[Any], None]) -> Any:
    copy = select.copy()
    change(copy)
    return copy if select is tree else _swapped(tree, select, copy)


def _neighbours(column: Any, schema: Schema) -> Iterator[str]:
    select = column.find_ancestor(exp.Select)
    clauses = [select.args.get("from_"), *(select.args.get("joins") or ())] if select else []
    for source in (c.this for c in clauses if c is not None):
        table = schema.table(source.name) if isinstance(source, exp.Table) else None
        named = not column.table or column.table.lower() == source.alias_or_name.lower()
        if table and named and table.column(column.name) is not None:
            yield from (c.name for c in table.columns if c.name.lower() != column.name.lower())


@mutation
def aggregate(tree: Any, schema: Schema) -> Iterator[Any]:
    kinds = (exp.Min, exp.Max, exp.Sum, exp.Avg, exp.Count)
    for node in tree.find_all(*kinds):
        if not isinstance(node.this, exp.Star):
            yield from (_swapped(tree, node, k(this=node.this.copy())) for k in kinds if type(node) is not k)
            yield _swapped(tree, node, node.this.copy())
    for select in tree.find_all(exp.Select):
        for item in select.expressions:
            if isinstance(item, exp.Column) and not isinstance(item.this, exp.Star):
                yield from (_swapped(tree, item, k(this=item.copy())) for k in kinds)


@mutation
def operator(tree: Any, schema: Schema) -> Iterator[Any]:
    kinds = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
    for node in tree.find_all(*kinds):
        if isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column):
            continue
        for kind in kinds:
            if kind is not type(node):
                yield _swapped(tree, node, kind(this=node.this.copy(), expression=node.expression.copy()))


@mutation
def literal(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.Literal):
        if node.is_string:
            text = str(node.this)
            for other in (text + "s", text[:-1], text + " ", text.split(" ")[0], f"x{text}"):
                yield _swapped(tree, node, exp.Literal.string(other))
        elif "." in node.name:
            yield from (_swapped(tree, node, exp.Literal.number(float(node.name) + d)) for d in (-0.5, 0.5))
        elif node.name.isdigit():
            yield from (
                _swapped(tree, node, exp.Literal.number(n))
                for d in (-1, 1, 10)
                if (n := int(node.name) + d) >= 0
            )


@mutation
def column(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.Column):
        if isinstance(node.this, exp.Star):
            continue
        for name in _neighbours(node, schema):
            yield _swapped(tree, node, exp.column(name, node.table or None, quoted=True))


@mutation
def condition_dropped(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.And, exp.Or):
        yield _swapped(tree, node, node.this.copy())
        yield _swapped(tree, node, node.expression.copy())
    for select in tree.find_all(exp.Select):
        for key in ("where", "having"):
            if select.args.get(key):
                yield _edited(tree, select, lambda s, key=key: s.set(key, None))  # type: ignore[misc]


@mutation
def and_or(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.And, exp.Or):
        kind = exp.Or if isinstance(node, exp.And) else exp.And
        yield _swapped(tree, node, exp.paren(kind(this=node.this.copy(), expression=node.expression.copy())))


@mutation
def distinct(tree: Any, schema: Schema) -> Iterator[Any]:
    for select in tree.find_all(exp.Select):
        flag = None if select.args.get("distinct") else exp.Distinct()
        yield _edited(tree, select, lambda s, flag=flag: s.set("distinct", flag))  # type: ignore[misc]
    for node in tree.find_all(exp.Count):
        if isinstance(node.this, exp.Distinct):
            yield _swapped(tree, node, exp.Count(this=node.this.expressions[0].copy()))
        elif isinstance(node.this, exp.Column):
            yield _swapped(tree, node, exp.Count(this=exp.Distinct(expressions=[node.this.copy()])))


@mutation
def order(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.Ordered):
        yield _swapped(tree, node, exp.Ordered(this=node.this.copy(), desc=not node.args.get("desc")))
    if isinstance(tree, exp.Select) and tree.args.get("order"):
        yield _edited(tree, tree, lambda s: s.set("order", None))


@mutation
def limit(tree: Any, schema: Schema) -> Iterator[Any]:
    for select in tree.find_all(exp.Select):
        if select.args.get("limit"):
            yield _edited(tree, select, lambda s: s.set("limit", None))
        elif select.args.get("order"):
            yield _edited(tree, select, lambda s: s.limit(1, copy=False))


@mutation
def join_key(tree: Any, schema: Schema) -> Iterator[Any]:
    for join in tree.find_all(exp.Join):
        for node in join.find_all(exp.Column):
            for name in _neighbours(node, schema):
                yield _swapped(tree, node, exp.column(name, node.table or None, quoted=True))


@mutation
def join_kind(tree: Any, schema: Schema) -> Iterator[Any]:
    for join in tree.find_all(exp.Join):
        if not join.side and join.args.get("on") is not None:
            yield _swapped(
                tree, join, exp.Join(this=join.this.copy(), on=join.args["on"].copy(), side="LEFT")
            )
            yield _swapped(tree, join, exp.Join(this=join.this.copy()))


@mutation
def grouping(tree: Any, schema: Schema) -> Iterator[Any]:
    for group in tree.find_all(exp.Group):
        for node in group.find_all(exp.Column):
            for name in _neighbours(node, schema):
                yield _swapped(tree, node, exp.column(name, node.table or None, quoted=True))
        yield _edited(tree, group.find_ancestor(exp.Select), lambda s: s.set("group", None))


@mutation
def membership(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.In):
        negated = node.parent if isinstance(node.parent, exp.Not) else None
        yield _swapped(tree, negated or node, node.copy() if negated else exp.not_(node.copy()))


@mutation
def counted(tree: Any, schema: Schema) -> Iterator[Any]:
    for node in tree.find_all(exp.Count):
        if isinstance(node.this, exp.Star):
            select = node.find_ancestor(exp.Select)
            for inner in [c for c in select.find_all(exp.Column) if not isinstance(c.this, exp.Star)][:2]:
                yield _swapped(tree, node, exp.Count(this=exp.Distinct(expressions=[inner.copy()])))


@mutation
def set_operation(tree: Any, schema: Schema) -> Iterator[Any]:
    kinds = (exp.Union, exp.Intersect, exp.Except)
    for node in tree.find_all(*kinds):
        for kind in kinds:
            if kind is not type(node):
                yield _swapped(
                    tree, node, kind(this=node.this.copy(), expression=node.expression.copy(), distinct=True)
                )
        yield _swapped(tree, node, node.this.copy())
        yield _swapped(
            tree, node, type(node)(this=node.expression.copy(), expression=node.this.copy(), distinct=True)
        )


class Adversary:
    """Searches small databases for one on which gold and prediction differ.

    Declared and recognised keys are sound, values are drawn from the constants of both queries, their
    neighbours and a few others; a database on which the gold's answer hangs on the order of rows is passed.
    """

    def __init__(self, suite: Suite, box: Sandbox) -> None:
        self.suite, self.box = suite, box
        source = sqlite3.connect(":memory:")
        source.deserialize(suite.databases[0].image)
        self.creates = dict(
            source.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        )
        self.columns = {
            t: [(r[1], r[2].upper(), r[5]) for r in source.execute(f'PRAGMA table_info("{t}")')]
            for t in self.creates
        }
        self.parents = dict(suite.links)
        self.single: frozenset[Ref] = frozenset()
        self.keys: dict[str, set[str]] = {}
        self.fairness = []
        for reading in suite.readings:
            query = statement(reading, suite.schema or Schema(()))
            self.fairness.append(Fairness(query))
            if query is not None and suite.schema is not None:
                keys = keys_of(suite.schema, profile_of(query), suite.rules)
                self.keys |= {table: set(key) for table, key in keys.primary.items()}
        source.close()

    def differs(self, sql: str, tries: int = 300, single: frozenset[Ref] = frozenset()) -> bytes | None:
        """A database on which the prediction is refuted, None where none was found.

        No value of the ``single`` columns is met twice.
        """
        chance, self.single = random.Random(sql), single
        pool = self._pool(f"{self.suite.readings[0]} {sql}")
        for n in range(tries):
            image = self._image(chance, pool, 1 + n % 7)
            self.box.load(image)
            result = self.box.query(sql)
            answers = [self.box.query(reading) for reading in self.suite.readings]
            if _nothing(answers[0]) and _nothing(result):
                continue  # no rows against a row of NULLs: a difference on NULLs alone
            if not any(
                isinstance(a, Result)
                and isinstance(result, Result)
                and same(a, result, ordered=self.suite.ordered, rules=self.suite.rules)
                for a in answers
            ) and self._fair(answers[0]):
                return image
        return None

    def _fair(self, answer: Any) -> bool:
        if not isinstance(answer, Result):
            return False
        ready = Expected(answer, ordered=self.suite.ordered, rules=self.suite.rules)
        return self.fairness[0].check(self.box, self.suite.readings[0], ready) == "fair"

    def _pool(self, sql: str) -> tuple[list[Any], list[str]]:
        numbers: set[float] = {0, 1, 2, 3}
        texts = {"alpha", "Beta", "gamma 7"}
        for kind, text in (_constants(t) for t in sqlglot.tokenize(sql, read="sqlite")):
            if kind == "number":
                value = float(text) if "." in text else int(text)
                numbers |= {value - 1, value, value + 1}
            elif kind == "text":
                texts |= {
                    text,
                    text + "x",
                    text[:-1],
                    text.upper(),
                    text.strip("%"),
                    "a" + text.strip("%") + "b",
                }
        return sorted(numbers), sorted(texts)

    def _image(self, chance: random.Random, pool: tuple[list[Any], list[str]], size: int) -> bytes:
        connection = sqlite3.connect(":memory:")
        drawn: dict[tuple[str, str], list[Any]] = {}
        for table in self._parents_first():
            connection.execute(self.creates[table])
            rows = [
                self._row(table, chance, pool, drawn, n)
                for n in range(chance.randint(max(0, size - 2), size + 1))
            ]
            key = self.keys.get(table.lower(), set())
            places = [i for i, c in enumerate(self.columns[table]) if c[0].lower() in key]
            unique = {
                tuple(str(r[i]).lower() for i in places) if places else n: r for n, r in enumerate(rows)
            }
            rows = [r for r in unique.values() if None not in r]
            marks = ",".join("?" * len(self.columns[table]))
            connection.executemany(f'INSERT OR IGNORE INTO "{table}" VALUES ({marks})', rows)
            kept = connection.execute(f'SELECT * FROM "{table}"').fetchall()
            for i, column_ in enumerate(self.columns[table]):
                drawn[table.lower(), column_[0].lower()] = [r[i] for r in kept]
        connection.commit()
        connection.execute(f"PRAGMA schema_version = {chance.randrange(1 << 30)}")  # no statement is reused
        image = connection.serialize()
        connection.close()
        return image

    def _parents_first(self) -> list[str]:
        done: list[str] = []
        todo = list(self.creates)
        while todo:
            free = [
                t
                for t in todo
                if all(p.lower() not in {x.lower() for x in todo} or p.lower() == t.lower()
                       for (c, _), (p, _) in self.parents.items() if c == t.lower())
            ] or todo[:1]  # fmt: skip
            done += free
            todo = [t for t in todo if t not in free]
        return done

    def _row(
        self, table: str, chance: random.Random, pool: tuple[list[Any], list[str]], drawn: Any, n: int
    ) -> list[Any]:
        row: list[Any] = []
        for name, kind, _ in self.columns[table]:
            parent = self.parents.get((table.lower(), name.lower()))
            if parent is not None and parent[0].lower() != table.lower():
                values = drawn.get((parent[0].lower(), parent[1].lower())) or [None]
                row.append(chance.choice(values))
            elif {name.lower()} == self.keys.get(table.lower()):
                row.append(n + 1 if kind in {"INTEGER", "REAL"} else f"k{n}")
            elif n and (table.lower(), name.lower()) in self.single:
                row.append(f"name {n}")
            elif kind in {"INTEGER", "REAL"}:
                value = chance.choice(pool[0])
                row.append(int(value) if kind == "INTEGER" else value)
            else:
                row.append(chance.choice(pool[1]))
        return row


def _nothing(found: Any) -> bool:
    return isinstance(found, Result) and not any(value is not None for row in found.rows for value in row)


def _constants(token: Any) -> tuple[str, str]:
    name = token.token_type.name
    return ("number" if name == "NUMBER" else "text" if name == "STRING" else "", token.text)
