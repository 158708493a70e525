"""The folder of a training: whose it is, its whole checkpoints, and what is left when the adapter is done.

Until the adapter is finished the folder holds the recipe that was begun and the trainer's checkpoints. A
checkpoint is whole when the trainer's state, which is written last, can be read.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.errors import RecipeError

MARKER = "recipe.json"
_LEFT_OVER = (MARKER, "training_args.bin")


def claim(folder: Path, said: str, *, marker: str = MARKER) -> None:
    """Make the folder and note what is trained in it.

    Raises RecipeError where it cannot be written or holds a begun training by another recipe.
    """
    note = folder / marker
    if note.exists() and note.read_text("utf-8") != said:
        raise RecipeError(
            f"{folder} holds a begun training by another recipe", "remove it, or give another --output"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(said, "utf-8")
    except OSError as error:
        raise RecipeError(f"{folder} cannot be written: {error.strerror}", "give another --output") from error


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints, the oldest first."""
    steps = [(int(path.name[11:]), path) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
    return [path for _, path in sorted(steps) if _whole(path)]


def drop_broken(folder: Path) -> None:
    """Remove the checkpoints that a killed training left half written."""
    whole = set(checkpoints(folder))
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Remove what served the training alone."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)
    for name in _LEFT_OVER:
        (folder / name).unlink(missing_ok=True)


def _whole(checkpoint: Path) -> bool:
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and "global_step" in state
