"""Training: a recipe in, an adapter's folder out; published where it is to be.

``train(RECIPE)`` fine-tunes an adapter on any base, or trains one on by the reward of its completions, with
trl and peft. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import RecipeError
from harness.log import hush_libraries, library_log
from harness.runs.progress import Progress, Silent

from .job import leads
from .publish import Publication, publish
from .recipe import Recipe, Reinforcement, find_recipe, load_recipe

__all__ = ["Publication", "Recipe", "leads", "load_recipe", "publish", "train"]


def train(
    recipe: Path,
    *,
    output: Path | None = None,
    model: str | None = None,
    adapter: str | None = None,
    data: Path | None = None,
    limit: int | None = None,
    settings: Sequence[str] = (),
    device: str = "auto",
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Follow a recipe, given as a file or by the name of one at hand; returns the finished adapter's folder.

    ``output``, ``model`` (the base), ``adapter`` (with which grpo begins), ``data`` (a local file in the form
    of sql-create-context) and ``limit`` (rows) stand in for what the recipe says, ``settings``
    ("training.epochs=3") for any of its keys. A training that was killed goes on from its checkpoint.
    ``command`` is what the folder says of how it came about.

    Raises:
        RecipeError: the recipe cannot be followed, or a checkpoint of another recipe is in the way.
        ModelError, DataError, BenchmarkError: the base or the rows cannot be had.
    """
    from .trainer import follow

    found = find_recipe(recipe)
    plan = load_recipe(found, settings).changed(model=model, data=data, limit=limit)
    if adapter is not None:
        if not isinstance(plan, Reinforcement):
            raise RecipeError(
                f"recipe {found} makes a new adapter", "leave --adapter out, or take the recipe grpo"
            )
        plan = plan.model_copy(update={"adapter": adapter})
    with library_log():
        hush_libraries()
        return follow(
            plan,
            output or plan.output,
            near=found.parent,
            device=device,
            progress=progress if progress and leads() else Silent(),
            command=command,
        )
