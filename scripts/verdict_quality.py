"""How good the verdicts are: near misses accepted, right answers rejected, real predictions, flagged golds.

    python scripts/verdict_quality.py DATA [--sample N] [--part PART …] [--source S …] [--shard I/N]
        [--workers 2] [--list]

DATA is the folder of shared data (create-context/, predictions/). ``--sample`` is the number of examples a
part looks at (0: all). Prints a table for each part and one JSON line at the end.

Near misses are made by ``mutations.near_misses`` (written apart from the operators that build the suites)
and by the harness's held-out operators. One is *wrongly accepted* if it is judged right and the
adversary, a search over small random databases with sound keys, finds one on which it differs; *right by the
key* if it is judged ``repeat_gold`` and the adversary finds one where names repeat, but none where they do
not; *open* if it is judged right without proof and the adversary finds none (``--list`` prints them).
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import held_out  # noqa: F401 (enters its operators)
from mutations import Adversary, near_misses
from real_rows import SYSTEMS, answered
from rewrites import rewritten

from harness import build_suite, explain, judge
from harness.databases import Sandbox, Suite
from harness.databases.readers import Readers
from harness.outcomes import Outcome
from harness.records import Example, Judging, Prediction, Rules, Verdict
from harness.scoring import judge_all
from harness.scoring.names import Names
from harness.scoring.proof import proof
from harness.sql.mutants import HELD_OUT, mutants_of
from harness.sql.statement import statement

RULES = {"spider": Rules(case="exact"), "wikisql": Rules(case="ignore")}
SOURCES = ("spider", "wikisql")
QWEN = ("baseline", "finetuned6000")


class Case(NamedTuple):
    """One query judged against an example's gold."""

    example: str
    maker: str
    gold: str
    sql: str
    outcome: str
    state: str


