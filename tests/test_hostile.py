"""No text in a gold, a context or a prediction raises, is let in, or changes its neighbours' verdicts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import build_suite, judge
from harness.databases import Suite
from harness.databases.store import SuiteStore, suites
from harness.databases.suite import HARNESS_ERROR
from harness.outcomes import Outcome
from harness.records import Example, Judging, Prediction, Sample
from harness.runs.remarks import remarks
from harness.scoring import explain, judge_all
from harness.scoring.verdict import ALARM

CASES = Path(__file__).parent / "cases" / "hostile"
CONTEXT = "CREATE TABLE head (name VARCHAR, age INTEGER, city VARCHAR, salary REAL, hired DATE)"
GOLD = "SELECT name FROM head WHERE age > 31"
NEIGHBOURS = ["SELECT name FROM head WHERE age >= 32", "SELECT name FROM head WHERE age > 32"]


def _read(name: str, field: str) -> list[str]:
    return [json.loads(line)[field] for line in (CASES / f"{name}.jsonl").read_text("ascii").splitlines()]


STATEMENTS = _read("statements", "sql")
CONTEXTS = _read("contexts", "context")


def _repeated(count: int, joiner: str, item: str) -> str:
    return joiner.join(item.format(n) for n in range(count))


def _nested(depth: int, before: str, inside: str, after: str) -> str:
    return before * depth + inside + after * depth


HUGE = [
    f"{GOLD} AND {_repeated(1000, ' AND ', 'age <> {}')}",
    f"{GOLD} OR age > 31 AND ({_repeated(100, ' OR ', 'age = {}')})",
    f"{GOLD} AND age NOT IN ({_repeated(1000, ', ', '-{}')})",
    f"{GOLD} OR age > 31 AND ({_repeated(150, ' OR ', chr(110) + 'ame LIKE ' + chr(39) + '%a{}' + chr(39))})",
    f"SELECT {_nested(5_000, '(', '1', ')')}",
    f"SELECT {'(' * 16_000}",
    f"SELECT {chr(39) * 800_000}",
    f"SELECT name FROM head WHERE {'NOT ' * 2_000} age = 3",
    f"SELECT {'- ' * 3_000} 1 FROM head",
    f"SELECT {'CASE ' * 5_000}",
    f"SELECT {'{' * 14_000}",
    f"SELECT * FROM {_nested(90, '(SELECT * FROM ', 'head', ')')}",
    f"SELECT {_nested(90, 'CASE WHEN age > 1 THEN ', '1', ' END')} FROM head",
    "WITH a0 AS (SELECT name FROM head)"
    + "".join(
        f", a{n} AS (SELECT x.name FROM a{n - 1} x JOIN a{n - 1} y ON x.name = y.name)" for n in range(1, 13)
    )
    + " SELECT * FROM a12",
    f"SELECT {_repeated(2_001, ', ', 'age')} FROM head",
    _repeated(600, " UNION ", "SELECT name FROM head"),
    "SELECT h0.name FROM head h0" + "".join(f" JOIN head h{n} ON h{n}.age = h0.age" for n in range(1, 30)),
    f"SELECT name FROM head WHERE name LIKE '{'%a' * 200}b'",
    f"SELECT {'name || ' * 300} name FROM head",
    f"SELECT name FROM head {'/* x */' * 4_000}",
]
WIDE = [
    f"CREATE TABLE head (name VARCHAR, age INTEGER, {_repeated(2_000, ', ', 'c{} INTEGER')})",
    f"CREATE TABLE head (name VARCHAR, age INTEGER, {_repeated(500, ', ', 'c{} INTEGER')})",
    f"{_repeated(200, '; ', 'CREATE TABLE t{} (id INTEGER PRIMARY KEY)')}; {CONTEXT}",
    f"CREATE TABLE head (name VARCHAR, age INTEGER CHECK ({_nested(1_000, '(', 'age > 1', ')')}))",
    f"CREATE TABLE head (name VARCHAR, age INTEGER CHECK ({_repeated(500, ' AND ', 'age <> {}')}))",
    f"{CONTEXT}; {'-- x' + chr(10) * 200_000}{'x' * 300_000}",
]


@pytest.fixture(autouse=True)
def _no_net(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The net must catch nothing here: each cause is to be cured."""
    with caplog.at_level(logging.ERROR, "harness"):
        yield
    assert [r for r in caplog.get_records("call") if HARNESS_ERROR in r.getMessage()] == []


@pytest.fixture(scope="module")
def suite() -> Suite:
    return build_suite(CONTEXT, GOLD)


def test_the_corpus_is_large_enough() -> None:
    assert len(set(STATEMENTS)) >= 600
    assert len(set(CONTEXTS)) >= 50


@pytest.mark.slow
def test_predictions_change_no_neighbour_and_are_judged_alike_twice(suite: Suite) -> None:
    hostile = [*STATEMENTS, *HUGE]
    alone = judge(suite, NEIGHBOURS)
    first = judge(suite, [NEIGHBOURS[0], *hostile, NEIGHBOURS[1]])
    assert [first[0], first[-1]] == alone
    assert judge(suite, hostile[::-1]) == first[-2:0:-1]


