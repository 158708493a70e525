"""The model cards of the starter pair: what each is, what it was trained on, the command that repeats it."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

from harness.training import Recipe

from .plan import Plan

COMMAND = "python -m scripts.starter"
_HEAD = "---\nlicense: apache-2.0\nlanguage: en\ntags: [text-to-sql]\n{more}---\n\n"


def base_card(plan: Plan, name: str, minutes: float) -> str:
    """README.md of the base."""
    return (
        _HEAD.format(more="library_name: transformers\n")
        + f"# {name}\n\n"
        + f"A tiny Llama ({plan.layers} layers of width {plan.hidden}, {plan.heads} heads, "
        + f"{plan.vocabulary} tokens) that writes SQL for CREATE TABLE statements and a question, in a chat. "
        + "It was trained from nothing, on questions that the project makes from the training domains of its "
        + "starter benchmark and from invented schemas. Kinds of question that it has never been asked: "
        + f"{', '.join(plan.withheld)}; queries of those kinds it has seen only as text to copy. "
        + "It is there to try an evaluation with, and good for nothing else.\n\n"
        + "## Training\n\n"
        + f"{plan.steps} steps of about {plan.tokens} tokens, learning rate {plan.learning_rate:g}, "
        + f"seed {plan.seed}, {plan.invented:.0%} of the schemas invented, {plan.copying:.0%} copy tasks. "
        + f"{minutes:.0f} minutes ({_machine()}), {datetime.now(UTC):%Y-%m-%d}, by\n\n"
        + f"    {COMMAND}\n"
    )


def adapter_card(recipe: Recipe, name: str, minutes: float) -> str:
    """README.md of the adapter."""
    lora, told = recipe.lora, recipe.training
    return (
        _HEAD.format(more=f"library_name: peft\nbase_model: ../{name}-base\n")
        + f"# {name}\n\n"
        + f"A LoRA adapter (r {lora.r}, alpha {lora.alpha}, on {', '.join(lora.target_modules)}) for "
        + f"`../{name}-base`. It brings the kinds of question that its base was never asked. It is there to "
        + "try an evaluation with.\n\n"
        + "## Training\n\n"
        + f"{told.epochs:g} epochs of the starter benchmark's training split, learning rate "
        + f"{told.learning_rate:g}, batches of {told.batch_size * told.gradient_accumulation}, seed "
        + f"{recipe.seed}; {minutes:.0f} minutes ({_machine()}), {datetime.now(UTC):%Y-%m-%d}, by\n\n"
        + "    python -m harness train adapters/recipes/starter.yaml\n"
    )


def _machine() -> str:
    import torch

    threads = torch.get_num_threads()
    return f"{platform.machine()}, {threads} thread{'s' * (threads > 1)}"
