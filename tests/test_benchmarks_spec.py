"""A benchmark's YAML: found by name, checked, and a clear word where it is wrong."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from harness.benchmarks import BenchmarkSpec, describe, get_spec, list_benchmarks, listing_row, load_benchmark
from harness.benchmarks.spec import DataSource
from harness.errors import BenchmarkError

ROOT = Path(__file__).resolve().parents[1]
OWN = """
title: My warehouse
source:
  kind: files
  files: {test: mine.jsonl}
"""
ROW = {
    "question": "How many?",
    "context": "CREATE TABLE t (a INT)",
    "answer": "SELECT COUNT(*) FROM t",
    "shelf": 3,
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.yaml").write_text(OWN)
    (tmp_path / "benchmarks" / "mine.jsonl").write_text(json.dumps(ROW))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "benchmarks" / "mine.yaml"


def test_those_that_travel_are_all_valid() -> None:
    names = [spec.name for spec in list_benchmarks()]
    for name in (
        "starter",
        "create-context",
        "create-context-small",
        "create-context-full",
        "wikisql",
        "spider",
        "bird",
    ):
        assert name in names
    assert names == sorted(names)


def test_the_seed_prompt_is_the_default_of_sql_create_context() -> None:
    prompt = get_spec("create-context-small").prompt
    assert prompt.system == "You are a SQL expert."
    assert prompt.user == "{context}\nQuestion: {question}"


def test_variants_of_sql_create_context_differ_in_nothing_else() -> None:
    plain = get_spec("create-context").model_dump()
    for name, changes in (
        ("create-context-small", {"sample": 1000}),
        ("create-context-full", {"variant": "full"}),
        ("create-context-full-small", {"variant": "full", "sample": 1000}),
    ):
        other = get_spec(name).model_dump()
        assert other["source"] == {**plain["source"], **changes}
        for key in ("prompt", "rules", "metrics", "generation", "baselines", "split"):
            assert other[key] == plain[key]


def test_one_of_your_own_is_one_yaml_and_one_file(own: Path) -> None:
    benchmark = load_benchmark("mine")
    assert (benchmark.name, benchmark.split, len(benchmark.examples)) == ("mine", "test", 1)
    assert benchmark.examples[0].id == "0"
    assert benchmark.examples[0].meta == {"shelf": 3}
    assert benchmark.about["size"] == "1"
    assert listing_row(get_spec("mine")).here == "here"
    assert "| questions | 1 |" in describe("mine").to_markdown()
    assert load_benchmark(str(own)).data_hash == benchmark.data_hash


def test_your_own_wins_over_one_that_travels(own: Path) -> None:
    own.rename(own.with_name("starter.yaml"))
    assert get_spec("starter").title == "My warehouse"


def test_the_hash_knows_question_context_and_gold(own: Path) -> None:
    first = load_benchmark("mine").data_hash
    own.with_name("mine.jsonl").write_text(json.dumps({**ROW, "shelf": 4}))
    assert load_benchmark("mine").data_hash == first
    own.with_name("mine.jsonl").write_text(json.dumps({**ROW, "answer": "SELECT 1"}))
    assert load_benchmark("mine").data_hash != first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("title: My warehouse", "tittle: My warehouse"), "key 'tittle' is unknown; did you mean 'title'?"),
        (("title: My warehouse\n", ""), "key 'title': Field required; add 'title:'"),
        (("title:", "color: red\ntitle:"), "key 'color' is unknown; remove it, or see docs/benchmarks.md"),
        (
            ("title:", "rules: {cases: exact}\ntitle:"),
            "key 'rules.cases' is unknown; did you mean 'rules.case'?",
        ),
        (("kind: files", "kind: csv"), "key 'source.kind': Input should be 'files', 'create-context'"),
        (("files: {test: mine.jsonl}", ""), "key 'source': kind 'files' needs 'files: {test: FILE}'"),
        (
            ("title:", "metrics: [bleu]\ntitle:"),
            "key 'metrics': 'bleu' is no metric; known are execution_accuracy",
        ),
        (("title:", "dialect: cobol\ntitle:"), "key 'dialect': 'cobol' is no dialect; known are athena"),
        (
            ("title:", "prompt: {user: 'Say {question}'}\ntitle:"),
            "key 'prompt': the template 'user' must contain {context}",
        ),
        (
            ("title:", "generation: {max_new_tokens: 0}\ntitle:"),
            "key 'generation.max_new_tokens': Input should be greater",
        ),
        (("title:", "rules: {case: upper}\ntitle:"), "key 'rules.case': Input should be 'exact' or 'ignore'"),
        (
            ("title:", "name: other\ntitle:"),
            "key 'name' is not allowed; a benchmark's name is its file's stem",
        ),
        (("title:", "- a\ntitle:"), "line 3: not YAML"),
    ],
)
def test_a_wrong_yaml_names_file_key_and_remedy(own: Path, change: tuple[str, str], said: str) -> None:
    own.write_text(OWN.replace(*change))
    with pytest.raises(BenchmarkError) as error:
        load_benchmark("mine")
    assert str(error.value).startswith(str(own))
    assert said in str(error.value)


def test_every_key_of_the_yaml_is_in_the_docs_with_its_help() -> None:
    module = runpy.run_path(str(ROOT / "scripts" / "yaml_reference.py"))
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    assert page == module["render"](), "run scripts/yaml_reference.py"
    found = list(module["keys"](BenchmarkSpec))
    assert {"title", "source.kind", "prompt.user", "rules.case", "generation.max_new_tokens"} < {
        key.name for key in found
    }
    assert all(key.help for key in found)


def test_dialects_are_carried(own: Path) -> None:
    for dialect in ("postgres", "mysql"):
        own.write_text(f"dialect: {dialect}{OWN}")
        assert load_benchmark("mine").dialect == dialect


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        BenchmarkError, match=r"'nope' is unknown \(known: bird, .*starter.*python -m harness benchmarks"
    ):
        load_benchmark("nope")


def test_a_split_that_is_not_there_lists_those_that_are(own: Path) -> None:
    with pytest.raises(BenchmarkError, match="no split 'dev'; choose one of test"):
        load_benchmark("mine", split="dev")


@pytest.mark.parametrize("name", ["spider", "bird", "bird-mini"])
def test_what_is_not_downloaded_says_what_to_fetch_and_where_to_put_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BenchmarkError) as error:
        load_benchmark(name)
    assert "is not here" in error.value.problem
    assert "fetch " in error.value.remedy
    assert str(tmp_path / "sql-harness" / "benchmarks") in error.value.remedy
    assert listing_row(get_spec(name)).here == "to be downloaded"
    assert "Not here: fetch " in describe(name).to_markdown()


def test_the_docs_name_every_benchmark_and_every_key(root: Path) -> None:
    page = (root / "docs" / "benchmarks.md").read_text()
    for path in (root / "benchmarks").glob("*.yaml"):
        assert f"`{path.stem}`" in page
    for key in (*BenchmarkSpec.model_fields, *DataSource.model_fields):
        if key not in {"name", "path", "source", "rules", "prompt", "generation"}:
            assert f"`{key}`" in page or f"source.{key}`" in page, key
