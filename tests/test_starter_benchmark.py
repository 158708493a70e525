"""The starter benchmark's data: what it promises, read off the committed files."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scripts.starter.benchmark import generate
from scripts.starter.domains import _WORDS, SPLITS, domains, pool_words
from scripts.starter.questions import KINDS

Row = dict[str, Any]


@pytest.fixture(scope="module")
def splits(root: Path) -> dict[str, list[Row]]:
    folder = root / "benchmarks" / "starter"
    return {
        split: [json.loads(line) for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()]
        for split in SPLITS
    }


def test_the_generator_writes_the_committed_files_byte_for_byte(root: Path, tmp_path: Path) -> None:
    for split, path in generate(folder=tmp_path).items():
        assert path.read_bytes() == (root / "benchmarks" / "starter" / f"{split}.jsonl").read_bytes()


def test_another_seed_gives_other_questions(tmp_path: Path) -> None:
    one, two = generate(7, tmp_path / "a")["test"], generate(8, tmp_path / "b")["test"]
    assert one.read_bytes() != two.read_bytes()


def test_there_are_enough_domains_and_questions(splits: dict[str, list[Row]]) -> None:
    assert len(domains()) >= 48
    assert len(splits["test"]) >= 600
    assert len({row["domain"] for row in splits["test"]}) >= 14
    assert {len(domain.tables) for domain in domains() if domain.split == "test"} == {1, 2, 3}
    assert len({row["id"] for rows in splits.values() for row in rows}) == sum(map(len, splits.values()))


def test_no_table_and_no_domain_is_in_two_splits() -> None:
    owners = defaultdict(set)
    for domain in domains():
        for table in domain.tables:
            owners[table.name].add(domain.name)
    assert all(len(found) == 1 for found in owners.values())
    headers = Counter(
        frozenset(column.name for column in table.columns) for domain in domains() for table in domain.tables
    )
    assert max(headers.values()) == 1


def test_words_of_test_values_are_none_of_training() -> None:
    shared = set(pool_words("train")) & set(pool_words("test"))
    # what firms are called ("Apex Group") is common to all; Horizon is a firm in one and a title in the other
    assert shared == {*_WORDS["suffix"].split(), "Horizon"}
    assert pool_words("validation") == pool_words("test")


def test_every_kind_has_its_share_of_test(splits: dict[str, list[Row]]) -> None:
    shares = Counter(row["kind"] for row in splits["test"])
    assert set(shares) == set(KINDS)
    assert shares["join"] >= 0.10 * len(splits["test"])
    assert min(shares.values()) >= 0.03 * len(splits["test"])


def test_every_kind_is_phrased_in_several_ways(splits: dict[str, list[Row]]) -> None:
    starts = defaultdict(set)
    for row in splits["train"]:
        starts[row["kind"]].add(" ".join(row["question"].split()[:2]))
    assert min(len(found) for found in starts.values()) >= 3


def test_every_gold_runs(splits: dict[str, list[Row]]) -> None:
    for rows in splits.values():
        for row in rows:
            with closing(sqlite3.connect(":memory:")) as database:
                database.executescript(row["context"])
                database.execute(row["answer"])
            database.close()


def test_every_literal_of_a_gold_stands_in_its_question(splits: dict[str, list[Row]]) -> None:
    for row in (row for rows in splits.values() for row in rows):
        for quoted in re.findall(r"'%?([^'%]+)%?'", row["answer"]):
            assert quoted in row["question"], row
        for number in re.findall(r"(?<![\w'])\d+", re.sub(r"'[^']*'", "", row["answer"])):
            assert number in row["question"] or row["answer"].endswith("LIMIT 1"), row


def test_a_question_has_one_gold(splits: dict[str, list[Row]]) -> None:
    golds = defaultdict(set)
    for row in (row for rows in splits.values() for row in rows):
        golds[row["context"], row["question"]].add(row["answer"])
    assert max(map(len, golds.values())) == 1


def test_questions_read_cleanly(splits: dict[str, list[Row]]) -> None:
    for row in (row for rows in splits.values() for row in rows):
        assert not re.search(r"  |[{}]| [?.,]|\b[Aa] [aeio]", row["question"]), row["question"]


def test_the_yaml_finds_the_data() -> None:
    from harness.benchmarks import load_benchmark

    loaded = load_benchmark("starter")
    assert (loaded.split, len(loaded.examples)) == ("test", 604)
    assert loaded.prompt.system == "You are a SQL expert."
    assert len(load_benchmark("starter", split="validation").examples) >= 200
