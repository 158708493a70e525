"""What a verdict costs, part by part, in CPU time of one core (so that a busy machine does not blur it).

    python scripts/scoring_speed.py DATA [--sample N] [--official FOLDER]

DATA is the folder of shared data. Predictions are each gold written in other words (so that no text equals
the gold's), one near miss of it, and the published predictions. Prints a table and, as its last line, one
JSON document. The two published ways of comparing are written here from their description: the test-suite
evaluator (Zhong et al. 2020) opens each database anew, runs gold and prediction and searches a permutation of
the columns; BIRD's runs both and compares sets of rows. With ``--official`` the test-suite evaluator itself
(its folder, with ``exec_eval.py`` and ``parse.py``) runs on the same databases too, DISTINCT kept.

Building a suite is paid once a question, an evaluator once a prediction: with ``--official`` the table says
from how many right predictions a question on building costs less in all than that evaluator, were databases
at hand for it; with the attack on what is not proved, which it does not have, and without.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutations import near_misses
from real_rows import answered
from rewrites import rewritten
from verdict_quality import QWEN, RULES, ready, rows, spread

from harness.databases import Sandbox, Suite
from harness.databases.readers import Readers
from harness.records import Example, Judging, Prediction
from harness.scoring import judge_all
from harness.scoring.attack import ATTACKS, Attacker
from harness.scoring.cause import causes
from harness.scoring.proof import proof
from harness.scoring.trial import Trial, execute
from harness.scoring.verdict import judge
from harness.scoring.witness import find_witness


class Work(NamedTuple):
    """A ready suite, right predictions with other texts than the gold's, and wrong ones."""

    suite: Suite
    right: list[str]
    wrong: list[str]


def prepared(source: str, data: Path, sample: int) -> tuple[list[Work], float]:
    """Suites with their predictions, and the seconds that building took."""
    chosen = spread(rows(data, f"create-context/{source}-dev.jsonl.gz"), sample)
    started = time.process_time()
    suites = [ready(row, source) for row in chosen]
    seconds = time.process_time() - started
    work = []
    for suite in suites:
        if suite.gold_status != "ok" or suite.schema is None:
            continue
        right = [sql for _, sql in rewritten(suite.readings[0], suite.schema)][:3]
        wrong = [sql for _, sql in near_misses(suite.readings[0], suite.schema, each=1)][:3]
        work.append(Work(suite, right, wrong))
    return work, seconds


def timed(
    work: list[Work], texts: Callable[[Work], list[str]], run: Callable[[Work, list[str]], Any]
) -> tuple[int, float]:
    """How many texts were put through, and the seconds that it took."""
    count, seconds = 0, 0.0
    for one in work:
        chosen = texts(one)
        started = time.process_time()
        run(one, chosen)
        seconds += time.process_time() - started
        count += len(chosen)
    return count, seconds


def execution(box: Sandbox) -> Callable[[Work, list[str]], None]:
    def run(work: Work, texts: list[str]) -> None:
        trials = [Trial(work.suite.sqlite(sql), set(range(len(work.suite.readings)))) for sql in texts]
        execute(work.suite, trials, box)

    return run


