"""Supervised fine-tuning by trl: a LoRA adapter on a base in 4-bit, as a recipe says.

The rows become conversations (system, user, assistant); the trainer's checkpoints lie in the output
folder until the adapter is finished, and a second start goes on from the last of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.benchmarks import load_benchmark, load_file
from harness.errors import DataError, ModelError, RecipeError
from harness.models.prompts import messages
from harness.models.sources import download_text, find_base
from harness.models.weights import load_weights, pick_device, pick_dtype
from harness.records import Example, Prompt

from .recipe import Optimisation, Recipe

Notify = Callable[[str], None]


def tune(recipe: Recipe, output: Path, *, near: Path, device: str, notify: Notify) -> Path:
    """Train the adapter into ``output`` and return it; a base that is a relative path may lie ``near``.

    Raises ModelError, DataError, BenchmarkError, RecipeError.
    """
    import torch

    where = pick_device(device)
    _refuse(recipe, output)
    base = find_base(recipe.model, near=near, revision=recipe.revision, named_by="the recipe")
    _claim(recipe, output)
    rows = _rows(recipe)
    notify(f"{len(rows)} rows from {recipe.data.name}, base {recipe.model} on {where}")
    if fetch := download_text([base]):
        notify(fetch)
    tokenizer, model = _load(recipe, base.where, where)
    trainer = _trainer(recipe, output, rows, tokenizer, model, where, notify)
    begun = sorted(output.glob("checkpoint-*"))
    if begun:
        notify(f"going on from the last of {len(begun)} checkpoints in {output}")
    try:
        result = trainer.train(resume_from_checkpoint=bool(begun))
    except torch.OutOfMemoryError as error:
        raise ModelError(
            "the device has too little memory for this recipe", "lower training.batch_size in a copy of it"
        ) from error
    trainer.save_model(str(output))
    told = {"data": recipe.data.name, "recipe": recipe.model_dump(mode="json")}
    (output / "training.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    for folder in output.glob("checkpoint-*"):
        shutil.rmtree(folder)
    for leftover in ("recipe.json", "training_args.bin"):
        (output / leftover).unlink(missing_ok=True)
    notify(f"loss {result.training_loss:.4f} after {result.global_step} steps; adapter written to {output}")
    return output


def _refuse(recipe: Recipe, output: Path) -> None:
    """Leave alone what somebody else has made."""
    marker = output / "recipe.json"
    if (output / "adapter_model.safetensors").exists():
        raise RecipeError(f"{output} already holds an adapter", "give another --output, or remove it")
    if marker.exists() and marker.read_text("utf-8") != _said(recipe):
        raise RecipeError(
            f"{output} holds a begun training by another recipe", "give another --output, or remove it"
        )


def _said(recipe: Recipe) -> str:
    return recipe.model_dump_json(exclude={"output"})


def _claim(recipe: Recipe, output: Path) -> None:
    """Make the folder and note whose checkpoints it holds."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "recipe.json").write_text(_said(recipe), "utf-8")
    except OSError as error:
        raise RecipeError(f"{output} cannot be written: {error.strerror}", "give another --output") from error


def _rows(recipe: Recipe) -> Any:
    """A ``datasets.Dataset`` of prompt and completion turns, in the recipe's order."""
    from datasets import Dataset, disable_progress_bars, load_dataset

    disable_progress_bars()
    data = recipe.data
    if data.hub is None:
        named = load_benchmark(data.benchmark, split=data.split) if data.benchmark else None
        examples = (named or load_file(data.file or Path())).examples
        found = Dataset.from_list(
            [{"context": row.context, "question": row.question, "answer": row.gold} for row in examples]
        )
    else:
        try:
            found = load_dataset(data.hub, split=data.split)
        except Exception as error:
            raise DataError(
                f"data set {data.hub} cannot be had: {error}",
                "give a local file of the same form: --data FILE",
            ) from error
    found = found.shuffle(seed=data.shuffle_seed)
    if data.limit is not None:
        found = found.select(range(min(data.limit, len(found))))
    prompt = Prompt(system=recipe.prompt.system, user=recipe.prompt.user)

    def turn(row: dict[str, str]) -> dict[str, Any]:
        example = Example(id="", question=row["question"], context=row["context"], gold=row["answer"])
        return {
            "prompt": messages(prompt, example),
            "completion": [{"role": "assistant", "content": row["answer"]}],
        }

    return found.map(turn, remove_columns=found.column_names)


