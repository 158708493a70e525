"""How sql-create-context is held out, and what its contexts give away.

    python scripts/split_audit.py --data ../shared/data/create-context [--limit 1000] [--no-rule]

Loads the set from a file or folder (else the download or the hub), fills it up to the published 78,577 rows
by repeating rows where it holds fewer, splits it, and measures time and peak memory of that; then the leak
audit; then exact match and execution accuracy of the no-model rule on the plain and the full variant of
the test split. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from harness.benchmarks import apply_rule, audit, create_context, downloads, get_spec, load_benchmark
from harness.records import Judging, Prediction

PUBLISHED = 78577


def measure_loading(data: Path | None) -> dict[str, float]:
    """Seconds and MiB for a set of the published size; the first thing that this process does."""
    path = downloads.local(get_spec("create-context"), data)
    with tempfile.TemporaryDirectory() as folder:
        target = path
        if path is not None:
            target = Path(folder) / "set.jsonl"
            lines = [dict(row.values) for row in downloads.rows(path)]
            for number in range(len(lines), PUBLISHED):
                lines.append(lines[number - len(lines)] | {"id": f"again-{number}"})
            target.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            del lines
        started, busy = time.perf_counter(), time.process_time()
        dealt = create_context.deal(get_spec("create-context"), target)
        seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": len(dealt.records),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_mib": round(mib),
    }


def measure_rule(name: str, data: Path | None, limit: int | None) -> dict[str, float]:
    """What the rule reaches, on the golds that are neither broken nor uninformative."""
    from harness.scoring import judge_all

    benchmark = load_benchmark(name, data=data, limit=limit)
    predictions = [Prediction(id=e.id, pair="rule", sql=apply_rule(e)) for e in benchmark.examples]
    with tempfile.TemporaryDirectory() as folder:
        verdicts = list(
            judge_all(
                benchmark.examples,
                predictions,
                Judging(rules=benchmark.rules, workers=2, cache=Path(folder) / "s.sqlite"),
            )
        )
    counted = [verdict for verdict in verdicts if verdict.gold_status == "ok"]
    return {
        "questions": len(verdicts),
        "counted": len(counted),
        "exact_match": round(sum(verdict.exact_match for verdict in counted) / len(counted), 4),
        "execution_accuracy": round(sum(verdict.execution_match for verdict in counted) / len(counted), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--no-rule", action="store_true")
    options = parser.parse_args()
    loading = measure_loading(options.data)
    print(
        f"{loading['rows']:,} rows read and split in {loading['seconds']} s"
        f" ({loading['cpu_seconds']} s of one core), peak {loading['peak_mib']} MiB"
    )
    found = audit("create-context", data=options.data)
    print(found.to_markdown())
    eligible = found.split["eligible"] / found.split["all"]
    print(f"eligible for test: {eligible:.1%}")
    rule: dict[str, dict[str, float]] = {}
    for name in () if options.no_rule else ("create-context", "create-context-full"):
        rule[name] = measure_rule(name, options.data, options.limit)
        print(f"rule on {name}: {rule[name]}")
    overlaps = {kind: own.questions for kind, own in found.overlaps.items()}
    result = {"loading": loading, "eligible": eligible, "split": found.split, "overlaps": overlaps}
    print(json.dumps(result | {"beside": found.beside, "rule": rule}))


if __name__ == "__main__":
    main()
