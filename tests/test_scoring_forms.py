"""Canonical forms, proofs and causes: what is written the same, what is proved equal, and what is blamed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring.cause import causes
from harness.scoring.proof import proof, same_condition
from harness.sql.canonical import Canonicaliser
from harness.sql.schema import Column, Schema, Table
from harness.sql.terms import Junction, Leaf, Not

CASES = Path(__file__).parent / "cases"
TABLES = {
    "singer": {"id": "integer", "name": "text", "age": "integer", "height": "real"}
    | {f"c{n}": "integer" for n in range(1, 10)},
    "song": {"song_id": "integer", "title": "text", "singer_id": "integer", "sales": "integer"},
    "concert": {"concert_id": "integer", "venue": "text", "year": "integer"},
    "performs": {"concert_id": "integer", "singer_id": "integer"},
}
SCHEMA = Schema(tuple(Table(name, tuple(map(Column, columns))) for name, columns in TABLES.items()))
BASIC, STRONG = (Canonicaliser(SCHEMA, kinds=TABLES, strong=strong) for strong in (False, True))
KEYED = Canonicaliser(
    SCHEMA,
    kinds=TABLES,
    strong=True,
    primary=[("singer", ("id",)), ("song", ("song_id",))],
    links=[(("song", "singer_id"), ("singer", "id"))],
)


def _read(name: str) -> list[Any]:
    lines = (CASES / name).read_text("utf-8").splitlines()
    return [pytest.param(case, id=case.get("reason")) for case in map(json.loads, lines)]


@pytest.mark.parametrize("case", _read("canonical.jsonl"))
def test_canonical_form(case: dict[str, Any]) -> None:
    one, other = case["one"], case["other"]
    assert (BASIC.text(one) == BASIC.text(other)) is case["basic"], (BASIC.text(one), BASIC.text(other))
    assert (STRONG.text(one) == STRONG.text(other)) is case["strong"], (STRONG.text(one), STRONG.text(other))


@pytest.mark.parametrize("case", _read("keys.jsonl"))
def test_what_keys_fold(case: dict[str, Any]) -> None:
    texts = [KEYED.text(case[name]) for name in ("one", "other")]
    assert (texts[0] == texts[1]) is case["equal"], texts
    if case["equal"]:
        assert STRONG.text(case["one"]) != STRONG.text(case["other"]) or "WHERE" in case["one"]


@pytest.mark.parametrize("case", _read("proofs.jsonl"))
def test_proof(case: dict[str, Any]) -> None:
    one, other = STRONG.form(case["one"]), STRONG.form(case["other"])
    assert one is not None
    assert other is not None
    assert proof(one, other) == case["proof"]


@pytest.mark.parametrize("case", _read("causes.jsonl"))
def test_cause(case: dict[str, Any]) -> None:
    assert causes(STRONG.form(case["gold"]), STRONG.form(case["prediction"]))[0] == case["cause"]


def test_text_case_follows_the_rule() -> None:
    sqls = ["SELECT name FROM singer WHERE name = 'A'", "SELECT name FROM singer WHERE name = 'a'"]
    assert len({Canonicaliser(SCHEMA, case="ignore").text(sql) for sql in sqls}) == 1
    assert len({Canonicaliser(SCHEMA, case="exact").text(sql) for sql in sqls}) == 2


@pytest.mark.parametrize(
    "sql", ["", "SELEC 1", "SELECT 1; SELECT 2", "DROP TABLE singer", "SELECT " + "(" * 3000]
)
def test_what_is_no_query_falls_back_to_tokens(sql: str) -> None:
    assert BASIC.form(sql) is None
    assert BASIC.text(sql).startswith("~")


WORDS = """SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT AND OR NOT IN ( ) , * = > 'a' 1 name age singer song
JOIN ON AS UNION COUNT MAX DISTINCT LEFT EXISTS LIKE BETWEEN CASE WHEN END WITH ; " `"""
_WORDS = st.sampled_from(WORDS.split())


@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, max_size=25).map(" ".join) | st.text(max_size=40))
def test_reading_never_raises(sql: str) -> None:
    assert BASIC.text(sql)
    assert STRONG.text(f"SELECT name FROM singer WHERE {sql}")


_COMPARISONS = st.builds(
    lambda column, operator, value: Leaf(f"{column} {operator} {value}", column, operator, value, "integer"),
    st.sampled_from("ab"),
    st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
    st.integers(0, 3),
)
_CONDITIONS = st.recursive(
    _COMPARISONS,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(lambda o, a, b: Junction(o, (a, b)), st.sampled_from(["and", "or"]), inner, inner)
    ),
    max_leaves=6,
)


def _holds(item: Any, row: dict[str, int]) -> bool:
    if isinstance(item, Not):
        return not _holds(item.item, row)
    if isinstance(item, Junction):
        return (all if item.operator == "and" else any)(_holds(one, row) for one in item.items)
    operator = {"=": "==", "<>": "!="}.get(item.operator, item.operator)
    return bool(eval(f"{row[item.left]} {operator} {item.constant}"))


@settings(max_examples=200, deadline=None)
@given(_CONDITIONS, _CONDITIONS)
def test_regions_agree_with_every_value(one: Any, other: Any) -> None:
    everywhere = all(
        _holds(one, {"a": a, "b": b}) == _holds(other, {"a": a, "b": b})
        for a in range(-2, 7)
        for b in range(-2, 7)
    )
    assert same_condition(one, other, nulls=False) is everywhere


def test_equal_forms_give_equal_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CASES.parents[1] / "scripts"))
    fuzz = runpy.run_path(str(CASES.parents[1] / "scripts" / "form_fuzz.py"))
    told = dict.fromkeys(("pairs", "queries", "runs"), 0)
    assert list(fuzz["differences"](400, 7, told)) == []
    assert told["runs"] > 50