def test_suite(folder: Path) -> Callable[[Work, list[str]], None]:
    """The test-suite evaluator's way: files, a fresh connection for each query, a permutation search."""

    def rows_of(path: Path, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(path)
        connection.text_factory = lambda raw: raw.decode(errors="ignore")
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.Error:
            return [("failed",)]
        finally:
            connection.close()

    def equal(gold: list[tuple[Any, ...]], other: list[tuple[Any, ...]], ordered: bool) -> bool:
        if len(gold) != len(other) or (gold and len(gold[0]) != len(other[0])):
            return False
        if not gold:
            return True
        one, two = (
            {tuple(sorted(r, key=lambda v: str(v) + str(type(v)))) for r in side} for side in (gold, other)
        )
        if one != two:
            return False
        for places in permutations(range(len(gold[0]))):
            moved = [tuple(row[i] for i in places) for row in other]
            if moved == gold if ordered else sorted(map(repr, moved)) == sorted(map(repr, gold)):
                return True
        return False

    def run(work: Work, texts: list[str]) -> None:
        paths = _files(folder, work.suite)
        for sql in texts:
            for path in paths:
                gold = rows_of(path, work.suite.readings[0])
                if not equal(gold, rows_of(path, sql), work.suite.ordered):
                    break

    return run


def official(checkout: Path) -> Callable[[Path], Callable[[Work, list[str]], None]]:
    """The test-suite evaluator itself, which finds its databases in one folder a question."""
    sys.path.insert(0, str(checkout))
    evaluate: Any = import_module("exec_eval").eval_exec_match

    def way(folder: Path) -> Callable[[Work, list[str]], None]:
        def run(work: Work, texts: list[str]) -> None:
            path = _files(folder, work.suite)[0]
            for sql in texts:
                evaluate(str(path), sql, work.suite.readings[0], False, True, False)

        return run

    return way


def bird(folder: Path) -> Callable[[Work, list[str]], None]:
    """BIRD's way: one connection a pair, both queries, sets of rows."""

    def run(work: Work, texts: list[str]) -> None:
        paths = _files(folder, work.suite)
        for sql in texts:
            for path in paths:
                connection = sqlite3.connect(path)
                try:
                    cursor = connection.cursor()
                    other = cursor.execute(sql).fetchall()
                    gold = cursor.execute(work.suite.readings[0]).fetchall()
                except sqlite3.Error:
                    break
                finally:
                    connection.close()
                if set(other) != set(gold):
                    break

    return run


def _files(folder: Path, suite: Suite) -> list[Path]:
    paths = []
    for number, database in enumerate(d for d in suite.databases if d.kind == "fair"):
        path = folder / str(id(suite)) / f"{number}.sqlite"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(database.image)
        paths.append(path)
    return paths


def published(work: list[Work], way: Callable[[Path], Callable[[Work, list[str]], None]]) -> float:
    """Seconds a right prediction takes under a published way; writing the files is not counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in work:
            _files(folder, one.suite)
        count, seconds = timed(work, lambda w: w.right, way(folder))
    return seconds / count


def parts(work: list[Work]) -> dict[str, float]:
    """Milliseconds of each part a prediction."""
    result = {}
    with Sandbox() as box:
        timed(work[:20], lambda w: w.right, execution(box))
        count, seconds = timed(work, lambda w: w.right, execution(box))
        result["execution, right (all databases)"] = seconds / count
        count, seconds = timed(work, lambda w: w.wrong, execution(box))
        result["execution, wrong"] = seconds / count

        def canonical(one: Work, texts: list[str]) -> None:
            basic = Readers(one.suite).basic
            for sql in [*one.suite.readings, *texts]:
                basic.text(sql)

        count, seconds = timed(work, lambda w: w.right, canonical)
        result["canonical match"] = seconds / count

        def proved(one: Work, texts: list[str]) -> None:
            read = Readers(one.suite).strong.form
            for sql in texts:
                proof(read(one.suite.readings[0]), read(sql))

        count, seconds = timed(work, lambda w: w.right, proved)
        result["proof"] = seconds / count

        def cause(one: Work, texts: list[str]) -> None:
            read = Readers(one.suite).strong.form
            for sql in texts:
                causes(read(one.suite.readings[0]), read(sql))

        count, seconds = timed(work, lambda w: w.wrong, cause)
        result["cause"] = seconds / count

        def attacked(one: Work, texts: list[str]) -> None:
            for sql in texts:
                for _ in Attacker(one.suite, box, Readers(one.suite)).databases(sql):
                    pass

        count, seconds = timed(work[:100], lambda w: w.right[:1], attacked)
        result["attack (accepted and not proved)"] = seconds / count

        def shrunk(one: Work, texts: list[str]) -> None:
            for sql in texts:
                find_witness(one.suite, sql, box)

        count, seconds = timed(work[:200], lambda w: w.wrong[:1], shrunk)
        result["witness"] = seconds / count
    return {name: 1000 * value for name, value in result.items()}


def verdict(work: list[Work], attacks: int = ATTACKS) -> float:
    """Milliseconds of a whole verdict on a right prediction, all of a question together."""
    with Sandbox() as box:

        def judged(one: Work, texts: list[str]) -> None:
            judge(one.suite, texts, box=box, attacks=attacks)

        timed(work[:20], lambda w: w.right, judged)
        count, seconds = timed(work, lambda w: w.right, judged)
    return 1000 * seconds / count


def whole(source: str, data: Path, sample: int) -> float:
    """Predictions a second through ``judge_all`` with ready suites, causes and all."""
    predictions = []
    if source == "spider":
        chosen = rows(data, "create-context/spider-dev.jsonl.gz")
        lines: dict[tuple[str, str], str] = {}
        for n in ("1", "5", "12"):
            lines |= {(n, r["id"]): sql for r, sql in zip(chosen, answered(data, n), strict=True)}
        contexts = [row["full_context"] for row in chosen]
    else:
        chosen = rows(data, "predictions/wikisql-test500-data.jsonl.gz")
        lines = {
            (n, row["id"]): row["sql"]
            for n in QWEN
            for row in rows(data, f"predictions/wikisql-test500-qwen2.5-1.5b-{n}.jsonl.gz")
        }
        contexts = [row["context"] for row in chosen]
    examples = [
        Example(id=row["id"], question="", context=context, gold=row["answer"])
        for row, context in zip(chosen, contexts, strict=True)
    ]
    examples = spread(examples, sample)
    wanted = {example.id for example in examples}
    predictions = [Prediction(id=i, pair=n, sql=sql) for (n, i), sql in lines.items() if i in wanted]
    with tempfile.TemporaryDirectory() as name:
        judging = Judging(rules=RULES[source], cache=Path(name) / "suites.sqlite")
        first = [Prediction(id=example.id, pair="", sql=None) for example in examples]
        built = sum(1 for _ in judge_all(examples, first, judging))
        assert built == len(examples)
        started = time.process_time()
        count = sum(1 for _ in judge_all(examples, predictions, judging))
        return count / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--official", type=Path)
    args = parser.parse_args()
    result: dict[str, dict[str, float]] = {}
    for source in ("wikisql", "spider"):
        work, seconds = prepared(source, args.data, args.sample)
        costs = parts(work)
        own = costs["execution, right (all databases)"]
        zhong, li = (1000 * published(work, way) for way in (test_suite, bird))
        each, bare, build = verdict(work), verdict(work, attacks=0), 1000 * seconds / len(work)
        result[source] = {
            **costs,
            "predictions/s, execution, right": 1000 / own,
            "predictions/s, whole score, ready suites": whole(source, args.data, args.sample),
            "examples/s, building": len(work) / seconds,
            "test-suite evaluator's way, ms": zhong,
            "… times ours": zhong / own,
            "BIRD's way, ms": li,
            "… times ours (BIRD)": li / own,
            "a suite, ms": build,
            "a whole verdict, right, ms": each,
            "the same without attack, ms": bare,
        }
        if args.official:
            theirs = 1000 * published(work, official(args.official))
            result[source] |= {
                "test-suite evaluator itself, ms": theirs,
                "building pays from, predictions a question": build / (theirs - each),
                "the same without attack": build / (theirs - bare),
            }
    print(f"{'':44}{'WikiSQL':>12}{'Spider':>12}")
    for name in result["wikisql"]:
        print(f"{name:44}{result['wikisql'][name]:12.3f}{result['spider'][name]:12.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
