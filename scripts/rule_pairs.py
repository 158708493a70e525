"""Pairs of queries as the rules of a query optimiser make them: none may crash, none be proved that differ.

    python scripts/rule_pairs.py [--pairs 1000] [--seed 0] [--schema employees|patients|parcels] [--show N]

Each pair is a query over one of three schemas (employees, departments and projects; the same shape with
nothing declared but types; one with real numbers and more than is asked for) and the same query as a
rule of an optimiser would leave it, in the manner of Apache Calcite's rule tests (RelOptRulesTest): filters
pushed below joins, aggregates and set operations, joins reordered, semi-joins for IN and EXISTS, aggregates
split, DISTINCT as GROUP BY, unions merged, CASE and COALESCE reduced, constants folded, sorts and limits
pruned. Every third pair is spoilt: a constant, an operator, an aggregate or a set operation of the second
query is changed, so that most of these differ. Both ways round are judged; then either is run on filled
databases with sound keys, NULLs among them where the verdict holds with NULLs, and an ``exact`` or
``equivalent`` that one of them contradicts is printed, as are right rewrites that were rejected.

Prints a row a rule and ends with one JSON line; exit code 1 where there was a crash or a contradiction.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

from harness import build_suite, judge
from harness.databases import Failure, Sandbox, Suite, populate
from harness.databases.answers import Expected
from harness.databases.fairness import Fairness
from harness.outcomes import Outcome
from harness.records import VERDICT_VERSION, Rules, Verdict
from harness.sql import parse_schema, profile_of
from harness.sql.statement import statement


class Setting(NamedTuple):
    """A schema that pairs are drawn over: its CREATE statements, its words for what the rules speak of."""

    context: str
    words: dict[str, str]


SETTINGS = {
    "employees": Setting(
        """CREATE TABLE dept (deptno INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
CREATE TABLE emp (empno INTEGER PRIMARY KEY, ename TEXT NOT NULL, job TEXT, mgr INTEGER, sal INTEGER NOT NULL,
comm INTEGER, deptno INTEGER NOT NULL REFERENCES dept(deptno));
CREATE TABLE project (projno INTEGER PRIMARY KEY, title TEXT NOT NULL, budget INTEGER, empno INTEGER NOT NULL
REFERENCES emp(empno))""",
        {},
    ),
    "patients": Setting(  # nothing is declared but types: keys are guessed from names and joins
        """CREATE TABLE ward (ward_id INTEGER, label VARCHAR, floor VARCHAR);
CREATE TABLE patient (patient_id INTEGER, surname VARCHAR, ailment VARCHAR, doctor INTEGER, age INTEGER,
weight INTEGER, ward_id INTEGER);
CREATE TABLE visit (visit_id INTEGER, reason VARCHAR, cost INTEGER, patient_id INTEGER)""",
        {
            "dept": "ward",
            "deptno": "ward_id",
            "name": "label",
            "city": "floor",
            "emp": "patient",
            "empno": "patient_id",
            "ename": "surname",
            "job": "ailment",
            "mgr": "doctor",
            "sal": "age",
            "comm": "weight",
            "project": "visit",
            "projno": "visit_id",
            "title": "reason",
            "budget": "cost",
        },
    ),
    "parcels": Setting(  # keys that are not first, real numbers, columns and a table that no query asks for
        """CREATE TABLE "Depot" (opened DATE, "Town" TEXT, depot_code INTEGER NOT NULL, label TEXT NOT NULL,
PRIMARY KEY (depot_code)); CREATE TABLE carrier (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE parcel (sender TEXT NOT NULL, kind TEXT, parent INTEGER, weight REAL NOT NULL, fee REAL,
parcel_no INTEGER PRIMARY KEY, depot_code INTEGER NOT NULL, carrier_id INTEGER REFERENCES carrier(id),
note TEXT, FOREIGN KEY (depot_code) REFERENCES "Depot"(depot_code));
CREATE TABLE scan (place TEXT NOT NULL, minutes REAL, parcel_no INTEGER NOT NULL REFERENCES parcel(parcel_no),
scan_no INTEGER PRIMARY KEY)""",
        {
            "dept": '"Depot"',
            "deptno": "depot_code",
            "name": "label",
            "city": '"Town"',
            "emp": "parcel",
            "empno": "parcel_no",
            "ename": "sender",
            "job": "kind",
            "mgr": "parent",
            "sal": "weight",
            "comm": "fee",
            "project": "scan",
            "projno": "scan_no",
            "title": "place",
            "budget": "minutes",
        },
    ),
}
"""The schemas; the rules themselves speak of employees."""

_WORD = re.compile(r"'[^']*'|\b[a-z]+\b")


def said(query: str, setting: Setting) -> str:
    """A query over employees as one over the setting's schema."""
    return _WORD.sub(lambda found: setting.words.get(found[0], found[0]), query)


MODES = ("mixed", "narrow", "few", "scarce", "twins", "full", "nulls", "childless")
PROVED = (Outcome.EXACT, Outcome.EQUIVALENT)


class Pair(NamedTuple):
    """Two queries, the rule that made one of the other, and whether the second was spoilt since."""

    rule: str
    one: str
    other: str
    spoilt: bool


Draw = random.Random
Rule = Callable[[Draw], tuple[str, str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Enter a rule under its function's name."""
    RULES[function.__name__] = function
    return function


def emp(draw: Draw, alias: str = "e") -> str:
    """A condition on an employee."""
    return draw.choice(
        (
            f"{alias}.sal > {draw.choice((100, 1000, 2500))}",
            f"{alias}.sal <= {draw.choice((100, 1000, 2500))}",
            f"{alias}.job = '{draw.choice(('CLERK', 'ANALYST'))}'",
            f"{alias}.job <> 'CLERK'",
            f"{alias}.mgr = {draw.randint(1, 9)}",
            f"{alias}.sal BETWEEN 100 AND {draw.choice((500, 2000))}",
            f"{alias}.deptno IN ({draw.randint(1, 4)}, {draw.randint(5, 9)})",
            f"({alias}.job = 'CLERK' OR {alias}.sal < 900)",
        )
    )


def dept(draw: Draw, alias: str = "d") -> str:
    """A condition on a department."""
    return draw.choice(
        (
            f"{alias}.name = '{draw.choice(('SALES', 'Charlie'))}'",
            f"{alias}.deptno > {draw.randint(1, 9)}",
            f"{alias}.city = 'Rome'",
            f"{alias}.deptno BETWEEN 2 AND 7",
        )
    )


def aggregate(draw: Draw, alias: str = "e") -> str:
    """An aggregate over employees."""
    return draw.choice(("COUNT(*)", f"SUM({alias}.sal)", f"MIN({alias}.sal)", f"MAX({alias}.sal)"))


def columns(draw: Draw, alias: str = "e") -> str:
    """Some columns of an employee."""
    names = ("ename", "job", "sal", "empno", "deptno")
    return ", ".join(f"{alias}.{name}" for name in draw.sample(names, draw.randint(1, 3)))


JOINED = "emp AS e JOIN dept AS d ON e.deptno = d.deptno"


@rule
def filter_into_join(draw: Draw) -> tuple[str, str]:
    c, one, two = columns(draw), emp(draw), dept(draw)
    return (
        f"SELECT {c}, d.name FROM {JOINED} WHERE {one} AND {two}",
        f"SELECT {c}, d.name FROM emp AS e JOIN dept AS d ON e.deptno = d.deptno AND {two} AND {one}",
    )


@rule
def filter_below_join(draw: Draw) -> tuple[str, str]:
    one, two = emp(draw), dept(draw)
    return (
        f"SELECT e.ename, d.name FROM {JOINED} WHERE {one} AND {two}",
        f"SELECT t.ename, u.name FROM (SELECT * FROM emp AS e WHERE {one}) AS t "
        f"JOIN (SELECT * FROM dept AS d WHERE {two}) AS u ON t.deptno = u.deptno",
    )


@rule
def filter_below_aggregate(draw: Draw) -> tuple[str, str]:
    a, n = aggregate(draw), draw.randint(1, 8)
    return (
        f"SELECT t.deptno, t.c FROM (SELECT e.deptno, {a} AS c FROM emp AS e GROUP BY e.deptno) AS t "
        f"WHERE t.deptno > {n}",
        f"SELECT e.deptno, {a} FROM emp AS e WHERE e.deptno > {n} GROUP BY e.deptno",
    )


@rule
def having_to_where(draw: Draw) -> tuple[str, str]:
    a, n = aggregate(draw), draw.randint(1, 8)
    return (
        f"SELECT e.deptno, {a} FROM emp AS e GROUP BY e.deptno HAVING e.deptno < {n}",
        f"SELECT e.deptno, {a} FROM emp AS e WHERE e.deptno < {n} GROUP BY e.deptno",
    )


@rule
def filter_below_union(draw: Draw) -> tuple[str, str]:
    word, n = draw.choice(("UNION", "UNION ALL", "INTERSECT", "EXCEPT")), draw.randint(1, 8)
    return (
        f"SELECT t.deptno FROM (SELECT deptno FROM emp {word} SELECT deptno FROM dept) AS t "
        f"WHERE t.deptno > {n}",
        f"SELECT deptno FROM emp WHERE deptno > {n} {word} SELECT deptno FROM dept WHERE deptno > {n}",
    )


@rule
def filter_merge(draw: Draw) -> tuple[str, str]:
    one, two, c = emp(draw), emp(draw), columns(draw)
    inner = f"SELECT * FROM emp AS e WHERE {one}"
    return (
        f"SELECT {c} FROM ({inner}) AS e WHERE {two}",
        f"SELECT {c} FROM emp AS e WHERE {two} AND {one}",
    )


@rule
def join_commute(draw: Draw) -> tuple[str, str]:
    c, one = columns(draw), emp(draw)
    return (
        f"SELECT {c}, d.name FROM {JOINED} WHERE {one}",
        f"SELECT {c}, d.name FROM dept AS d JOIN emp AS e ON d.deptno = e.deptno WHERE {one}",
    )


@rule
def join_reorder(draw: Draw) -> tuple[str, str]:
    one, two = emp(draw), dept(draw)
    return (
        f"SELECT p.title, e.ename, d.name FROM {JOINED} JOIN project AS p ON p.empno = e.empno "
        f"WHERE {one} AND {two}",
        "SELECT p.title, e.ename, d.name FROM project AS p JOIN (SELECT * FROM emp AS e "
        f"WHERE {one}) AS e ON p.empno = e.empno JOIN dept AS d ON d.deptno = e.deptno AND {two}",
    )


@rule
def comma_join(draw: Draw) -> tuple[str, str]:
    c, one = columns(draw), dept(draw)
    return (
        f"SELECT {c} FROM {JOINED} WHERE {one}",
        f"SELECT {c} FROM dept AS d, emp AS e WHERE {one} AND d.deptno = e.deptno",
    )


@rule
def outer_to_inner(draw: Draw) -> tuple[str, str]:
    two = dept(draw)
    return (
        f"SELECT e.ename, d.name FROM emp AS e LEFT JOIN dept AS d ON e.deptno = d.deptno WHERE {two}",
        f"SELECT e.ename, d.name FROM {JOINED} WHERE {two}",
    )


@rule
def join_remove(draw: Draw) -> tuple[str, str]:
    c, one, kind = columns(draw), emp(draw), draw.choice(("LEFT JOIN", "JOIN"))
    return (
        f"SELECT {c} FROM emp AS e {kind} dept AS d ON e.deptno = d.deptno WHERE {one}",
        f"SELECT {c} FROM emp AS e WHERE {one}",
    )


@rule
def anti_join(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT d.name FROM dept AS d WHERE d.deptno NOT IN (SELECT e.deptno FROM emp AS e WHERE {one})",
        "SELECT d.name FROM dept AS d WHERE NOT EXISTS (SELECT 1 FROM emp AS e "
        f"WHERE e.deptno = d.deptno AND {one})",
    )


@rule
def anti_join_by_null(draw: Draw) -> tuple[str, str]:
    return (
        "SELECT d.name, d.city FROM dept AS d WHERE d.deptno NOT IN (SELECT e.deptno FROM emp AS e)",
        "SELECT d.name, d.city FROM dept AS d LEFT JOIN emp AS e ON e.deptno = d.deptno "
        "WHERE e.empno IS NULL",
    )


@rule
def in_to_exists(draw: Draw) -> tuple[str, str]:
    c, two = columns(draw), dept(draw)
    return (
        f"SELECT {c} FROM emp AS e WHERE e.deptno IN (SELECT d.deptno FROM dept AS d WHERE {two})",
        f"SELECT {c} FROM emp AS e "
        f"WHERE EXISTS (SELECT 1 FROM dept AS d WHERE d.deptno = e.deptno AND {two})",
    )


@rule
def in_to_join(draw: Draw) -> tuple[str, str]:
    c, two = columns(draw), dept(draw)
    return (
        f"SELECT {c} FROM emp AS e WHERE e.deptno IN (SELECT d.deptno FROM dept AS d WHERE {two})",
        f"SELECT {c} FROM {JOINED} WHERE {two}",
    )


@rule
def semi_join_of_distinct(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT d.name FROM dept AS d WHERE d.deptno IN (SELECT e.deptno FROM emp AS e WHERE {one})",
        f"SELECT d.name FROM dept AS d JOIN (SELECT DISTINCT e.deptno FROM emp AS e WHERE {one}) AS t "
        "ON t.deptno = d.deptno",
    )


@rule
def distinct_to_group(draw: Draw) -> tuple[str, str]:
    c, one = columns(draw), emp(draw)
    return (
        f"SELECT DISTINCT {c} FROM emp AS e WHERE {one}",
        f"SELECT {c} FROM emp AS e WHERE {one} GROUP BY {c}",
    )


@rule
def distinct_of_key(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT DISTINCT e.empno, e.ename FROM emp AS e WHERE {one}",
        f"SELECT e.empno, e.ename FROM emp AS e WHERE {one}",
    )


@rule
def aggregate_split(draw: Draw) -> tuple[str, str]:
    name, outer = draw.choice((("COUNT", "SUM"), ("SUM", "SUM"), ("MIN", "MIN"), ("MAX", "MAX")))
    inner = "COUNT(*)" if name == "COUNT" else f"{name}(e.sal)"
    return (
        f"SELECT e.deptno, {inner} FROM emp AS e GROUP BY e.deptno",
        f"SELECT t.deptno, {outer}(t.c) FROM (SELECT e.deptno, e.job, {inner} AS c FROM emp AS e "
        "GROUP BY e.deptno, e.job) AS t GROUP BY t.deptno",
    )


@rule
def aggregate_below_join(draw: Draw) -> tuple[str, str]:
    a = draw.choice(("COUNT(*)", "SUM(e.sal)", "MAX(e.sal)"))
    return (
        f"SELECT d.name, {a} FROM {JOINED} GROUP BY d.deptno",
        f"SELECT d.name, t.c FROM dept AS d JOIN (SELECT e.deptno, {a} AS c FROM emp AS e "
        "GROUP BY e.deptno) AS t ON t.deptno = d.deptno",
    )


@rule
def average_split(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT e.deptno, AVG(e.sal) FROM emp AS e WHERE {one} GROUP BY e.deptno",
        f"SELECT e.deptno, SUM(e.sal) * 1.0 / COUNT(e.sal) FROM emp AS e WHERE {one} GROUP BY e.deptno",
    )


@rule
def count_of_key(draw: Draw) -> tuple[str, str]:
    one, name = emp(draw), draw.choice(("e.empno", "DISTINCT e.empno", "e.ename", "1"))
    return (
        f"SELECT COUNT(*) FROM emp AS e WHERE {one}",
        f"SELECT COUNT({name}) FROM emp AS e WHERE {one}",
    )


@rule
def filtered_aggregate(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT COUNT(*) FROM emp AS e WHERE {one}",
        f"SELECT COUNT(CASE WHEN {one} THEN 1 END) FROM emp AS e",
    )


@rule
def union_merge(draw: Draw) -> tuple[str, str]:
    one, two, c = emp(draw), emp(draw), columns(draw)
    return (
        f"SELECT {c} FROM emp AS e WHERE {one} UNION SELECT {c} FROM emp AS e WHERE {two}",
        f"SELECT DISTINCT {c} FROM emp AS e WHERE {one} OR {two}",
    )


@rule
def union_of_union(draw: Draw) -> tuple[str, str]:
    word = draw.choice(("UNION", "UNION ALL"))
    return (
        f"SELECT deptno FROM emp {word} SELECT deptno FROM dept {word} SELECT mgr FROM emp",
        f"SELECT * FROM (SELECT mgr FROM emp {word} SELECT deptno FROM dept) {word} SELECT deptno FROM emp",
    )


@rule
def union_all_distinct(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT deptno FROM dept UNION SELECT e.deptno FROM emp AS e WHERE {one}",
        "SELECT DISTINCT deptno FROM (SELECT deptno FROM dept UNION ALL "
        f"SELECT e.deptno FROM emp AS e WHERE {one}) AS t",
    )


@rule
def intersect_to_in(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT deptno FROM dept INTERSECT SELECT e.deptno FROM emp AS e WHERE {one}",
        f"SELECT d.deptno FROM dept AS d WHERE d.deptno IN (SELECT e.deptno FROM emp AS e WHERE {one})",
    )


@rule
def minus_to_filter(draw: Draw) -> tuple[str, str]:
    one = emp(draw)
    return (
        f"SELECT deptno FROM dept EXCEPT SELECT e.deptno FROM emp AS e WHERE {one}",
        f"SELECT d.deptno FROM dept AS d WHERE d.deptno NOT IN (SELECT e.deptno FROM emp AS e WHERE {one})",
    )


@rule
def case_reduce(draw: Draw) -> tuple[str, str]:
    n = draw.choice((100, 900, 2500))
    return (
        f"SELECT e.ename FROM emp AS e WHERE CASE WHEN e.sal > {n} THEN 1 ELSE 0 END = 1",
        f"SELECT e.ename FROM emp AS e WHERE e.sal > {n}",
    )


@rule
def case_to_coalesce(draw: Draw) -> tuple[str, str]:
    n = draw.randint(0, 9)
    return (
        f"SELECT e.ename, CASE WHEN e.comm IS NOT NULL THEN e.comm ELSE {n} END FROM emp AS e",
        f"SELECT e.ename, COALESCE(e.comm, {n}) FROM emp AS e",
    )


@rule
def coalesce_prune(draw: Draw) -> tuple[str, str]:
    n = draw.randint(1, 9)
    return (
        f"SELECT COALESCE(e.sal, e.comm, {n}) FROM emp AS e WHERE COALESCE(e.deptno, {n}) > {n}",
        f"SELECT e.sal FROM emp AS e WHERE e.deptno > {n}",
    )


@rule
def constant_fold(draw: Draw) -> tuple[str, str]:
    a, b, c = draw.randint(1, 50), draw.randint(1, 50), columns(draw)
    word, value = draw.choice((("+", a + b), ("*", a * b), ("-", a - b)))
    return (
        f"SELECT {c} FROM emp AS e WHERE e.sal > {a} {word} {b} AND 1 = 1",
        f"SELECT {c} FROM emp AS e WHERE e.sal > {value}",
    )


@rule
def never_true(draw: Draw) -> tuple[str, str]:
    one, c = emp(draw), columns(draw)
    return (
        f"SELECT {c} FROM emp AS e WHERE {one} OR 1 = 0",
        f"SELECT {c} FROM emp AS e WHERE {one}",
    )


@rule
def negation_pushed(draw: Draw) -> tuple[str, str]:
    n, c = draw.choice((100, 1000)), columns(draw)
    return (
        f"SELECT {c} FROM emp AS e WHERE NOT (e.sal > {n} OR e.job = 'CLERK')",
        f"SELECT {c} FROM emp AS e WHERE e.sal <= {n} AND e.job <> 'CLERK'",
    )


@rule
def in_list_to_or(draw: Draw) -> tuple[str, str]:
    values, c = draw.sample(range(1, 9), 3), columns(draw)
    return (
        f"SELECT {c} FROM emp AS e WHERE e.deptno IN ({', '.join(map(str, values))})",
        f"SELECT {c} FROM emp AS e WHERE {' OR '.join(f'e.deptno = {v}' for v in reversed(values))}",
    )


@rule
def transitive_constant(draw: Draw) -> tuple[str, str]:
    n = draw.randint(1, 9)
    return (
        f"SELECT e.ename, d.name FROM {JOINED} WHERE e.deptno = {n}",
        f"SELECT e.ename, d.name FROM emp AS e CROSS JOIN dept AS d WHERE e.deptno = {n} AND d.deptno = {n}",
    )


@rule
def sort_remove(draw: Draw) -> tuple[str, str]:
    one, c = emp(draw), columns(draw)
    return (
        f"SELECT {c} FROM (SELECT * FROM emp AS e WHERE {one} ORDER BY e.sal) AS e",
        f"SELECT {c} FROM emp AS e WHERE {one}",
    )


@rule
def sort_of_key(draw: Draw) -> tuple[str, str]:
    word = draw.choice(("", " DESC"))
    return (
        f"SELECT e.ename FROM emp AS e ORDER BY e.empno{word}, e.sal",
        f"SELECT e.ename FROM emp AS e ORDER BY e.empno{word}",
    )


@rule
def limit_to_extreme(draw: Draw) -> tuple[str, str]:
    name, word = draw.choice((("MAX", " DESC"), ("MIN", "")))
    return (
        f"SELECT e.sal FROM emp AS e ORDER BY e.sal{word} LIMIT 1",
        f"SELECT {name}(e.sal) FROM emp AS e",
    )


@rule
def scalar_to_join(draw: Draw) -> tuple[str, str]:
    a = draw.choice(("AVG", "MIN", "MAX"))
    return (
        f"SELECT e.ename FROM emp AS e WHERE e.sal > (SELECT {a}(f.sal) FROM emp AS f "
        "WHERE f.deptno = e.deptno)",
        f"SELECT e.ename FROM emp AS e JOIN (SELECT f.deptno, {a}(f.sal) AS s FROM emp AS f "
        "GROUP BY f.deptno) AS t ON t.deptno = e.deptno WHERE e.sal > t.s",
    )


@rule
def derived_to_common(draw: Draw) -> tuple[str, str]:
    one, a = emp(draw), aggregate(draw)
    inner = f"SELECT e.deptno AS d, {a} AS c FROM emp AS e WHERE {one} GROUP BY e.deptno"
    return (
        f"SELECT d.name, t.c FROM dept AS d JOIN ({inner}) AS t ON t.d = d.deptno",
        f"WITH t AS ({inner}) SELECT dept.name, t.c FROM t, dept WHERE dept.deptno = t.d",
    )


@rule
def project_merge(draw: Draw) -> tuple[str, str]:
    n = draw.randint(1, 9)
    return (
        f"SELECT t.a + {n} FROM (SELECT e.sal * 2 AS a, e.ename FROM emp AS e) AS t WHERE t.a > 100",
        f"SELECT e.sal * 2 + {n} FROM emp AS e WHERE e.sal * 2 > 100",
    )


SPOILING = (
    (" > ", " >= "),
    (" <= ", " < "),
    (" AND ", " OR "),
    ("UNION ALL", "UNION"),
    ("INTERSECT", "UNION"),
    ("NOT IN", "IN"),
    ("NOT EXISTS", "EXISTS"),
    ("DISTINCT ", ""),
    ("MAX(", "MIN("),
    ("SUM(", "MAX("),
    ("COUNT(", "SUM("),
    ("LEFT JOIN", "JOIN"),
    (" DESC", ""),
    ("'CLERK'", "'SALES'"),
    (" = 1", " = 0"),
    ("sal", "comm"),
    ("e.deptno", "e.mgr"),
)
"""What a spoilt query says instead, once."""


def pairs(count: int, seed: int, setting: Setting = SETTINGS["employees"]) -> list[Pair]:
    """The pairs of a seed over a schema, rule after rule."""
    made = []
    names = list(RULES)
    for number in range(count):
        name = names[number % len(names)]
        draw = random.Random(f"{seed}/{name}/{number}")
        one, other = RULES[name](draw)
        known = [(a, b) for a, b in SPOILING if a in other]
        spoilt = number // len(names) % 3 == 2 and bool(known)
        if spoilt:
            old, new = draw.choice(known)
            places = [at for at in range(len(other)) if other.startswith(old, at)]
            at = draw.choice(places)
            other = other[:at] + new + other[at + len(old) :]
        made.append(Pair(name, said(one, setting), said(other, setting), spoilt))
    return made


class Referee:
    """Runs both queries of a pair on filled databases that are fair to the first."""

    def __init__(self, box: Sandbox, seed: int, setting: Setting = SETTINGS["employees"]) -> None:
        self.box, self.seed, self.setting = box, seed, setting

    def parts(self, suite: Suite, other: str, *, nulls: bool) -> bool | None:
        """Whether some database parts the two; None where the other never ran. ``nulls``: NULLs too."""
        schema, gold = parse_schema(self.setting.context), suite.readings[0]
        queries = [statement(text, schema) for text in (gold, other)]
        profiles = [profile_of(query) for query in queries if query is not None]
        fairness, ran = Fairness(queries[0]), False
        for mode in MODES:
            if mode == "nulls" and not nulls:
                continue
            for number in range(3):
                self.box.load(populate(schema, profiles, mode=mode, seed=f"{self.seed}/{number}"))
                answer, result = self.box.query(gold), self.box.query(other)
                if isinstance(answer, Failure) or isinstance(result, Failure):
                    continue
                ran = True
                expected = Expected(answer, ordered=suite.ordered, rules=suite.rules)
                if fairness.check(self.box, gold, expected) == "fair" and not expected.same(result):
                    return True
        return False if ran else None


def crashed(suite: Suite, verdict: Verdict) -> bool:
    """Whether the harness itself failed on a pair."""
    return verdict.outcome is Outcome.HARNESS_ERROR or suite.reason.startswith("harness_error")


def judged(
    made: list[Pair], box: Sandbox, seed: int, setting: Setting = SETTINGS["employees"]
) -> tuple[dict[str, Counter[str]], list[str]]:
    """What became of each rule's pairs, either way round, and a text for each that is to be looked at."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    odd: list[str] = []
    referee = Referee(box, seed, setting)
    for pair in made:
        row = table[pair.rule]
        row["pairs"] += 1
        for gold, other in ((pair.one, pair.other), (pair.other, pair.one)):
            suite = build_suite(setting.context, gold, rules=Rules(case="exact"))
            (verdict,) = judge(suite, [other], box=box)
            told = f"{pair.rule}, {verdict.outcome}, {verdict.detail}\n  {gold}\n  {other}"
            if crashed(suite, verdict):
                row["crashes"] += 1
                odd.append(f"crash: {told}")
            if suite.gold_status != "ok":
                row["flagged"] += 1
                continue
            row[f"outcome {verdict.outcome}"] += 1
            row["right" if verdict.execution_match else "wrong"] += 1
            row["proved"] += verdict.outcome in PROVED
            nulls = "where nothing is NULL" not in verdict.detail
            parted = referee.parts(suite, suite.sqlite(other), nulls=nulls)
            if verdict.outcome in PROVED and parted:
                row["contradicted"] += 1
                odd.append(f"contradicted: {told}")
            elif not verdict.execution_match and not pair.spoilt and parted is False:
                row["rejected, not parted"] += 1
                odd.append(f"rejected: {told}")
    return table, odd


HEADS = ["pairs", "right", "proved", "wrong", "flagged", "rejected, not parted", "contradicted", "crashes"]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--pairs", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--schema", choices=SETTINGS, default="employees")
    options.add_argument("--show", type=int, default=10)
    chosen = options.parse_args()
    started = time.process_time()
    with Sandbox() as box:
        setting = SETTINGS[chosen.schema]
        table, odd = judged(pairs(chosen.pairs, chosen.seed, setting), box, chosen.seed, setting)
    total: Counter[str] = Counter()
    print(f"{'rule':<24}" + "".join(f"{head:>{len(head) + 2}}" for head in HEADS))
    for name, row in table.items():
        print(f"{name:<24}" + "".join(f"{row[head]:>{len(head) + 2}}" for head in HEADS))
        total.update(row)
    print(f"{'all':<24}" + "".join(f"{total[head]:>{len(head) + 2}}" for head in HEADS))
    for text in odd[: chosen.show]:
        print(text, file=sys.stderr)
    facts = {
        "verdict_version": VERDICT_VERSION,
        "seed": chosen.seed,
        "schema": chosen.schema,
        "seconds": round(time.process_time() - started, 1),
        **{head: total[head] for head in HEADS},
        "outcomes": {one.value: n for one in Outcome if (n := total[f"outcome {one}"])},
    }
    print(json.dumps(facts))
    sys.exit(1 if total["crashes"] or total["contradicted"] else 0)


if __name__ == "__main__":
    main()
