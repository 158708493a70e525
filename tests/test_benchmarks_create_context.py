"""sql-create-context: origins, groups, what goes to training, what is dropped, the full variant, the hub."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import benchmark_data
import pytest

from harness.benchmarks import (
    Training,
    apply_rule,
    audit,
    create_context,
    declared,
    describe,
    expose,
    get_spec,
    listing_row,
    load_benchmark,
    origins,
    splits,
    surface,
    wikisql,
)
from harness.benchmarks.spec import BenchmarkSpec
from harness.errors import BenchmarkError, DataError

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("case", (CASES / "benchmark_forms.jsonl").read_text().splitlines())
def test_forms_and_skeletons(case: str) -> None:
    wanted = json.loads(case)
    assert surface.form(wanted["sql"]) == wanted["form"]
    assert surface.skeleton(wanted["sql"]) == wanted["skeleton"]


def test_tables_of_a_context() -> None:
    context = (
        'CREATE TABLE "my t" ("1st leg" VARCHAR, order INTEGER, n DECIMAL(10, 2) DEFAULT (1 + 2), '
        "PRIMARY KEY (order), FOREIGN KEY (n) REFERENCES u (n)); CREATE TABLE u (n INT);CREATE TABLE u (n I)"
    )
    first, second = surface.tables(context)
    assert first.name == '"my t"'
    assert first.columns == (('"1st leg"', "VARCHAR"), ("order", "INTEGER"), ("n", "DECIMAL"))
    assert second == surface.ContextTable("u", (("n", "INT"),))


def test_literals_are_masked_longest_first() -> None:
    gold = 'SELECT a FROM t WHERE b = "New York" AND c = "york" AND d > 20.5'
    assert surface.masked("Is New York or York above 20.5 in 1999?", gold) == "is _ or _ above _ in _"


def test_seed_rows_are_those_of_the_recipe() -> None:
    from datasets import Dataset

    shuffled = Dataset.from_dict({"row": list(range(78577))}).shuffle(seed=42).select(range(1000))
    assert splits.seed_rows(78577) == list(shuffled["row"])
    assert len(splits.seed_rows(500)) == 500


# The whole way on a set of 3,200 rows, made from a WikiSQL release of 1,600 tables.


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables, questions = benchmark_data.many_tables()
    folder = tmp_path_factory.mktemp("release")
    third = len(questions) // 3
    parts = {"train": questions[:third], "dev": questions[third : 2 * third], "test": questions[2 * third :]}
    return benchmark_data.wikisql(folder, parts, tables)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Path:
    """The set as its author makes it: only used columns, tables renamed, types guessed."""
    rows = []
    for split in wikisql.SPLITS:
        for number, entry in enumerate(wikisql.entries(get_spec("wikisql"), release, split)):
            names = [wikisql.column_name(header) for header in entry.table.header]
            (column, _, value) = entry.sketch.conds[0]
            selected, compared = names[entry.sketch.sel], names[column]
            table = f"table_name_{number % 100}"
            columns = ", ".join(f"{name} VARCHAR" for name in dict.fromkeys((selected, compared)))
            rows.append(
                {
                    "question": entry.question,
                    "context": f"CREATE TABLE {table} ({columns})",
                    "answer": f'SELECT {selected} FROM {table} WHERE {compared} = "{value}"',
                }
            )
    path = tmp_path_factory.mktemp("published") / "sql_create_context_v4.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Path:
    """An index of that release in place of the one that travels with the harness."""
    facts = []
    for split in wikisql.SPLITS:
        for entry in wikisql.entries(get_spec("wikisql"), release, split):
            names = [wikisql.column_name(header) for header in entry.table.header]
            key = origins.row_key(entry.question, [names[place] for place in entry.sketch.used])
            facts.append(origins.Facts(entry.table.id, origins.header_hash(entry.table.header), [key]))
    path = tmp_path_factory.mktemp("index") / "origins.txt.gz"
    origins.write(path, facts)
    return path


@pytest.fixture(scope="module", autouse=True)
def _apart(index: Path) -> Iterator[None]:
    """This file's tests have an index of their own, and no network."""
    made = origins.read(index)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(origins, "shipped", lambda: made)
        patch.setattr("harness.benchmarks.downloads.download", lambda url, sha256, target: False)
        yield


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch, release: Path) -> None:
    """The WikiSQL release is here."""
    spec = get_spec("wikisql")
    here = spec.model_copy(update={"source": spec.source.model_copy(update={"folder": release})})
    monkeypatch.setattr("harness.benchmarks.full_headers.get_spec", lambda name: here)


