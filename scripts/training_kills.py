"""Kill trainings at random moments, start them again, and compare the weights with an undisturbed one's.

    python scripts/training_kills.py [--kills 20] [--recipe sql-assistant-fixed --recipe grpo] [--seed 0]

The starter base and adapter on rows of the starter benchmark, on the processor, a checkpoint every step. Each
start is a fork of this process, so that it costs no imports, and gets SIGKILL at a moment drawn evenly from
the time that an undisturbed training takes; a training is killed until it has been killed three times, then
runs to its end. Prints what lay in the folder at each kill and, as its last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.files import asset
from harness.training import train
from harness.training.checkpoints import STAGE, WEIGHTS, checkpoints

EACH = 3  # kills of a training
STEPS = ("training.save_steps=1", "training.batch_size=4")
SMALL: dict[str, tuple[str, ...]] = {
    "sft": (*STEPS, "training.validation=4", "training.epochs=2", "lora.dropout=0.2"),
    "grpo": (*STEPS, "training.gradient_accumulation=2", "training.steps=8", "training.max_new_tokens=24"),
}
FORK = multiprocessing.get_context("fork")


def begin(recipe: str, output: Path) -> None:
    """A training of eight steps or so."""
    grpo = recipe == "grpo"
    alone = ("reward.workers=1", "training.temperature=2.0") if grpo else ()
    train(
        Path(recipe),
        output=output,
        model=None if grpo else str(asset("adapters", "starter-base")),
        adapter=str(asset("adapters", "starter")) if grpo else None,
        data=asset("benchmarks", "starter", "train.jsonl"),
        limit=12 if grpo else 36,
        settings=(*SMALL["grpo" if grpo else "sft"], *alone),
        device="cpu",
    )


def start(recipe: str, output: Path, seconds: float | None) -> bool:
    """Start it, kill it after so many seconds; whether it came to its end before."""
    process = FORK.Process(target=begin, args=(recipe, output))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    if process.exitcode not in {0, -signal.SIGKILL}:
        raise SystemExit(f"{recipe}: exit {process.exitcode}")
    return process.exitcode == 0


def left(output: Path) -> str:
    """What a kill has left, in a word."""
    if (output / STAGE).exists():
        return "the adapter half written"
    whole, all_ = len(checkpoints(output)), len(list(output.glob("checkpoint-*")))
    if all_ > whole:
        return "a checkpoint half written"
    return "whole checkpoints" if whole else "none yet"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of each recipe")
    parser.add_argument("--recipe", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    import peft  # noqa: F401  # what every start needs, once
    import trl  # noqa: F401

    chance, facts = random.Random(told.seed), dict[str, Any]()
    for recipe in told.recipe or ["sql-assistant-fixed", "grpo"]:
        with tempfile.TemporaryDirectory() as name:
            facts[recipe] = measured(recipe, Path(name), told.kills, chance)
        print(f"{recipe:22}", *(f"{key} {value}" for key, value in facts[recipe].items()))
    print(json.dumps(facts))
    sys.exit(any(found["unlike"] for found in facts.values()))


def measured(recipe: str, folder: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    """Trainings that were killed so often in all, and how many reached the weights of an undisturbed one."""
    begun = time.monotonic()
    start(recipe, folder / "whole", None)
    length = time.monotonic() - begun
    weights = (folder / "whole" / WEIGHTS).read_bytes()
    at: Counter[str] = Counter()
    trainings = unlike = 0
    while at.total() < kills:
        output, trainings = folder / str(trainings), trainings + 1
        for _ in range(EACH):
            if start(recipe, output, chance.uniform(0, length)):
                break
            at[left(output)] += 1
        else:
            start(recipe, output, None)
        same = (output / WEIGHTS).read_bytes() == weights
        unlike += not same
        print(f"{recipe}: training {trainings}, {at.total()} kills so far, same weights {same}", flush=True)
    return {
        "seconds": round(length, 1),
        "kills": at.total(),
        "trainings": trainings,
        "unlike": unlike,
        "found": dict(at),
    }


if __name__ == "__main__":
    main()
