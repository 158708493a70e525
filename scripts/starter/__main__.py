"""Everything of the starter from nothing: the benchmark's data, the base, the adapter.

    python -m scripts.starter [--output adapters/starter]

writes ``benchmarks/starter/*.jsonl`` (byte for byte the same each time), ``NAME-base`` and ``NAME``. A
training that was stopped goes on. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    import torch

    from harness.log import hush_libraries, library_log

    from .benchmark import generate
    from .pair import build_pair
    from .plan import PLAN

    parser = argparse.ArgumentParser(prog="python -m scripts.starter")
    parser.add_argument("--output", type=Path, default=ROOT / "adapters" / "starter")
    told, began = parser.parse_args(), time.monotonic()
    with library_log():
        hush_libraries()
        generate()
        minutes = build_pair(PLAN, told.output, notify=_say)
    facts = {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "base_minutes": round(minutes.base, 1),
        "adapter_minutes": round(minutes.adapter, 1),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    print(json.dumps(facts))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
