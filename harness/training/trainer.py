"""A recipe followed: from the base to the finished adapter's folder.

The trainer's checkpoints lie in the output folder until the adapter is finished; a second start goes on from
the last whole one and reaches, where the hardware is deterministic, the same weights: the rows' order
depends on seed and epoch alone, and a checkpoint holds the optimiser and every random state.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, ModelError, RecipeError
from harness.files import read_object, write_text
from harness.models.sources import Checkpoint, download_text, find_adapter, find_base
from harness.models.weights import pick_device
from harness.runs.progress import Progress

from .card import write_card
from .checkpoints import STAGE, WEIGHTS, begin, checkpoints, drop_broken, finish
from .course import Course, course, watch
from .dataset import find_rows
from .job import Job, check_size, hold_in_float32, leads, load
from .recipe import Recipe, Reinforcement, Tuning
from .record import TrainingRecord, read_training, trained_with
from .rehearsal import rehearse

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_FULL_WORDS = ("no space left", "file write failed", "iostream error", "unexpected pos", "file too large")


def follow(
    recipe: Recipe, output: Path, *, near: Path, device: str, progress: Progress, command: str
) -> Path:
    """Train the adapter into ``output`` and return it; a base that is a relative path may lie ``near``.

    Raises ModelError, DataError, BenchmarkError, RecipeError.
    """
    where = pick_device(device)
    if (output / WEIGHTS).exists():
        raise RecipeError(f"{output} already holds an adapter", "give another --output, or remove it")
    base, begun_with = _start(recipe, near)
    check_size(base, where, device)
    if leads():
        begin(output, recipe.model_dump_json(exclude={"output"}))
    rows = find_rows(recipe.data)
    progress.say(f"{len(rows.table)} rows from {recipe.data.name}, base {base.id} on {where}")
    if fetch := download_text([base]):
        progress.say(fetch)
    tokenizer, model = load(recipe, base, begun_with, where)
    job = Job(
        recipe=recipe,
        output=output,
        base=base,
        begun_with=begun_with,
        rows=rows,
        tokenizer=tokenizer,
        model=model,
        where=where,
        progress=progress,
    )
    ended = _train(job, _trainer(job), command)
    progress.say(f"{ended.told()}; adapter written to {output}")
    return output


def _start(recipe: Recipe, near: Path) -> tuple[Checkpoint, Checkpoint | None]:
    """The base, and the adapter that is trained on where there is one."""
    if not isinstance(recipe, Reinforcement):
        base = find_base(
            recipe.model or "", near=near, revision=recipe.revision, named_by="the recipe or --model"
        )
        return base, None
    if recipe.adapter is None:
        raise RecipeError("grpo goes on from an adapter, and none is named", "give one: --adapter DIR")
    begun_with, _ = find_adapter(recipe.adapter)
    named = recipe.model or begun_with.config.get("base_model_name_or_path")
    if "peft_type" not in begun_with.config:
        raise ModelError(f"{recipe.adapter} is no adapter but a model", "give an adapter: --adapter DIR")
    if not named:
        raise ModelError(f"{recipe.adapter} does not name its base", "name it too: --model PATH_OR_HUB_ID")
    beside = near if recipe.model else begun_with.folder
    base = find_base(str(named), near=beside, revision=recipe.revision, named_by=f"adapter {begun_with.id}")
    return base, begun_with


def _trainer(job: Job) -> Any:
    from .grpo import grpo_trainer
    from .sft import sft_trainer

    recipe = job.recipe
    if isinstance(recipe, Reinforcement):
        trainer = grpo_trainer(job, recipe)
    else:
        assert isinstance(recipe, Tuning)
        trainer = sft_trainer(job, recipe)
    hold_in_float32(trainer.model)
    trainer.create_model_card = lambda *_, **__: None  # ours is written once, at the end
    return trainer


def _train(job: Job, trainer: Any, command: str) -> Course:
    """Run the trainer to its end and write the adapter's folder."""
    import torch

    begun = checkpoints(job.output)
    try:
        with ExitStack() as stack:
            forecast = partial(rehearse, job, trainer) if leads() else lambda _: ""
            watch(trainer, stack, job.progress, forecast, on_gpu=job.on_gpu)
            trainer.train(resume_from_checkpoint=str(begun[-1]) if begun else None)
        ended = course(trainer.state.log_history, trainer.state.global_step)
        trainer.save_model(str(job.output / STAGE))
        if leads():
            _write(job, _record(job, trainer, ended, command))
    except torch.OutOfMemoryError as error:
        raise _too_large(job) from error
    except Exception as error:
        if not _disk_is_full(error):
            raise
        raise _no_room(job, error) from error
    return ended


def _write(job: Job, told: TrainingRecord) -> None:
    """The adapter's folder, from what the trainer has saved of it."""
    stage = job.output / STAGE
    told.write(stage)
    config = read_object(stage / "adapter_config.json", error=ModelError)
    write_text(stage / "README.md", write_card(job.output.resolve().name, config, told))
    finish(job.output)


def _too_large(job: Job) -> HarnessError:
    """What to set so that the same training takes less memory."""
    plan = job.recipe.training
    half = max(1, plan.batch_size // 2)
    advice = []
    if half < plan.batch_size:
        more = plan.gradient_accumulation * plan.batch_size // half
        advice.append(
            f"--set training.batch_size={half} --set training.gradient_accumulation={more} is the same budget"
        )
    if plan.gradient_checkpointing == "no":
        advice.append("--set training.gradient_checkpointing=yes keeps fewer activations")
    longest = "max_new_tokens" if isinstance(job.recipe, Reinforcement) else "max_length"
    advice.append(f"a lower training.{longest} shortens the longest rows")
    return ModelError(f"{job.where} has too little memory for this recipe", "; ".join(advice))


def _disk_is_full(error: BaseException) -> bool:
    """Whether it says that a file could not be written, in the words of whichever library wrote it."""
    text = str(error).lower()
    return getattr(error, "errno", None) in _FULL or any(words in text for words in _FULL_WORDS)


def _no_room(job: Job, error: BaseException) -> HarnessError:
    drop_broken(job.output)
    whole = checkpoints(job.output)
    kept = f"goes on after step {whole[-1].name[11:]}" if whole else "begins anew"
    reason = getattr(error, "strerror", None) or "the disk seems full"
    return RecipeError(
        f"{job.output} cannot be written ({reason})",
        f"free space there, or raise training.save_steps, and give the same command again: it {kept}",
    )


def _record(job: Job, trainer: Any, ended: Course, command: str) -> TrainingRecord:
    found = read_training(job.begun_with.folder) if job.begun_with and job.begun_with.folder else None
    held_out = len(trainer.eval_dataset or ())
    return TrainingRecord(
        data=job.recipe.data.name,
        data_hash=job.rows.hash,
        licence=job.rows.licence,
        rows=len(job.rows.table),
        held_out=held_out,
        left_out=len(job.rows.table) - held_out - len(trainer.train_dataset),
        recipe=job.recipe.model_dump(mode="json"),
        base=job.base.id,
        base_hash=job.base.hash,
        command=command,
        steps=ended.steps,
        loss=ended.loss,
        validation_loss=trainer.state.best_metric,
        kept_step=trainer.state.best_global_step,
        reward=ended.reward,
        seconds=round(ended.seconds, 1),
        tokens=ended.tokens,
        device=job.where,
        versions=trained_with(),
        after=found.as_json() if found else None,
    )