@pytest.fixture(scope="module")
def dealt(published: Path) -> create_context.Dealt:
    return create_context.deal(get_spec("create-context"), published)


def _tables(dealt: create_context.Dealt, side: splits.Side, field: int) -> set[str]:
    return {origin[field] for row in dealt.split.rows(side) for origin in dealt.records[row].origins}


def test_every_origin_is_found_by_the_index(dealt: create_context.Dealt) -> None:
    assert len(dealt.records) == 3200
    assert dealt.split.counts["unknown origin"] == 0
    for record in dealt.records:
        value = re.search(r'"v(\d+)x\d+"', record.gold)
        assert value is not None
        assert [origin.origin for origin in record.origins] == [f"2-{int(value[1]) + 1}-1"]


def test_a_spider_rows_origin_is_the_database_that_has_its_query_or_else_its_columns() -> None:
    schemas = {
        "pets": {"student": ["stuid", "order"], "has pet": ["stuid", "petid"]},
        "school": {"student": ["stuid", "order"], "desk": ["stuid", "petid"]},
    }
    facts = []
    for name, tables in schemas.items():
        keys = [key for table, columns in tables.items() for key in origins.schema_keys(table, columns)]
        keys += [origins.column_key(column) for columns in tables.values() for column in columns]
        keys.append(origins.query_key(f"SELECT  count(*) FROM student AS T1 WHERE T1.city = '{name}'"))
        facts.append(origins.Facts(f"spider:{name}", "0" * 12, [*keys, origins.query_key("SELECT 1")]))
    index = origins.Origins(facts)

    def find(context: str, gold: str = "SELECT 2") -> list[str]:
        return [origin.origin for origin in index.find("why?", surface.tables(context), gold)]

    assert find('CREATE TABLE "has pet" (petid INT)') == ["spider:pets"]
    assert find("CREATE TABLE student (Id VARCHAR)") == ["spider:pets", "spider:school"]
    assert find("CREATE TABLE student (StuID INT); CREATE TABLE desk (Id VARCHAR)") == ["spider:school"]
    assert find("CREATE TABLE student (PetID INT); CREATE TABLE desk (PetID INT)") == ["spider:school"]
    assert find("CREATE TABLE student (name INT)") == []
    assert find("CREATE TABLE cars (Id INT)") == []
    assert find("nothing") == []
    gold = "SELECT COUNT(*) FROM student T1 WHERE T1.city = 'school' ASC"
    assert find("CREATE TABLE student (Id VARCHAR)", gold) == ["spider:school"]
    assert find("nothing", gold) == ["spider:school"]
    assert find('CREATE TABLE "has pet" (petid INT)', "SELECT 1") == ["spider:pets"]
    assert find("nothing", "select 1 ;") == ["spider:pets", "spider:school"]


def test_groups_join_tables_of_one_header(dealt: create_context.Dealt) -> None:
    assert dealt.split.counts["groups"] == 800
    assert dealt.split.counts["largest group"] == 4


def test_no_table_and_no_header_stands_on_both_sides(dealt: create_context.Dealt) -> None:
    for field in (0, 1):
        held = _tables(dealt, "test", field) | _tables(dealt, "validation", field)
        assert held
        assert held.isdisjoint(_tables(dealt, "train", field))
        assert _tables(dealt, "test", field).isdisjoint(_tables(dealt, "validation", field))


