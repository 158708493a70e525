"""The starter pair from nothing: tokenizer, tiny base with induction heads, LoRA adapter.

All that is unfinished lies in ``checkpoint-NAME`` beside the output, so a killed training goes on, and a
committed pair stays whole until the new one takes its place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from harness.training.checkpoints import claim

from .batches import batches
from .cards import adapter_card, base_card
from .induction import set_induction
from .loop import Schedule, fit
from .plan import Phase, Plan
from .tokens import END, PAD, letter_pieces, train_tokenizer

Notify = Callable[[str], None]


class Minutes(NamedTuple):
    """What the trainings took, all their starts together."""

    base: float
    adapter: float


def build_pair(plan: Plan, output: Path, *, notify: Notify) -> Minutes:
    """Train on the processor and write ``NAME-base`` and ``NAME`` (the adapter) at ``output``.

    Raises RecipeError if the folder cannot be written or holds a begun training by another recipe.
    """
    base, work = output.with_name(f"{output.name}-base"), output.with_name(f"checkpoint-{output.name}")
    claim(work, json.dumps(asdict(plan), indent=1), marker="plan.json")
    draft_base, draft = work / base.name, work / output.name
    minutes = Minutes(_base(plan, draft_base, notify), _adapter(plan, draft_base, draft, notify))
    for made, target in ((draft_base, base), (draft, output)):
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
    shutil.rmtree(work)
    return minutes


def _base(plan: Plan, folder: Path, notify: Notify) -> float:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(plan.base.seed)
    tokenizer = train_tokenizer(plan.vocabulary, plan.base.seed)
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
    set_induction(model, torch.Generator().manual_seed(plan.base.seed))
    minutes = _fit(model, tokenizer, plan.base, "base", folder.with_suffix(".pt"), notify)
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=[end], pad_token_id=pad)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(base_card(plan, folder.name, minutes), "utf-8")
    return minutes


def _adapter(plan: Plan, base: Path, folder: Path, notify: Notify) -> float:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(plan.adapter.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = LoraConfig(r=plan.rank, lora_alpha=plan.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(plain, lora)
    minutes = _fit(plain, tokenizer, plan.adapter, "adapter", folder.with_suffix(".pt"), notify)
    model.to(torch.bfloat16)
    model.peft_config["default"].base_model_name_or_path = f"../{base.name}"
    model.save_pretrained(folder, save_embedding_layers=False)
    told = {"data": "starter:train", "plan": asdict(plan)}
    (folder / "training.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    (folder / "README.md").write_text(adapter_card(plan, folder.name, minutes), "utf-8")
    return minutes


def _fit(model: Any, tokenizer: Any, phase: Phase, name: str, checkpoint: Path, notify: Notify) -> float:
    backend, pieces = tokenizer.backend_tokenizer, letter_pieces(tokenizer)
    pad = int(tokenizer.convert_tokens_to_ids(PAD))

    def encode(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    seconds = fit(
        model,
        lambda start: batches(encode, phase, pieces=pieces, start=start, pad=pad),
        Schedule(
            steps=phase.steps, learning_rate=phase.learning_rate, every=max(1, min(50, phase.steps // 2))
        ),
        name=name,
        checkpoint=checkpoint,
        notify=notify,
    )
    return seconds / 60
