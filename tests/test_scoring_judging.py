"""Judging: failures, real databases, worker processes, signatures, what a verdict says of the SQL."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness import build_suite, judge
from harness.databases import Sandbox
from harness.outcomes import Outcome
from harness.records import Example, Judging, Prediction, Rules, Verdict
from harness.scoring import judge_all, policy, policy_table, pool, witnesses

HEAD = "CREATE TABLE head (name VARCHAR, age VARCHAR)"
GOLD = "SELECT name FROM head WHERE age > 56"


def one(sql: str | None, context: str = HEAD, gold: str = GOLD) -> Verdict:
    (verdict,) = judge(build_suite(context, gold), [sql])
    return verdict


@pytest.mark.parametrize(
    ("sql", "valid", "adheres"),
    [
        ("SELECT name FROM head", True, True),
        ("SELECT name FROM heads", True, False),
        ("SELECT nam FROM head", True, False),
        ("SELECT name FROM head WHERE", False, False),
        ("SELECT NOSUCH(name) FROM head", False, True),
        ("SELECT name FROM head AS a JOIN head AS b", False, True),
        (GOLD, True, True),
        (None, False, False),
    ],
)
def test_valid_sql_and_schema_adherence(sql: str | None, valid: bool, adheres: bool) -> None:
    verdict = one(sql)
    assert (verdict.valid_sql, verdict.schema_adherence) == (valid, adheres)


def test_exact_match_is_of_canonical_forms_and_raw_match_of_texts() -> None:
    verdict = one("select T.NAME from head as T where (56 < T.age)")
    assert (verdict.outcome, verdict.exact_match, verdict.raw_match) == (Outcome.EXACT, True, False)
    assert one(GOLD + " ;\n").raw_match


def test_all_predictions_of_an_example_keep_their_order() -> None:
    sqls = [None, "SELECT age FROM head", GOLD, "SELEC", GOLD, "SELECT name FROM head WHERE 57 <= age"]
    outcomes = [v.outcome.value for v in judge(build_suite(HEAD, GOLD), sqls)]
    assert outcomes == ["missing", "wrong", "exact", "syntax_error", "exact", "equivalent"]


def test_broken_gold_accepts_itself_alone() -> None:
    suite = build_suite(HEAD, "SELECT wage FROM head")
    assert suite.gold_status == "broken"
    first, second = judge(suite, ["SELECT wage FROM head", GOLD])
    assert first.execution_match
    assert not second.execution_match


def test_under_a_gold_that_does_not_run_predictions_run_all_the_same() -> None:
    suite = build_suite(HEAD, "SELECT wage FROM head")
    verdicts = judge(suite, [GOLD, "SELECT pay FROM head", "SELEC", "select WAGE from head"])
    assert [v.outcome.value for v in verdicts] == ["wrong", "schema_error", "syntax_error", "exact"]
    assert verdicts[0].detail == "the gold does not run"
    assert [v.valid_sql for v in verdicts[:3]] == [True, True, False]
    assert judge(suite, [GOLD, None, "SELEC"], signatures=True)[2].outcome is Outcome.SYNTAX_ERROR


def test_context_that_cannot_be_read_is_an_outcome() -> None:
    (verdict,) = judge(build_suite("no tables here", GOLD), ["SELECT 1"])
    assert verdict.gold_status == "broken"
    assert verdict.gold_reason
    assert not verdict.execution_match


def test_one_sandbox_for_two_schemas_with_equal_statements() -> None:
    contexts = ["CREATE TABLE a (x INTEGER, y INTEGER)", "CREATE TABLE a (y INTEGER, x INTEGER)"]
    with Sandbox() as box:
        for context in contexts:
            verdicts = judge(
                build_suite(context, "SELECT x FROM a WHERE y > 3"), ["SELECT x FROM a WHERE y >= 4"], box=box
            )
            assert verdicts[0].execution_match


def test_signatures_tell_results_apart() -> None:
    sqls = [GOLD, "SELECT name FROM head WHERE age >= 57", "SELECT name FROM head", "SELECT nam FROM head"]
    marks = [v.signature for v in judge(build_suite(HEAD, GOLD), sqls, signatures=True)]
    assert marks[0] == marks[1] != marks[2]
    assert marks[3] == ""


def test_other_dialect_is_transpiled_or_an_outcome() -> None:
    suite = build_suite(HEAD, "SELECT name FROM head WHERE age > 56 LIMIT 3", dialect="postgres")
    right, wrong = judge(suite, ["SELECT name FROM head WHERE age > 56 LIMIT 3", "SELECT name FROM"])
    assert right.execution_match
    assert wrong.outcome in {Outcome.UNTRANSPILABLE, Outcome.SYNTAX_ERROR}


def test_real_rows_refute_what_is_wrong_on_them(tmp_path: Path) -> None:
    path = tmp_path / "DEV.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE table_1_2 (col0 TEXT, col1 REAL)")
        connection.executemany("INSERT INTO table_1_2 VALUES (?, ?)", [("anna", 7), ("ben", 3)])
        connection.commit()
    example = Example(
        id="1",
        question="",
        context='CREATE TABLE table_1_2 ("Name" TEXT, "Goals" REAL)',
        gold="SELECT Name FROM table_1_2 WHERE Goals > 5",
        database=path,
        meta={"table_id": "1-2", "columns": ["Name", "Goals"]},
    )
    sqls = ["SELECT name FROM table_1_2 WHERE goals > 5", "SELECT Name FROM table_1_2 WHERE Goals > 2"]
    predictions = [Prediction(id="1", pair=str(n), sql=sql) for n, sql in enumerate(sqls)]
    right, wrong = judge_all([example], predictions, Judging(cache=tmp_path / "suites.sqlite"))
    assert right.execution_match
    assert not wrong.execution_match


def _task(tmp_path: Path) -> tuple[list[Example], list[Prediction]]:
    examples = [
        Example(id=str(n), question="", context=HEAD, gold=f"SELECT name FROM head WHERE age > {n}")
        for n in range(3)
    ]
    texts = ["SELECT name FROM head WHERE age > 1", "SELECT age FROM head", None]
    return examples, [
        Prediction(id=e.id, pair=f"p{n}", sql=sql) for e in examples for n, sql in enumerate(texts)
    ]


def test_worker_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    examples, predictions = _task(tmp_path)
    done: list[int] = []
    alone = list(judge_all(examples, predictions, Judging(cache=tmp_path / "a.sqlite"), progress=done.append))
    several_ = list(judge_all(examples, predictions, Judging(workers=2, cache=tmp_path / "b.sqlite")))
    assert sorted(alone, key=lambda v: (v.id, v.pair)) == sorted(several_, key=lambda v: (v.id, v.pair))
    assert sum(done) == len(predictions) == len(alone)
    assert {v.id for v in alone if v.outcome is Outcome.EXACT} == {"1"}


def test_prediction_that_hangs_a_worker_is_a_timeout_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SECONDS", 2.0)
    monkeypatch.setattr(pool, "judge", _hanging)
    forking = multiprocessing.get_context("fork")  # only a forked worker sees the patched function
    monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: forking)
    examples, predictions = _task(tmp_path)
    verdicts = list(
        judge_all(
            examples[:1],
            [*predictions[:3], Prediction(id="0", pair="bad", sql="HANG")],
            Judging(workers=2, cache=tmp_path / "a.sqlite"),
        )
    )
    found = {v.pair: v.outcome.value for v in verdicts}
    assert found == {"p0": "wrong", "p1": "wrong", "p2": "missing", "bad": "timeout"}


def _hanging(suite: object, sqls: list[str], **options: object) -> list[Verdict]:
    import time

    if "HANG" in sqls:
        time.sleep(60)
    return judge(suite, sqls, **options)  # type: ignore[arg-type]


def test_witnesses_come_with_their_place(tmp_path: Path) -> None:
    examples, predictions = _task(tmp_path)
    pairs = [(examples[int(p.id)], p.sql) for p in predictions]
    found = dict(witnesses(pairs, Judging(cache=tmp_path / "a.sqlite")))
    assert set(found) == set(range(len(pairs)))
    shown = found[1]
    assert shown is not None
    assert shown.gold_rows != shown.prediction_rows
    assert found[2] is None


def test_policy_table_shows_each_rule_flipped(tmp_path: Path) -> None:
    example = Example(id="1", question="", context=HEAD, gold="SELECT name FROM head WHERE name = 'Ann'")
    prediction = Prediction(id="1", pair="p", sql="SELECT DISTINCT name FROM head WHERE name = 'ann'")
    judging = Judging(cache=tmp_path / "a.sqlite")
    verdicts = list(judge_all([example], [prediction], judging))
    table = policy_table([example], [prediction], verdicts, judging)["p"]
    assert table["as judged"].value == 0
    assert table["distinct=strip"].value == 1
    assert table["case=exact"].value == 0
    assert {
        "keys=loose",
        "types=declared",
        "nulls=count",
        "ties=count",
        "columns=exact",
        "readings=literal",
    } < set(table)


def test_policy_table_is_monotone_and_counts_the_same_golds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stricter rule makes nothing right, a looser one nothing wrong, even where it is judged otherwise."""
    example = Example(id="1", question="", context=HEAD, gold=GOLD)
    prediction = Prediction(id="1", pair="p", sql=GOLD)

    def table(rules: Rules, before: Outcome, after: Outcome) -> dict[str, tuple[float | None, int]]:
        def judged(*_: object, **__: object) -> list[Verdict]:
            return [Verdict(id="1", pair="p", outcome=after, gold_status="uninformative")]

        monkeypatch.setattr(policy, "judge_all", judged)
        old = Verdict(id="1", pair="p", outcome=before)
        found = policy_table([example], [prediction], [old], Judging(rules=rules, cache=tmp_path))["p"]
        return {name: (metric.value, metric.n) for name, metric in found.items()}

    stricter = ("nulls=count", "ties=count", "columns=exact", "keys=loose")
    up = table(Rules(), Outcome.WRONG, Outcome.EXACT)
    assert {up[name] for name in stricter} == {(0.0, 1)}
    assert up["case=exact"] == (1.0, 1)
    assert table(Rules(), Outcome.EXACT, Outcome.WRONG)["ties=count"] == (0.0, 1)
    strict = Rules(nulls="count", ties="count", columns="exact", keys="declared")
    down = table(strict, Outcome.EXACT, Outcome.WRONG)
    assert {down[n] for n in ("nulls=forgive", "ties=forgive", "columns=any", "keys=sound")} == {(1.0, 1)}
    assert down["keys=loose"] == (0.0, 1)