def test_what_is_denied_is_never_right(suite: Suite) -> None:
    verbs = ("PRAGMA", "ATTACH", "VACUUM", "INSERT", "UPDATE", "DELETE", "DROP", "CREATE", "EXPLAIN", "BEGIN")
    tried = [sql for sql in STATEMENTS if sql.upper().startswith(verbs)]
    verdicts = judge(suite, tried)
    assert len(tried) > 15
    assert {v.outcome for v in verdicts} <= {
        Outcome.DENIED,
        Outcome.SYNTAX_ERROR,
        Outcome.SCHEMA_ERROR,
        Outcome.EXECUTION_ERROR,
    }


def test_explanations(suite: Suite) -> None:
    for sql in [*STATEMENTS[::40], *HUGE[::4]]:
        explained = explain(suite, sql)
        assert explained.verdict.outcome is judge(suite, [sql])[0].outcome


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_golds(part: int) -> None:
    for gold in [*STATEMENTS[part::32], *HUGE[part::4]]:
        suite = build_suite(CONTEXT, gold)
        own, other = judge(suite, [gold, GOLD])
        assert own.execution_match or suite.gold_status != "ok", (gold[:200], own)
        assert other.outcome is not Outcome.HARNESS_ERROR


def test_contexts() -> None:
    before = judge(build_suite(CONTEXT, GOLD), NEIGHBOURS)
    for context in [*CONTEXTS, *WIDE]:
        suite = build_suite(context, GOLD)
        judge(suite, NEIGHBOURS)
        explain(suite, NEIGHBOURS[1])
        assert (suite.gold_status != "ok") == bool(suite.reason)
    assert judge(build_suite(CONTEXT, GOLD), NEIGHBOURS) == before


def test_suites_that_were_kept_judge_as_they_did(tmp_path: Path) -> None:
    examples = [
        Example(id=str(n), question="", context=context, gold=gold)
        for n, (context, gold) in enumerate(
            [*((context, GOLD) for context in CONTEXTS[::3]), *((CONTEXT, gold) for gold in STATEMENTS[::90])]
        )
    ]
    predictions = [
        Prediction(id=e.id, pair="p", sql=sql) for e in examples for sql in (e.gold, NEIGHBOURS[1])
    ]
    with SuiteStore(tmp_path / "suites.sqlite") as store:
        first = list(judge_all(examples, predictions[::2], Judging(), store=store))
        again = list(judge_all(examples, predictions[::2], Judging(), store=store))
        assert len(dict(suites(examples, Judging(), store=store))) == len(examples)
    assert first == again


# ---- a grammar of queries, mostly well-formed, with the odd constant and clause ----

NUMBERS = [
    "0",
    "1",
    "31",
    "-5",
    "2.5",
    "1e400",
    "-1e400",
    "1e308",
    "9223372036854775807",
    "9223372036854775808",
]
TEXTS = ["''", "'a'", "'nan'", "'inf'", "'12,552'", "'%'", "'é'", "'2024-02-30'", "'\ud800'", "x'ff'", "NULL"]
names = st.sampled_from(
    ["name", "age", "city", "salary", "hired", "head.age", "rowid", "nothing", '"odd name"']
)
constants = st.sampled_from([*NUMBERS, *TEXTS])
values = st.recursive(
    names | constants,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%", "||"]), inner).map(" ".join),
        st.tuples(
            st.sampled_from(["abs", "lower", "length", "max", "count", "sum", "date", "round", "hex"]), inner
        ).map(lambda two: f"{two[0]}({two[1]})"),
        inner.map(lambda one: f"CAST({one} AS INTEGER)"),
        st.tuples(inner, inner).map(lambda two: f"CASE WHEN {two[0]} THEN {two[1]} END"),
    ),
    max_leaves=4,
)
conditions = st.recursive(
    st.one_of(
        st.tuples(values, st.sampled_from(["=", "<", ">=", "<>", "LIKE", "IS", "GLOB"]), values).map(
            " ".join
        ),
        st.tuples(values, constants, constants).map(lambda c: f"{c[0]} BETWEEN {c[1]} AND {c[2]}"),
        st.tuples(values, st.lists(constants, max_size=4)).map(lambda c: f"{c[0]} IN ({', '.join(c[1])})"),
        values.map(lambda one: f"{one} IN (SELECT age FROM head)"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda c: f"({' '.join(c)})"),
        inner.map(lambda one: f"NOT {one}"),
    ),
    max_leaves=4,
)


