"""What a reward costs, in CPU time of all its processes (so that a busy machine does not blur it).

    python scripts/reward_speed.py DATA [--sample 200] [--each 8] [--workers 2]

DATA is the folder of shared data. Each question gets ``--each`` completions: the gold, rewrites of it and
near misses. First all questions are new, then the same ones are ready. With one worker the rates are of one
core, with several of as many cores, each of them busy; the wall time beside them is the machine's as it was.
Prints a table and, as its last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from mutations import near_misses
from rewrites import rewritten
from verdict_quality import rows, spread

from harness.errors import SchemaError
from harness.records import Judging
from harness.reward import ExecutionReward
from harness.sql.schema import parse_schema


def main() -> None:
    parser = argparse.ArgumentParser(description="What a reward costs.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    told = parser.parse_args()
    facts = {
        source: measured(told.data, source, told.sample, told.each, told.workers)
        for source in ("wikisql", "spider")
    }
    for source, found in facts.items():
        for name, value in found.items():
            print(f"{source:8} {name:32} {value}")
    print(json.dumps(facts))


def measured(data: Path, source: str, sample: int, each: int, workers: int) -> dict[str, float]:
    """Questions and completions a second of so many cores' time, new and ready."""
    contexts, golds, texts = [], [], []
    for row in spread(rows(data, f"create-context/{source}-dev.jsonl.gz"), sample):
        context, gold = row.get("full_context") or row["context"], row["answer"]
        try:
            schema = parse_schema(context)
            others = [sql for _, sql in islice(rewritten(gold, schema), each // 3)]
            others += [sql for _, sql in islice(near_misses(gold, schema, each=2), each)]
        except (SchemaError, ValueError):
            continue
        for text in [gold, *others][:each]:
            contexts.append(context)
            golds.append(gold)
            texts.append(text)
    reward = ExecutionReward(keep=False, judging=Judging(workers=workers))
    reward(
        texts[:1], texts[:1], context=contexts[:1], answer=golds[:1]
    )  # workers are up, nothing is compiled
    found: dict[str, float] = {"questions": len(set(zip(contexts, golds, strict=True)))}
    for state in ("new", "ready"):
        began, wall = cpu(), time.perf_counter()
        values = reward(texts, texts, context=contexts, answer=golds)
        seconds, waited = (cpu() - began) / workers, time.perf_counter() - wall
        found[f"questions a second, {state}"] = round(found["questions"] / seconds, 1)
        found[f"completions a second, {state}"] = round(len(texts) / seconds, 1)
        found[f"completions a second of wall time, {state}"] = round(len(texts) / waited, 1)
    reward.close()
    found["mean reward"] = round(sum(value or 0 for value in values) / len(values), 3)
    return found


def cpu() -> float:
    """Seconds of processor time that this process and its workers have taken."""
    here = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (here, *here.children(recursive=True)))


if __name__ == "__main__":
    main()
