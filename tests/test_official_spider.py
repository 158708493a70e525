"""Spider's exact set match: by cases, by its figures for published systems, and what it refuses."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

import pytest

from harness.errors import BenchmarkError, UsageError
from harness.records import Benchmark, Example
from harness.scoring.official import (
    SCORERS,
    Options,
    Score,
    open_scorer,
)
from harness.scoring.official.spider_clauses import difference
from harness.scoring.official.spider_query import Unreadable, parse, schema_of, words
from harness.scoring.official.spider_schemas import hardness

CASES = Path(__file__).parent / "cases"
TABLES = CASES / "official_spider_tables.json"
ENTRIES = {entry["db_id"]: entry for entry in json.loads(TABLES.read_text())}
MATCHES = [json.loads(line) for line in (CASES / "official_spider_match.jsonl").read_text().splitlines()]
CONTEXT = (
    "CREATE TABLE Student (ID INTEGER PRIMARY KEY, Name TEXT, Age INTEGER, City TEXT);"
    "CREATE TABLE Course (ID INTEGER PRIMARY KEY, Title TEXT, Credits INTEGER);"
    "CREATE TABLE Enrolled (Student_ID INTEGER REFERENCES Student (ID), Course_ID INTEGER, Grade INTEGER,"
    " FOREIGN KEY (Course_ID) REFERENCES Course (ID));"
)


def benchmark(pairs: list[tuple[str, str]], folder: Path | None = None) -> Benchmark:
    """A benchmark of (gold, database) pairs, ids from 0."""
    examples = tuple(
        Example(id=str(i), question="", context=CONTEXT, gold=gold, db_id=db)
        for i, (gold, db) in enumerate(pairs)
    )
    return Benchmark(name="spider", split="dev", examples=examples, folder=folder)


def published(text: str) -> Benchmark:
    """A benchmark of lines SQL<tab>database."""
    rows = [line.split("\t") for line in text.splitlines()]
    return benchmark([(row[0], row[1]) for row in rows])


def scores(data: Benchmark, texts: Sequence[str | None], options: Options | None = None) -> list[Score]:
    """What each text scores in exact set match."""
    with open_scorer("spider_exact_set_match", data, options) as scorer:
        found = [scorer.explain(e, text) for e, text in zip(data.examples, texts, strict=True)]
    return [score for score in found if score is not None]


def flagged(data: Benchmark, options: Options | None = None) -> dict[str, str]:
    with open_scorer("spider_exact_set_match", data, options) as scorer:
        return scorer.flagged()


@pytest.mark.parametrize("case", MATCHES, ids=[case["reason"] for case in MATCHES])
@pytest.mark.parametrize("options", [Options(tables=TABLES), Options()], ids=["tables.json", "context"])
def test_case(case: dict[str, object], options: Options) -> None:
    data = benchmark([(str(case["gold"]), "school")])
    (score,) = scores(data, [str(case["prediction"])], options)
    assert score.value == bool(case["same"]), score.note
    assert bool(score.note) == (not case["same"])
    assert bool(flagged(data, options)) == (case["same"] is None)


@pytest.mark.parametrize("case", [c for c in MATCHES if c["hardness"]], ids=lambda case: str(case["gold"]))
def test_hardness(case: dict[str, str]) -> None:
    assert hardness(case["gold"], ENTRIES["school"]) == case["hardness"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b , c,1", ["a", ",", "b", ",", "c,1"]),
        ("x='it''s' y", ["x=\ue0001\ue000\ue0003\ue000", "y"]),
        ("x != 'A b' AND y<='2'", ["x", "!=", '"A b"', "and", "y", "<=\ue0003\ue000"]),
        ("a--b..c;d.e ?f", ["a", "--", "b", "..", "c", ";", "d.e", "?", "f"]),
        ("t1.* LIMIT 5.", ["t1.", "*", "limit", "5", "."]),
        ("[x] {y} `z` a:b 1:2", ["[", "x", "]", "{", "y", "}", "`", "z", "`", "a", ":", "b", "1:2"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    if expected[-1].startswith("<="):  # < stands apart, = sticks to the string behind it
        expected = [*expected[:-1], "<", "=\ue0003\ue000"]
    assert words(text) == expected


def test_groups_of_foreign_keys_grow_but_never_merge() -> None:
    keys = schema_of(ENTRIES["chains"]).keys
    assert keys == {"a.x": "a.x", "b.x": "a.x", "c.x": "c.x", "d.x": "c.x"}


def test_the_edition_of_2018_wants_a_number_after_limit() -> None:
    data = benchmark([("select name from student order by age limit 1", "school")])
    text = "select name from student order by age limit x"
    editions: tuple[Literal["test-suite", "spider"], ...] = ("test-suite", "spider")
    given = [scores(data, [text], Options(tables=TABLES, edition=e))[0].value for e in editions]
    assert given == [1.0, 0.0]
    nested = "select name from student where age = (select age from student order by age limit {})"
    schema = schema_of(ENTRIES["school"])
    read = [[parse(nested.format(n), schema, any_limit=modern) for n in (1, 3)] for modern in (True, False)]
    assert [difference(*pair, schema) for pair in read] == ["", "where"]


@pytest.mark.parametrize("text", ["", "select", "select (", "as", "'", "\x00", "((" * 9999])
def test_what_cannot_be_read_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text, schema_of(ENTRIES["school"]))


def test_nesting_too_deep_is_refused() -> None:
    text = "select name from student where id in (" * 3000 + "select id from student" + ")" * 3000
    with pytest.raises(Unreadable, match="too deep"):
        parse(text, schema_of(ENTRIES["school"]))


def test_missing_predictions_count_as_wrong() -> None:
    data = benchmark([("select name from student", "school")] * 3)
    assert scores(data, [None, "", None]) == [Score(0.0, "no prediction")] * 3


def test_without_tables_json_the_report_says_so(tmp_path: Path) -> None:
    data = benchmark([("select name from student", "school")], tmp_path)
    assert "no tables.json" in open_scorer("spider_exact_set_match", data).remark()
    (tmp_path / "tables.json.gz").write_bytes(gzip.compress(TABLES.read_bytes()))
    assert open_scorer("spider_exact_set_match", data).remark() == ""


def test_bad_input(tmp_path: Path) -> None:
    data = benchmark([("select name from student", "school")])
    with pytest.raises(BenchmarkError, match=r"no tables\.json at"):
        open_scorer("spider_exact_set_match", data, Options(tables=tmp_path / "absent"))
    (tmp_path / "tables.json").write_text("[{")
    with pytest.raises(BenchmarkError, match="not JSON"):
        open_scorer("spider_exact_set_match", data, Options(tables=tmp_path))
    for text, problem in (('["x"]', "is not Spider's"), ('[{"db_id": "school"}]', "database school in")):
        (tmp_path / "tables.json").write_text(text)
        with pytest.raises(BenchmarkError, match=problem):
            flagged(data, Options(tables=tmp_path))
    with pytest.raises(UsageError, match="no official metric 'spider'"):
        open_scorer("spider", data)


def test_every_scorer_cites_its_source() -> None:
    assert all(
        name == scorer.name and "https://github.com/" in scorer.source for name, scorer in SCORERS.items()
    )


PUBLISHED = {
    1: {"easy": 0.685, "medium": 0.430, "hard": 0.259, "extra": 0.102, "all": 0.410},
    5: {"easy": 0.681, "medium": 0.592, "hard": 0.477, "extra": 0.361, "all": 0.557},
    12: {"easy": 0.706, "medium": 0.590, "hard": 0.471, "extra": 0.361, "all": 0.561},
}


@pytest.mark.parametrize("system", PUBLISHED)
@pytest.mark.parametrize("edition", ["test-suite", "spider"])
def test_published_systems_score_as_published(shared_data: Path, system: int, edition: str) -> None:
    data = published((shared_data / "spider" / "dev_gold.sql").read_text())
    file = shared_data / "predictions" / f"spider-dev-system-{system}.txt"
    options = Options(
        tables=shared_data / "spider", edition="spider" if edition == "spider" else "test-suite"
    )
    given = scores(data, file.read_text().splitlines(), options)
    tables = json.loads(gzip.decompress((shared_data / "spider" / "tables.json.gz").read_bytes()))
    entries = {entry["db_id"]: entry for entry in tables}
    levels: dict[str, list[float]] = defaultdict(list)
    for example, score in zip(data.examples, given, strict=True):
        for level in ("all", hardness(example.gold, entries[str(example.db_id)])):
            levels[level].append(score.value)
    assert {level: len(values) for level, values in levels.items()} == {
        "easy": 248,
        "medium": 446,
        "hard": 174,
        "extra": 166,
        "all": 1034,
    }
    assert {level: round(fmean(values), 3) for level, values in levels.items()} == PUBLISHED[system]


def test_published_golds_match_themselves(shared_data: Path) -> None:
    options = Options(tables=shared_data / "spider")
    dev = (shared_data / "spider" / "dev_gold.sql").read_text()
    assert flagged(published(dev), options) == {}
    train = published(gzip.decompress((shared_data / "spider" / "train_gold.sql.gz").read_bytes()).decode())
    golds = {example.id: example.gold for example in train.examples}
    assert len(golds) > 8000
    assert sorted("value" in golds[example_id] for example_id in flagged(train, options)) == [
        False,
        *[True] * 20,
    ]
    older = Options(tables=shared_data / "spider", edition="spider")
    assert len(flagged(train, older)) == 1
