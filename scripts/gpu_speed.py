"""What the engine reaches on a GPU at the shape of Qwen2.5-1.5B, beside its ceiling and other ways.

    python scripts/gpu_speed.py --out results          # a GPU; 8 minutes a call; call again until done
    python scripts/gpu_speed.py --out results --tiny   # the same code on a CPU, in a minute: a rehearsal

Random weights (``random_pair``), so that nothing is downloaded. Answers are ragged: every eighth word ends
one, so that they are 1 to 32 tokens long, for every way alike. Each stage has a limit, prints one JSON line
as it ends and is kept in ``gpu_speed.json``; a call does those that are not there yet, as far as 8 minutes
allow. Fixed batch sizes come first, lm-evaluation-harness's automatic one last. The last line is one JSON
document. Wheels that must travel to a machine without network: lm_eval and what it needs beyond the harness
(``pip download lm_eval`` names them).
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
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from random_pair import LENGTHS, PROMPT, SHAPE, TINY, make_pair, prompts
from stages import Stages

from harness.log import hush_libraries
from harness.models import Settings, load, plan_pairs
from harness.models.engine import Engine
from harness.models.slots import SlotCache
from harness.models.weights import cache_argument
from harness.records import Example

NEW = 32


def synchronized() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def engine_for(base: Path, adapter: Path | None, **settings: Any) -> Engine:
    chosen = Settings(max_new_tokens=NEW, **settings)
    plans = plan_pairs(
        adapters=[str(adapter)] if adapter else [],
        model=str(base),
        include_base=adapter is None,
        benchmark_prompt=PROMPT,
        settings=chosen,
    )
    return load(plans, chosen)


def run_engine(engine: Engine, examples: Sequence[Example]) -> dict[str, Any]:
    (pair,) = engine._plans
    list(engine.generate(pair, examples[: min(256, len(examples))]))
    before = dict(engine.cost(pair).seconds)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    engine.cost(pair).peak_memory_bytes = 0
    start = synchronized()
    lengths = [done.new_tokens for done in engine.generate(pair, examples)]
    seconds = synchronized() - start
    cost = engine.cost(pair)
    spent = {key: round(value - before.get(key, 0.0), 2) for key, value in cost.seconds.items()}
    return {
        "seconds": round(seconds, 2),
        "questions_per_second": round(len(lengths) / seconds, 1),
        "new_tokens_per_second": round(sum(lengths) / seconds),
        "mean_new_tokens": round(sum(lengths) / len(lengths), 1),
        "new_tokens_low_median_high": [min(lengths), sorted(lengths)[len(lengths) // 2], max(lengths)],
        "rows": cost.batch_rows,
        "peak_GiB": round(cost.peak_memory_bytes / 2**30, 1),
        "stages": spent,
    }


def repeat(work: Callable[[], Any], times: int = 10) -> float:
    """Median seconds of a piece of device work."""
    took = []
    for _ in range(times):
        start = synchronized()
        work()
        took.append(synchronized() - start)
    return sorted(took)[times // 2]


def ceiling(base: Path, sizes: Sequence[int], found: dict[str, Any]) -> None:
    """Plain bf16 without adapter: the best decode step (a CUDA graph where there is a GPU), prefill rate."""
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    hush_libraries()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).to(device).eval()
    cached_by = cache_argument(model)
    extent, vocabulary = 96 + NEW, model.config.vocab_size
    with torch.inference_mode():
        ids = torch.randint(2, vocabulary, (max(sizes) // 8, 96), device=device)
        seconds = repeat(lambda: model.model(input_ids=ids, use_cache=False), 5)
        found["prefill_tokens_per_second"] = round(ids.numel() / seconds)
        for rows in sizes:
            cache = SlotCache(model.config.num_hidden_layers, rows, extent)
            last = torch.randint(2, vocabulary, (rows, 1), device=device)
            at = torch.full((rows,), extent - 1, device=device)
            mask = torch.ones(rows, 1, 1, extent, dtype=torch.bool, device=device)
            cache.aim(0, rows, 1, extent, at)
            positions = at[:, None].clone()

            def step(last=last, mask=mask, positions=positions, cache=cache) -> Any:  # type: ignore[no-untyped-def]
                options = {"attention_mask": mask, "position_ids": positions, cached_by: cache}
                return model(input_ids=last, **options).logits.argmax(-1)

            step()
            eager = repeat(step)
            seconds = eager
            if device == "cuda":
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    step()
                seconds = min(eager, repeat(graph.replay))
            found[f"decode_tokens_per_second_{rows}"] = round(rows / seconds)
            found[f"eager_decode_tokens_per_second_{rows}"] = round(rows / eager)
    rates = [value for key, value in found.items() if key.startswith("decode_tokens")]
    found["best_decode_tokens_per_second"] = max(rates)


def lm_eval(base: Path, adapter: Path, size: str, examples: Sequence[Example]) -> dict[str, Any]:
    """lm-evaluation-harness's ``hf`` model, bf16, adapter beside it."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = HFLM(pretrained=str(base), peft=str(adapter), device=device, dtype="bfloat16", batch_size=size)
    options = {"until": [], "max_gen_toks": NEW, "do_sample": False}
    requests = [Instance("generate_until", {}, (e.question, options), i) for i, e in enumerate(examples)]
    start = synchronized()
    model.generate_until(requests, disable_tqdm=True)
    seconds = synchronized() - start
    return {"questions": len(examples), "questions_per_second": round(len(examples) / seconds, 2)}


