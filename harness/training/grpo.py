"""Group relative policy optimisation by trl: an adapter trained on, by what its own completions earn.

Each question is answered several times; a completion is held against the others of its question, and what
the databases say of it is the reward. A question whose gold is broken or says nothing teaches nothing.
"""

from __future__ import annotations

from typing import Any

from harness.records import Judging
from harness.reward import ExecutionReward, format_reward

from .dataset import turns
from .job import Job, arguments
from .recipe import Reinforcement


def grpo_trainer(job: Job, recipe: Reinforcement) -> Any:
    """A ``trl.GRPOTrainer`` that does what the recipe says."""
    from trl import GRPOConfig, GRPOTrainer
    from trl.trainer.utils import RepeatSampler

    plan, earned = recipe.training, recipe.reward
    if job.tokenizer.pad_token is None:
        job.tokenizer.pad_token = job.tokenizer.eos_token
    reward = ExecutionReward(
        values=earned.values, dense=earned.dense, judging=Judging(workers=earned.workers)
    )
    weights = {reward: 1.0} | ({format_reward: earned.form} if earned.form else {})

    class Repeats(RepeatSampler):  # type: ignore[misc]
        def set_epoch(self, epoch: int) -> None:
            self.generator.manual_seed(recipe.seed + epoch)

    class Trainer(GRPOTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            made = super()._get_train_sampler(dataset)
            made.__class__ = Repeats
            return made

    return Trainer(
        model=job.model,
        reward_funcs=list(weights),
        args=GRPOConfig(
            **arguments(job, plan),
            max_steps=plan.steps or -1,
            num_generations=plan.generations,
            max_completion_length=plan.max_new_tokens,
            temperature=plan.temperature,
            beta=plan.beta,
            reward_weights=list(weights.values()),
        ),
        train_dataset=turns(job.rows.table, recipe.prompt, answered=False),
        processing_class=job.tokenizer,
    )