@st.composite
def queries(draw: st.DrawFn) -> str:
    """One SELECT, perhaps with another beside it."""
    outputs = ", ".join(draw(st.lists(values, min_size=1, max_size=3)))
    text = f"SELECT {draw(st.sampled_from(['', 'DISTINCT ']))}{outputs}"
    text += " FROM " + draw(
        st.sampled_from(
            ["head", "head h", "head JOIN head b USING (age)", "head, head b", "(SELECT * FROM head) head"]
        )
    )
    if draw(st.booleans()):
        text += f" WHERE {draw(conditions)}"
    if draw(st.integers(0, 3)) == 0:
        text += f" GROUP BY {draw(values)}" + (f" HAVING {draw(conditions)}" if draw(st.booleans()) else "")
    if draw(st.integers(0, 3)) == 0:
        text += f" ORDER BY {draw(values)}" + draw(st.sampled_from(["", " DESC", " NULLS LAST"]))
    if draw(st.integers(0, 3)) == 0:
        text += f" LIMIT {draw(constants)}"
    if draw(st.integers(0, 7)) == 0:
        text += draw(st.sampled_from([" UNION ", " EXCEPT ", " INTERSECT "])) + draw(queries())
    return text


@st.composite
def contexts(draw: st.DrawFn) -> str:
    """One or two tables with the columns that the queries name, and constraints of all kinds."""
    kinds = st.sampled_from(
        ["VARCHAR", "INTEGER", "REAL", "DATE", "", "JSON", "DECIMAL(9, 2)", "ENUM('a', 'b')"]
    )
    more = st.sampled_from(
        ["", " NOT NULL", " UNIQUE", " PRIMARY KEY", " DEFAULT 1e400", " REFERENCES b(id)"]
    )
    columns = [f"{name} {draw(kinds)}{draw(more)}" for name in ("name", "age", "city", "salary", "hired")]
    if draw(st.booleans()):
        columns.append(f"CHECK ({draw(conditions)})")
    first = f"CREATE TABLE head ({', '.join(columns)})"
    return first + draw(
        st.sampled_from(["", "; CREATE TABLE b (id INTEGER PRIMARY KEY, name VARCHAR)", ";;", " x"])
    )


relaxed = settings(
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.slow
@settings(relaxed, max_examples=60)
@given(gold=queries(), context=st.just(CONTEXT) | contexts(), sqls=st.lists(queries(), max_size=3))
def test_fuzzed(gold: str, context: str, sqls: list[str]) -> None:
    suite = build_suite(context, gold)
    assert not suite.reason.startswith(HARNESS_ERROR), suite.reason
    verdicts = judge(suite, [gold, *sqls])
    assert Outcome.HARNESS_ERROR not in {v.outcome for v in verdicts}
    assert verdicts[0].execution_match or suite.gold_status != "ok", verdicts[0]
    assert judge(suite, [*sqls, gold]) == [*verdicts[1:], verdicts[0]]


@pytest.mark.slow
@settings(relaxed, max_examples=300)
@given(sqls=st.lists(queries(), min_size=1, max_size=6))
def test_fuzzed_predictions(suite: Suite, sqls: list[str]) -> None:
    first, *verdicts = judge(suite, [NEIGHBOURS[0], *sqls])
    assert first == judge(suite, NEIGHBOURS[:1])[0]
    assert Outcome.HARNESS_ERROR not in {v.outcome for v in verdicts}


def test_the_net(suite: Suite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("harness.scoring.verdict.proof", broken)
    monkeypatch.setattr("harness.databases.maker.profile_of", broken)
    hit, missed = judge(suite, NEIGHBOURS)
    assert (hit.outcome, hit.cause) == (Outcome.HARNESS_ERROR, "harness error")
    assert not hit.execution_match
    assert missed.outcome is Outcome.WRONG
    gold = build_suite(CONTEXT, GOLD)
    assert gold.gold_status == "broken"
    assert gold.reason.startswith("harness_error: RuntimeError: a fault of ours")
    assert explain(suite, NEIGHBOURS[0]).verdict.outcome is Outcome.HARNESS_ERROR
    assert caplog.text.count("a fault of ours") >= 3
    assert "Traceback" in caplog.text
    caplog.clear()


def test_a_run_says_what_it_failed_on(suite: Suite) -> None:
    example = Example(id="7", question="", context=CONTEXT, gold=GOLD)
    (verdict,) = judge(suite, [None])
    failed = replace(
        verdict, id="7", pair="p", outcome=Outcome.HARNESS_ERROR, gold_reason="harness_error: why"
    )
    sample = Sample.of(example, Prediction(id="7", pair="p", sql="SELECT 1"), failed)
    golds, predictions = remarks([sample])[:2]
    assert "failed on 1 golds, left out" in golds
    assert "1 predictions, counted as wrong" in predictions
    assert "p/7" in predictions


def test_a_form_overrules_no_database(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Equal forms and a fair database that parts the two: wrong, and an alarm that the report counts."""
    monkeypatch.setattr("harness.sql.canonical.Canonicaliser.text", lambda *_: "select all the same")
    (verdict,) = judge(suite, [NEIGHBOURS[1]])
    assert (verdict.outcome, verdict.detail, verdict.execution_match) == (Outcome.WRONG, ALARM, False)
    assert "alarm" in caplog.text
    prediction = Prediction(id="7", pair="p", sql=NEIGHBOURS[1])
    example = Example(id="7", question="", context=CONTEXT, gold=GOLD)
    assert (
        "On 1 predictions" in remarks([Sample.of(example, prediction, replace(verdict, pair="p", id="7"))])[0]
    )