def test_rules_are_frozen_into_the_suite() -> None:
    strict = build_suite(HEAD, GOLD, rules=Rules(case="exact"))
    assert strict.rules.case == "exact"


def test_gold_that_cannot_be_said_in_sqlite_is_an_outcome() -> None:
    gold = "SELECT name FROM head WHERE name SIMILAR TO '(a|b)%' FETCH FIRST 3 ROWS WITH TIES"
    suite = build_suite(HEAD, gold, dialect="postgres")
    for verdict in judge(suite, [GOLD, gold, "SELECT", None]):
        assert verdict.gold_status == "broken" or suite.gold_status == "ok"


def test_attack_survives_keys_that_take_no_text() -> None:
    context = (
        "CREATE TABLE a (id INTEGER PRIMARY KEY, code TEXT UNIQUE, b_id TEXT REFERENCES b(id)); "
        "CREATE TABLE b (id INTEGER PRIMARY KEY, n INTEGER CHECK (n > 0))"
    )
    gold = "SELECT a.code FROM a JOIN b ON a.b_id = b.id WHERE b.n > 3"
    (verdict,) = judge(build_suite(context, gold), [f"SELECT * FROM ({gold})"])
    assert verdict.outcome is Outcome.INDISTINGUISHABLE


def test_a_gold_in_another_writing_is_spared_the_probes() -> None:
    suite = build_suite(
        f"{HEAD}; CREATE TABLE dept (dept_id INT, head_name VARCHAR)", f"{GOLD} ORDER BY age LIMIT 1"
    )
    probes = [d.image for d in suite.databases if d.kind not in ("fair", "ties")]
    loaded: list[bytes | Path] = []

    class Watched(Sandbox):
        def load(self, database: bytes | Path) -> None:
            loaded.append(database)
            super().load(database)

    with Watched() as box:
        for sql, outcome in (
            ("select T.name from head as T where 56 < T.age order by T.age limit 1", Outcome.EXACT),
            ("SELECT name FROM head WHERE age > 56 AND age > 55 ORDER BY age LIMIT 1", Outcome.EQUIVALENT),
        ):
            loaded.clear()
            (verdict,) = judge(suite, [sql], box=box)
            assert verdict.outcome is outcome
            assert any(image in loaded for image in probes) is (outcome is not Outcome.EXACT)
            assert all(d.image in loaded for d in suite.databases if d.kind == "fair")
