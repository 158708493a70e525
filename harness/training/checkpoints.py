"""The folder of a training: whose it is, its whole checkpoints, and what is left when the adapter is done.

Until the adapter is finished the folder holds the recipe that was begun, the trainer's checkpoints and, for a
moment, the finished adapter beside them (``STAGE``), whose weights move in last: a folder with an adapter's
weights is a finished one. A checkpoint is whole when its seal, which is written last, names the files that
are there with their sizes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import RecipeError
from harness.files import write_json

MARKER, SEAL, STAGE, WEIGHTS = "recipe.json", "whole.json", ".finished", "adapter_model.safetensors"
_TRAINERS = "training_args.bin"


def claim(folder: Path, said: str, *, marker: str = MARKER) -> None:
    """Make the folder and note in it what is trained there, as JSON.

    Raises RecipeError where it cannot be written or holds a begun training by another recipe.
    """
    note = folder / marker
    if note.exists() and (begun := note.read_text("utf-8")) != said:
        raise RecipeError(
            f"{folder} holds a begun training by another recipe{_difference(begun, said)}",
            "remove it, or give another --output",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(said, "utf-8")
    except OSError as error:
        raise RecipeError(f"{folder} cannot be written: {error.strerror}", "give another --output") from error


def begin(folder: Path, said: str) -> None:
    """Claim the folder for a training; a claim under which no checkpoint came about is let go. Raises as
    ``claim`` does."""
    drop_broken(folder)
    if not checkpoints(folder):
        (folder / MARKER).unlink(missing_ok=True)
    claim(folder, said)


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints, the oldest first."""
    steps = [(int(path.name[11:]), path) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
    return [path for _, path in sorted(steps) if _whole(path)]


def drop_broken(folder: Path) -> None:
    """Remove what a killed training left half written."""
    whole = set(checkpoints(folder))
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder / STAGE, ignore_errors=True)


def seal(checkpoint: Path) -> None:
    """Bring a checkpoint's files to the disk, and note last which ones they are."""
    sizes = {}
    for path in sorted(path for path in checkpoint.iterdir() if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[path.name] = path.stat().st_size
    write_json(checkpoint / SEAL, sizes)


def finish(folder: Path) -> None:
    """Move the finished adapter in, its weights last, and remove what served the training alone."""
    stage = folder / STAGE
    (stage / _TRAINERS).unlink(missing_ok=True)
    for path in sorted(stage.iterdir(), key=lambda path: path.name == WEIGHTS):
        path.replace(folder / path.name)
    stage.rmdir()
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)
    (folder / MARKER).unlink(missing_ok=True)


def _whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / SEAL).read_text("utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _difference(begun: str, said: str) -> str:
    """The first key in which two recipes differ, in brackets."""
    try:
        one, other = (dict(_values(json.loads(text))) for text in (begun, said))
    except ValueError:
        return ""
    keys = [key for key in one | other if one.get(key) != other.get(key)]
    return f" ({keys[0]}: {one.get(keys[0])} there, {other.get(keys[0])} here)" if keys else ""


def _values(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict) and value:
            yield from _values(value, f"{above}{key}.")
        else:
            yield above + key, value
