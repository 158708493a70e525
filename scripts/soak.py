"""Score very many predictions, a fifth of them hostile: time, memory, and whether any was lost.

    python scripts/soak.py [--predictions 100000] [--folder DIR]

The starter benchmark's questions are asked again and again under new ids, in ten files of predictions. Four
in five are the gold or a near miss of it. The rest is hostile: the statements of ``tests/cases/hostile`` put
on the question's own tables, queries that never end or take much memory, texts of up to 800,000 characters.
``harness score`` judges them in a process of its own with two workers, while the resident memory of that
process and of its workers is read once a second; 200 wrong ones get their witness, and there is no policy
table, which would judge a sample again. Afterwards each prediction must have one verdict, and the same text
on the same question the same verdict wherever it stands. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from harness.chance import Chance
from harness.files import asset, read_rows
from harness.runs.samples import read_samples
from harness.sql.mutants import mutants_of
from harness.sql.schema import parse_schema
from harness.sql.statement import statement

HOSTILE = Path(__file__).resolve().parents[1] / "tests" / "cases" / "hostile" / "statements.jsonl"
FILES = 10
SHARES = {"corpus": 170, "hanging": 25, "huge": 5}
"""Predictions of a thousand that are of each hostile kind."""

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"
DOUBLED = "WITH RECURSIVE c(t) AS (SELECT 'a' UNION ALL SELECT t || t FROM c WHERE length(t) < 14000)"
LONGEST_TEXT = f"{DOUBLED}, b AS MATERIALIZED (SELECT max(t) AS t FROM c)"
PRODUCT = " FROM b CROSS JOIN head x CROSS JOIN head y CROSS JOIN head z CROSS JOIN head u CROSS JOIN head v"
HANGING = [
    f"{ENDLESS} SELECT count(*) FROM c",
    f"{ENDLESS} SELECT n FROM c",
    f"{ENDLESS} SELECT max(c.n) FROM c, c d, c e",
    f"{ENDLESS} SELECT group_concat(n) FROM (SELECT n FROM c LIMIT 9000)",
    "SELECT count(*) FROM head a, head b, head c, head d, head e, head f, head g, head h, head i",
    "SELECT a.name FROM head a, head b, head c, head d, head e, head f ORDER BY b.name, c.name, d.age",
    "SELECT DISTINCT a.name || b.name || c.name || d.name || e.name || f.name"
    " FROM head a, head b, head c, head d, head e, head f",
    f"{DOUBLED}"
    " SELECT max(t) || a.name || b.name || d.name || e.name FROM c, head a, head b, head d, head e"
    " GROUP BY a.rowid, b.rowid, d.rowid, e.rowid ORDER BY 1 DESC",
    f"{LONGEST_TEXT} SELECT count(instr(t, substr(t, 1, 8000) || x.name || y.name)){PRODUCT}",
    f"{LONGEST_TEXT} SELECT count(t LIKE '%' || substr(t, 1, 480) || 'b' || x.name){PRODUCT}",
    "SELECT count(*) FROM head a, head b, head c, head d, head e WHERE a.name || b.name || c.name"
    " LIKE '%a%e%i%o%u%a%e%i%o%u%' || d.name",
]


class Asked(NamedTuple):
    """A question with the texts that a good model or a poor one could give."""

    row: dict[str, Any]
    texts: tuple[str, ...]


def huge(chance: Chance) -> str:
    """A text that is longer than any query may be."""
    size = (31_000, 40_000, 60_000, 300_000, 800_000)[chance.below(5)]
    head, unit = [
        ("SELECT ", "("),
        ("SELECT name FROM head WHERE age = 3", " OR age = 4"),
        ("SELECT ", "'"),
        ("SELECT name FROM head ", "/* x */ "),
        ("```sql\n", "```sql\nSELECT "),
        ("SELECT '", "\U0001f600"),
    ][chance.below(6)]
    return head + unit * (size // len(unit))


def asked() -> Iterator[Asked]:
    """The benchmark's questions with near misses of their golds."""
    for split in ("test", "train"):
        for row in read_rows(asset("benchmarks", "starter", f"{split}.jsonl")):
            gold, schema = row.values["answer"], parse_schema(row.values["context"])
            query = statement(gold, schema)
            assert query is not None
            misses = [mutant.sql for mutant in mutants_of(query, limit=8)]
            yield Asked(dict(row.values), (gold, gold, gold.lower(), *misses))


def on_tables(sql: str, context: str) -> str:
    """A statement of the corpus, on the first table of a context instead of its own."""
    table = next(iter(parse_schema(context).tables))
    names = iter(cycle(column.name for column in table.columns))
    new = {"head": table.name, **{old: next(names) for old in ("name", "age", "city", "salary", "hired")}}
    return re.sub(r"\b(head|name|age|city|salary|hired)\b", lambda found: new[found[1]], sql)


