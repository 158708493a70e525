"""Build every suite of the WikiSQL files in sql-create-context form, and say what it took.

    python scripts/suite_building.py ../shared/data/create-context [--workers 2] [--context-field context]

Prints a table and, as its last line, one JSON document. Times are wall time: measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness.benchmarks import load_file
from harness.databases import suites
from harness.records import Judging

FILES = ("wikisql-train.jsonl.gz", "wikisql-dev.jsonl.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build every suite of WikiSQL train and dev.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--context-field", default="full_context", help="or context: the used columns alone")
    parser.add_argument("--cache", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = told.cache or Path(folder, "suites.sqlite")
        start = time.perf_counter()
        files = [
            load_file(told.data / name, limit=told.limit, context_field=told.context_field) for name in FILES
        ]
        examples = [example for file in files for example in file.examples]
        loaded = time.perf_counter() - start
        memory = _memory()
        status: Counter[str] = Counter()
        strength, start = 0.0, time.perf_counter()
        for _, suite in suites(examples, Judging(workers=told.workers, cache=cache)):
            status[suite.gold_status] += 1
            strength += suite.strength or 0.0
        seconds = time.perf_counter() - start
        facts = {
            "suites": sum(status.values()),
            "workers": told.workers,
            "load_seconds": round(loaded, 1),
            "build_seconds": round(seconds, 1),
            "suites_per_second": round(len(examples) / seconds, 1),
            "cache_mib": round(cache.stat().st_size / 2**20, 1),
            "memory_before_mib": round(memory, 1),
            "memory_peak_mib": round(_memory(), 1),
            "status": dict(status),
            "mean_strength": round(strength / max(status["ok"], 1), 4),
        }
    for name, value in facts.items():
        print(f"{name:<20} {value}")
    print(json.dumps(facts))


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