def test_groups_with_a_seed_row_are_training(dealt: create_context.Dealt) -> None:
    seeds = splits.seed_rows(3200)
    assert {dealt.split.sides[row] for row in seeds} == {"train"}
    groups = {number for row in seeds for number in dealt.split.groups[row]}
    assert all(
        dealt.split.sides[row] == "train" for row, own in enumerate(dealt.split.groups) if groups & set(own)
    )


def test_the_split_is_this_one_on_every_machine(dealt: create_context.Dealt) -> None:
    digest = sha256(",".join(dealt.split.sides).encode()).hexdigest()
    assert digest[:16] == "86d9f5aa0db4ceab"
    assert Counter(dealt.split.sides)["test"] > 20


def _record(number: int, question: str, used: str, origin: str | None, gold: str = "") -> splits.Record:
    found = (origins.Origin(origin, f"header of {origin}"),) if origin else ()
    return splits.Record(str(number), question, "", gold, (), frozenset(used.split()), found)


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Splits records with no seed rows, groups dealt by the side in their name."""
    monkeypatch.setattr(splits, "seed_rows", lambda total: [])
    monkeypatch.setattr(splits, "_deal", lambda name: name.split("-")[0])

    def deal(records: Sequence[splits.Record]) -> tuple[str, ...]:
        return splits.split(records).sides

    return deal


def test_unknown_and_large_go_to_training(sides: Any) -> None:
    large = [_record(number, f"large {number}x", f"l{number}", "test-1") for number in range(101)]
    small = [_record(number, f"small {number}x", f"s{number}", "test-2") for number in range(100)]
    given = sides([*large, *small, _record(0, "unknown", "u", None)])
    assert set(given[:101]) == {"train"}
    assert set(given[101:201]) == {"test"}
    assert given[201] == "train"


def test_a_row_between_sides_is_dropped_and_within_one_is_not(sides: Any) -> None:
    two = splits.Record(
        "0", "x", "", "", (), frozenset(), (origins.Origin("test-1", "a"), origins.Origin("train-1", "b"))
    )
    same = two._replace(question="y", origins=(origins.Origin("test-1", "a"), origins.Origin("test-2", "c")))
    first = _record(1, "z", "z", "test-1")
    assert sides([two, same, first]) == ("dropped", "test", "test")


def test_questions_that_training_has_seen_are_dropped(sides: Any) -> None:
    records = [
        _record(0, "Who won in 1999?", "winner year", "train-1", "SELECT winner FROM t WHERE year = 1999"),
        _record(1, "who won in 1999", "other", "test-1"),
        _record(2, "Who won in 2004?", "year winner", "test-2", "SELECT winner FROM t WHERE year = 2004"),
        _record(3, "Who won in 2005?", "winner date", "test-3", "SELECT winner FROM t WHERE date = 2005"),
        _record(4, "Which one?", "a", "validation-1"),
        _record(5, "which ONE", "b", "test-4"),
        _record(6, "Who lost?", "c", "test-5"),
        _record(7, "Who lost?", "c", "test-5"),
    ]
    assert sides(records) == ("train", "dropped", "dropped", "test", "validation", "dropped", "test", "test")


def test_a_sample_keeps_the_shares_of_forms_and_does_not_depend_on_order() -> None:
    golds = ["SELECT a FROM t"] * 60 + ["SELECT a FROM t WHERE b = 1"] * 30 + ["SELECT COUNT(a) FROM t"] * 10
    records = [_record(number, f"q{number}", "", None, gold) for number, gold in enumerate(golds)]
    rows = splits.stratified(range(100), records, 20)
    assert Counter(surface.form(golds[row]) for row in rows) == {
        "projection": 12,
        "filter": 6,
        "aggregate": 2,
    }
    backwards = splits.stratified(range(100), records[::-1], 20)
    assert sorted(records[::-1][row].id for row in backwards) == sorted(records[row].id for row in rows)


def test_small_is_a_sample_of_the_whole(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_benchmark("create-context", data=published)
    assert whole.about["size"] == str(len(whole.examples))
    spec = get_spec("create-context-small")
    fewer = spec.model_copy(update={"source": spec.source.model_copy(update={"sample": 7})})
    monkeypatch.setattr("harness.benchmarks.load.get_spec", lambda name: fewer)
    small = load_benchmark("create-context-small", data=published)
    assert len(small.examples) == 7
    assert {example.id for example in small.examples} < {example.id for example in whole.examples}
    assert small.about["sample"].startswith("7 of ")


@pytest.mark.usefixtures("released")
def test_the_full_variant_gives_the_whole_header_and_takes_nothing_from_the_gold(published: Path) -> None:
    plain = load_benchmark("create-context", data=published)
    full = load_benchmark("create-context-full", data=published)
    again = load_benchmark("create-context-full", data=published, seed=1)
    assert [example.id for example in full.examples] == [example.id for example in plain.examples]
    assert full.data_hash != again.data_hash
    firsts = 0
    for one, other in zip(plain.examples, full.examples, strict=True):
        (table,) = surface.tables(other.context)
        assert table.name == "data"
        assert len(table.columns) == 5
        assert surface.columns(surface.tables(one.context)) < surface.columns([table])
        assert other.gold == re.sub(r"table_name_\d+", "data", one.gold)
        types = {surface.bare(name): kind for name, kind in table.columns}
        assert types["year"] == "INTEGER"
        assert types["1st"] == "VARCHAR"
        firsts += table.columns[0][0] == one.gold.split()[1]
    assert firsts < len(full.examples) / 2
    assert "SELECT" in apply_rule(full.examples[0])


def test_without_the_release_full_headers_come_from_the_rows(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.benchmarks.downloads.fetch", _no_hub)
    full = load_benchmark("create-context-full", data=published)
    plain = load_benchmark("create-context", data=published)
    assert [example.id for example in plain.examples] == [example.id for example in full.examples]
    tables = [surface.tables(example.context)[0] for example in full.examples]
    assert {kind for table in tables for _, kind in table.columns} == {"VARCHAR"}
    assert {len(table.columns) for table in tables} == {3}
    assert "headers are those that the rows name, not the WikiSQL release's" in full.about["note"]
    assert "Spider's tables.json is not here" in full.about["note"]
    assert "note" not in plain.about


def test_exposure_says_what_a_training_file_has_seen(tmp_path: Path, published: Path) -> None:
    benchmark = load_benchmark("create-context", data=published)
    first, second = benchmark.examples[0], benchmark.examples[1]
    row = {"question": first.question, "context": first.context, "answer": first.gold}
    other = {"question": "Why?", "context": "CREATE TABLE z (q INT)", "answer": "SELECT q FROM z ORDER BY q"}
    path = benchmark_data.write_lines(tmp_path / "train.jsonl", [row, other])
    exposed = expose(benchmark, str(path))
    assert exposed.examples[0].meta["exposure"] == ["table", "header", "question", "skeleton"]
    assert exposed.examples[0].meta["origin"] == first.meta["origin"]
    assert "skeleton" in exposed.examples[1].meta["exposure"]
    assert ("table" in exposed.examples[1].meta["exposure"]) == (
        second.meta["origin"] == first.meta["origin"]
    )
    assert exposed.data_hash == benchmark.data_hash
    found = audit("create-context", data=published, against=path)
    assert found.train == 2
    assert 0 < found.overlaps["table"].questions < found.test
    assert f"{first.id}: {first.question}" in found.overlaps["question"].shown


def test_exposure_by_name_and_by_the_recipes_rows(published: Path) -> None:
    benchmark = load_benchmark("create-context", data=published)
    recipe = Training("b-mc2/sql-create-context", limit=1000, seed=42)
    for training in ("create-context:train", recipe):
        exposed = expose(benchmark, training)
        assert all("table" not in example.meta["exposure"] for example in exposed.examples)
        assert any("skeleton" in example.meta["exposure"] for example in exposed.examples)
    assert all("table" in e.meta["exposure"] for e in expose(benchmark, "create-context:test").examples)
    for training in ("gone.jsonl", "gone:test", "C:/gone"):
        with pytest.raises(DataError, match="no such training set"):
            expose(benchmark, training)


def test_what_an_adapter_declares(tmp_path: Path) -> None:
    assert declared(tmp_path) == ()
    told = tmp_path / "training.json"
    told.write_text('{"data": "starter:train", "recipe": {"data": "x"}}')
    assert declared(tmp_path) == (Training("starter:train"),)
    told.write_text('{"data": "b-mc2/x", "recipe": {"data": {"limit": 1000, "shuffle_seed": 42}}}')
    assert declared(tmp_path) == (Training("b-mc2/x", 1000, 42),)
    (tmp_path / "rows.jsonl").write_text("")
    told.write_text('{"data": "rows.jsonl"}')
    assert declared(tmp_path) == (Training(str(tmp_path / "rows.jsonl")),)
    for wrong in ("[]", "{}", "no", '{"data": 5}'):
        told.write_text(wrong)
        with pytest.raises(BenchmarkError, match=r"training\.json: (no 'data'|not JSON)"):
            declared(tmp_path)


def test_the_audit_finds_nothing_here_and_much_elsewhere(published: Path) -> None:
    found = audit("create-context", data=published)
    assert found.overlaps["table"].questions == 0
    assert found.overlaps["header"].questions == 0
    assert found.beside["this one, by origin and full header"] == 0
    assert found.beside["random rows"] > 0.85
    assert (
        found.split["all"]
        == 3200
        == sum(found.split[side] for side in ("train", "validation", "test", "dropped"))
    )
    page = found.to_markdown()
    assert "| the table or database | 0 | 0.0% |" in page
    json.dumps(found.to_json())


def test_the_audit_of_a_benchmark_with_its_own_split() -> None:
    found = audit("starter")
    assert found.overlaps["table"].questions == 0
    assert found.overlaps["header"].questions == 0
    assert found.overlaps["question"].questions == 0
    assert not found.split


def test_description(published: Path) -> None:
    told = describe("create-context", data=published)
    assert told.facts["rows"] == "3,200"
    assert list(told.splits) == ["train", "validation", "test"]
    assert told.splits["test"].forms == {"filter": told.splits["test"].questions}
    assert json.loads(json.dumps(told.to_json()))["splits"]["test"]["tables"] == 1.0


# Forms in which the set may come


def test_a_saved_data_set_and_a_folder_of_files(tmp_path: Path, published: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = json.loads(published.read_text())
    wanted = load_benchmark("create-context", data=published).data_hash
    Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(str(tmp_path / "dict"))
    benchmark_data.write_lines(tmp_path / "folder" / "a.jsonl", rows[:1000])
    benchmark_data.write_lines(tmp_path / "folder" / "b.jsonl", rows[1000:])
    for name in ("saved", "dict", "folder"):
        assert load_benchmark("create-context", data=tmp_path / name).data_hash == wanted


HUB = """
import sys
from pathlib import Path
from huggingface_hub import constants
from harness.benchmarks import get_spec, listing_row, load_benchmark, origins
made = origins.read(Path(sys.argv[2]))
origins.shipped = lambda: made
print(listing_row(get_spec("create-context")).here)
spec = get_spec("create-context")
pinned = spec.model_copy(update={"source": spec.source.model_copy(update={"sha256": sys.argv[1]})})
import harness.benchmarks.load as load
load.get_spec = lambda name: pinned
benchmark = load_benchmark("create-context")
print(benchmark.data_hash)
print(benchmark.about["revision"])
print(benchmark.about["test rows"])
"""


def test_the_hub_path_on_a_local_copy_needs_nothing_else_and_pins_its_test_rows(
    tmp_path: Path, published: Path, index: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    store = tmp_path / "hub" / "datasets--b-mc2--sql-create-context"
    (store / "refs").mkdir(parents=True)
    (store / "refs" / "main").write_text(commit)
    (store / "snapshots" / commit).mkdir(parents=True)
    file = store / "snapshots" / commit / "sql_create_context_v4.json"
    file.write_bytes(published.read_bytes())
    environment = {
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": str(tmp_path),
    }

    def start(pin: str, index: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", HUB, pin, str(index)]
        root = Path(__file__).parents[1]
        return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)

    content = sha256(file.read_bytes()).hexdigest()
    done = start(content, index)
    assert done.stderr == ""
    own = load_benchmark("create-context", data=published)
    here, hashed, revision, rows, _ = done.stdout.split("\n")
    assert (here, hashed, revision) == ("here", own.data_hash, f"commit {commit}")
    ids = [example.id for example in own.examples]
    assert rows == f"{len(ids)}, SHA-256 of their ids {sha256(chr(10).join(ids).encode()).hexdigest()[:16]}"
    (kept,) = (tmp_path / "sql-harness" / "pins").iterdir()
    assert json.loads(kept.read_text())["test"] == ids
    assert start(content, index).stdout == done.stdout
    other = tmp_path / "other.txt.gz"
    origins.write(other, [origins.Facts("2-1-1", "0" * 12, ["0" * 12])])
    assert f"{len(ids)} test rows differ from those of the first load" in start(content, other).stderr
    changed = start("0" * 64, index)
    assert "sql_create_context_v4.json has changed on the hub" in changed.stderr


def test_rows_are_pinned_for_the_published_file_alone(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    content = sha256(published.read_bytes()).hexdigest()
    load_benchmark("create-context", data=published)
    assert not (tmp_path / "sql-harness").exists()
    assert create_context.pin(content, ["1", "2"]) == create_context.pin(content, ["1", "2"])
    for ids in (["1"], ["1", "3"], ["2", "1"]):
        with pytest.raises(BenchmarkError, match="test rows differ"):
            create_context.pin(content, ids)
    (kept,) = (tmp_path / "sql-harness" / "pins").iterdir()
    kept.write_text("half a fi")
    assert create_context.pin(content, ["1", "3"]).startswith("2, SHA-256 of their ids ")


ROW = '{"id": 1, "question": "q", "context": "c", "answer": "a"}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"question": "q", "context": "CREATE TABLE t (a INT)"}]', "item 1: no 'answer'"),
        (f"[{ROW}, {ROW}]", "item 2: id '1' occurs twice"),
        ("[]", "no rows"),
    ],
)
def test_malformed_sets(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(DataError) as error:
        load_benchmark("create-context", data=tmp_path / "set.json")
    assert said in str(error.value)


def test_a_malformed_index_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "origins.txt"
    for line in ("1-1-1", "1-1-1 0123456789ab 0123", "1-1-1 0123456789ag", "1-1-1  0123456789ab"):
        path.write_text(f"# about\n2-1-1 0123456789ab\n{line}\n")
        with pytest.raises(DataError, match="line 3: not ORIGIN HEADER KEY"):
            origins.read(path)


def test_where_the_set_is_not_here_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert listing_row(get_spec("create-context")).here == "fetched from the hub on first use"
    with pytest.raises(BenchmarkError, match="no such file or folder"):
        load_benchmark("create-context", data=tmp_path / "gone")


def _no_hub(spec: BenchmarkSpec, file: str, sha256: str | None = None) -> tuple[Path, str]:
    from harness.benchmarks.downloads import absent

    raise absent(spec, "offline")
