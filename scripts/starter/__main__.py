"""Everything of the starter from nothing: the benchmark's data, the base, the adapter.

    python -m scripts.starter [--output adapters/starter] [--only benchmark|base|adapter]

writes ``benchmarks/starter/*.jsonl`` (byte for byte the same each time), ``NAME-base`` and ``NAME``. The
adapter follows ``adapters/recipes/starter.yaml``, as any adapter does that a user trains. One processor core
needs about an hour; a training that was stopped goes on. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "adapters" / "recipes" / "starter.yaml"


def main() -> None:
    import torch

    from harness.log import hush_libraries, library_log

    from .base import build_base
    from .benchmark import generate
    from .plan import PLAN

    parser = argparse.ArgumentParser(prog="python -m scripts.starter")
    parser.add_argument("--output", type=Path, default=ROOT / "adapters" / "starter")
    parser.add_argument("--only", choices=("benchmark", "base", "adapter"))
    told = parser.parse_args()
    base = told.output.with_name(f"{told.output.name}-base")
    began, facts = time.monotonic(), {"machine": platform.machine(), "threads": torch.get_num_threads()}
    with library_log():
        hush_libraries()
        if told.only in {None, "benchmark"}:
            generate()
        if told.only in {None, "base"}:
            facts["base_minutes"] = round(build_base(PLAN, base, notify=_say), 1)
        if told.only in {None, "adapter"}:
            facts["adapter_minutes"] = round(train_adapter(base, told.output), 1)
    facts["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(json.dumps(facts))


def train_adapter(base: Path, output: Path) -> float:
    """Train the adapter on ``base``, which it names by its place beside it, into ``output``; the minutes."""
    from harness.training import load_recipe, train

    from .cards import adapter_card

    began, draft = time.monotonic(), output.with_name(f"checkpoint-{output.name}")
    train(RECIPE, model=str(base.resolve()), output=draft, device="cpu", notify=_say)
    config, training = draft / "adapter_config.json", draft / "training.json"
    said, told = (json.loads(path.read_text("utf-8")) for path in (config, training))
    said["base_model_name_or_path"] = told["recipe"]["model"] = f"../{base.name}"
    config.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", "utf-8")
    training.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    minutes = (time.monotonic() - began) / 60
    (draft / "README.md").write_text(adapter_card(load_recipe(RECIPE), output.name, minutes), "utf-8")
    if output.exists():
        shutil.rmtree(output)
    draft.rename(output)
    return minutes


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
