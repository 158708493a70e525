"""Spider's execution match and BIRD's metrics: on real files, on test suites, under attack, in time."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from harness.databases.results import Failure, Result
from harness.errors import BenchmarkError
from harness.records import Benchmark, Example, Prediction
from harness.scoring.official import Options, Score, explain_official, flagged_golds, levels, remarks
from harness.scoring.official.bags import Row, same_bag
from harness.scoring.official.bird import soft_f1
from harness.scoring.official.runner import Runner
from harness.scoring.official.spider_execution import PLUGGED, plugged, prepared

CONTEXT = "CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def database(path: Path, rows: list[tuple[int, str, int | None]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(CONTEXT)
    connection.executemany("INSERT INTO pet VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("download")
    database(root / "database/pets/pets.sqlite", [(1, "Rex", 3), (2, "Rex", 5), (3, "Tom", 5)])
    return root


def benchmark(golds: str | list[str], path: Path | None = None, root: Path | None = None) -> Benchmark:
    examples = tuple(
        Example(
            id=str(i), question="", context=CONTEXT, gold=gold, db_id="pets", database=path, kind="simple"
        )
        for i, gold in enumerate([golds] if isinstance(golds, str) else golds)
    )
    return Benchmark(name="b", split="dev", examples=examples, folder=root)


def all_scores(name: str, data: Benchmark, texts: list[str], **options: object) -> list[Score]:
    predictions = {str(i): Prediction(id=str(i), pair="p", sql=text) for i, text in enumerate(texts)}
    scores = explain_official(name, data, predictions, options=Options(**options))  # type: ignore[arg-type]
    return list(scores.values())


def scored(name: str, data: Benchmark, sql: str, **options: object) -> Score:
    return all_scores(name, data, [sql], **options)[0]


SPIDER: dict[str, tuple[dict[str, object], list[tuple[str, str, bool]]]] = {
    "defaults": (
        {},
        [
            ("select name from pet", "select pet.name from pet order by id desc", True),
            ("select name from pet order by id", "select name from pet order by id desc", False),
            ("select name from pet ORDER  BY id", "select name from pet order by id desc", True),
            ("select name, age from pet", "select age, name from pet", True),
            ("select id, age from pet", "select id, id from pet", False),
            ("select name from pet", "select distinct name from pet", True),
            ("select count(distinct name) from pet", "select count(name) from pet", True),
            ("select name from pet where age > 3", "select name from pet where age > = 5", True),
            ("select name from pet where age > 3", "select name from pet where age > 4; select 1", True),
            ("select name from pet where name = 'Tom'", "select name from pet where name = 'Rex'", False),
            ("select name from pet where id = 1", "select name from pet where id = value", True),
            ("select name from pet where age > 99", "select id, name, age from pet where age < 0", True),
            ("select name from pet", "select nme from pet", False),
            ("select name from pet", "select name from pet where age = YEAR(CURDATE())", False),
            ("select name from pet where age < YEAR(CURDATE())", "select name from pet", True),
            ("select name from pet", "select lower(name) from pet", False),
            ("select age from pet", "select age * 1.0 from pet", True),
        ],
    ),
    "distinct kept": (
        {"keep_distinct": True},
        [
            ("select name from pet", "select distinct name from pet", False),
            ("select count(distinct name) from pet", "select count(name) from pet", False),
            ("select name from pet where age > 3", "select name from pet where age > 4; select 1", False),
        ],
    ),
    "values plugged": (
        {"plug_values": True},
        [
            ("select id from pet where name = 'Tom'", "select id from pet where name = 'x'", True),
            (
                "select id from pet where age = 5 and id = 2",
                "select id from pet where age = 9 and id = 9",
                True,
            ),
            ("select id from pet where age = 5", "select id from pet where id = 9", False),
        ],
    ),
    "of 2018": (
        {"edition": "spider"},
        [("select name from pet where id = 1", "select name from pet where id = value", False)],
    ),
}


@pytest.mark.parametrize("options", SPIDER)
def test_spider(folder: Path, options: str) -> None:
    chosen, cases = SPIDER[options]
    data = benchmark([gold for gold, _, _ in cases], root=folder)
    scores = all_scores("spider_execution", data, [text for _, text, _ in cases], **chosen)
    for case, score in zip(cases, scores, strict=True):
        assert (score.value, bool(score.note)) == (float(case[2]), not case[2]), case
    assert flagged_golds("spider_execution", data) == {}


def test_every_database_of_a_test_suite_must_agree(tmp_path: Path) -> None:
    own = database(tmp_path / "pets/pets.sqlite", [(1, "Rex", 3)])
    data = benchmark("select name from pet where age > 2", own)
    assert scored("spider_execution", data, "select name from pet where id > 0").value == 1
    database(tmp_path / "pets/pets_2.sqlite", [(1, "Rex", 1), (2, "Tom", 4)])
    assert (
        scored("spider_execution", data, "select name from pet where id > 0").note
        == "another answer on pets_2.sqlite"
    )
    assert scored("spider_execution", data, "select name from pet where age > 2").value == 1
    assert scored("bird_ex", data, "select name from pet where id > 0").value == 1


BIRD = [
    ("select name from pet", "select distinct name from pet order by name", 1, 1),
    ("select name, age from pet", "select age, name from pet", 0, 1),
    ("select id from pet order by id", "select id from pet order by id desc", 1, 1 / 3),
    ("select id from pet where id = 1", "select id from pet where id = 2", 0, 0),
    ("select name from pet where id > 1", "select name from pet where id = 2", 0, 2 / 3),
    ("select id, name from pet where id = 1", "select id from pet where id = 1", 0, 2 / 3),
    ("select id from pet where id = 1", "select id, name from pet where id = 1", 0, 2 / 3),
    ("select id from pet where id > 9", "select name, id from pet where id > 9", 1, 1),
    ("select id from pet where id > 9", "select id from pet", 0, 0),
    ("select id from pet", "selec id from pet", 0, 0),
    ("select id from pets", "select id from pet", 0, 0),
]


def test_bird(folder: Path) -> None:
    data = benchmark([case[0] for case in BIRD], folder / "database/pets/pets.sqlite")
    texts = [case[1] for case in BIRD]
    assert [score.value for score in all_scores("bird_ex", data, texts)] == [case[2] for case in BIRD]
    soft = [score.value for score in all_scores("bird_soft_f1", data, texts)]
    assert soft == pytest.approx([case[3] for case in BIRD])
    assert set(levels("bird_ex", data).values()) == {"simple"}


def test_soft_f1_pairs_rows_by_place() -> None:
    rows: list[Row] = [(1, "a"), (2, "b"), (3, "c")]
    assert soft_f1(rows, rows) == 1
    assert soft_f1([*rows[::-1]], rows) == pytest.approx(1 / 3)
    assert soft_f1([*rows, rows[0]], rows) == 1  # repeated rows are dropped
    assert soft_f1(rows[:2], rows) == pytest.approx(0.8)
    assert soft_f1([], rows) == soft_f1(rows, []) == 0


def test_a_gold_that_does_not_run_is_named(folder: Path) -> None:
    data = benchmark("select nme from pet", root=folder)
    for name in ("spider_execution", "bird_ex", "bird_soft_f1"):
        assert "no such column: nme" in flagged_golds(name, data)["0"]


@pytest.mark.parametrize("name", ["spider_execution", "bird_ex", "bird_soft_f1"])
def test_the_timeout_fires(folder: Path, name: str) -> None:
    data = benchmark("select name from pet", folder / "database/pets/pets.sqlite")
    start = time.monotonic()
    score = scored(name, data, ENDLESS, timeout=0.7)
    assert 0.7 <= time.monotonic() - start < 8
    assert score.value == 0
    assert "no answer within 0.7 s" in score.note


def test_after_a_kill_the_next_query_runs(folder: Path) -> None:
    runner = Runner(1.0)
    path = folder / "database/pets/pets.sqlite"
    assert runner.run(path, ENDLESS) == Failure("timeout", "no answer within 1 s")
    assert runner.run(path, "select name from pet") == Result(("name",), [("Rex",), ("Rex",), ("Tom",)])
    runner.close()


def test_attacks_change_nothing(folder: Path) -> None:
    path = folder / "database/pets/pets.sqlite"
    attacks = [
        "DELETE FROM pet",
        "UPDATE pet SET age = 1",
        "DROP TABLE pet",
        f"ATTACH '{path}.new' AS x",
        f"VACUUM INTO '{path}.new'",
        "PRAGMA journal_mode = WAL",
        "SELECT load_extension('x')",
        "SELECT hex(zeroblob(1000000000))",
    ]
    before = path.read_bytes(), sorted(path.parent.iterdir())
    for score in all_scores("bird_ex", benchmark(["select 1"] * len(attacks), path), attacks):
        assert score.value == 0
        assert score.note.startswith("does not run")
    assert (path.read_bytes(), sorted(path.parent.iterdir())) == before


def test_without_files_populated_databases_stand_in(tmp_path: Path) -> None:
    data = benchmark("select name from pet where age > 3", root=tmp_path)
    for name in ("spider_execution", "bird_ex", "bird_soft_f1"):
        assert "populated from the schema" in remarks(name, data)[0]
        assert flagged_golds(name, data) == {}
        assert scored(name, data, "select name from pet where age > 4").value < 1


def test_a_named_folder_without_the_database_is_an_error(tmp_path: Path, folder: Path) -> None:
    data = benchmark("select name from pet")
    assert scored("bird_ex", data, "select name from pet", databases=folder / "database").value == 1
    with pytest.raises(BenchmarkError, match="there is no database"):
        scored("bird_ex", data, "select name from pet", databases=tmp_path)
    with pytest.raises(BenchmarkError, match="there is no database"):
        scored("spider_execution", benchmark("select 1", tmp_path / "absent.sqlite"), "select 1")


def test_bags_under_every_permutation_by_brute_force() -> None:
    chance = random.Random(5)
    values = [None, 0, 1, 1.0, "a", "A", b"a"]
    seen = {True: 0, False: 0}
    for _ in range(3000):
        width, height, kinds = chance.choice([1, 2, 3, 4]), chance.randrange(6), chance.choice([2, 3, 7])
        left = [tuple(chance.choices(values[:kinds], k=width)) for _ in range(height)]
        order = chance.sample(range(width), width)
        right = [tuple(row[i] for i in order) for row in left]
        chance.shuffle(right)
        if right and chance.random() < 0.4:
            at, place = chance.randrange(height), chance.randrange(width)
            row = list(right[at])
            row[place] = chance.choice(values[:kinds])
            right[at] = tuple(row)
        ordered = chance.random() < 0.3
        expected = any(
            (left == moved if ordered else sorted(left, key=_key) == sorted(moved, key=_key))
            for places in permutations(range(width))
            for moved in [[tuple(row[i] for i in places) for row in right]]
        )
        seen[expected] += 1
        assert same_bag(left, right, ordered=ordered) == expected, (left, right, ordered)
    assert min(seen.values()) > 500


def _key(row: Row) -> list[tuple[str, str]]:
    return [
        ("number", str(float(v))) if isinstance(v, int | float) else (type(v).__name__, str(v)) for v in row
    ]


def cycles(*lengths: int) -> list[Row]:
    """A row for every edge of cycles over the columns: all columns look the same."""
    edges: list[tuple[int, int]] = []
    for length in lengths:
        start = len(edges)
        edges += [(start + i, start + (i + 1) % length) for i in range(length)]
    return [tuple(int(column in edge) for column in range(len(edges))) for edge in edges]


def test_many_columns_alike_take_no_exponential_time() -> None:
    order = random.Random(1).sample(range(40), 40)
    moved = [tuple(row[i] for i in order) for row in cycles(40)]
    start = time.monotonic()
    assert Counter(moved) != Counter(cycles(40))
    assert same_bag(cycles(40), moved, ordered=False)
    assert not same_bag(cycles(20, 20), moved, ordered=False)
    assert not same_bag(cycles(40), [*moved[1:], moved[1]], ordered=False)
    assert time.monotonic() - start < 20


def test_two_graphs_that_refinement_alone_cannot_tell_apart() -> None:
    """The 4 × 4 rook's graph and Shrikhande's: same degrees and neighbourhoods, not the same."""
    cells = [(x, y) for x in range(4) for y in range(4)]
    rook = {(a, b) for a in cells for b in cells if a != b and (a[0] == b[0] or a[1] == b[1])}
    steps = {(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)}
    shrikhande = {(a, b) for a in cells for b in cells if ((a[0] - b[0]) % 4, (a[1] - b[1]) % 4) in steps}
    tables = [
        [tuple(int(c in edge) for c in cells) for edge in sorted(g) if edge[0] < edge[1]]
        for g in (rook, shrikhande)
    ]
    assert [len(table) for table in tables] == [48, 48]
    start = time.monotonic()
    assert not same_bag(tables[0], tables[1], ordered=False)
    chance = random.Random(2)
    moved = [tuple(row[i] for i in chance.sample(range(16), 16)) for row in tables[1]]
    assert not same_bag(tables[1], moved, ordered=False)  # every row moved in its own way
    order = random.Random(3).sample(range(16), 16)
    assert same_bag(tables[1], [tuple(row[i] for i in order) for row in reversed(tables[1])], ordered=False)
    assert time.monotonic() - start < 10


def test_stripping_leaves_strings_alone() -> None:
    text = "SELECT DISTINCT a, \"distinct\", 'it''s distinct;' FROM t WHERE b ! = 3;  "
    assert prepared(text, Options()) == "SELECT  a, \"distinct\", 'it''s distinct;' FROM t WHERE b != 3"
    assert prepared(text, Options(keep_distinct=True)) == text.replace("! =", "!=")


def test_plugging_is_bounded() -> None:
    many = " AND ".join(f"a = {i}" for i in range(10))
    assert len(list(plugged(f"SELECT a FROM t WHERE {many}", f"SELECT a FROM t WHERE {many}"))) == PLUGGED
    assert list(plugged("SELECT a FROM t1", "SELECT a FROM t WHERE b = 1")) == []
    assert list(plugged("SELECT a FROM t WHERE b = 1", "SELECT a FROM t1")) == []
