"""The model cards of the starter pair: what each is, what it was trained on, the command that repeats it."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

from .plan import WITHHELD, Phase, Plan

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
        + f"{', '.join(WITHHELD)}; queries of those kinds it has seen only as text to copy. "
        + "It is there to try an evaluation with, and good for nothing else.\n\n"
        + _training(plan.base, minutes)
    )


def adapter_card(plan: Plan, name: str, minutes: float) -> str:
    """README.md of the adapter."""
    return (
        _HEAD.format(more=f"library_name: peft\nbase_model: ../{name}-base\n")
        + f"# {name}\n\n"
        + f"A LoRA adapter (r {plan.rank}, alpha {plan.alpha}, on all linear layers) for `../{name}-base`. "
        + f"It brings the kinds of question that its base was never asked: {', '.join(WITHHELD)}. "
        + "It is there to try an evaluation with.\n\n"
        + _training(plan.adapter, minutes)
    )


def _training(phase: Phase, minutes: float) -> str:
    import torch

    threads = torch.get_num_threads()
    return (
        "## Training\n\n"
        + f"{phase.steps} steps of about {phase.tokens} tokens, learning rate {phase.learning_rate:g}, "
        + f"seed {phase.seed}, {phase.withheld:.0%} of the questions of the withheld kinds, "
        + f"{phase.invented:.0%} of the schemas invented, {phase.copying:.0%} copy tasks. "
        + f"{minutes:.0f} minutes ({platform.machine()}, {threads} thread{'s' * (threads > 1)}), "
        + f"{datetime.now(UTC):%Y-%m-%d}, by\n\n    {COMMAND}\n"
    )
