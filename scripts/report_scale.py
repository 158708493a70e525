"""Seconds and memory that report, page and database of a large run take, and the page's first paint.

    python scripts/report_scale.py RUN [--rows 20000]

RUN is any finished run; its answers are repeated under new ids up to so many rows in a temporary folder,
witnesses included. The three are written by one fresh process each, whose peak memory is measured. The first
paint needs playwright and Debian's chromium. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from harness.measures import Metric
from harness.reports import write_page, write_report
from harness.runs.results import read_results, write_document
from harness.runs.samples import samples_path, write_database, write_samples
from harness.scoring.metrics import breakdown, marks, summarise


def enlarge(run: Path, folder: Path, rows: int) -> None:
    """A run of so many rows in ``folder``."""
    results = read_results(run)
    (side,) = results.benchmarks
    samples = [sample for sample in results.samples(side.name) if sample.sample == 0]
    pairs = len(side.pairs)
    again = (replace(sample, id=f"{sample.id}-{turn}") for turn in count() for sample in samples)
    made = sorted(islice(again, rows // pairs * pairs), key=lambda sample: sample.pair)
    shutil.copy(run / "run.json", folder)
    write_samples(samples_path(folder, side.name, results.time), made)
    document = json.loads(results.path.read_text("utf-8"))
    document["results"] = {
        side.name: {p: {k: m._asdict() for k, m in own.items()} for p, own in summarise(made).items()}
    }
    document["marks"] = {side.name: marks(made)}
    document["breakdown"] = {
        side.name: {
            pair: {
                group: {key: _plain(value) for key, value in found.items()} for group, found in own.items()
            }
            for pair, own in breakdown(made).items()
        }
    }
    write_document(folder / results.path.name, document)


def _plain(value: Metric | int) -> object:
    return value if isinstance(value, int) else value._asdict()


def measure(what: str, folder: Path) -> dict[str, float]:
    """Write one of the three in this process: wall seconds, CPU seconds, MiB at the peak."""
    start = time.perf_counter()
    if what == "report":
        write_report(folder)
    elif what == "page":
        write_page(folder)
    else:
        results = read_results(folder)
        metrics = {side.name: {pair.pair: pair.metrics for pair in side.pairs} for side in results.benchmarks}
        write_database(folder / "results.db", list(results.samples(results.benchmarks[0].name)), metrics)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time(), "mib": peak}


def first_paint(page: Path) -> float | None:
    """Seconds from the navigation to the first contentful paint, the least of five loads."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        taken = []
        for _ in range(5):
            opened = browser.new_page()
            opened.goto(page.as_uri())
            entries = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            taken.append(float(opened.evaluate(entries)) / 1000)
            opened.close()
        browser.close()
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--only", choices=("report", "page", "database"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.run)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        enlarge(options.run, folder, options.rows)
        told: dict[str, object] = {"rows": options.rows}
        for what in ("report", "page", "database"):
            command = [sys.executable, __file__, str(folder), "--only", what]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            told[what] = found
            print("{:<9} {:5.1f} s, {:4.1f} s of CPU, {:4.0f} MiB".format(what, *found.values()))
        page = folder / "page.html"
        told |= {"page_mib": page.stat().st_size / 2**20, "first_paint": first_paint(page)}
        print(f"page.html {told['page_mib']:.1f} MiB, first paint {told['first_paint']} s")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
