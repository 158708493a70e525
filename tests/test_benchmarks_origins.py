"""The index that travels with the harness: what it finds, what the split holds out, how it is made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.benchmarks import create_context, get_spec, load_benchmark, origins, splits, surface
from harness.files import asset, read_rows, read_text

INDEX = asset("benchmarks", "create-context", "origins.txt.gz")


def test_the_index_is_small_and_names_its_licences() -> None:
    assert INDEX.stat().st_size < 1_000_000
    lines = read_text(INDEX).splitlines()
    about = " ".join(line for line in lines if line.startswith("#"))
    for licence in ("BSD-3-Clause", "CC-BY-SA-4.0", "CC-BY-4.0"):
        assert licence in about
        assert licence in INDEX.with_name("README.md").read_text()
    names = Counter("spider" if line.startswith("spider:") else "wikisql" for line in lines if line[0] != "#")
    assert names == {"wikisql": 24857, "spider": 166}


def test_a_row_of_each_source_is_found() -> None:
    index = origins.shipped()
    tables = surface.tables("CREATE TABLE head (age INTEGER)")
    found = index.find("How many?", tables, "SELECT COUNT(*) FROM head WHERE age > 56")
    assert [origin.origin for origin in found] == ["spider:department_management"]
    tables = surface.tables("CREATE TABLE table_10015132_9 (player VARCHAR)")
    assert [origin.origin for origin in index.find("Who?", tables, "")] == ["1-10015132-9"]
    assert index.find("Who?", surface.tables("CREATE TABLE table_name_4 (zz VARCHAR)"), "SELECT zz") == ()


# The real rows, where they are


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows"),
    [("published-first-100", 100), ("spider-dev", 1034), ("wikisql-dev", 7934), ("wikisql-train", 52560)],
)
def test_every_shared_row_is_found_where_it_came_from(shared_data: Path, name: str, rows: int) -> None:
    index, several, total = origins.shipped(), 0, 0
    for _, values in read_rows(shared_data / "create-context" / f"{name}.jsonl.gz"):
        found = index.find(values["question"], surface.tables(values["context"]), values["answer"])
        own = f"spider:{values['db_id']}" if "db_id" in values else values.get("table_id")
        assert found
        assert own is None or own in {origin.origin for origin in found}
        several += len(found) > 1
        total += 1
    assert total == rows
    assert several / total < 0.012


@pytest.mark.slow
def test_the_shared_rows_are_really_held_out(shared_data: Path) -> None:
    dealt = create_context.deal(get_spec("create-context"), shared_data / "create-context")
    assert len(dealt.records) == 61628
    counts = dealt.split.counts
    assert counts["unknown origin"] == 0
    assert 0.77 < counts["eligible"] / 61628 < 0.80
    assert counts["largest group"] / 61628 < 0.0072
    held = {side: _origins(dealt, side) for side in ("train", "validation", "test")}
    assert not held["train"] & (held["validation"] | held["test"])
    assert not held["validation"] & held["test"]
    assert all(dealt.split.sides[row] == "train" for row in splits.seed_rows(61628))
    assert len(dealt.split.rows("test")) > 6000


def _origins(dealt: create_context.Dealt, side: splits.Side) -> set[str]:
    own = [origin for row in dealt.split.rows(side) for origin in dealt.records[row].origins]
    return {origin.origin for origin in own} | {origin.header for origin in own}


@pytest.mark.slow
def test_the_index_agrees_with_the_rows_own_tables(shared_data: Path) -> None:
    path = shared_data / "create-context" / "wikisql-dev.jsonl.gz"
    benchmark = load_benchmark("create-context", data=path, split="train")
    assert len(benchmark.examples) > 5000
    own = {row.values["id"]: row.values["table_id"] for row in read_rows(path)}
    wrong = [e.id for e in benchmark.examples if e.meta["origin"] != own[e.id]]
    assert len(wrong) < 0.005 * len(benchmark.examples)


@pytest.mark.slow
def test_the_index_is_as_its_script_makes_it(shared_data: Path) -> None:
    root = Path(__file__).parents[1]
    command = [
        sys.executable,
        str(root / "scripts" / "split_index.py"),
        "--data",
        str(shared_data),
        "--check",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["as_committed"] is True
