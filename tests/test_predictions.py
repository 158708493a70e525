"""Prediction files of six forms, joined to a benchmark: nothing is shifted, truncated or passed over."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import benchmark_data
import pytest

from harness.benchmarks import load_benchmark, load_file
from harness.errors import DataError
from harness.records import Benchmark, Example
from harness.runs.predictions import read_predictions

SQLS = ["SELECT 1", "SELECT 2", "SELECT 3"]


@pytest.fixture
def three() -> Benchmark:
    examples = tuple(
        Example(id=name, question="q", context="CREATE TABLE t (a INT)", gold="SELECT a FROM t", db_id=db_id)
        for name, db_id in (("x", "cars"), ("y", "pets"), ("z", "pets"))
    )
    return Benchmark(name="three", split="test", examples=examples)


def _write(tmp_path: Path, text: str, name: str = "p.jsonl") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _lm_eval(number: int, text: str, **more: object) -> dict[str, object]:
    return {
        "doc": {},
        "doc_id": number,
        "resps": [[text]],
        "filtered_resps": [text],
        "filter": "none",
        **more,
    }


FORMS_FILE = Path(__file__).parent / "cases" / "predictions.jsonl"
FORMS = [json.loads(line) for line in FORMS_FILE.read_text().splitlines()]


@pytest.mark.parametrize("case", FORMS, ids=[case["case"] for case in FORMS])
def test_every_form_joins(tmp_path: Path, three: Benchmark, case: dict[str, str]) -> None:
    read = read_predictions(_write(tmp_path, case["text"], case.get("file", "p.jsonl")), three)
    assert (read.form, read.joined, read.pair) == (case["form"], case["joined"], "p")
    assert [prediction.id for prediction in read.predictions] == ["x", "y", "z"]
    assert [prediction.sql for prediction in read.predictions] == SQLS
    assert read.notes() == []


def test_gzipped_files_and_a_name_of_ones_own(tmp_path: Path, three: Benchmark) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("\n".join(SQLS).encode()))
    assert read_predictions(path, three).pair == "a"
    read = read_predictions(path, three, pair="mine")
    assert {prediction.pair for prediction in read.predictions} == {"mine"}


def test_missing_duplicate_and_extra_are_reported(tmp_path: Path, three: Benchmark) -> None:
    rows = [{"id": "y", "sql": "SELECT 1"}, {"id": "q", "sql": "SELECT 0"}, {"id": "y", "sql": "SELECT 2"}]
    read = read_predictions(_write(tmp_path, _lines(*rows)), three)
    assert [prediction.sql for prediction in read.predictions] == [None, "SELECT 1", None]
    assert (read.missing, read.duplicates, read.extra) == (("x", "z"), ("y",), ("q",))
    assert read.notes() == [
        "p.jsonl: 2 without a prediction, counted as wrong: x, z",
        "p.jsonl: 1 predicted more than once, the first counts: y",
        "p.jsonl: 1 in the file but not among the examples, left out: q",
    ]


@pytest.mark.parametrize(
    ("text", "sqls", "missing", "extra"),
    [
        ("SELECT 1\n", ["SELECT 1", None, None], ("y", "z"), ()),
        ("SELECT 1\n\nSELECT 3\n", ["SELECT 1", None, "SELECT 3"], ("y",), ()),
        ("\n".join([*SQLS, *SQLS[:2], ""]), SQLS, (), ("line 4", "line 5")),
        ("SELECT 1\nno idea\nSELECT 3\nSELECT 4", ["SELECT 1", "no idea", "SELECT 3"], (), ("line 4",)),
        ("\n\nc\n", [None, None, "c"], ("x", "y"), ()),
        ("a\nb\n\n", ["a", "b", None], ("z",), ()),
    ],
)
def test_lines_keep_their_places(
    tmp_path: Path, three: Benchmark, text: str, sqls: list[str | None], missing: object, extra: object
) -> None:
    read = read_predictions(_write(tmp_path, text, "p.txt"), three)
    assert [prediction.sql for prediction in read.predictions] == sqls
    assert (read.missing, read.extra) == (missing, extra)


STATEMENTS = [
    (
        "SELECT a\nFROM t\nWHERE b = 1;\nSELECT 2;\n\nselect\n  3;\n",
        ["SELECT a\nFROM t\nWHERE b = 1", "SELECT 2", "select\n3"],
    ),
    (
        "-- 1\nSELECT a\nFROM t\nUNION ALL\nSELECT b FROM u\n;\n;\nSELECT x FROM t WHERE y = 'a;\nb';",
        ["SELECT a\nFROM t\nUNION ALL\nSELECT b FROM u", None, "SELECT x FROM t WHERE y = 'a;\nb'"],
    ),
    (
        "WITH n AS (\nSELECT 1\n)\nSELECT * FROM n;\nSELECT a FROM (\nSELECT 2);\nSELECT 3",
        ["WITH n AS (\nSELECT 1\n)\nSELECT * FROM n", "SELECT a FROM (\nSELECT 2)", "SELECT 3"],
    ),
]


@pytest.mark.parametrize(("text", "sqls"), STATEMENTS)
def test_statements_over_several_lines(
    tmp_path: Path, three: Benchmark, text: str, sqls: list[str | None]
) -> None:
    read = read_predictions(_write(tmp_path, text, "p.sql"), three)
    assert (read.form, read.joined) == ("statements", "order")
    assert [prediction.sql for prediction in read.predictions] == sqls


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "SELECT a\nFROM t\nWHERE b\nLIMIT 1\nSELECT 2",
            "line 2: 'FROM t' begins no statement, as 3",
        ),
        ("I\ndo\nnot\nknow", "line 1: 'I' begins no statement, as 4 lines do not"),
    ],
)
def test_lines_that_are_no_statements_are_refused_where_they_do_not_fit(
    tmp_path: Path, three: Benchmark, text: str, said: str
) -> None:
    with pytest.raises(DataError) as error:
        read_predictions(_write(tmp_path, text, "p.sql"), three)
    assert said in str(error.value)
    assert "end each statement with a ;" in error.value.remedy


def test_as_many_lines_as_questions_are_lines(tmp_path: Path, three: Benchmark) -> None:
    read = read_predictions(_write(tmp_path, "SELECT 1\nno idea;\nSELECT 3;\n", "p.sql"), three)
    assert (read.form, [prediction.sql for prediction in read.predictions]) == (
        "plain",
        ["SELECT 1", "no idea;", "SELECT 3;"],
    )


def test_sql_wins_over_completion_and_a_null_is_missing(tmp_path: Path, three: Benchmark) -> None:
    rows = [
        {"id": "x", "sql": "SELECT 1", "completion": "It is ```sql\nSELECT 9\n```"},
        {"id": "y", "completion": "```sql\nSELECT 2\n```"},
        {"id": "z", "sql": None},
    ]
    read = read_predictions(_write(tmp_path, _lines(*rows)), three)
    assert [prediction.sql for prediction in read.predictions] == ["SELECT 1", "SELECT 2", None]
    assert read.predictions[0].completion == "It is ```sql\nSELECT 9\n```"
    assert read.predictions[0].clean is False
    assert read.predictions[2].clean is None
    assert read.missing == ("z",)


def test_numbers_as_ids_are_text(tmp_path: Path) -> None:
    data = benchmark_data.write_lines(
        tmp_path / "d.jsonl",
        [{"question": "q", "context": "CREATE TABLE t (a INT)", "answer": "SELECT 1"}] * 2,
    )
    read = read_predictions(
        _write(tmp_path, _lines({"id": 1, "sql": "b"}, {"id": 0, "sql": "a"})), load_file(data)
    )
    assert [prediction.sql for prediction in read.predictions] == ["a", "b"]


def test_only_the_first_filter_of_lm_eval_is_read(tmp_path: Path, three: Benchmark) -> None:
    rows = [_lm_eval(n, sql, filter=name) for name in ("strict", "loose") for n, sql in enumerate(SQLS)]
    assert read_predictions(_write(tmp_path, _lines(*rows)), three).notes() == []


def test_wikisql_sketches_become_sql(tmp_path: Path) -> None:
    benchmark = load_benchmark("wikisql", data=benchmark_data.wikisql(tmp_path / "data"))
    rows: list[dict[str, Any]] = [{"query": entry["sql"], "error": ""} for entry in benchmark_data.QUESTIONS]
    rows[0] = {"query": None, "error": "SELECT nothing"}
    read = read_predictions(_write(tmp_path, _lines(*rows)), benchmark)
    assert (read.form, read.joined) == ("wikisql", "order")
    golds = [example.gold for example in benchmark.examples]
    assert [prediction.sql for prediction in read.predictions] == [None, *golds[1:]]
    assert read.missing == ("0",)
    assert json.loads(read.predictions[1].completion or "")["query"] == rows[1]["query"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "x", "sql": "a"}\n{"id": "y"', "line 2: not JSON"),
        ('{"id": "x", "sql": "a"}\n{"id": "y", "answer": "b"}', "line 2: neither 'sql' nor 'completion'"),
        ('{"id": "x", "sql": "a"}\n{"sql": "b"}', "line 2: no 'id' though other lines have one"),
        ("null\nnull\nnull\n", "all of its 3 are empty"),
        ('{"id": "x", "sql": null}\n{"id": "y", "completion": " "}', "all of its 2 are empty"),
        ('{"id": "x", "sql": "a"}\n5', "line 2: int instead of an object"),
        ('{"id": "1", "sql": "a"}\n{"id": "2", "sql": "b"}', "none of its 2 ids is one of benchmark 'three'"),
        ('[{"id": "x", "sql": "a"}, 5]', "item 2: int instead of an object"),
        ("[{]", "not JSON"),
        ('{"id": "x", "sql": ["SELECT 1"]}', "line 1: list where text belongs"),
        ('{"id": "x", "completion": 1}', "line 1: int where text belongs"),
        ('{"id": {"a": 1}, "sql": "a"}', "line 1: id {'a': 1} is neither text nor integer"),
        ('{"id": "x", "sql": "a"}\n{"id": NaN, "sql": "a"}', "line 2: id nan is neither text nor integer"),
        ('{"query": "SELECT 1"}\n', "line 1: 'query' is no sketch"),
        ('{"doc_id": 0, "resps": [[{"text": "SELECT 1"}]]}', "line 1: dict where text belongs"),
        ('"SELECT 1"\nSELECT 2\n', "line 2: not JSON"),
        ("SELECT 1\n", "line 1: not JSON"),
        ("[" * 100_000, "not JSON (nested too deeply)"),
        ('{"id": "x", "sql": "a"}\n{"id": ' + "[" * 100_000, "line 2: not JSON (nested too deeply)"),
        ("", "holds no prediction"),
        ("\n \n", "holds no prediction"),
        ("[]", "holds no prediction"),
        ('{"0": "SELECT 1\\t----- bird -----\\tpets"}', "key '0': names database 'pets'"),
        ('{"first": "SELECT 1"}', "key 'first': neither an id of the benchmark nor a position"),
        ('{"doc_id": "a", "resps": [["x"]]}\n', "'doc_id' is no number"),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_malformed_files_are_named_with_their_line(
    tmp_path: Path, three: Benchmark, text: str, said: str
) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(DataError) as error:
        read_predictions(path, three)
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.txt", "SELECT 1\tcars\nSELECT 2\tcars", "line 2: names database 'cars' where example 'y' is"),
        ("p.txt", "", "holds no prediction"),
        ("p.txt", "\n\n\n", "holds no prediction"),
        ("p.txt", "id,sql\nx,SELECT 1\n", "line 1: 'id,sql' is a table's header"),
        ("p.csv", "id,sql\n", "holds no prediction"),
        ("p.csv", "id,answer\nx,SELECT 1\n", "no column 'sql' or 'completion'"),
        ("p.csv", "id,sql\nx,SELECT 1, 2\n", "line 2: not 2 fields"),
        ("p.parquet", "SELECT 1\n", "not Parquet"),
    ],
)
def test_what_a_file_is_called_says_what_it_must_hold(
    tmp_path: Path, three: Benchmark, name: str, text: str, said: str
) -> None:
    with pytest.raises(DataError) as error:
        read_predictions(_write(tmp_path, text, name), three)
    assert str(error.value).startswith(str(tmp_path / name))
    assert said in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path, three: Benchmark) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "gone.txt", three)


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv"])
def test_a_blank_prediction_is_missing(tmp_path: Path, three: Benchmark, name: str) -> None:
    blank = {
        "p.jsonl": _lines({"id": "x", "sql": ""}, {"id": "y", "sql": " \n"}, {"id": "z", "sql": "SELECT 3"}),
        "p.csv": 'id,sql\nx,\ny,"  "\nz,SELECT 3\n',
    }
    read = read_predictions(_write(tmp_path, blank[name], name), three)
    assert [prediction.sql for prediction in read.predictions] == [None, None, "SELECT 3"]
    assert read.missing == ("x", "y")
    assert read.notes() == [f"{name}: 2 without a prediction, counted as wrong: x, y"]


def test_half_a_character_is_replaced(tmp_path: Path, three: Benchmark) -> None:
    rows = [{"id": "x", "sql": "SELECT '\ud800'"}, {"id": "y", "completion": "SELECT '\ud83d\ude00\udc00'"}]
    read = read_predictions(_write(tmp_path, _lines(*rows)), three)
    assert [prediction.sql for prediction in read.predictions[:2]] == ["SELECT '\ufffd'", "SELECT '😀\ufffd'"]


def test_parquet_joins_by_id(tmp_path: Path, three: Benchmark) -> None:
    from pyarrow import Table, parquet

    rows = [{"id": name, "sql": sql} for name, sql in zip("zyx", [*SQLS[1:][::-1], None], strict=True)]
    parquet.write_table(Table.from_pylist(rows), tmp_path / "p.parquet")
    read = read_predictions(tmp_path / "p.parquet", three)
    assert (read.form, read.joined, read.missing) == ("table", "id", ("x",))
    assert [prediction.sql for prediction in read.predictions] == [None, "SELECT 2", "SELECT 3"]


IN_ORDER = {
    "p.txt": "SELECT 0\nSELECT 1\nSELECT 2\nSELECT 3\n",
    "p.sql": "SELECT 0\tcars\nSELECT 1\tcars\nSELECT 2\tpets\nSELECT 3\tpets\n",
    "p.jsonl": _lines(*({"sql": f"SELECT {number}"} for number in range(4))),
    "p.csv": "sql\n" + "".join(f"SELECT {number}\n" for number in range(4)),
    "p.json": json.dumps({str(number): f"SELECT {number}" for number in range(4)}),
    "samples.jsonl": _lines(*(_lm_eval(number, f"SELECT {number}") for number in range(4))),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_order_is_that_of_the_data_whichever_examples_are_chosen(tmp_path: Path, name: str) -> None:
    row = {"question": "q", "context": "CREATE TABLE t (a INT)", "answer": "SELECT a FROM t"}
    databases = ["cars", "cars", "pets", "pets"]
    data = benchmark_data.write_lines(
        tmp_path / "d.jsonl",
        [{"id": f"{number + 7}", "db_id": db_id, **row} for number, db_id in enumerate(databases)],
    )
    file = _write(tmp_path, IN_ORDER[name], name)
    for ids, limit in ((["8", "9"], None), (["10"], None), (None, 3)):
        read = read_predictions(file, load_file(data, ids=ids, limit=limit))
        assert [prediction.sql for prediction in read.predictions] == [
            f"SELECT {int(prediction.id) - 7}" for prediction in read.predictions
        ]
        assert (read.joined, read.missing) == ("order", ())


def test_lines_that_end_before_the_chosen_examples_are_refused(tmp_path: Path) -> None:
    row = {"question": "q", "context": "CREATE TABLE t (a INT)", "answer": "SELECT a FROM t"}
    data = benchmark_data.write_lines(tmp_path / "d.jsonl", [row] * 5)
    with pytest.raises(DataError, match=r"joined by place, and none is for a chosen example .* row 4"):
        read_predictions(_write(tmp_path, "SELECT 1\n", "p.txt"), load_file(data, ids=["3", "4"]))


def test_birds_ids_stay_ids_when_some_are_chosen(tmp_path: Path) -> None:
    benchmark = load_benchmark("bird", data=benchmark_data.bird(tmp_path / "data"), ids=["31"])
    file = _write(tmp_path, json.dumps({"7": "SELECT 7", "31": "SELECT 31"}), "p.json")
    read = read_predictions(file, benchmark)
    assert (read.joined, [prediction.sql for prediction in read.predictions]) == ("id", ["SELECT 31"])
    assert read.extra == ("7",)


def test_the_shared_predictions_join(shared_data: Path) -> None:
    spider = load_benchmark("spider", data=shared_data / "spider")
    for system in (1, 5, 12):
        read = read_predictions(shared_data / "predictions" / f"spider-dev-system-{system}.txt", spider)
        assert (read.form, len(read.predictions), read.notes()) == ("plain", 1034, [])
    gold = read_predictions(shared_data / "spider" / "dev_gold.sql", spider)
    assert (gold.form, gold.notes()) == ("spider", [])
    assert [prediction.sql for prediction in gold.predictions] == [
        example.gold for example in spider.examples
    ]
    wiki = load_benchmark("wikisql", data=shared_data / "wikisql", split="dev")
    read = read_predictions(shared_data / "wikisql" / "example.pred.dev.jsonl.gz", wiki)
    assert (read.form, len(read.predictions), read.extra, read.duplicates) == ("wikisql", 8421, (), ())
    data = load_file(shared_data / "predictions" / "wikisql-test500-data.jsonl.gz")
    name = "wikisql-test500-qwen2.5-1.5b-baseline.jsonl.gz"
    read = read_predictions(shared_data / "predictions" / name, data)
    assert (read.form, read.joined, read.notes()) == ("jsonl", "id", [])