def _load(recipe: Recipe, base: str, where: str) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    chosen = recipe.compute_dtype if where.startswith("cuda") else "float32"
    model = load_weights(
        base,
        revision=recipe.revision,
        device=where,
        dtype=pick_dtype(chosen, where),
        quantization=recipe.quantization,
        named=recipe.model,
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, revision=recipe.revision)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"the tokenizer of {recipe.model} cannot be loaded: {first}", "name a folder or a hub id: --model"
        ) from error
    if tokenizer.chat_template is None:
        raise ModelError(f"the tokenizer of {recipe.model} has no chat template", "take an instruct base")
    if tokenizer.pad_token is None or recipe.training.pad == "eos":
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model


def _precision(plan: Optimisation, where: str, notify: Notify) -> str:
    """The mixed precision to train in: "fp16", "bf16" or "none"."""
    import torch

    if not where.startswith("cuda"):
        if plan.precision in {"fp16", "bf16"}:
            notify(f"{plan.precision} needs a GPU; float32 takes its place")
        return "none"
    if plan.precision != "auto":
        return plan.precision
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _trainer(
    recipe: Recipe, output: Path, rows: Any, tokenizer: Any, model: Any, where: str, notify: Notify
) -> Any:
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    plan, lora = recipe.training, recipe.lora
    optimizer = plan.optimizer
    if "paged" in optimizer and not where.startswith("cuda"):
        optimizer = "adamw_torch"
        notify(f"{plan.optimizer} needs a GPU; {optimizer} (the same rule, not paged) takes its place")

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            if logs and "loss" in logs:
                notify(f"step {state.global_step}/{state.max_steps}, loss {float(logs['loss']):.4f}")

    precision = _precision(plan, where, notify)
    held_out = None
    if plan.validation:
        if plan.validation >= len(rows):
            raise RecipeError(
                f"training.validation: {plan.validation} of {len(rows)} rows leave none to train on",
                "hold out fewer of them",
            )
        held_out = rows.select(range(len(rows) - plan.validation, len(rows)))
        rows = rows.select(range(len(rows) - plan.validation))
    config = SFTConfig(
        output_dir=str(output),
        seed=recipe.seed,
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=plan.schedule,
        warmup_steps=plan.warmup,
        optim=optimizer,
        max_length=plan.max_length,
        completion_only_loss=plan.loss == "answer",
        save_strategy="steps",
        save_steps=plan.save_steps,
        save_total_limit=2,
        eval_strategy="steps" if held_out is not None else "no",
        eval_steps=plan.save_steps,
        load_best_model_at_end=held_out is not None,
        train_sampling_strategy="group_by_length" if plan.length_groups else "random",
        logging_steps=10,
        disable_tqdm=True,
        report_to="none",
        use_cpu=not where.startswith("cuda"),
        gradient_checkpointing=where.startswith("cuda"),
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        dataloader_pin_memory=False,
    )
    targets = lora.target_modules
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=targets if isinstance(targets, str) else list(targets),
            task_type="CAUSAL_LM",
        ),
        callbacks=[Progress()],
    )
    if plan.pad == "eos":
        trainer.data_collator = _deaf_to(trainer.data_collator, tokenizer.pad_token_id)
    for known in list(trainer.callback_handler.callbacks):
        if type(known).__name__ == "PrinterCallback":
            trainer.remove_callback(known)
    return trainer


def _deaf_to(collate: Callable[[Any], Any], pad: int) -> Callable[[Any], Any]:
    """The collator, with no loss on the pad token wherever it stands: the end of a turn is never learnt."""

    def collated(rows: Any) -> Any:
        batch = collate(rows)
        batch["labels"] = batch["labels"].masked_fill(batch["input_ids"] == pad, -100)
        return batch

    return collated
