"""Training: a recipe in, an adapter's folder out.

``train(RECIPE)`` follows either kind of recipe: "sft" (an adapter on any base, by trl) or "starter" (the
starter pair from nothing). Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import UsageError
from harness.log import hush_libraries, library_log

from .recipe import Recipe, SftRecipe, StarterRecipe, load_recipe

__all__ = ["Recipe", "SftRecipe", "StarterRecipe", "load_recipe", "train"]


def train(
    recipe: Path,
    *,
    output: Path | None = None,
    model: str | None = None,
    data: Path | None = None,
    limit: int | None = None,
    device: str = "auto",
    notify: Callable[[str], None] = lambda text: None,
) -> Path:
    """Follow a recipe's file; returns the folder of the finished adapter.

    ``output``, ``model`` (the base), ``data`` (a local file in the form of sql-create-context) and ``limit``
    (rows) stand in for what an sft recipe says. A training that was killed goes on from its checkpoint.

    Raises:
        RecipeError: the recipe cannot be read, or a checkpoint of another recipe is in the way.
        ModelError, DataError: the base or the rows cannot be had.
        UsageError: an option that this kind of recipe does not have.
    """
    plan = load_recipe(recipe)
    target = output or plan.output
    if isinstance(plan, SftRecipe):
        from .sft import tune

        with library_log():
            hush_libraries()
            changed = plan.changed(model=model, data=data, limit=limit)
            return tune(changed, target, device=device, notify=notify)
    if model or data or limit:
        option = "--model" if model else "--data" if data else "--limit"
        raise UsageError(
            f"{option} does not go with a starter recipe, which makes its own base and data",
            f"change a copy of {recipe} instead",
        )
    from .starter import build

    with library_log():
        hush_libraries()
        return build(plan, target, device=device, notify=notify)
