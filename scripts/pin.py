"""Pin what the harness says today, and see what a change makes it say otherwise.

    python scripts/pin.py write FOLDER [--data ../shared/data] [--inputs PIN] [--tree CHECKOUT] [--every N]
    python scripts/pin.py compare FOLDER FOLDER [--examples 5]

``write`` judges with the command line (``score --json``, then ``run --json`` and ``show --json`` of the
starter pair) and leaves ``verdicts.jsonl``, ``documents.jsonl`` and ``samples.jsonl``. What it judges are
prediction files under ``inputs/``: published systems and completions, each gold, 3,000 near misses and every
rewrite. They are written once; ``--inputs`` takes those of another pin, so that both are of the same queries.
``--tree`` is the checkout whose harness judges (default: this one), ``--every`` takes one example of N.
``compare`` says which lines differ, by kind, with examples; it ends with status 1 where some do.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CASE = {"spider": "exact", "wikisql": "ignore", "completions": "ignore"}
GOLDS = {"spider": 1034, "wikisql": 1500}
NEAR_MISSES = 1500
"""Near misses of each of the two sources of golds."""

_VERDICT = (
    "outcome",
    "cause",
    "gold_status",
    "exact_match",
    "valid_sql",
    "schema_adherence",
    "suite_strength",
)
_VOLATILE = re.compile(r"seconds|time|version|machine|per_second|gib|mib", re.I)


def lines(path: Path) -> list[dict[str, Any]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as text:
        return [json.loads(line) for line in text]


def put(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


# what is judged


def write_inputs(folder: Path, data: Path) -> None:
    """A folder a source: ``data.jsonl`` and a file of predictions for each maker."""
    for source, count in GOLDS.items():
        rows = lines(data / f"create-context/{source}-dev.jsonl.gz")
        rows = [rows[i * len(rows) // count] for i in range(count)]
        keep = ("id", "question", "answer", "db_id")
        put(
            folder / source / "data.jsonl",
            [{k: row[k] for k in keep if k in row} | {"context": row["full_context"]} for row in rows],
        )
        for maker, found in _made(rows).items():
            put(folder / source / f"{maker}.jsonl", found)
    ids = [row["id"] for row in lines(data / "create-context/spider-dev.jsonl.gz")]
    for system in (1, 5, 12):
        texts = (data / f"predictions/spider-dev-system-{system}.txt").read_text("utf-8").splitlines()
        found = [{"id": i, "sql": text.split("\t")[0]} for i, text in zip(ids, texts, strict=True)]
        put(folder / "spider" / f"system-{system}.jsonl", found)
    stem = "predictions/wikisql-test500"
    put(folder / "completions" / "data.jsonl", lines(data / f"{stem}-data.jsonl.gz"))
    for name in ("baseline", "finetuned6000"):
        rows = lines(data / f"{stem}-qwen2.5-1.5b-{name}.jsonl.gz")
        put(folder / "completions" / f"{name}.jsonl", [{"id": r["id"], "sql": r["sql"]} for r in rows])


def _made(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Golds, near misses and rewrites, by maker."""
    from mutations import near_misses
    from rewrites import rewritten

    from harness import build_suite

    made: dict[str, list[dict[str, str]]] = defaultdict(list)
    chance, pool = random.Random(0), []
    for row in rows:
        made["gold"].append({"id": row["id"], "sql": row["answer"]})
        suite = build_suite(row["full_context"], row["answer"], size=2, operators=())
        if suite.schema is None or suite.gold_status != "ok":
            continue
        near = list(near_misses(suite.readings[0], suite.schema, each=1, seed=row["id"]))
        chance.shuffle(near)
        pool += [(place, {"id": row["id"], "sql": sql}) for place, (_, sql) in enumerate(near)]
        for name, sql in rewritten(suite.readings[0], suite.schema):
            made[f"rewrite-{name}"].append({"id": row["id"], "sql": sql})
    pool.sort(key=lambda one: one[0])  # one of every gold before a second of any
    for place, line in pool[:NEAR_MISSES]:
        made[f"near-{place + 1}"].append(line)
    return made


# what is said of it