def write(folder: Path, count: int) -> tuple[Path, list[Path], dict[str, int]]:
    """The data, the files of predictions, and how many there are of each kind."""
    questions = list(islice(cycle(asked()), count // FILES))
    corpus = [row.values["sql"] for row in read_rows(HOSTILE)]
    data = folder / "data.jsonl"
    with data.open("w", encoding="utf-8") as file:
        for number, question in enumerate(questions):
            file.write(json.dumps({**question.row, "id": f"q{number}"}) + "\n")
    kinds: Counter[str] = Counter()
    paths = []
    chance = Chance("soak")
    hostile = cycle(corpus)
    for name in range(FILES):
        paths.append(folder / f"model{name}.jsonl")
        with paths[-1].open("w", encoding="utf-8") as file:
            for number, question in enumerate(questions):
                drawn = chance.below(1000)
                kind = next((k for k, until in _until() if drawn < until), "usual")
                kinds[kind] += 1
                if kind == "usual":
                    sql = question.texts[chance.below(len(question.texts))]
                else:
                    drawn = chance.below(len(HANGING))
                    sql = {"corpus": next(hostile), "hanging": HANGING[drawn], "huge": huge(chance)}[kind]
                    sql = on_tables(sql, question.row["context"]) if len(sql) < 30_000 else sql
                field = "completion" if kind == "huge" and number % 2 else "sql"
                file.write(json.dumps({"id": f"q{number}", field: sql}) + "\n")
    return data, paths, dict(kinds)


def _until() -> Iterator[tuple[str, int]]:
    total = 0
    for kind, share in SHARES.items():
        total += share
        yield kind, total


def watched(command: list[str], curve: Path) -> tuple[int, float, list[tuple[float, float, float, int]]]:
    """The exit code and seconds; once a second: seconds, MiB of it, of its largest child, children."""
    start = time.monotonic()
    seen: list[tuple[float, float, float, int]] = []
    environment = {**os.environ, "XDG_CACHE_HOME": str(curve.parent / "cache")}  # no suite is ready
    with (
        curve.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as running,
    ):
        parent = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                children = [child.memory_info().rss / 2**20 for child in parent.children(recursive=True)]
                own = parent.memory_info().rss / 2**20
            except psutil.Error:  # one has just ended
                continue
            seen.append((time.monotonic() - start, own, max(children, default=0.0), len(children)))
            file.write("{:.0f},{:.0f},{:.0f},{}\n".format(*seen[-1]))
            file.flush()
            time.sleep(1)
        return running.returncode, time.monotonic() - start, seen


def examined(run: Path, paths: list[Path], data: Path) -> dict[str, Any]:
    """What became of the predictions: lost ones, outcomes, and texts that were judged in two ways."""
    (file,) = run.glob("samples_*.jsonl")
    golds = {row.values["id"]: (row.values["context"], row.values["answer"]) for row in read_rows(data)}
    wanted = {(path.stem, id_) for path in paths for id_ in golds}
    outcomes: Counter[str] = Counter()
    judged: dict[tuple[str, str, str | None], set[str]] = defaultdict(set)
    for sample in read_samples(file):
        wanted.discard((sample.pair, sample.id))
        outcomes[sample.outcome.value] += 1
        judged[*golds[sample.id], sample.prediction].add(sample.outcome.value)
    unlike = [[key[2], sorted(found)] for key, found in judged.items() if len(found) > 1]
    return {
        "lost": len(wanted),
        "outcomes": dict(outcomes.most_common()),
        "judged_in_two_ways": len(unlike),
        "examples_of_these": [[(sql or "")[:200], found] for sql, found in unlike[:5]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep data, run and memory curve here")
    parser.add_argument("--workers", type=int, default=2)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = told.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        data, paths, kinds = write(folder, told.predictions)
        print("predictions: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()), flush=True)
        command = [sys.executable, "-m", "harness", "score", "--data", str(data), "--json"]
        command += ["--workers", str(told.workers), "--output", str(folder / "run")]
        command += ["--no-policy", "--witnesses", "200"]
        command += [part for path in paths for part in ("--predictions", str(path))]
        code, seconds, curve = watched(command, folder / "memory.csv")
        facts = {
            "predictions": sum(kinds.values()),
            "kinds": kinds,
            "exit": code,
            "seconds": round(seconds),
            "parent_mib": round(max((own for _, own, _, _ in curve), default=0)),
            "worker_mib": round(max((child for _, _, child, _ in curve), default=0)),
            **(examined(folder / "run", paths, data) if code == 0 else {}),
        }
        for own in curve[:: max(1, len(curve) // 20)]:
            print("{:6.0f} s  parent {:5.0f} MiB  largest worker {:5.0f} MiB  workers {}".format(*own))
    for key, value in facts.items():
        print(f"{key:20} {value}")
    print(json.dumps(facts))
    sys.exit(code or bool(facts.get("lost", 1) or facts.get("judged_in_two_ways", 1)))


if __name__ == "__main__":
    main()