def loop(base: Path, adapter: Path, examples: Sequence[Example]) -> dict[str, Any]:
    """The notebook's loop: NF4 on the fly, one prompt a time."""
    engine = engine_for(base, adapter, dequantize="no")
    assert engine._base is not None
    tokenizer = next(iter(engine._texts.values())).tokenizer
    start = synchronized()
    for example in examples:
        ids = torch.tensor([tokenizer(example.question)["input_ids"]], device=engine._base.device)
        with torch.no_grad():
            engine._base.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW,
                do_sample=False,
            )
    return {
        "questions": len(examples),
        "questions_per_second": round(len(examples) / (synchronized() - start), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    shape, count = (TINY, 200) if arguments.tiny else (SHAPE, 7858)
    sizes = (16, 64) if arguments.tiny else (64, 256, 1024, 2048, 4096)
    report = Stages(arguments.out / "gpu_speed.json")
    ways: dict[str, dict[str, Any]] = {
        "nf4 on the fly": {"dequantize": "no"},
        "nf4 dequantised once": {"dequantize": "yes"},
        "nf4 merged": {"merge": True},
        "bf16": {"quantization": "none"},
    }
    examples = prompts(count, shape["vocab_size"])
    part = examples[: count // 8]
    few = examples[: 3 if arguments.tiny else 24]
    with tempfile.TemporaryDirectory() as place:
        hush_libraries()
        base, adapter = Path(place) / "base", Path(place) / "adapter"

        def machine(found: dict[str, Any]) -> None:
            make_pair(Path(place), shape, ragged=True)
            found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
            found["torch"] = torch.__version__

        report.stage("machine", 120, machine)
        report.stage(
            "engine", 90, lambda found: found.update(run_engine(engine_for(base, adapter), examples))
        )
        report.stage("ceiling", 60, lambda found: ceiling(base, sizes, found))
        for size in map(str, sizes[:3]):
            report.stage(
                f"lm_eval {size}",
                60,
                lambda found, size=size: found.update(lm_eval(base, adapter, size, part)),  # type: ignore[misc]
            )
        report.stage("loop", 60, lambda found: found.update(loop(base, adapter, few)))
        for name, options in ways.items():
            for rows in sizes:
                report.stage(
                    f"{name}, {rows} rows",
                    60,
                    lambda found, rows=rows, options=options: found.update(  # type: ignore[misc]
                        run_engine(
                            engine_for(base, adapter, batch_size=rows, **options),
                            examples[: max(512, 2 * rows)],
                        )
                    ),
                )
        report.stage("lm_eval auto", 150, lambda found: found.update(lm_eval(base, adapter, "auto", part)))
    if report.left:
        print(f"not done yet: {', '.join(report.left)}; call again", file=sys.stderr)
    print(json.dumps(summary(report.values)))


def summary(values: dict[str, Any]) -> dict[str, Any]:
    """The asked ratios, ours over each, as far as the stages got."""
    rates = {name: found.get("questions_per_second") for name, found in values.items()}
    ratios: dict[str, Any] = {"questions_per_second": rates.get("engine")}
    fixed = [
        rate for name, rate in rates.items() if rate and name.startswith("lm_eval ") and "auto" not in name
    ]
    others = {
        "lm_eval_auto": rates.get("lm_eval auto"),
        "lm_eval_best": max(fixed, default=None),
        "loop": rates.get("loop"),
    }
    rate, top = rates.get("engine"), values.get("ceiling", {})
    ratios |= {name: round(rate / other, 2) for name, other in others.items() if rate and other}
    if rate and "best_decode_tokens_per_second" in top:
        mean = sum((a[1] + b[1]) / 2 * (b[0] - a[0]) for a, b in pairwise(LENGTHS))
        new = values["engine"]["mean_new_tokens"]
        limit = mean / top["prefill_tokens_per_second"] + new / top["best_decode_tokens_per_second"]
        ratios["share_of_ceiling"] = round(rate * limit, 3)
    return ratios


if __name__ == "__main__":
    main()
