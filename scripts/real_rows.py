"""Hold verdicts against the real rows of Spider's development databases.

    python scripts/real_rows.py [--data ../shared/data] [--system S …] [--pairs FILE] [--every N] [--show N]
        [--rule R=V]

For each answer of five published systems the verdict, made from schema and gold alone, stands beside what the
real rows say (bags of rows, columns in any order, order where the gold orders; DISTINCT left out of both, as
the published evaluator does; refuted is what differs with DISTINCT as well). Prints for each system the
table of both, for all answers the outcomes with the share that the real rows refute, and for those rejected
that real rows accept the assumption or the other rule under which they would be right; ``--pairs`` writes
every pair on which the two part, with question, gold, outcome and explanation. Of the refuted ones some are
*beside a tie*: the gold's superlative is tied in the real rows, and the answer shows one of the tied rows or
all of them, so that the gold as well might have shown it. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import beta

from harness import build_suite, judge
from harness.benchmarks.spider_schema import read_tables
from harness.databases import Failure, Result, Sandbox, Suite, same
from harness.databases.fairness import Fairness
from harness.databases.sandbox import FUNCTIONS
from harness.outcomes import Outcome
from harness.records import VERDICT_VERSION, Rules, Verdict
from harness.sql.dialect import strip_distinct, to_sqlite
from harness.sql.statement import statement

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = {
    "1": "spider-dev-system-1.txt",
    "5": "spider-dev-system-5.txt",
    "12": "spider-dev-system-12.txt",
    "c3": "spider-dev-c3-gpt3.5.jsonl.gz",
    "din": "spider-dev-din-gpt4.jsonl.gz",
}
"""The published systems whose answers to Spider's development questions are there, and the file of each."""

EXACT = Rules(case="exact")


LOOSER = ("distinct=strip", "columns=subset", "composites=believed")
"""Rules under which an answer that is rejected may be right."""


class Answer(NamedTuple):
    """One system's answer to one question: what the verdict and what the real rows say of it."""

    system: str
    number: int
    question: str
    gold: str
    sql: str
    outcome: Outcome
    detail: str
    real: bool
    refuted: bool
    tied: bool
    status: str
    cause: str
    right_under: tuple[str, ...]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--system", choices=SYSTEMS, action="append")
    options.add_argument("--pairs", type=Path)
    options.add_argument("--every", type=int, default=1)
    options.add_argument("--show", type=int, default=0)
    options.add_argument("--rule", action="append", default=[], metavar="RULE=VALUE")
    chosen = options.parse_args()
    start = time.perf_counter()
    rules = replace(EXACT, **dict(rule.split("=", 1) for rule in chosen.rule))
    systems = chosen.system or list(SYSTEMS)
    answers = list(judged(chosen.data, systems, chosen.every, rules))
    seconds = time.perf_counter() - start
    facts: dict[str, Any] = {"verdict_version": VERDICT_VERSION, "seconds": round(seconds, 1), "systems": {}}
    for system in systems:
        own = [a for a in answers if a.system == system]
        facts["systems"][system] = four_ways(system, own)
    facts |= shares([a for a in answers if a.status == "ok"])
    facts["rejected_by"] = split([a for a in answers if a.status == "ok" and a.real and not a.outcome.right])
    parted = [a for a in answers if a.status == "ok" and (a.refuted if a.outcome.right else a.real)]
    for answer in parted[: chosen.show]:
        print(f"\n{answer.system} {answer.number} {answer.outcome} real={answer.real} {answer.detail}")
        print(f"  {answer.question}\n  gold: {answer.gold}\n  sql:  {answer.sql}")
    if chosen.pairs:
        chosen.pairs.write_text("".join(json.dumps(a._asdict()) + "\n" for a in parted), "utf-8")
    print(json.dumps(facts))


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a packed file, one a line."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        return [json.loads(line) for line in text]


def answered(data: Path, system: str) -> list[str]:
    """What a system answered to each question, in their order."""
    path = data / "predictions" / SYSTEMS[system]
    if path.suffix == ".gz":
        return [row["sql"] for row in sorted(lines(path), key=lambda row: int(row["id"]))]
    return [line.split("\t")[0] for line in path.read_text("utf-8").splitlines()]


def judged(data: Path, systems: list[str], every: int, rules: Rules) -> Iterator[Answer]:
    """Every answer to a question whose gold runs on real rows."""
    tables = read_tables(data / "spider" / "tables.json.gz")
    golds = [line.split("\t") for line in (data / "spider/dev_gold.sql").read_text("utf-8").splitlines()]
    questions = [row["question"] for row in lines(data / "create-context/spider-dev.jsonl.gz")]
    given = {system: answered(data, system) for system in systems}
    with Sandbox(steps=1_000_000_000, rows=200_000, length=1_000_000, functions=FUNCTIONS) as real:
        for number, (gold, db_id) in enumerate(golds):
            path = data / "spider" / "database" / db_id / f"{db_id}.sqlite"
            if number % every or not path.is_file():
                continue
            wanted = real.run(path, strip_distinct(to_sqlite(gold)))
            written = real.run(path, to_sqlite(gold))
            if isinstance(wanted, Failure) or isinstance(written, Failure):
                continue
            context = tables.schemas[db_id].create()
            suite = build_suite(context, gold, rules=rules)
            sqls = [given[system][number] for system in systems]
            ordered = "order by" in gold.lower()
            for system, sql, verdict in zip(systems, sqls, judge(suite, sqls), strict=True):
                right, plain = (
                    isinstance(one := real.run(path, text), Result)
                    and same(answer, one, ordered=ordered, rules=EXACT)
                    for answer, text in zip(
                        (wanted, written), (strip_distinct(to_sqlite(sql)), to_sqlite(sql)), strict=True
                    )
                )
                lost = right and not verdict.outcome.right and verdict.gold_status == "ok"
                refuted = not (right or plain)
                yield Answer(
                    system,
                    number,
                    questions[number],
                    gold,
                    sql,
                    verdict.outcome,
                    verdict.detail,
                    right,
                    refuted,
                    refuted and beside_a_tie(real, path, suite, sql),
                    verdict.gold_status,
                    verdict.cause or "",
                    tuple(looser(context, gold, sql, rules, verdict)) if lost else (),
                )
            if number % 100 == 0:
                print(f"{number}", end=" ", file=sys.stderr, flush=True)


