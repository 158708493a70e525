"""Does a pair of queries get the same verdict under any seed?

    python scripts/seed_stability.py DATA [--pairs 2000] [--seeds 12] [--shard I/N] [--list]

DATA is the folder of shared data. The pairs are the answers of five published systems to Spider's development
questions, near misses and rewrites of Spider's and WikiSQL's golds, evenly spread. Each is judged under every
seed; a pair is *steady* where all its outcomes are one, and *right or wrong alike* where they count alike.
Prints the shares with their 95 % intervals and the outcomes that parted; ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutations import near_misses
from real_rows import SYSTEMS, answered
from rewrites import rewritten
from verdict_quality import RULES, rows, shard, spread

from harness import build_suite, judge
from harness.outcomes import Outcome

EACH = 4
"""Queries of one gold that are judged."""


class Gold(NamedTuple):
    """A gold with its schema and the queries judged beside it."""

    source: str
    context: str
    gold: str
    queries: list[str]


def golds(data: Path, source: str, count: int) -> list[Gold]:
    """So many golds of a source, each with EACH queries: answers, then near misses and rewrites by turns."""
    every = rows(data, f"create-context/{source}-dev.jsonl.gz")
    answers = zip(*(answered(data, name) for name in SYSTEMS), strict=True) if source == "spider" else ()
    own_of = dict(zip((row["id"] for row in every), map(list, answers), strict=False))
    found = []
    for place, row in enumerate(spread(every, count)):
        suite = build_suite(row["full_context"], row["answer"], rules=RULES[source], size=2, operators=())
        if suite.gold_status != "ok" or suite.schema is None:
            continue
        text = suite.readings[0]
        near = [sql for _, sql in near_misses(text, suite.schema, each=1, seed=row["id"])]
        kept = [sql for _, sql in rewritten(text, suite.schema)]
        own = own_of.get(row["id"], [])
        turn = place % max(1, len(own))
        mixed = [*(own[turn:] + own[:turn])[:2], *near[place % 3 :: 5], *kept[place % 3 :: 4]]
        found.append(Gold(source, row["full_context"], row["answer"], list(dict.fromkeys(mixed))[:EACH]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--shard", default="0/1", metavar="I/N")
    parser.add_argument("--list", action="store_true")
    told = parser.parse_args()
    start = time.process_time()
    chosen = [g for s in ("spider", "wikisql") for g in golds(told.data, s, 11 * told.pairs // (20 * EACH))]
    chosen = shard(chosen, told.shard)
    pairs = steady = alike = 0
    parted: Counter[str] = Counter()
    for gold in chosen:
        outcomes: list[list[Outcome]] = [[] for _ in gold.queries]
        for seed in range(told.seeds):
            suite = build_suite(gold.context, gold.gold, rules=RULES[gold.source], seed=seed)
            for place, verdict in enumerate(judge(suite, gold.queries)):
                outcomes[place].append(verdict.outcome)
        for sql, own in zip(gold.queries, outcomes, strict=True):
            pairs += 1
            steady += len(set(own)) == 1
            alike += len({outcome.right for outcome in own}) == 1
            if len(set(own)) > 1:
                parted[" / ".join(sorted({outcome.value for outcome in own}))] += 1
                if told.list:
                    print(f"{dict(Counter(o.value for o in own))}\n  {gold.gold}\n  {sql}")
    facts: dict[str, Any] = {"pairs": pairs, "seeds": told.seeds}
    for name, count in (("steady", steady), ("right or wrong alike", alike)):
        low, high = (100 * float(x) for x in binomtest(count, pairs).proportion_ci(method="exact"))
        print(f"{name}: {count} of {pairs}, {count / pairs:.3%} ({low:.3f} to {high:.3f} %)")
        facts[name] = [count, round(low, 3), round(high, 3)]
    print(*(f"  {count:4} {what}" for what, count in parted.most_common()), sep="\n")
    print(json.dumps(facts | {"seconds": round(time.process_time() - start)}))


if __name__ == "__main__":
    main()