def rows(data: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(data / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def spread(items: list[Any], sample: int) -> list[Any]:
    """At most ``sample`` of the items, evenly spread (0: all)."""
    if not sample or sample >= len(items):
        return items
    return [items[i * len(items) // sample] for i in range(sample)]


def shard(items: list[Any], text: str) -> list[Any]:
    """The part of the items that "I/N" names, every N-th from the I-th (from 0) on.

    >>> shard(list("abcdefg"), "1/3")
    ['b', 'e']
    """
    number, count = map(int, text.split("/"))
    if not 0 <= number < count:
        raise SystemExit(f"--shard {text}: I is from 0 to N - 1")
    return items[number::count]


def ready(row: dict[str, Any], source: str) -> Suite:
    return build_suite(row["full_context"], row["answer"], rules=RULES[source])


def misses(row: dict[str, Any], source: str) -> list[Case]:
    """Every near miss of an example that runs, with what became of it."""
    suite = ready(row, source)
    if suite.gold_status != "ok" or suite.schema is None:
        return []
    query = statement(suite.readings[0], suite.schema)
    if query is None:
        return []
    made = dict.fromkeys(near_misses(suite.readings[0], suite.schema, seed=row["id"]))
    made |= dict.fromkeys((f"held out: {m.operator}", m.sql) for m in mutants_of(query, HELD_OUT, limit=40))
    found = []
    with Sandbox() as box:
        adversary: Adversary | None = None
        for (maker, sql), verdict in zip(made, judge(suite, [sql for _, sql in made], box=box), strict=True):
            if verdict.cause in {"syntax error", "schema error", "execution error", "denied", "timeout"}:
                continue
            state = "rejected"
            if verdict.execution_match:
                adversary = adversary or Adversary(suite, box)
                refuted = adversary.differs(sql) is not None
                proved = verdict.outcome in {Outcome.EXACT, Outcome.EQUIVALENT} or "proved" in verdict.detail
                state = "wrongly accepted" if refuted else "proved equal" if proved else "open"
                state = "proof contradicted" if refuted and proved else state
                if refuted and verdict.outcome is Outcome.REPEAT_GOLD:
                    finer = adversary.differs(sql, single=Names(suite).columns) is None
                    state = "right by the key" if finer else state
            found.append(Case(row["id"], maker, suite.readings[0], sql, verdict.outcome.value, state))
    return found


def rights(row: dict[str, Any], source: str) -> list[Case]:
    """Every rewrite of a gold that keeps its meaning, and the gold itself."""
    suite = ready(row, source)
    if suite.schema is None or not suite.readings:
        return []
    made = [("gold itself", suite.gold)]
    if suite.gold_status == "ok":
        made += list(rewritten(suite.readings[0], suite.schema))
    verdicts = judge(suite, [sql for _, sql in made])
    return [
        Case(row["id"], maker, suite.gold, sql, v.outcome.value, "kept" if v.execution_match else "rejected")
        for (maker, sql), v in zip(made, verdicts, strict=True)
    ]


def flagged(row: dict[str, Any]) -> str:
    """The state of an example's gold, with its reason in short."""
    suite = build_suite(row["context"], row["answer"], size=3)
    reason = re.sub(r'near ".*', "a syntax error near a word", suite.reason)
    reason = re.sub(r"\d[\d.]*", "N", reason).split(":")[0].split("(")[0].split("'")[0].strip()
    return f"{suite.gold_status}: {reason}" if suite.reason else suite.gold_status


def over(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    if workers < 2:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(function, items, chunksize=8)


def near_miss_part(data: Path, args: Any) -> dict[str, Any]:
    result = {}
    for source in args.source or SOURCES:
        chosen = spread(rows(data, f"create-context/{source}-dev.jsonl.gz"), args.sample)
        chosen = shard(chosen, args.shard)
        cases = [c for found in over(partial(misses, source=source), chosen, args.workers) for c in found]
        states = Counter(c.state for c in cases)
        bad = [c for c in cases if c.state in {"wrongly accepted", "proof contradicted"}]
        finer = [c for c in cases if c.state == "right by the key"]
        unequal = len(cases) - states["proved equal"]
        print(f"\nNear misses, {source} dev, {len(chosen)} examples: {len(cases)} run")
        for state, count in states.most_common():
            print(f"  {state:20}{count:8}{count / max(1, len(cases)):10.3%}")
        low, high = (100 * x for x in binomtest(len(bad), unequal).proportion_ci(method="exact"))
        interval = [low / 100, high / 100]
        print(
            f"  wrongly accepted {len(bad)} of {unequal} that differ, 95 % interval {low:.4f} to {high:.4f} %"
        )
        print(f"  wrongly accepted by maker: {dict(Counter(c.maker for c in bad).most_common())}")
        print(f"  by outcome: {dict(Counter(c.outcome for c in bad).most_common())}")
        low, high = (100 * x for x in binomtest(len(bad) + len(finer), unequal).proportion_ci(method="exact"))
        print(f"  with those right by the key {len(bad) + len(finer)}, {low:.4f} to {high:.4f} %")
        if args.list:
            shown = [*bad, *finer, *(c for c in cases if c.state == "open")]
            print(
                *(f"  {c.state} | {c.maker} | {c.example}\n    {c.gold}\n    {c.sql}" for c in shown),
                sep="\n",
            )
        result[source] = {
            "near_misses": len(cases),
            "wrongly_accepted": len(bad),
            "right_by_the_key": len(finer),
            "differ": unequal,
            "share": len(bad) / max(1, unequal),
            "interval": interval,
            "open": states["open"],
            "contradicted": states["proof contradicted"],
        }
    return result


def rewrite_part(data: Path, args: Any) -> dict[str, Any]:
    result = {}
    for source in args.source or SOURCES:
        chosen = spread(rows(data, f"create-context/{source}-dev.jsonl.gz"), args.sample)
        cases = [c for found in over(partial(rights, source=source), chosen, args.workers) for c in found]
        total, lost = (
            Counter(c.maker for c in cases),
            Counter(c.maker for c in cases if c.state == "rejected"),
        )
        gold, gold_lost = total.pop("gold itself"), lost.pop("gold itself", 0)
        print(
            f"\nRewrites that keep the meaning, {source} dev, {len(chosen)} examples, {len(total)} rewrites"
        )
        for maker, count in total.most_common():
            print(f"  {maker:32}{count:8}  rejected {lost[maker]}")
        rejected, tried = sum(lost.values()), sum(total.values())
        share = rejected / max(1, tried)
        print(f"  rejected {rejected} of {tried} ({share:.3%}); gold {gold_lost} of {gold}")
        for c in [c for c in cases if c.state == "rejected"][:200] if args.list else ():
            print(f"  rejected | {c.maker} | {c.example} | {c.outcome}\n    {c.gold}\n    {c.sql}")
        result[source] = {
            "rewrites": sum(total.values()),
            "kinds": len(total),
            "rejected": sum(lost.values()),
            "share": share,
            "gold_rejected": gold_lost,
        }
    return result


def qwen_part(data: Path, args: Any) -> dict[str, Any]:
    questions = rows(data, "predictions/wikisql-test500-data.jsonl.gz")
    examples = {
        r["id"]: Example(id=r["id"], question=r["question"], context=r["context"], gold=r["answer"])
        for r in questions
    }
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for name in QWEN:
        for row in rows(data, f"predictions/wikisql-test500-qwen2.5-1.5b-{name}.jsonl.gz"):
            known[name, row["id"]] = row
    predictions = [Prediction(id=id_, pair=name, sql=row["sql"]) for (name, id_), row in known.items()]
    verdicts = list(
        judge_all(list(examples.values()), predictions, Judging(workers=args.workers, cache=args.cache))
    )
    passed = {key for key, row in known.items() if row["execution_match_on_real_table"]}
    accepted = [v for v in verdicts if v.execution_match]
    wrongly = [v for v in accepted if (v.pair, v.id) not in passed]
    rejected = [v for v in verdicts if not v.execution_match and (v.pair, v.id) in passed]
    proved = [v for v in accepted if v.outcome in {Outcome.EXACT, Outcome.EQUIVALENT} or "proved" in v.detail]
    filled = sum(v.outcome is Outcome.NULL_ONLY for v in proved)
    contradicted = sum(
        _contradicted(examples[v.id], known[v.pair, v.id]["sql"])
        for v in verdicts
        if v.outcome is Outcome.WRONG
    )
    print(
        f"\nWikiSQL completions: {len(verdicts)}; real tables pass {len(passed)}, we accept {len(accepted)}"
    )
    print(f"  accepted though failed on the real table: {len(wrongly)}")
    print(
        f"  proved: {len(proved)} of {len(accepted)} accepted ({len(proved) / len(accepted):.2%}), "
        f"{filled} of them only where nothing is NULL; "
        f"contradicted {contradicted}"
    )
    print(f"  outcomes: {dict(Counter(v.outcome.value for v in verdicts).most_common())}")
    print(
        f"  rejected though passed on the real table: {len(rejected)}, "
        f"by cause {dict(Counter(v.cause for v in rejected))}"
    )
    without = 0
    for v in rejected:
        example, sql = examples[v.id], known[v.pair, v.id]["sql"]
        witness = explain(build_suite(example.context, example.gold), sql).witness
        without += witness is None
        if args.list:
            print(
                f"  {v.id} {v.pair} {v.outcome.value}: {v.detail}\n"
                f"    gold       {example.gold}\n    prediction {sql}"
            )
            if witness:
                print(
                    f"    gold gives {witness.gold_rows}, "
                    f"prediction {witness.prediction_rows or witness.prediction_error} on"
                )
                print(
                    "\n".join(
                        f"      {line}" for line in witness.script.splitlines() if line.startswith("INSERT")
                    )
                )
    print(f"  of these without a witness: {without}")
    return {
        "accepted": len(accepted),
        "accepted_though_failed": len(wrongly),
        "rejected_though_passed": len(rejected),
        "without_witness": without,
        "proved_share": len(proved) / len(accepted),
        "contradicted": contradicted,
    }


def _contradicted(example: Example, sql: str) -> bool:
    """Is a prediction that databases refute proved equal all the same."""
    suite = build_suite(example.context, example.gold)
    read = Readers(suite).strong.form
    return bool(suite.readings and proof(read(suite.readings[0]), read(suite.sqlite(sql))))


def systems_part(data: Path, args: Any) -> dict[str, Any]:
    questions = rows(data, "create-context/spider-dev.jsonl.gz")
    examples = [
        Example(id=r["id"], question=r["question"], context=r["full_context"], gold=r["answer"])
        for r in questions
    ]
    predictions = [
        Prediction(id=example.id, pair=name, sql=sql)
        for name in SYSTEMS
        for example, sql in zip(examples, answered(data, name), strict=True)
    ]
    started = time.perf_counter()
    verdicts = list(
        judge_all(
            examples, predictions, Judging(rules=RULES["spider"], workers=args.workers, cache=args.cache)
        )
    )
    result = {}
    print(
        f"\nSpider systems, {len(examples)} questions each, "
        f"{time.perf_counter() - started:.1f} s with building"
    )
    for name in SYSTEMS:
        own = [v for v in verdicts if v.pair == name]
        fine = [v for v in own if v.gold_status == "ok"]
        share = sum(v.execution_match for v in fine) / len(fine)
        result[name] = {"accuracy": share, "n": len(fine), **Counter(v.outcome.value for v in own)}
        print(f"  system {name:3} right {share:.3f} of {len(fine)}; {_outcomes(own)}")
    return result


def _outcomes(verdicts: list[Verdict]) -> str:
    return ", ".join(
        f"{name} {count}" for name, count in Counter(v.outcome.value for v in verdicts).most_common()
    )


def flagged_part(data: Path, args: Any) -> dict[str, Any]:
    result = {}
    for name in ("published-first-100", "spider-dev", "wikisql-dev", "wikisql-train"):
        chosen = spread(rows(data, f"create-context/{name}.jsonl.gz"), args.sample)
        started = time.perf_counter()
        states = Counter(over(flagged, chosen, args.workers))
        print(f"\nContexts of {name}: {len(chosen)} in {time.perf_counter() - started:.0f} s, none crashed")
        for state, count in states.most_common():
            print(f"  {count:7}{count / len(chosen):9.3%}  {state}")
        result[name] = dict(states)
    return result


PARTS: dict[str, Callable[[Path, Any], dict[str, Any]]] = {
    "misses": near_miss_part,
    "rewrites": rewrite_part,
    "qwen": qwen_part,
    "systems": systems_part,
    "flagged": flagged_part,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--source", choices=SOURCES, action="append")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    parser.add_argument(
        "--shard", default="0/1", metavar="I/N", help="of near misses: that part of the examples"
    )
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if not (args.data / "create-context").is_dir():
        parser.error(f"{args.data} has no create-context folder: name the folder of shared data")
    print(json.dumps({name: PARTS[name](args.data, args) for name in args.part or PARTS}))


if __name__ == "__main__":
    main()
