"""What a training costs at the shape of Qwen2.5-1.5B: by arithmetic, or measured on a GPU.

    python scripts/training_speed.py                       # the estimate: no GPU, no model, a second
    python scripts/training_speed.py --measure             # a GPU: the two recipes on random weights, minutes
    python scripts/training_speed.py --measure --tiny      # the same code on a CPU: a rehearsal

The estimate counts bytes: 4-bit weights with a scale for 64 of them, embeddings in 16 bits, 16 bytes for each
weight that is learnt (itself, its gradient, two moments, in 32 bits), activations that wait for the backward
pass, logits (16 bits, a float copy, its gradient), and 0.6 GB that CUDA takes. It counts operations too: two
a weight and token forward, two backward (the base needs no gradient of its own), two more where activations
are computed again; a GPU is taken to reach a fifth of what it is sold with. Prints a table and, as its last
line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from random_pair import SHAPE, TINY, make_pair, prompts

from harness.files import read_json
from harness.training import load_recipe, train
from harness.training.course import memory
from harness.training.recipe import Tuning, find_recipe

RECIPES = ("sql-assistant", "sql-assistant-fixed", "sql-assistant-full")
ROWS = {"sql-assistant": 1_000, "sql-assistant-fixed": 950, "sql-assistant-full": 66_000}
TOKENS, LONG = 100, 255  # of a row with its answer: the mean and the longest of 1,000 of sql-create-context
PADDING = {False: 0.22, True: 0.013}  # share of a batch of four: rows as they come, rows of like length
GPUS = {"T4": 65e12, "A10": 125e12, "A100": 312e12, "H100": 990e12}
REACHED = 0.2
CHAT = "{% for m in messages %}{{ m['content'] }} <end> {% endfor %}"


@dataclass(frozen=True)
class Cost:
    """Bytes with rows of the mean and of the longest length, and operations of the whole training."""

    usual: float
    longest: float
    operations: float

    def minutes(self, speed: float) -> float:
        """On a GPU of that many operations a second, as they are sold."""
        return self.operations / (REACHED * speed) / 60


def estimate(name: str) -> Cost:
    """The arithmetic of a recipe on a GPU."""
    recipe = load_recipe(find_recipe(Path(name)))
    assert isinstance(recipe, Tuning)
    hidden, wide, layers, words = (
        SHAPE[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    )
    kv = hidden * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    shapes = {"q": (hidden, hidden), "k": (hidden, kv), "v": (hidden, kv), "o": (hidden, hidden)}
    mlp = {"gate": (hidden, wide), "up": (hidden, wide), "down": (wide, hidden)}
    every = recipe.lora.target_modules == "all-linear"
    learnt = layers * recipe.lora.r * sum(a + b for a, b in (shapes | (mlp if every else {})).values())
    linear = layers * sum(a * b for a, b in (shapes | mlp).values())
    fixed = linear * (0.5 + 4 / 64) + words * hidden * 2 + learnt * 16 + 0.6e9
    again = recipe.training.gradient_checkpointing != "no"
    inputs = 4 * (4 * hidden + (2 * hidden + wide if every else 0))  # what LoRA's products keep, in 32 bits
    layer = 2 * (8 * hidden + 4 * kv + 4 * wide) + inputs
    token = (2 * hidden * layers + layer if again else layer * layers) + words * (2 + 4 + 4)
    batch = recipe.training.batch_size
    padded = TOKENS / (1 - PADDING[recipe.training.length_groups])
    operations = (6 if again else 4) * (linear + words * hidden)
    return Cost(
        fixed + batch * padded * token,
        fixed + batch * LONG * token,
        ROWS[name] * recipe.training.epochs * padded * operations,
    )


def measure(name: str, base: Path, rows: Path, tiny: bool) -> dict[str, Any]:
    """Tokens a second and peak memory of a training on random weights."""
    if not tiny:
        import torch

        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        made = train(
            Path(name),
            output=Path(folder, "adapter"),
            model=str(base),
            data=rows,
            limit=64 if tiny else 1_000,
            settings=("training.validation=0", "training.save_steps=10000"),
            device="cpu" if tiny else "cuda",
        )
        told = read_json(made / "training.json")
    return {
        "tokens_a_second": round(told["tokens"] / told["seconds"]),
        "seconds": told["seconds"],
        "peak": memory(on_gpu=not tiny),
    }


def prepare(folder: Path, tiny: bool) -> tuple[Path, Path]:
    """A base with random weights and a chat template, and rows as long as real ones."""
    base, _ = make_pair(folder, TINY if tiny else SHAPE)
    (base / "chat_template.jinja").write_text(CHAT, "utf-8")
    rows = folder / "rows.jsonl"
    asked = prompts(1_000, (TINY if tiny else SHAPE)["vocab_size"])
    lines = [
        json.dumps({"question": "w1", "context": example.question, "answer": " ".join(["w2", "w3"] * 10)})
        for example in asked
    ]
    rows.write_text("\n".join(lines) + "\n", "utf-8")
    return base, rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What a training costs.")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    told = parser.parse_args()
    facts: dict[str, Any] = {}
    if told.measure:
        with tempfile.TemporaryDirectory() as folder:
            base, rows = prepare(Path(folder), told.tiny)
            for name in RECIPES[:2]:
                facts[name] = measure(name, base, rows, told.tiny)
                print(f"{name:22}", *(f"{key} {value}" for key, value in facts[name].items()))
    else:
        print(f"{'':22}{'GB, usual':>11}{'GB, longest':>13}", *(f"{gpu + ', min':>11}" for gpu in GPUS))
        for name in RECIPES:
            cost = estimate(name)
            facts[name] = asdict(cost)
            minutes = [f"{cost.minutes(speed):11.1f}" for speed in GPUS.values()]
            print(f"{name:22}{cost.usual / 1e9:11.1f}{cost.longest / 1e9:13.1f}", *minutes)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
