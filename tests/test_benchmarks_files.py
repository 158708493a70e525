"""Data of one's own: JSONL, JSON, CSV, Parquet, gzipped or not; a malformed row is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from harness.benchmarks import apply_rule, load_benchmark, load_file
from harness.errors import BenchmarkError, DataError, UsageError
from harness.files import stem
from harness.records import Example
from harness.runs.selection import Selection

ROWS = [
    {
        "id": "a",
        "question": 'He said "hi"?\nor not',
        "context": "CREATE TABLE t (n INT, m TEXT)",
        "answer": "SELECT n FROM t",
    },
    {
        "id": "7",
        "question": "Größe?",
        "context": "CREATE TABLE g (x INT)",
        "answer": "SELECT x FROM g",
        "db_id": "d",
    },
]


def _write(path: Path) -> Path:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist([{"db_id": None, **row} for row in ROWS]), path)
        return path
    if name.endswith(".csv"):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["id", "question", "context", "answer", "db_id"])
        writer.writeheader()
        writer.writerows(ROWS)
        content = text.getvalue()
    elif name.endswith(".json"):
        content = json.dumps(ROWS, indent=1)
    else:
        content = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n"
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(
    "name", ["d.jsonl", "d.jsonl.gz", "d.json", "d.json.gz", "d.csv", "d.csv.gz", "d.parquet"]
)
def test_every_format_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    benchmark = load_file(_write(tmp_path / name))
    assert benchmark.name == "d"
    assert [(e.id, e.question, e.context, e.gold, e.db_id) for e in benchmark.examples] == [
        (row["id"], row["question"], row["context"], row["answer"], row.get("db_id")) for row in ROWS
    ]
    assert benchmark.data_hash == load_file(_write(tmp_path / "other.jsonl")).data_hash
    assert benchmark.folder == tmp_path


def test_ids_are_row_numbers_from_0_where_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "id"}) + "\n" for row in ROWS))
    assert [example.id for example in load_file(path).examples] == ["0", "1"]


def test_gold_is_another_name_for_answer_and_fields_have_their_places(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    row = {
        "question": "q",
        "full_context": "CREATE TABLE b (y INT)",
        "context": "CREATE TABLE a (x INT)",
        "gold": "SELECT 1",
        "evidence": "x is y",
        "database": "real.sqlite",
        "topic": "pets",
        "rows": [1],
        "long": "x" * 300,
    }
    path.write_text(json.dumps(row))
    example = load_file(path, context_field="full_context").examples[0]
    assert example.context == "CREATE TABLE b (y INT)"
    assert (example.gold, example.evidence, example.kind) == ("SELECT 1", "x is y", "projection")
    assert example.database == tmp_path / "real.sqlite"
    assert example.meta == {"topic": "pets"}


def test_a_rows_database_lies_below_the_datas_folder_or_the_one_that_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.sqlite").write_bytes(b"")
    (data / "link.sqlite").symlink_to(tmp_path / "secret.sqlite")
    path = data / "d.jsonl"
    row = {"question": "q", "context": "CREATE TABLE b (y INT)", "answer": "SELECT 1"}
    for name in (
        "../secret.sqlite",
        str(tmp_path / "secret.sqlite"),
        "link.sqlite",
        "sub/../../secret.sqlite",
    ):
        path.write_text(json.dumps({**row, "database": name}))
        with pytest.raises(DataError, match=r"line 1: database .* outside of .*; .* --databases-root DIR"):
            load_file(path)
        example = load_file(path, databases_root=tmp_path).examples[0]
        assert example.database == (tmp_path / "secret.sqlite").resolve()
    path.write_text(json.dumps({**row, "database": "sub/own.sqlite"}))
    assert load_file(path).examples[0].database == data.resolve() / "sub" / "own.sqlite"
    with pytest.raises(DataError, match="outside of"):
        load_file(path, databases_root=data / "other")


def test_ids_and_limit_choose_in_the_datas_order(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.jsonl")
    assert [e.id for e in load_file(path, limit=1).examples] == ["a"]
    assert [e.id for e in load_file(path, ids=["7", "a"]).examples] == ["a", "7"]
    with pytest.raises(DataError, match="no example has id '8'"):
        load_file(path, ids=["8"])


ROW = '{"id": %s, "question": "q", "context": "c", "answer": "a"}\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "d.jsonl",
            '{"question": "q", "context": "c", "answer": "a"}\n\n{"question": "q"',
            "d.jsonl, line 3: not JSON",
        ),
        (
            "d.jsonl",
            '\n{"question": "q", "answer": "a"}',
            "d.jsonl, line 2: no 'context' (it has answer, question)",
        ),
        ("d.jsonl", '{"question": "q", "context": "c"}', "line 1: no 'answer'"),
        ("d.jsonl", '{"question": 5, "context": "c", "answer": "a"}', "line 1: 'question' is not text"),
        ("d.jsonl", '{"question": "q", "context": " ", "answer": "a"}', "line 1: 'context' is not text"),
        ("d.jsonl", ROW % "NaN", "line 1: id nan is neither text nor integer"),
        ("d.jsonl", ROW % "1.5", "line 1: id 1.5 is neither text nor integer"),
        ("d.jsonl", ROW % "true", "line 1: id True is neither text nor integer"),
        ("d.jsonl", ROW % '" "', "line 1: id ' ' is neither text nor integer"),
        ("d.jsonl", ROW % "1" + ROW % '{"a": 1}', "line 2: id {'a': 1} is neither text nor integer"),
        ("d.jsonl", ROW % '"1"' + ROW % "2" + ROW % "1", "line 3: id '1' stands at line 1 too"),
        ("d.json", "[" * 100_000, "not JSON (nested too deeply)"),
        ("d.jsonl", ROW % "1" + '{"a":' * 100_000, "line 2: not JSON (nested too deeply)"),
        ("d.jsonl", "[1]\n", "d.jsonl, item 1: int instead of an object"),
        (
            "d.json",
            '[{"question": "q", "context": "c", "answer": "a"}, 3]',
            "d.json, item 2: int instead of an object",
        ),
        ("d.json", "[{]", "d.json: not JSON"),
        ("d.csv", "question,context,answer\nq,c,a\nq,c\n", "d.csv, line 3: not 3 fields"),
        ("d.csv", 'question,context,answer\n"q\nq",c,a\nq,c,a,x\n', "d.csv, line 4: not 3 fields"),
        ("d.csv", "question,context\nq,c\n", "d.csv, line 2: no 'answer'"),
        ("d.csv", 'question,context,answer\n"q"x,c,a\n', "d.csv, line 2: not CSV"),
        ("d.parquet", "PAR0", "d.parquet: not Parquet"),
        ("d.xlsx", "x", "'.xlsx' is no format of data; use one of .jsonl"),
        ("d.jsonl", "\n", "d.jsonl: no rows"),
        (
            "d.jsonl",
            '{"id": 1, "question": "q", "context": "c", "answer": "a"}\n' * 2,
            "line 2: id '1' stands at line 1 too",
        ),
    ],
    ids=lambda text: text[:30],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as error:
        load_file(tmp_path / name)
    assert said in str(error.value)
    assert str(tmp_path / name) in str(error.value)
    assert error.value.remedy


def test_half_a_character_is_replaced_and_what_is_no_number_left_out(tmp_path: Path) -> None:
    row = r'{"question": "\ud800?", "context": "c", "answer": "\ud83d\ude00", "topic": "\uDFFF", "id": null,'
    (tmp_path / "d.jsonl").write_text(row + ' "share": NaN, "most": 1e999, "least": -Infinity, "ok": 0.5}')
    benchmark = load_file(tmp_path / "d.jsonl")
    example = benchmark.examples[0]
    assert (example.id, example.question, example.gold) == ("0", "\ufffd?", "😀")
    assert example.meta == {"topic": "\ufffd", "ok": 0.5}
    assert benchmark.data_hash


def test_a_torn_gzip_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(json.dumps(ROWS).encode() * 20))
    packed[20:40] = b"\xff" * 20
    (tmp_path / "d.json.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"d\.json\.gz: cannot be read"):
        load_file(tmp_path / "d.json.gz")


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.jsonl")
    for selection in (Selection(data=path, split="nope"), Selection(data=path, split="all")):
        with pytest.raises(UsageError, match="a file has no splits"):
            selection.load()
    with pytest.raises(BenchmarkError, match="no split 'nope'"):
        load_benchmark("starter", data=path, split="nope")
    assert load_benchmark("starter", data=path, split="train").split == "train"


def test_an_example_knows_its_row_in_the_data(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.jsonl")
    assert [example.row for example in load_file(path).examples] == [0, 1]
    assert [example.row for example in load_file(path, ids=["7"]).examples] == [1]
    assert load_file(path, ids=["7"]).about["size"] == "2"


def test_bytes_that_are_no_text_and_no_gzip_are_named(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'{"question": "ok"}\n\xff\xfe')
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        load_file(tmp_path / "d.jsonl")
    (tmp_path / "d.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"d\.jsonl\.gz: cannot be read"):
        load_file(tmp_path / "d.jsonl.gz")
    with pytest.raises(DataError, match="no such file"):
        load_file(tmp_path / "gone.jsonl")


def test_a_stem_loses_all_suffixes() -> None:
    assert stem(Path("x/p.jsonl.gz")) == "p"


def test_a_benchmark_of_files_takes_another_file(tmp_path: Path) -> None:
    benchmark = load_benchmark("starter", data=_write(tmp_path / "d.csv"))
    assert (benchmark.name, len(benchmark.examples)) == ("starter", 2)


RULE = """
the venue with a date of May 3? | venue VARCHAR, date VARCHAR | SELECT venue FROM t WHERE date = "May 3"
How many did Ann Lee play? | team VARCHAR, who VARCHAR | SELECT COUNT(team) FROM t WHERE who = "Ann Lee"
average rank for total larger than 3? | rank INTEGER, total VARCHAR | SELECT AVG(rank) FROM t WHERE total > 3
which is the lowest rank? | rank INTEGER | SELECT MIN(rank) FROM t
the rank | rank INTEGER | SELECT MAX(rank) FROM t
which team? | team VARCHAR, place VARCHAR | SELECT team FROM t
"""


@pytest.mark.parametrize("case", RULE.strip().splitlines())
def test_the_rule_needs_no_model(case: str) -> None:
    question, columns, sql = case.split(" | ")
    assert (
        apply_rule(Example(id="0", question=question, context=f"CREATE TABLE t ({columns})", gold="")) == sql
    )


def test_the_rule_answers_whatever_the_context() -> None:
    assert apply_rule(Example(id="0", question="", context="no schema", gold="")) == "SELECT 1"
