"""How long a training will take, from a rehearsal before its first step.

Of fine-tuning, a batch goes forward through the model; of grpo, a whole step's completions are written and
judged, then a batch of them goes forward. Learning is taken for three times the way forward, four where
activations are computed again. Weights, gradients and random states stay as they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from harness.runs.progress import duration

from .job import Job
from .recipe import Policy

_FEW = 20  # steps of a training that is done before its rehearsal has paid
_WORTH = 120.0  # seconds of a training whose length is told
_LEARNT = {False: 3, True: 4}  # ways forward that a step costs, by whether activations are computed again


def rehearse(job: Job, trainer: Any, left: int) -> str:
    """How long ``left`` steps take, in words; empty where that is not worth a line."""
    plan = job.recipe.training
    if left < _FEW:
        return ""
    with _undisturbed(trainer.model):
        if isinstance(plan, Policy):
            seconds, what = _completions(job, trainer, plan)
        else:
            rows = list(islice(trainer.train_dataset, plan.batch_size))
            batch = trainer.data_collator(rows)
            seconds = _learning(job, trainer, batch["input_ids"], batch["attention_mask"])
            what = f" of {plan.batch_size * plan.gradient_accumulation} rows"
    if seconds * left < _WORTH:
        return ""
    return f"About {duration(seconds * left)} for {left:,} steps{what}."


def _completions(job: Job, trainer: Any, plan: Policy) -> tuple[float, str]:
    """Seconds of a step that begins with its completions, and what they are like."""
    import torch

    count = plan.batch_size * plan.gradient_accumulation
    rows = list(islice(trainer.train_dataset, count // plan.generations))
    rows = [row for row in rows for _ in range(plan.generations)]
    prompts = [row["prompt"] for row in rows]
    tokens = job.tokenizer.apply_chat_template(
        prompts,
        add_generation_prompt=True,
        padding=True,
        padding_side="left",
        return_tensors="pt",
        return_dict=True,
    ).to(trainer.model.device)
    width = tokens["input_ids"].shape[1]

    def work() -> Any:
        written = trainer.model.generate(**tokens, generation_config=trainer.generation_config)
        texts = job.tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
        columns = {name: [row[name] for row in rows] for name in ("context", "answer")}
        for reward in trainer.reward_funcs:
            reward(prompts, texts, **columns)
        return written

    written, seconds = _timed(job, work)
    tokens_each = (written[:, width:] != job.tokenizer.pad_token_id).sum() / count
    batch = written[: plan.batch_size]
    seconds += _learning(job, trainer, batch, torch.ones_like(batch))
    what = f" of {count} completions, now of {tokens_each:.0f} tokens and at most of {plan.max_new_tokens}"
    return seconds, what


def _learning(job: Job, trainer: Any, ids: Any, mask: Any) -> float:
    """Seconds that a step learns from batches like this one."""
    told = {"input_ids": ids.to(trainer.model.device), "attention_mask": mask.to(trainer.model.device)}

    def work() -> None:
        with trainer.compute_loss_context_manager():
            trainer.model(**told)

    work()  # the first time, kernels are loaded
    seconds = _timed(job, work)[1]
    plan = job.recipe.training
    return seconds * _LEARNT[bool(trainer.args.gradient_checkpointing)] * plan.gradient_accumulation


def _timed(job: Job, work: Callable[[], Any]) -> tuple[Any, float]:
    import torch

    began = time.monotonic()
    made = work()
    if job.on_gpu:
        torch.cuda.synchronize()
    return made, time.monotonic() - began


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    import torch

    trained = model.training
    with torch.random.fork_rng(), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train(trained)
