"""Who takes which examples, with processes played by threads."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from torch.distributed import HashStore

from harness.files import asset
from harness.records import Example
from harness.runs.crew import Crew, deal


@pytest.fixture(scope="module")
def questions() -> list[Example]:
    lines = asset("benchmarks", "starter", "test.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        Example(id=str(i), question=row["question"], context=row["context"], gold="")
        for i, row in enumerate(rows)
    ]


def crew(store: HashStore, rank: int, size: int) -> Crew:
    one = Crew()
    one._store, one.rank, one.size = store, rank, size
    return one


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_shares_are_fair_and_keep_schemas_together(questions: list[Example], ranks: int) -> None:
    shares = deal(questions, ranks)
    assert sorted(id_ for share in shares for id_ in share) == sorted(e.id for e in questions)
    assert max(map(len, shares)) <= 1.15 * len(questions) / ranks
    schema = {e.id: e.context for e in questions}
    held = Counter(context for share in shares for context in {schema[id_] for id_ in share})
    assert sum(held.values()) <= len(held) + 2 * ranks, "a schema is cut for fairness alone"


def test_equal_processes_do_equal_work_and_nothing_twice(questions: list[Example]) -> None:
    store, size = HashStore(), 3

    def work(rank: int) -> list[str]:
        return [id_ for share in crew(store, rank, size).shares(questions) for id_ in share]

    with ThreadPoolExecutor(size) as pool:
        taken = list(pool.map(work, range(size)))
    everything = [id_ for ids in taken for id_ in ids]
    assert len(everything) == len(set(everything)) == len(questions)


def test_what_a_slow_process_leaves_is_taken_by_the_others(questions: list[Example]) -> None:
    store, size = HashStore(), 3

    def work(rank: int) -> list[str]:
        shares = crew(store, rank, size).shares(questions)
        if rank == 1:
            return list(islice(next(shares), 16))
        return [id_ for share in shares for id_ in share]

    with ThreadPoolExecutor(size) as pool:
        taken = list(pool.map(work, range(size)))
    assert len(taken[1]) <= 16
    assert len({id_ for ids in taken for id_ in ids}) == sum(map(len, taken)) == len(questions)


def test_one_started_where_several_were_asked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    said: list[str] = []
    assert Crew(said.append).size == 1
    assert "torchrun --nproc_per_node" in said[0]
