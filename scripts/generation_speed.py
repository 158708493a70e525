"""How fast the engine is beside the notebook's loop and lm-evaluation-harness, side by side in one run.

    OMP_NUM_THREADS=2 python scripts/generation_speed.py --json

Needs ``pip install lm_eval`` (no dependency of the harness). All get the same prompts, stops and limits.
The loop is ``generate`` with one prompt a time over the pair as a notebook loads it (NF4, products on the
fly). lm-evaluation-harness cannot load in 4-bit under this transformers, so it gets the same NF4 values
expanded to float32, from a folder, with the adapter beside them: its texts are then comparable. The engine
runs first and last; its rate is that of both runs. Wall time decides, processor time stands beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.files import asset
from harness.log import hush_libraries
from harness.models import PairPlan, Settings, extract_sql, load, plan_pairs
from harness.models.engine import Engine
from harness.models.pair import load_base
from harness.models.prompts import render
from harness.records import Example, Prompt

SIZES = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Run:
    """What one way took (seconds of wall and processor time) and wrote, by example."""

    name: str
    wall: float
    processor: float
    texts: dict[str, str]

    @property
    def rate(self) -> float:
        """Questions a second of wall time."""
        return len(self.texts) / self.wall


def timed(name: str, work: Callable[[], dict[str, str]]) -> Run:
    wall, processor = time.perf_counter(), time.process_time()
    texts = work()
    run = Run(name, time.perf_counter() - wall, time.process_time() - processor, texts)
    print(
        f"{name:<28}{run.rate:9.2f} questions/s{run.wall:9.1f} s wall{run.processor:9.1f} s processor",
        file=sys.stderr,
    )
    return run


def questions(path: Path, limit: int) -> tuple[list[Example], Prompt]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()][:limit]
    examples = [
        Example(
            id=str(row.get("id", i)), question=row["question"], context=row["context"], gold=row["answer"]
        )
        for i, row in enumerate(rows)
    ]
    return examples, Prompt()


def ours(engine: Engine, pair: str, examples: Sequence[Example]) -> dict[str, str]:
    return {done.id: done.text for done in engine.generate(pair, examples)}


def overhead(engine: Engine, pair: str, examples: Sequence[Example]) -> float:
    """What the harness adds around the forward passes, as a share of them; taking out the SQL included."""
    assert engine._base is not None
    model, spent = engine._base.model, [0.0]
    forward = model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return forward(*args, **kwargs)
        finally:
            spent[0] += time.perf_counter() - start

    model.forward = watched
    start = time.perf_counter()
    for done in engine.generate(pair, examples):
        extract_sql(done.text)
    total = time.perf_counter() - start
    model.forward = forward
    return (total - spent[0]) / spent[0]


Work = Callable[[], dict[str, str]]


def loop(
    plan: PairPlan, settings: Settings, examples: Sequence[Example], prompt: Prompt, stops: list[int]
) -> Work:
    """The notebook's way: one prompt, ``generate``, the next."""
    import torch
    from transformers import AutoTokenizer

    base = load_base([plan], settings.replace(dequantize="no"), lambda _: None)
    base.activate(plan.name if plan.adapter else None)
    tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer)
    model = base.peft or base.model

    def work() -> dict[str, str]:
        texts = {}
        for example, text in zip(examples, render(prompt, examples, tokenizer), strict=True):
            ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                out = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=settings.max_new_tokens,
                    do_sample=False,
                    eos_token_id=stops,
                    pad_token_id=stops[0],
                )
            texts[example.id] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        return texts

    return work


def lm_eval(
    plan: PairPlan,
    base: Path,
    settings: Settings,
    examples: Sequence[Example],
    prompt: Prompt,
    stops: list[int],
    size: int,
) -> Work:
    """lm-evaluation-harness's own ``hf`` model on the same prompts."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(
        pretrained=str(base),
        peft=plan.adapter,
        tokenizer=plan.tokenizer,
        device="cpu",
        dtype="float32",
        batch_size=size,
    )
    until = [model.tokenizer.decode([stop]) for stop in stops]
    options = {"until": until, "max_gen_toks": settings.max_new_tokens, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (text, options), i)
        for i, text in enumerate(render(prompt, examples, model.tokenizer))
    ]
    return lambda: dict(
        zip(
            [example.id for example in examples],
            model.generate_until(requests, disable_tqdm=True),
            strict=True,
        )
    )


def same(one: Run, other: Run) -> float:
    return sum(
        extract_sql(text).sql == extract_sql(other.texts[key]).sql for key, text in one.texts.items()
    ) / len(one.texts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapter", default=str(asset("adapters", "starter")))
    parser.add_argument("--data", type=Path, default=asset("benchmarks", "starter", "test.jsonl"))
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--max-new-tokens", type=int, default=72)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=list(SIZES), help="lm-eval's batch sizes to try"
    )
    parser.add_argument(
        "--json", action="store_true", help="the last line is one JSON document (it always is)"
    )
    arguments = parser.parse_args()
    if find_spec("lm_eval") is None:
        sys.exit("lm-evaluation-harness is not installed; pip install lm_eval")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import torch

    settings = Settings(max_new_tokens=arguments.max_new_tokens)
    examples, prompt = questions(arguments.data, arguments.limit)
    (plan,) = plan_pairs(adapters=[arguments.adapter], include_base=False, settings=settings)
    engine = load([plan], settings)
    stops = engine._texts[plan.name].stops.tolist()
    warm = examples[:32]
    ours(engine, plan.name, warm)
    first = timed("engine", lambda: ours(engine, plan.name, examples))
    hush_libraries()
    work = loop(plan, settings, examples, prompt, stops)
    by_loop = timed("notebook's loop", work)
    with tempfile.TemporaryDirectory() as folder:
        expanded = load_base(
            [plan_pairs(adapters=[], model=plan.base)[0]],
            settings.replace(dequantize="yes", compute_dtype="float32"),
            print,
        )
        expanded.model.save_pretrained(folder)
        del expanded
        runs = {}
        for size in [1, *arguments.sizes]:
            work = lm_eval(plan, Path(folder), settings, examples, prompt, stops, size)
            runs[size] = timed(f"lm-eval, batch size {size}", work)
    last = timed("engine again", lambda: ours(engine, plan.name, examples))
    rate = 2 * len(examples) / (first.wall + last.wall)
    work_ = (first.processor + last.processor) / 2
    best = max(arguments.sizes or [1], key=lambda size: runs[size].rate)
    figures = {
        "loop": round(rate / by_loop.rate, 2),
        "lm_eval_default": round(rate / runs[1].rate, 2),
        "lm_eval_best": round(rate / runs[best].rate, 2),
        "lm_eval_best_batch_size": best,
        "processor_time": {
            "loop": round(by_loop.processor / work_, 2),
            "lm_eval_default": round(runs[1].processor / work_, 2),
            "lm_eval_best": round(runs[best].processor / work_, 2),
        },
        "same_sql": {"loop": round(same(first, by_loop), 4), "lm_eval": round(same(first, runs[best]), 4)},
        "overhead": round(overhead(engine, plan.name, examples), 4),
        "examples": len(examples),
        "examples_per_second": round(rate, 2),
        "threads": torch.get_num_threads(),
        "cost": engine.cost(plan.name).to_json(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
