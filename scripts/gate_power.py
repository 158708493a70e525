"""How often the gate fails, and how often it says that it cannot tell: simulated whole checks.

    python scripts/gate_power.py [--checks 2000] [--seed 0]

A check is of a base that stays as it is and two adapters, each with two metrics of which the second follows
the first on nine answers of ten; the true drop is the first adapter's. ``flips`` is the share of
questions on which an adapter and its successor part, beyond the drop, as often one way as the other.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from itertools import product

import numpy as np

from harness.reports.gate import TOLERANCE, change_of, judge
from harness.reports.marks import Paired
from harness.scoring.metrics import wilson

SIZES = (200, 500, 1000, 5000)
DROPS = (0.0, 0.01, 0.02, 0.05)
FLIPS = (0.02, 0.1, 0.2)
RIGHT = 0.7
FOLLOWS = 0.9


def paired(generator: np.random.Generator, n: int, drop: float, flips: float) -> list[Paired]:
    """The two metrics of one adapter: what was fixed and broken among ``n`` questions."""
    shares = [flips / 2, flips / 2 + drop, 1 - flips - drop]
    fixed, broken, _ = generator.multinomial(n, shares)
    own = generator.multinomial(n, shares)
    second = [
        generator.binomial(first, FOLLOWS) + generator.binomial(other, 1 - FOLLOWS)
        for first, other in ((fixed, own[0]), (broken, own[1]))
    ]
    before = round(n * RIGHT)
    return [
        Paired(n, before, int(before + f - b), int(f), int(b))
        for f, b in ((fixed, broken), (second[0], second[1]))
    ]


def check(generator: np.random.Generator, n: int, drop: float, flips: float) -> str:
    """How one whole check ends."""
    tables = (
        [Paired(n, 0, 0, 0, 0)] * 2 + paired(generator, n, drop, flips) + paired(generator, n, 0.0, flips)
    )
    findings = judge([change_of(table, "b", f"p{i}", f"p{i}", "m") for i, table in enumerate(tables)])
    if any(found.regression for found in findings):
        return "fails"
    return "inconclusive" if any(found.inconclusive for found in findings) else "passes"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    rows = []
    print("| questions | flips, % | true drop, points | fails, % | inconclusive, % |")
    print("| --: | --: | --: | --: | --: |")
    for n, flips, drop in product(SIZES, FLIPS, DROPS):
        ended = Counter(check(generator, n, drop, flips) for _ in range(options.checks))
        low, high = wilson(ended["fails"], options.checks)
        row = {"n": n, "flips": flips, "drop": drop, "low": low, "high": high}
        row |= {word: ended[word] / options.checks for word in ("fails", "inconclusive", "passes")}
        rows.append(row)
        print(
            f"| {n:,} | {100 * flips:.0f} | {100 * drop:.0f} | {100 * row['fails']:.1f} "
            f"({100 * low:.1f}–{100 * high:.1f}) | {100 * row['inconclusive']:.1f} |"
        )
    worst = max(row["fails"] for row in rows if row["drop"] == 0)
    caught = min(row["fails"] for row in rows if row["drop"] == 0.05 and row["n"] == 1000)
    print(f"No true difference: at most {100 * worst:.1f} % fail.")
    print(f"5 points on 1,000 questions: {100 * caught:.1f} % or more are caught.")
    print(json.dumps({"checks": options.checks, "tolerance": TOLERANCE, "rows": rows}))


if __name__ == "__main__":
    main()
