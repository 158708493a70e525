"""The starter base from nothing: tokenizer, induction heads, training, weights in bfloat16.

What is unfinished lies in ``checkpoint-NAME`` beside the output, so a killed training goes on, and a
committed base stays whole until the new one takes its place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import RecipeError

from .batches import batches
from .cards import base_card
from .induction import set_induction
from .loop import Schedule, fit
from .plan import Plan
from .tokens import END, PAD, letter_pieces, train_tokenizer

Notify = Callable[[str], None]


def build_base(plan: Plan, output: Path, *, notify: Notify) -> float:
    """Train the base on the processor and write it at ``output``; returns the minutes of all its starts.

    Raises RecipeError if the folder cannot be written or holds a begun training by another plan.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    work = output.with_name(f"checkpoint-{output.name}")
    _claim(plan, work)
    torch.manual_seed(plan.seed)
    tokenizer = train_tokenizer(plan.vocabulary, plan.seed)
    pad, end = (int(tokenizer.convert_tokens_to_ids(mark)) for mark in (PAD, END))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        intermediate_size=plan.intermediate,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        num_key_value_heads=plan.heads,
        head_dim=plan.hidden // plan.heads,
        attention_bias=True,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        max_position_embeddings=1024,
        initializer_range=0.04,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config)
    set_induction(model, torch.Generator().manual_seed(plan.seed))
    backend, pieces = tokenizer.backend_tokenizer, letter_pieces(tokenizer)

    def encode(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    minutes = (
        fit(
            model,
            lambda start: batches(encode, plan, pieces=pieces, start=start, pad=pad),
            Schedule(steps=plan.steps, learning_rate=plan.learning_rate, every=min(50, plan.steps // 2)),
            checkpoint=work / "base.pt",
            notify=notify,
        )
        / 60
    )
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=[end], pad_token_id=pad)
    draft = work / output.name
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    (draft / "README.md").write_text(base_card(plan, output.name, minutes), "utf-8")
    if output.exists():
        shutil.rmtree(output)
    draft.rename(output)
    shutil.rmtree(work)
    return minutes


def _claim(plan: Plan, work: Path) -> None:
    marker, said = work / "plan.json", json.dumps(asdict(plan), indent=1)
    if marker.exists() and marker.read_text("utf-8") != said:
        raise RecipeError(
            f"{work} holds a begun training by another plan", "remove it, or give another --output"
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
        marker.write_text(said, "utf-8")
    except OSError as error:
        raise RecipeError(f"{work} cannot be written: {error.strerror}", "give another --output") from error
