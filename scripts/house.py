"""How long the way through the house is: what a reader of the code has to follow, counted.

    PYTHONPATH=. python scripts/house.py

Prints files and lines of the package, how often one gold is parsed to be built, judged and explained, and for
each of the three the functions that are entered, in the order in which they are first entered: a *stay* is a
run of them in one module, a *return* a stay in a module that was left before. ``PYTHONPATH`` names the
checkout that is measured, so that two can be held side by side.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import sqlglot

import harness
from harness.benchmarks import load_benchmark
from harness.databases import build_suite
from harness.scoring import explain, judge

HOUSE = Path(harness.__file__).parent


def main() -> None:
    """Print one JSON document."""
    benchmark = load_benchmark("starter")
    example = next(one for one in benchmark.examples if one.kind == "greater")
    gold, wrong = example.gold, example.gold.replace(" > ", " >= ")
    same = gold.replace("COUNT(*)", "COUNT(1)")
    parses = Parses()
    suite = build_suite(example.context, gold, rules=benchmark.rules)
    judge(suite, [wrong, same])
    explain(suite, wrong)
    files = sorted(HOUSE.rglob("*.py"))
    stops: dict[str, Callable[[], object]] = {
        "build": lambda: build_suite(example.context, gold, rules=benchmark.rules),
        "judge": lambda: judge(suite, [wrong, same]),
        "explain": lambda: explain(suite, wrong),
    }
    about: dict[str, Any] = {
        "files": len(files),
        "lines": sum(len(file.read_text("utf-8").splitlines()) for file in files),
        "longest": max((len(file.read_text("utf-8").splitlines()), file.name) for file in files),
        "parses of one gold": parses.count(gold),
        "way": {stop: way(run) for stop, run in stops.items()},
    }
    print(json.dumps(about, indent=2))


class Parses:
    """Counts the texts that sqlglot takes apart from now on."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        tokenize = sqlglot.Dialect.tokenize

        def counted(dialect: sqlglot.Dialect, sql: str, *rest: Any, **named: Any) -> Any:
            self.texts.append(sql)
            return tokenize(dialect, sql, *rest, **named)

        sqlglot.Dialect.tokenize = counted  # type: ignore[method-assign, assignment]

    def count(self, text: str) -> int:
        """How often this text was taken apart, whatever its white space and letter case."""
        folded = " ".join(text.lower().split())
        return sum(" ".join(one.lower().split()) == folded for one in self.texts)


def way(run: Callable[[], object]) -> dict[str, int]:
    """What ``run`` enters of the package, each function once."""
    entered: dict[CodeType, str] = {}

    def watch(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(HOUSE)) and code.co_name[0] != "<":
            entered.setdefault(code, code.co_filename)

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    stays = [module for module, _ in groupby(entered.values())]
    return {
        "functions": len(entered),
        "modules": len(set(stays)),
        "stays": len(stays),
        "returns": len(stays) - len(set(stays)),
        "stays by folder": len(list(groupby(Path(module).parent for module in stays))),
    }


if __name__ == "__main__":
    main()
