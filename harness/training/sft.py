"""Supervised fine-tuning by trl: a new LoRA adapter on a base in 4-bit, taught on given answers.

The rows become conversations (system, user, assistant). The order of the rows depends on seed and epoch
alone, so that a training that was killed goes on with those that were still to come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import RecipeError

from .dataset import turns
from .job import Job, arguments
from .recipe import Tuning


def sft_trainer(job: Job, recipe: Tuning) -> Any:
    """A ``trl.SFTTrainer`` that does what the recipe says.

    Raises RecipeError where its layers are not in the base, or no row is left to train on.
    """
    from peft import LoraConfig
    from trl import SFTConfig

    plan, lora = recipe.training, recipe.lora
    if job.tokenizer.pad_token is None or plan.pad == "eos":
        job.tokenizer.pad_token = job.tokenizer.eos_token
    trained, held_out = (
        table and turns(table, recipe.prompt, answered=True) for table in job.rows.held_out(plan.validation)
    )

    targets = lora.target_modules
    if not isinstance(targets, str):
        _check_layers(job.model, targets)
    trainer = _trainer_class(recipe)(
        model=job.model,
        args=SFTConfig(
            **arguments(job, plan),
            max_length=plan.max_length,
            completion_only_loss=plan.loss == "answer",
            eval_strategy="steps" if held_out is not None else "no",
            eval_steps=plan.save_steps,
            load_best_model_at_end=held_out is not None,
        ),
        train_dataset=trained,
        eval_dataset=held_out,
        processing_class=job.tokenizer,
        peft_config=LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=targets if isinstance(targets, str) else list(targets),
            task_type="CAUSAL_LM",
        ),
    )
    _tell_lost(job, len(trained), len(trainer.train_dataset), plan.max_length)
    if plan.pad == "eos":
        trainer.data_collator = deaf_to(trainer.data_collator, job.tokenizer.pad_token_id)
    return trainer


def _trainer_class(recipe: Tuning) -> Any:
    """The trainer, its batches of texts of like lengths where the recipe says so."""
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler
    from trl import SFTTrainer

    plan = recipe.training

    class Lengths(LengthGroupedSampler):  # type: ignore[misc]
        def set_epoch(self, epoch: int) -> None:
            self.generator.manual_seed(recipe.seed + epoch)

    class Trainer(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            if not plan.length_groups:
                return super()._get_train_sampler(dataset)
            rows = self.train_dataset if dataset is None else dataset
            return Lengths(
                plan.batch_size * plan.gradient_accumulation,
                lengths=[len(ids) for ids in rows["input_ids"]],
                generator=torch.Generator().manual_seed(recipe.seed),
            )

    return Trainer


def deaf_to(collate: Callable[[Any], Any], pad: int) -> Callable[[Any], Any]:
    """The collator, with no loss on the pad token wherever it stands: the end of a turn is never learnt."""

    def collated(rows: Any) -> Any:
        batch = collate(rows)
        batch["labels"] = batch["labels"].masked_fill(batch["input_ids"] == pad, -100)
        return batch

    return collated


def _tell_lost(job: Job, given: int, kept: int, longest: int) -> None:
    """Say which rows the trainer drops because nothing of their answer is left within the length."""
    if not kept:
        raise RecipeError(
            f"training.max_length: the prompts of all {given} rows have {longest} tokens or more",
            "raise it, or take rows with shorter schemas",
        )
    if kept < given:
        job.progress.say(
            f"{given - kept} of {given} rows are left out: their prompt alone has {longest} tokens"
        )


def _check_layers(model: Any, targets: tuple[str, ...]) -> None:
    """PEFT is content where one of the layers is found; here each has to be."""
    import torch

    names = [name for name, _ in model.named_modules()]
    lacking = [t for t in targets if not any(name == t or name.endswith(f".{t}") for name in names)]
    if lacking:
        linear = {
            name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)
        }
        raise RecipeError(
            f"lora.target_modules: {', '.join(lacking)} matches no layer of the base",
            f"it has {', '.join(sorted(linear))}; or say all-linear",
        )