def looser(context: str, gold: str, sql: str, rules: Rules, verdict: Verdict) -> Iterator[str]:
    """Under what a rejected answer would be right: an assumption, or another rule."""
    if verdict.outcome.counts == "assumed":
        yield verdict.outcome.value
    for change in LOOSER:
        name, value = change.split("=")
        changed: dict[str, Any] = {name: value}
        other = replace(rules, **changed)
        if judge(build_suite(context, gold, rules=other), [sql])[0].execution_match:
            yield change


def beside_a_tie(real: Sandbox, path: Path, suite: Suite, sql: str) -> bool:
    """Whether an answer shows what the gold might show if it broke its ties otherwise, or all that ties."""
    if suite.schema is None or not suite.readings:
        return False
    real.load(path)
    shown = real.query(to_sqlite(sql))
    ways = Fairness(statement(suite.readings[0], suite.schema)).ways(real, suite.readings[0])
    return ways is not None and isinstance(shown, Result) and ways.admit(shown)


def interval(k: int, n: int) -> tuple[float, float, float]:
    """A share in percent with its exact 95 % interval (Clopper and Pearson)."""
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return tuple(round(100 * float(x), 2) for x in (k / max(n, 1), low, high))  # type: ignore[return-value]


def four_ways(system: str, answers: list[Answer]) -> dict[str, Any]:
    """How often verdict and real rows agree, over the sound golds; the system's score by each."""
    table = Counter((a.outcome.right, not a.refuted) for a in answers if a.status == "ok")
    real = sum(a.real for a in answers) / len(answers)
    print(f"{system}: {len(answers)} answers, by real rows {real:.3f} right")
    print("            real: right   wrong")
    for right, name in ((True, "accepted"), (False, "rejected")):
        print(f"  {name:<14}{table[right, True]:>7}{table[right, False]:>8}")
    return {
        "n": len(answers),
        "real": round(real, 4),
        "accepted_right": table[True, True],
        "accepted_refuted": table[True, False],
        "rejected_right": table[False, True],
        "rejected_wrong": table[False, False],
    }


def shares(answers: list[Answer]) -> dict[str, Any]:
    """Each outcome: how many answers, how many the real rows refute."""
    found: dict[str, Any] = {}
    print(f"{'outcome':<20}{'answers':>8}{'refuted':>8}   % (95 % interval), refuted beside no tie")
    for outcome in Outcome:
        own = [a for a in answers if a.outcome is outcome]
        if own:
            refuted = sum(a.refuted for a in own)
            share = interval(refuted, len(own))
            plain = sum(a.refuted and not a.tied for a in own)
            less = interval(plain, len(own))
            found[outcome.value] = {"n": len(own), "refuted": refuted, "beside_no_tie": plain}
            print(
                f"{outcome.value:<20}{len(own):>8}{refuted:>8}   {share[0]} ({share[1]}-{share[2]}),"
                f" {plain}: {less[0]} ({less[1]}-{less[2]})"
            )
    ties = Counter(("limit" in a.sql.lower(), a.refuted) for a in answers if a.outcome is Outcome.TIE_ONLY)
    for picks, name in ((True, "with LIMIT"), (False, "without")):
        print(f"tie_only {name}: {ties[picks, True] + ties[picks, False]}, refuted {ties[picks, True]}")
    accepted = [a for a in answers if a.outcome.right and a.outcome is not Outcome.EXACT]
    refuted = sum(a.refuted for a in accepted)
    share = interval(refuted, len(accepted))
    print(f"accepted, not exact: {len(accepted)}, refuted {refuted}: {share[0]} % ({share[1]}-{share[2]})")
    rejected = sum(a.real and not a.outcome.right for a in answers)
    by_real = sum(a.real for a in answers)
    share = interval(rejected, by_real)
    print(f"right by real rows: {by_real}, rejected {rejected}: {share[0]} % ({share[1]}-{share[2]})")
    return {
        "outcomes": found,
        "accepted_not_exact": [len(accepted), refuted],
        "rejected": [by_real, rejected],
    }


def split(rejected: list[Answer]) -> dict[str, int]:
    """Rejected answers that are right by real rows: each by the first that makes it right, else its cause."""
    found = Counter(a.right_under[0] if a.right_under else f"none: {a.cause}" for a in rejected)
    print("rejected, right by real rows; right under:")
    for what, number in found.most_common():
        print(f"  {what:<30}{number:>5}")
    return dict(found.most_common())


if __name__ == "__main__":
    main()
