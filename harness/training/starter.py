"""The starter pair from nothing: tokenizer, tiny base, LoRA adapter, by the benchmark's training split alone.

The base learns SQL in a plain form (``schema / -- question / SQL``); the adapter brings the chat form.
Two cores need about an hour. All that is unfinished lies in ``checkpoint-NAME`` beside the output, so a
killed training goes on, and a committed pair stays whole until the new one takes its place.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import RecipeError
from harness.models.weights import pick_device

from .batches import Mix, batches
from .cards import adapter_card, base_card
from .induction import set_induction
from .loop import Schedule, fit
from .recipe import Phase, StarterRecipe
from .tokens import END, PAD, letter_pieces, train_tokenizer

Notify = Callable[[str], None]


def build(recipe: StarterRecipe, output: Path, *, device: str, notify: Notify) -> Path:
    """Write ``NAME-base`` and ``NAME`` (the adapter) at ``output``; returns the adapter's folder.

    Raises RecipeError if the folder cannot be written or holds a begun training by another recipe.
    """
    import torch

    place = torch.device(pick_device(device))
    base, work = output.with_name(f"{output.name}-base"), output.with_name(f"checkpoint-{output.name}")
    _claim(recipe, work)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    if place.type == "cuda":
        machine = torch.cuda.get_device_name(place)
    draft_base, draft = work / base.name, work / output.name
    if not (draft_base / "README.md").is_file():
        minutes = _base(recipe, draft_base, work / "base.pt", place, notify)
        (draft_base / "README.md").write_text(base_card(recipe, draft_base, minutes, machine), "utf-8")
    minutes = _adapter(recipe, draft_base, draft, work / "adapter.pt", place, notify)
    (draft / "README.md").write_text(adapter_card(recipe, draft, minutes, machine), "utf-8")
    for made, target in ((draft_base, base), (draft, output)):
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
    shutil.rmtree(work)
    notify(f"base written to {base}, adapter to {output}")
    return output


def _claim(recipe: StarterRecipe, work: Path) -> None:
    marker, said = work / "recipe.json", recipe.model_dump_json(exclude={"output"})
    if marker.exists() and marker.read_text("utf-8") != said:
        raise RecipeError(
            f"{work} holds a begun training by another recipe", "remove it, or give another --output"
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
        marker.write_text(said, "utf-8")
    except OSError as error:
        raise RecipeError(f"{work} cannot be written: {error.strerror}", "give another --output") from error


def _base(recipe: StarterRecipe, folder: Path, checkpoint: Path, device: Any, notify: Notify) -> float:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    tokenizer = train_tokenizer(recipe.vocabulary, recipe.seed)
    shape = recipe.shape
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        attention_bias=True,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        max_position_embeddings=1024,
        initializer_range=0.04,
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        bos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config)
    set_induction(model, torch.Generator().manual_seed(recipe.seed))
    model.to(device)
    minutes = _fit(model, tokenizer, recipe, recipe.base, "base", checkpoint, device, notify)
    model.to("cpu", torch.bfloat16)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=[config.eos_token_id], pad_token_id=config.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return minutes


def _adapter(
    recipe: StarterRecipe, base: Path, folder: Path, checkpoint: Path, device: Any, notify: Notify
) -> float:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = recipe.lora
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, config).to(device)
    minutes = _fit(model, tokenizer, recipe, recipe.adapter, "adapter", checkpoint, device, notify)
    model.peft_config["default"].base_model_name_or_path = f"../{base.name}"
    model.save_pretrained(folder, save_embedding_layers=False)
    declared = {"data": "starter:train", "recipe": recipe.model_dump(mode="json")}
    (folder / "training.json").write_text(json.dumps(declared, indent=1) + "\n", "utf-8")
    return minutes


def _fit(
    model: Any,
    tokenizer: Any,
    recipe: StarterRecipe,
    phase: Phase,
    name: str,
    checkpoint: Path,
    device: Any,
    notify: Notify,
) -> float:
    """Train one phase; minutes of this start and those before it."""
    backend = tokenizer.backend_tokenizer

    def encode(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    mix = Mix(
        "plain" if name == "base" else "chat",
        invented=phase.invented,
        copying=phase.copying,
        withheld=phase.withheld,
        spelled=phase.spelled,
        spelled_from=phase.spelled_from,
        pieces=letter_pieces(tokenizer),
    )
    pad = int(tokenizer.convert_tokens_to_ids(PAD))
    seconds = fit(
        model,
        lambda start: batches(
            encode, mix, tokens=phase.tokens, seed=recipe.seed, start=start, pad=pad, warm=phase.copying_first
        ),
        Schedule(
            steps=phase.steps,
            learning_rate=phase.learning_rate,
            every=min(100, max(1, phase.steps // 2)),
        ),
        name=name,
        checkpoint=checkpoint,
        device=device,
        notify=notify,
    )
    return seconds / 60
