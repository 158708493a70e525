"""Equal canonical forms must give equal results: pairs made by chance, run on databases fair to them.

    python scripts/form_fuzz.py [--pairs 100000] [--seed 0]

A query is drawn, then written several times over: other aliases, sides, orders, nesting, letter case, and
now and then something that may change what it says. Those whose form is equal (basic; strong; strong
without NULLs) are run on filled databases, with NULLs where the form holds with them. Where the first one's
answer is a matter of its rows alone, all must agree. Prints each difference, and as its last line one JSON
document; ends with 1 if there was one."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.databases import Failure, Result, Sandbox, build_suite, populate, same
from harness.databases.answers import Expected
from harness.databases.fairness import Fairness
from harness.databases.readers import Readers
from harness.records import Rules
from harness.sql import Schema, parse_schema, profile_of
from harness.sql.statement import statement

CONTEXT = """CREATE TABLE dept (id INTEGER PRIMARY KEY, title TEXT, city TEXT);
CREATE TABLE emp (id INTEGER PRIMARY KEY, name TEXT, dept_id INTEGER REFERENCES dept(id), age INTEGER,
pay REAL);
CREATE TABLE trip (id INTEGER PRIMARY KEY, emp_id INTEGER REFERENCES emp(id), city TEXT, days INTEGER)"""
TABLES = {
    "dept": {"id": "n", "title": "t", "city": "t"},
    "emp": {"id": "n", "name": "t", "dept_id": "n", "age": "n", "pay": "n"},
    "trip": {"id": "n", "emp_id": "n", "city": "t", "days": "n"},
}
LINKS = [("emp", "dept_id", "dept"), ("trip", "emp_id", "emp")]
TEXTS = ("Rome", "rome", "Oslo", "Ann", "10", "a%", "")
MODES = ("mixed", "narrow", "full")
STYLES = 7
"""How often each query is written."""


class Writer:
    """Writes one query: ``chance`` says what it asks, ``style`` how it is put."""

    def __init__(self, seed: str, style: str) -> None:
        self.chance, self.style = random.Random(seed), random.Random(style)

    def query(self) -> str:
        """A whole query."""
        kind = self.chance.random()
        if kind < 0.1:
            word = self.chance.choice(("UNION", "UNION ALL", "INTERSECT", "EXCEPT"))
            sides = [self.select(1, tail=False), self.select(1, tail=False)]
            return f" {word} ".join(self.swapped(sides) if word != "EXCEPT" else sides)
        if kind < 0.25:
            return self.nested()
        return self.select(self.chance.randint(1, 3), tail=True)

    def nested(self) -> str:
        """A query over a query, as a derived table or a common one, its columns called this or that."""
        table = self.chance.choice(list(TABLES))
        columns = self.chance.sample(list(TABLES[table]), 2)
        names = self.style.choice((["u", "v"], ["v", "u"], ["x", "y"]))
        asked = self.chance.randrange(2)
        if self.style.random() < 0.15:
            asked = 1 - asked
        inner = f"SELECT {columns[0]} AS {names[0]}, {columns[1]} AS {names[1]} FROM {table}"
        if self.chance.random() < 0.5:
            inner += f" WHERE {self.condition([(table, '')], 1)}"
        if self.chance.random() < 0.2:
            inner += f" ORDER BY {columns[0]}{self.style.choice(('', ' DESC'))}"
        outer = f"{names[asked]}"
        if self.style.random() < 0.5:
            return f"WITH c AS ({inner}) SELECT {outer} FROM c"
        return f"SELECT d.{outer} FROM ({inner}) AS d"

    def select(self, most: int, *, tail: bool) -> str:
        """One SELECT over at most so many tables."""
        sources = self.sources(most)
        grouped = self.chance.random() < 0.25 and tail
        outputs = [
            self.output(sources, aggregate=grouped and n > 0)
            for n in range(self.chance.randint(1, 2 if tail else 1))
        ]
        first = outputs[0]
        if tail and self.style.random() < 0.3:
            outputs = self.swapped(outputs)
        text = f"SELECT {self.distinct()}{', '.join(outputs)} FROM {self.joined(sources)}"
        if self.chance.random() < 0.7:
            text += (" AND " if " WHERE " in text else " WHERE ") + self.condition(
                sources, self.chance.randint(1, 2)
            )
        if grouped:
            text += f" GROUP BY {first}"
            if self.chance.random() < 0.4:
                text += f" HAVING {self.compared('COUNT(*)', 'n')}"
        if tail and self.chance.random() < 0.3:
            text += f" ORDER BY {first}{self.chance.choice(('', ' DESC'))}"
            if self.chance.random() < 0.4:
                text += f" LIMIT {self.chance.randint(1, 3)}"
        return text

    def distinct(self) -> str:
        """DISTINCT or not."""
        wanted = self.chance.random() < 0.2
        return "DISTINCT " if wanted != (self.style.random() < 0.1) else ""

    def sources(self, most: int) -> list[tuple[str, str]]:
        """Tables along the links, each with its alias."""
        chain = self.chance.choice(
            (["dept", "emp", "trip"], ["trip", "emp", "dept"], ["emp", "trip"], ["emp", "emp"])
        )
        tables = chain[:most]
        letters = self.style.sample("abcdefgh", len(tables))
        plain = len(set(tables)) == len(tables) and self.style.random() < 0.4
        return [(table, table if plain else letter) for table, letter in zip(tables, letters, strict=True)]

    def joined(self, sources: list[tuple[str, str]]) -> str:
        """FROM, with what joins its tables."""
        conditions = []
        for one, other in pairwise(sources):
            for child, column, parent in LINKS:
                for (a, x), (b, y) in ((one, other), (other, one)):
                    if (a, b) == (child, parent):
                        conditions.append(" = ".join(self.swapped([f"{x}.{column}", f"{y}.id"])))
            if one[0] == other[0]:
                conditions.append(" = ".join(self.swapped([f"{one[1]}.dept_id", f"{other[1]}.dept_id"])))
        outer = len(sources) == 2 and self.chance.random() < 0.25
        shown = [table if table == alias else f"{table} AS {alias}" for table, alias in sources]
        if outer:
            word = self.style.choice(("LEFT JOIN", "LEFT OUTER JOIN"))
            return f"{shown[0]} {word} {shown[1]} ON {conditions[0]}"
        if not conditions:
            return shown[0]
        shown = self.swapped(shown)
        if self.style.random() < 0.5:
            return f"{', '.join(shown)} WHERE {' AND '.join(self.swapped(conditions))}"
        return " JOIN ".join(shown) + " ON " + " AND ".join(self.swapped(conditions))

    def column(self, sources: list[tuple[str, str]], kind: str = "") -> tuple[str, str]:
        """A column, qualified, and its kind."""
        table, alias = self.chance.choice(sources)
        name = self.chance.choice([c for c, k in TABLES[table].items() if kind in ("", k)])
        return (f"{alias}.{name}" if alias else name), TABLES[table][name]

    def output(self, sources: list[tuple[str, str]], *, aggregate: bool) -> str:
        """An output."""
        column, kind = self.column(sources)
        if aggregate:
            return self.chance.choice(
                ("COUNT(*)", f"MAX({column})", f"COUNT(DISTINCT {column})", f"MIN({column})")
            )
        return self.value(column, kind) if self.chance.random() < 0.2 else column

    def value(self, column: str, kind: str) -> str:
        """Something made of a column."""
        letter = self.style.choice(("A", "a")) if self.style.random() < 0.3 else "A"
        if kind == "t":
            return self.chance.choice(
                (f"UPPER({column})", f"REPLACE({column}, '{letter}', '')", f"INSTR({column}, '{letter}')",
                 f"{column} || '{letter}'", f"LENGTH({column})", f"strftime('%m', {column})")
            )  # fmt: skip
        return self.chance.choice(
            (" + ".join(self.swapped([column, "1"])), f"CAST({column} AS REAL) / 2", f"{column} / 2",
             f"-{column}",
             f"{column} - {self.style.choice(('1', '(1)'))}", f"COALESCE({column}, 0)", f"ABS({column} % 3)")
        )  # fmt: skip

    def condition(self, sources: list[tuple[str, str]], depth: int) -> str:
        """A condition, or two joined by AND or OR."""
        if depth > 1:
            both = [self.condition(sources, 1), self.condition(sources, 1)]
            word = self.chance.choice((" AND ", " OR "))
            inner = word.join(self.swapped(both))
            if self.style.random() < 0.2:
                other = " OR " if word == " AND " else " AND "
                inner = f"NOT (NOT ({both[0]}){other}NOT ({both[1]}))"
            return f"({inner})"
        kind = self.chance.random()
        column, of = self.column(sources)
        if kind < 0.12:
            return self.membership(column)
        if kind < 0.2:
            low, high = self.chance.randint(0, 20), self.chance.randint(10, 40)
            if self.style.random() < 0.5:
                return f"{column} BETWEEN {low} AND {high}"
            return f"({column} >= {low} AND {high} >= {column})"
        if kind < 0.28:
            items = self.swapped([self.constant(of) for _ in range(2)])
            if self.style.random() < 0.5:
                return f"{column} IN ({', '.join(items)})"
            return f"({column} = {items[0]} OR {column} = {items[1]})"
        if kind < 0.34:
            return f"{column} IS {self.chance.choice(('', 'NOT '))}NULL"
        if kind < 0.44 and of == "t":
            return f"{column} {self.chance.choice(('LIKE', 'NOT LIKE', 'GLOB'))} {self.constant(of)}"
        if kind < 0.55:
            return self.compared(self.value(column, of), of)
        return self.compared(column, of)

    def membership(self, column: str) -> str:
        """IN a query."""
        table = self.chance.choice(list(TABLES))
        other = self.chance.choice(list(TABLES[table]))
        word = "NOT IN" if self.chance.random() < 0.3 else "IN"
        distinct = "DISTINCT " if self.style.random() < 0.3 else ""
        return f"{column} {word} (SELECT {distinct}{other} FROM {table})"

    def compared(self, left: str, kind: str) -> str:
        """A comparison with a constant."""
        operator = self.chance.choice(("=", "<>", "<", "<=", ">", ">="))
        right = self.constant(kind)
        flipped = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
        opposite = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
        way = self.style.random()
        if way < 0.25:
            return f"{right} {flipped[operator]} {left}"
        if way < 0.45:
            return f"NOT {left} {opposite[operator]} {right}"
        return f"{left} {operator} {right}"

    def constant(self, kind: str) -> str:
        """A constant."""
        if kind == "t" or self.chance.random() < 0.05:
            text = self.chance.choice(TEXTS)
            return f"'{text.swapcase() if self.style.random() < 0.2 else text}'"
        number = self.chance.choice((0, 1, 2, 10, 25, 2.5))
        return f"'{number}'" if self.style.random() < 0.1 else str(number)

    def swapped(self, items: list[str]) -> list[str]:
        """The items, now and then backwards."""
        return items[::-1] if self.style.random() < 0.4 else items


class Difference(NamedTuple):
    """Two queries with one form that do not give one result."""

    level: str
    one: str
    other: str


def differences(pairs: int, seed: int, told: dict[str, int]) -> Iterator[Difference]:
    """Those among so many pairs; ``told`` counts what was looked at."""
    schema, number = parse_schema(CONTEXT), 0
    with Sandbox() as box:
        while told["pairs"] < pairs:
            number += 1
            rules = Rules(case="ignore" if number % 2 else "exact")
            texts = [Writer(f"{seed}/{number}", f"{seed}/{number}/{n}").query() for n in range(STYLES)]
            yield from _judged(list(dict.fromkeys(texts)), schema, rules, box, f"{seed}/{number}", told)
            told["queries"] += STYLES


def _judged(
    texts: list[str], schema: Schema, rules: Rules, box: Sandbox, seed: str, told: dict[str, int]
) -> Iterator[Difference]:
    suite = build_suite(CONTEXT, texts[0], rules=rules, size=1, operators=())
    readers, query = Readers(suite), statement(texts[0], schema)
    if query is None or suite.reason:
        return
    profile = profile_of(query)
    for level, reader, modes in (
        ("basic", readers.basic, (*MODES, "nulls")),
        ("strong", readers.strong, (*MODES, "nulls")),
        ("without NULLs", readers.filled, MODES),
    ):
        groups: dict[str, list[str]] = {}
        for text in texts:
            if (form := reader.text(text)) and not form.startswith("~"):
                groups.setdefault(form, []).append(text)
        equal = [group for group in groups.values() if len(group) > 1]
        told["pairs"] += sum(len(group) * (len(group) - 1) // 2 for group in equal)
        for mode in modes if equal else ():
            box.load(populate(schema, [profile], mode=mode, seed=seed, rules=rules))
            for group in equal:
                yield from _compared(level, group, schema, rules, box, told)


def _compared(
    level: str, group: list[str], schema: Schema, rules: Rules, box: Sandbox, told: dict[str, int]
) -> Iterator[Difference]:
    results: dict[str, Any] = {text: box.query(text) for text in group}
    first = results[group[0]]
    query = statement(group[0], schema)
    if isinstance(first, Failure) or query is None:
        return
    ordered = query.tree.args.get("order") is not None
    if Fairness(query).check(box, group[0], Expected(first, ordered=ordered, rules=rules)) != "fair":
        return
    told["runs"] += 1
    for one, other in combinations(group, 2):
        a, b = results[one], results[other]
        if not (isinstance(a, Result) and isinstance(b, Result) and same(a, b, ordered=ordered, rules=rules)):
            yield Difference(level, one, other)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    told = {"pairs": 0, "queries": 0, "runs": 0}
    found = set()
    for difference in differences(args.pairs, args.seed, told):
        if difference not in found:
            print(f"{difference.level}:\n  {difference.one}\n  {difference.other}", flush=True)
        found.add(difference)
    print(json.dumps({**told, "seed": args.seed, "differences": len(found)}))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
