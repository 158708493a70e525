"""A training at hand: the recipe with its rows, weights and folder, and what every trainer is told of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.models.claims import check_adapter
from harness.models.headers import tensor_shapes
from harness.models.sources import Checkpoint
from harness.models.tokenizers import load_tokenizer
from harness.models.weights import four_bit_layers, load_weights, pack_for_cpu, pick_dtype
from harness.runs.progress import Progress

from .dataset import TrainingRows
from .recipe import Recipe, Steps

_SMALL = 300e6
"""Parameters of a base that a processor trains in bearable time: a step on eight rows takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a trainer is made of. ``where`` is the device; ``begun_with`` the adapter that is trained on."""

    recipe: Recipe
    output: Path
    base: Checkpoint
    begun_with: Checkpoint | None
    rows: TrainingRows
    tokenizer: Any
    model: Any
    where: str
    progress: Progress

    @property
    def on_gpu(self) -> bool:
        """Whether it trains on a GPU."""
        return self.where.startswith("cuda")


def leads() -> bool:
    """Whether this process writes and speaks, of those that ``accelerate launch`` has started."""
    return os.environ.get("RANK", "0") == "0"


def parameters(base: Checkpoint) -> float:
    """How many parameters a base has, about, before it is loaded (of a hub id: from its size in 16 bits)."""
    if base.folder is None:
        return base.fetch / 2
    total = 0
    for shape in tensor_shapes(base.folder).values():
        count = 1
        for length in shape:
            count *= length
        total += count
    return total


def check_size(base: Checkpoint, where: str, chosen: str) -> None:
    """Refuse to train a large base on a processor, unless that device was asked for by its name."""
    if where.startswith("cuda") or chosen != "auto" or parameters(base) <= _SMALL:
        return
    raise ModelError(
        f"no GPU is usable here, and base {base.id} has {parameters(base) / 1e9:.1f} billion parameters",
        "train where there is one; with --device cpu it is tried all the same, at minutes a step",
    )


def load(recipe: Recipe, base: Checkpoint, begun_with: Checkpoint | None, where: str) -> tuple[Any, Any]:
    """Tokenizer and base (with the adapter that is trained on). Raises ModelError."""

    chosen = recipe.compute_dtype if where.startswith("cuda") else "float32"
    model = load_weights(
        base.where,
        revision=base.revision,
        device=where,
        dtype=pick_dtype(chosen, where),
        quantization=recipe.quantization,
        named=base.id,
    )
    pack_for_cpu(four_bit_layers(model), allowed=False)  # a validation would change the products that follow
    own = begun_with is not None and begun_with.has("tokenizer.json")
    place = begun_with if begun_with is not None and own else base
    tokenizer = load_tokenizer(place.where, revision=place.revision)
    if tokenizer.chat_template is None:
        raise ModelError(f"the tokenizer of {place.id} has no chat template", "take an instruct base")
    if begun_with is not None:
        from peft import PeftModel

        check_adapter(begun_with, base)
        model = PeftModel.from_pretrained(model, begun_with.where, is_trainable=True)
    return tokenizer, model


def arguments(job: Job, plan: Steps) -> dict[str, Any]:
    """What trl's configurations of every kind are told."""
    optimizer = plan.optimizer
    if "paged" in optimizer and not job.on_gpu:
        optimizer = "adamw_torch"
        job.progress.say(
            f"{plan.optimizer} needs a GPU; {optimizer} (the same rule, not paged) takes its place"
        )
    precision = _precision(job, plan)
    saved = plan.gradient_checkpointing
    return {
        "output_dir": str(job.output),
        "seed": job.recipe.seed,
        "data_seed": job.recipe.seed,
        "num_train_epochs": plan.epochs,
        "per_device_train_batch_size": plan.batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": plan.schedule,
        "warmup_steps": plan.warmup,
        "optim": optimizer,
        "save_strategy": "steps",
        "save_steps": plan.save_steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": not job.on_gpu,
        "gradient_checkpointing": job.on_gpu if saved == "auto" else saved == "yes",
        "fp16": precision == "fp16",
        "bf16": precision == "bf16",
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,
    }


def hold_in_float32(model: Any) -> None:
    """Keep what is learnt in float32: trl rounds an adapter on a 4-bit base to bfloat16, in which a step of
    2e-4 on a weight near 1 is lost, and a resumed training would go on from other numbers."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _precision(job: Job, plan: Steps) -> str:
    """The mixed precision to train in: "fp16", "bf16" or "none"."""
    import torch

    if not job.on_gpu:
        if plan.precision in {"fp16", "bf16"}:
            job.progress.say(f"{plan.precision} needs a GPU; float32 takes its place")
        return "none"
    if plan.precision != "auto":
        return plan.precision
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
