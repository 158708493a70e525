"""How fast the engine is at Qwen2.5-1.5B's shape on a CPU, beside ``generate`` in a batch and one by one.

    python scripts/shape_speed.py --pair /tmp/pair --rounds 3

Random weights and words (``random_pair``), NF4, a rank-16 adapter, 16 questions with 16 new tokens each.
Every way runs in a process of its own, so that its peak memory is its own, and the ways take turns, so that
a machine's other work meets all of them. ``batch`` pads the 16 prompts and calls ``generate`` once, ``loop``
calls it one by one, both over the pair as a notebook loads it. The last line is one JSON document: medians,
and the engine's ratios to the others by wall and by processor time.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from random_pair import PROMPT, SHAPE, TINY, make_pair, prompts

from harness.log import hush_libraries
from harness.models import Settings, load, plan_pairs
from harness.models.cost import process_memory

NEW, QUESTIONS = 16, 16
WAYS = ("ours", "batch", "loop")


def ours(base: Path, adapter: Path, **options: Any) -> dict[str, Any]:
    settings = Settings(max_new_tokens=NEW, **options)
    (plan,) = plan_pairs(
        adapters=[str(adapter)],
        model=str(base),
        include_base=False,
        benchmark_prompt=PROMPT,
        settings=settings,
    )
    start, processor = time.perf_counter(), time.process_time()
    engine = load([plan], settings)
    loaded, loaded_processor = time.perf_counter() - start, time.process_time() - processor
    engine._texts[plan.name].stops = engine._texts[plan.name].stops[:0]  # every answer is as long
    rows = prompts(QUESTIONS, engine._texts[plan.name].tokenizer.vocab_size)
    start, processor = time.perf_counter(), time.process_time()
    made = {done.id: done.new_tokens for done in engine.generate(plan.name, rows)}
    assert list(made.values()) == [NEW] * QUESTIONS
    cost = engine.cost(plan.name)
    return {
        "load": loaded,
        "load_processor": loaded_processor,
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - processor,
        "stages": cost.seconds,
        "dequantized": engine.facts["dequantized"],
        "timing": engine.facts["timing"],
    }


def theirs(base: Path, adapter: Path, size: int) -> dict[str, Any]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    hush_libraries()
    start, processor = time.perf_counter(), time.process_time()
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=quantization, device_map={"": "cpu"}
    )
    model = PeftModel.from_pretrained(model, adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    loaded, loaded_processor = time.perf_counter() - start, time.process_time() - processor
    texts = [example.question for example in prompts(QUESTIONS, tokenizer.vocab_size)]
    start, processor = time.perf_counter(), time.process_time()
    for first in range(0, len(texts), size):
        batch = tokenizer(texts[first : first + size], return_tensors="pt", padding=True)
        with torch.inference_mode():
            out = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                min_new_tokens=NEW,
                max_new_tokens=NEW,
                do_sample=False,
            )
        assert out.shape[1] == batch["input_ids"].shape[1] + NEW
    return {
        "load": loaded,
        "load_processor": loaded_processor,
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - processor,
    }


def one(way: str, base: Path, adapter: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Run a way here; its figures with the process's peak memory."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    size = {"batch": QUESTIONS, "loop": 1}.get(way)
    found = ours(base, adapter, **options) if size is None else theirs(base, adapter, size)
    return {**found, "peak_GiB": process_memory() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", type=Path, required=True, help="where the pair is made (3.1 GB), or lies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--dequantize", default="auto", choices=["auto", "yes", "no"])
    parser.add_argument("--compute-dtype", default="auto")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal with a tiny shape")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    base, adapter = make_pair(arguments.pair, TINY if arguments.tiny else SHAPE)
    options = {"dequantize": arguments.dequantize, "compute_dtype": arguments.compute_dtype}
    if arguments.alone:
        print(json.dumps(one(arguments.alone, base, adapter, options)))
        return
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in arguments.ways}
    for number in range(arguments.rounds):
        for way in arguments.ways:
            command = [sys.executable, __file__, *sys.argv[1:], "--alone", way]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                sys.exit(f"{way} failed: {ran.stderr[-2000:]}")
            runs[way].append(json.loads(ran.stdout.splitlines()[-1]))
            print(f"round {number + 1}, {way}: {json.dumps(runs[way][-1])}", file=sys.stderr, flush=True)
    keys = ("load", "load_processor", "seconds", "processor", "peak_GiB")
    medians = {
        way: {key: round(statistics.median(run[key] for run in made), 2) for key in keys}
        for way, made in runs.items()
    }
    ratios = {
        way: {
            key: [round(t[key] / o[key], 2) for o, t in zip(runs["ours"], runs[way], strict=True)]
            for key in ("seconds", "processor")
        }
        for way in runs
        if way != "ours" and "ours" in runs
    }
    print(json.dumps({"medians": medians, "times_as_fast_by_round": ratios}))


if __name__ == "__main__":
    main()
