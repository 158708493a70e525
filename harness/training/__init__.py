"""Training: a recipe in, an adapter's folder out.

``train(RECIPE)`` fine-tunes an adapter on any base, by trl and peft. Nothing heavy is imported before it is
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.log import hush_libraries, library_log

from .recipe import Recipe, load_recipe

__all__ = ["Recipe", "load_recipe", "train"]


def train(
    recipe: Path,
    *,
    output: Path | None = None,
    model: str | None = None,
    data: Path | None = None,
    limit: int | None = None,
    settings: Sequence[str] = (),
    device: str = "auto",
    notify: Callable[[str], None] = lambda text: None,
) -> Path:
    """Follow a recipe's file; returns the folder of the finished adapter.

    ``output``, ``model`` (the base), ``data`` (a local file in the form of sql-create-context) and ``limit``
    (rows) stand in for what the recipe says, ``settings`` ("training.epochs=3") for any of its keys. A
    training that was killed goes on from its checkpoint.

    Raises:
        RecipeError: the recipe cannot be read, or a checkpoint of another recipe is in the way.
        ModelError, DataError, BenchmarkError: the base or the rows cannot be had.
    """
    from .sft import tune

    plan = load_recipe(recipe, settings).changed(model=model, data=data, limit=limit)
    with library_log():
        hush_libraries()
        return tune(plan, output or plan.output, near=recipe.parent, device=device, notify=notify)
