"""What a training costs at the shape of Qwen2.5-1.5B: by arithmetic, or measured on a GPU.

    python scripts/training_speed.py                              # the estimate: no GPU, no model, a second
    python scripts/training_speed.py --measure --out FOLDER       # a GPU; 8 minutes a call; until all is done
    python scripts/training_speed.py --measure --out X --tiny     # the same code on a CPU: a rehearsal

Measured are the faithful and the fixed recipe on a thousand rows and on the longest rows alone, the batch of
the full one, and some steps of grpo, all on random weights (``random_pair``): tokens a second, seconds, peak
memory. Each stage prints one JSON line as it ends and is kept in ``training_speed.json``. Wheels that have to
travel to a machine without network are named as not installed; of bitsandbytes' libraries only the one for
the CUDA there (4 MB of 125). Paged optimisers take managed memory, here 0.1 GB.

The estimate counts bytes: 4-bit weights with a scale for 64 of them, embeddings in 16 bits, 16 bytes for each
weight that is learnt (itself, its gradient, two moments, in 32 bits), activations that wait for the backward
pass, logits (16 bits, a float copy, its gradient), and 0.6 GB that CUDA takes. It counts operations too: two
a weight and token forward, two backward (the base needs no gradient of its own), two more where activations
are computed again; a GPU is taken to reach a fifth of what it is sold with. Prints a table and, as its last
line, one JSON document.
"""

# ruff: noqa: E402 - what is not installed is told before it is wanted

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import logging
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

NEEDED = (
    *("accelerate", "bitsandbytes", "datasets", "peft", "transformers", "trl"),
    *("annotated_types", "psutil", "pydantic", "rich", "sqlglot", "yaml"),
)
if missing := [name for name in NEEDED if not importlib.util.find_spec(name)]:
    sys.exit(f"not installed here: {', '.join(missing)}")

from random_pair import SHAPE, TINY, make_pair, prompts
from stages import Stages

from harness.files import read_json
from harness.log import versions
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


def machine(found: dict[str, Any]) -> None:
    """What is here."""
    import torch

    found["versions"] = versions(*NEEDED[:6], "torch")
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    found["cuda"] = torch.version.cuda
    if torch.cuda.is_available():
        found["bf16"] = torch.cuda.is_bf16_supported()
        found["gigabytes"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)


def measure(found: dict[str, Any], recipe: str, tiny: bool, **options: Any) -> None:
    """Tokens a second and peak memory of a training on random weights."""
    settings = ("training.save_steps=10000", *options.pop("settings"))
    with tempfile.TemporaryDirectory() as folder:
        made = train(
            Path(recipe),
            output=Path(folder, "adapter"),
            settings=settings,
            device="cpu" if tiny else "cuda",
            **options,
        )
        told = read_json(made / "training.json")
    found["tokens_a_second"] = round(told["tokens"] / told["seconds"])
    found["peak"] = memory(on_gpu=not tiny)
    found |= {key: told[key] for key in ("steps", "seconds", "tokens", "loss")}
    gc.collect()


def stages(report: Stages, work: Path, tiny: bool) -> None:
    """All of them, the most wanted first."""
    base, adapter, usual, longest = prepare(work, tiny)
    few, many = (32, 64) if tiny else (128, 1_000)
    fine: dict[str, Any] = {"model": str(base), "settings": ("training.validation=0",)}
    for recipe in RECIPES[:2]:
        told = fine if recipe.endswith("fixed") else {**fine, "settings": ()}
        for name, rows, limit in ((recipe, usual, many), (f"{recipe}, longest rows", longest, few)):
            report.stage(
                name,
                150,
                lambda found, r=recipe, o={**told, "data": rows, "limit": limit}: measure(  # type: ignore[misc]
                    found, r, tiny, **o
                ),
            )
    full = {**fine, "settings": (*fine["settings"], "training.epochs=1"), "data": longest, "limit": 2 * few}
    report.stage(f"{RECIPES[2]}, longest rows", 150, lambda found: measure(found, RECIPES[2], tiny, **full))
    steps, tokens = (2, 8) if tiny else (8, 128)
    settings = (f"training.steps={steps}", f"training.max_new_tokens={tokens}")
    grpo = {"adapter": str(adapter), "data": work / "asked.jsonl", "settings": settings}
    report.stage("grpo", 150, lambda found: measure(found, "grpo", tiny, **grpo))


def prepare(work: Path, tiny: bool) -> tuple[Path, Path, Path, Path]:
    """A pair with random weights and a chat template, rows as long as real ones, and rows of the longest."""
    shape = TINY if tiny else SHAPE
    base, adapter = make_pair(work, shape)
    (base / "chat_template.jinja").write_text(CHAT, "utf-8")
    answer = " ".join(["w2", "w3"] * 10)
    texts = [example.question for example in prompts(1_000, shape["vocab_size"])]
    usual = [{"question": f"w{at % 90}", "context": text, "answer": answer} for at, text in enumerate(texts)]
    words = ["w4"] * (LONG - len(answer.split()) - 5)
    longest = [{"question": f"w{at}", "context": " ".join(words), "answer": answer} for at in range(256)]
    asked = [
        {
            "question": f"w{at}",
            "context": f"CREATE TABLE t{at} (name VARCHAR, age INTEGER)",
            "answer": f"SELECT name FROM t{at} WHERE age > 56",
        }
        for at in range(256)
    ]
    files = {"usual": usual, "longest": longest, "asked": asked}
    for name, rows in files.items():
        (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return base, adapter, work / "usual.jsonl", work / "longest.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--out", type=Path, help="folder of training_speed.json")
    parser.add_argument("--tiny", action="store_true")
    told = parser.parse_args()
    if told.measure:
        measured(parser, told.out, told.tiny)
        return
    facts = {}
    print(f"{'':22}{'GB, usual':>11}{'GB, longest':>13}", *(f"{gpu + ', min':>11}" for gpu in GPUS))
    for name in RECIPES:
        cost = estimate(name)
        facts[name] = asdict(cost)
        minutes = [f"{cost.minutes(speed):11.1f}" for speed in GPUS.values()]
        print(f"{name:22}{cost.usual / 1e9:11.1f}{cost.longest / 1e9:13.1f}", *minutes)
    print(json.dumps(facts))


def measured(parser: argparse.ArgumentParser, out: Path | None, tiny: bool) -> None:
    """The stages of one call."""
    import torch

    if out is None:
        parser.error("--measure keeps its results in a folder: --out FOLDER")
    if not tiny and not torch.cuda.is_available():
        parser.error("no GPU is usable here; --tiny rehearses on a processor")
    logging.disable(logging.WARNING)
    report = Stages(out / "training_speed.json")
    report.stage("machine", 60, machine)
    with tempfile.TemporaryDirectory() as work:
        stages(report, Path(work), tiny)
    if report.left:
        print(f"not done yet: {', '.join(report.left)}; call again", file=sys.stderr)
    print(json.dumps(report.values))


if __name__ == "__main__":
    main()