def write(folder: Path, data: Path, inputs: Path | None, tree: Path, every: int) -> None:
    own = folder / "inputs"
    if inputs is None and not own.exists():
        write_inputs(own, data)
    given = (inputs / "inputs" if inputs is not None else own).resolve()
    shutil.rmtree(folder / "runs", ignore_errors=True)
    verdicts: list[dict[str, Any]] = []
    documents: list[dict[str, Any]] = []
    os.environ["XDG_CACHE_HOME"] = str((folder / "runs" / "cache").resolve())  # no suite of another day
    for source in CASE:
        rows = lines(given / source / "data.jsonl")[::every]
        ids = folder / "runs" / f"{source}-ids.txt"
        ids.parent.mkdir(parents=True, exist_ok=True)
        ids.write_text("".join(f"{row['id']}\n" for row in rows), "utf-8")
        output, wanted = folder / "runs" / source, {row["id"] for row in rows}
        files = [p for p in sorted((given / source).glob("*.jsonl")) if p.name != "data.jsonl"]
        files = [p for p in files if any(line["id"] in wanted for line in lines(p))]
        command = ["score", "--data", given / source / "data.jsonl", "--ids", f"@{ids.resolve()}"]
        command += [word for path in files for word in ("--predictions", path)]
        command += ["--case", CASE[source], "--output", output.resolve(), "--witnesses", 10**6, "--no-policy"]
        documents.append({"command": f"score {source}", "document": harness(tree, *command)})
        verdicts += [_verdict(source, line) for line in _samples(output) if line["prediction"] is not None]
    starter = folder / "runs" / "starter"
    documents.append({"command": "run", "document": harness(tree, "run", "--output", starter.resolve())})
    samples = [_steady(line) for line in _samples(starter)]
    for line in samples[:: max(len(samples) // 12, 1)]:
        shown = harness(tree, "show", line["id"], "--run", starter.resolve())
        documents.append({"command": f"show {line['id']}", "document": shown})
    put(folder / "verdicts.jsonl", verdicts)
    put(folder / "samples.jsonl", samples)
    put(folder / "documents.jsonl", [_steady(document) for document in documents])
    facts = {"tree": _revision(tree), "every": every, "verdicts": len(verdicts)}
    put(folder / "pin.json", [facts])
    print(json.dumps(facts))


def harness(tree: Path, *words: Any) -> Any:
    """The JSON document that a command of a checkout's harness prints."""
    command = [sys.executable, "-m", "harness", *map(str, words), "--json"]
    told = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True
    )
    if told.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {told.returncode}:\n{told.stderr[-2000:]}")
    return json.loads(told.stdout.splitlines()[-1])


def _samples(run: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(run.glob("samples_*.jsonl")):
        yield from lines(path)


def _verdict(source: str, line: dict[str, Any]) -> dict[str, Any]:
    witness = line.get("witness") or {}
    size = len(re.findall(r"^INSERT ", witness["script"], re.M)) if witness else None
    return {
        "source": source,
        "pair": line["pair"],
        "id": line["id"],
        **{key: line.get(key) for key in _VERDICT},
        "witness_rows": size,
        "detail": line.get("detail"),
        "sql": line["prediction"],
    }


def _steady(value: Any) -> Any:
    """A document without what another machine, folder or hour changes."""
    if isinstance(value, dict):
        return {k: _steady(v) for k, v in value.items() if not _VOLATILE.search(k)}
    if isinstance(value, list):
        return [_steady(one) for one in value]
    return re.sub(r"\S*/runs/", "runs/", value) if isinstance(value, str) else value


def _revision(tree: Path) -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=tree, capture_output=True, text=True
    )
    return told.stdout.strip()


# what differs


def compare(one: Path, other: Path, examples: int) -> int:
    """Print the lines that differ, by kind; how many there are."""
    kinds: dict[str, list[str]] = defaultdict(list)
    both = 0
    sampled = any(lines(pin / "pin.json")[0]["every"] > 1 for pin in (one, other))
    for name, key in (("verdicts", ("source", "pair", "id")), ("samples", ("pair", "id")),
                      ("documents", ("command",))):  # fmt: skip
        sides = [{tuple(r[k] for k in key): r for r in lines(pin / f"{name}.jsonl")} for pin in (one, other)]
        for at in dict.fromkeys([*sides[0], *sides[1]]):
            label = f"{name}: {' '.join(map(str, at))}"
            if at not in sides[0] or at not in sides[1]:
                if not (sampled and name != "samples"):
                    kinds[f"{name}: only in {one if at in sides[0] else other}"].append(label)
                continue
            if name == "documents" and sampled and at[0].startswith("score"):
                continue
            both += 1
            changed = list(_changes("", sides[0][at], sides[1][at]))
            for what, before, after in changed[:1] if name == "verdicts" else changed:
                shown = f"{what}: {before} → {after}" if name == "verdicts" and what in _VERDICT[:4] else what
                sql = sides[1][at].get("sql") or ""
                kinds[f"{name}: {shown}"].append(f"{label}: {before!s:.200} → {after!s:.200}  {sql}")
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"{len(found):>6}  {kind}")
        for text in found[:examples]:
            print(f"          {text}")
    changed_lines = sum(map(len, kinds.values()))
    print(
        json.dumps(
            {"compared": both, "differences": changed_lines, "kinds": {k: len(v) for k, v in kinds.items()}}
        )
    )
    return changed_lines


def _changes(path: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from _changes(f"{path}.{key}".lstrip("."), one.get(key), other.get(key))
    elif one != other:
        yield path, one, other


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    writing.add_argument("--inputs", type=Path, help="another pin, whose queries are judged")
    writing.add_argument("--tree", type=Path, default=ROOT)
    writing.add_argument("--every", type=int, default=1)
    comparing = commands.add_parser("compare")
    comparing.add_argument("one", type=Path)
    comparing.add_argument("other", type=Path)
    comparing.add_argument("--examples", type=int, default=5)
    told = parser.parse_args()
    if told.command == "write":
        told.folder.mkdir(parents=True, exist_ok=True)
        write(told.folder, told.data, told.inputs, told.tree.resolve(), told.every)
    else:
        sys.exit(bool(compare(told.one, told.other, told.examples)))


if __name__ == "__main__":
    main()
