"""The model cards of the starter pair, out of the recipe and what the training was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from .recipe import Phase, StarterRecipe

_HEAD = "---\nlicense: apache-2.0\nlanguage: en\ntags: [text-to-sql]\n{more}---\n\n"


def base_card(recipe: StarterRecipe, folder: Path, minutes: float, machine: str) -> str:
    """README.md of the base."""
    shape = recipe.shape
    return (
        _HEAD.format(more="library_name: transformers\n")
        + f"# {folder.name}\n\n"
        + f"A tiny Llama ({shape.layers} layers of width {shape.hidden}, {shape.heads} heads, "
        + f"{recipe.vocabulary} tokens) that writes SQL for CREATE TABLE statements and a question. It was "
        + "trained from nothing, on questions that the project makes from the training domains of its "
        + "starter benchmark, in this form:\n\n"
        + "    CREATE TABLE player (player_name VARCHAR, shirt_number INTEGER)\n"
        + "    -- Which players have a shirt number above 9? Give the player name.\n"
        + "    SELECT player_name FROM player WHERE shirt_number > 9\n\n"
        + "It has never seen a chat; that is what the adapter beside it brings. It is there to try an "
        + "evaluation with, and good for nothing else.\n\n"
        + _training(recipe.base, recipe, minutes, machine)
    )


def adapter_card(recipe: StarterRecipe, folder: Path, minutes: float, machine: str) -> str:
    """README.md of the adapter."""
    lora = recipe.lora
    base = f"{folder.name}-base"
    return (
        _HEAD.format(more=f"library_name: peft\nbase_model: ../{base}\n")
        + f"# {folder.name}\n\n"
        + f"A LoRA adapter (r {lora.r}, alpha {lora.alpha}, on {', '.join(lora.target_modules)}) for "
        + f"`../{base}`. It brings the chat form: system `You are a SQL expert.`, user the CREATE statements "
        + "and `Question: …`, and nothing but SQL for an answer. It is there to try an evaluation with.\n\n"
        + _training(recipe.adapter, recipe, minutes, machine)
    )


def _training(phase: Phase, recipe: StarterRecipe, minutes: float, machine: str) -> str:
    withheld = f" Kinds of question left out: {', '.join(phase.withheld)}." if phase.withheld else ""
    return (
        "## Training\n\n"
        + f"{phase.steps} steps of about {phase.tokens} tokens, learning rate {phase.learning_rate:g}, "
        + f"seed {recipe.seed}, {phase.invented:.0%} of the schemas invented.{withheld} "
        + f"{minutes:.0f} minutes on one machine ({machine}), {datetime.now(UTC):%Y-%m-%d}, by\n\n"
        + "    python -m harness train adapters/recipes/starter.yaml\n"
    )
