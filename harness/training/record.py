"""What an adapter's folder says of its training: ``training.json``, written at its end.

``harness.benchmarks.declared`` reads which rows it has seen, the model card and ``publish`` all of it.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import __version__
from harness.benchmarks.exposure import TRAINING_FILE
from harness.errors import ModelError
from harness.files import read_object, write_json
from harness.log import versions
from harness.options import validated

_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """One training.

    ``data`` is the rows' name, ``data_hash`` the SHA-256 of the ``rows`` rows that were taken, in their
    order; ``held_out`` of them served the validation alone, ``left_out`` were longer than the recipe's
    length. ``recipe`` is the recipe as it was followed, ``command`` what repeats it. ``steps`` and ``loss``
    (the mean over all steps) are of the whole training, however often it was begun; the weights are those of
    ``kept_step``, where ``validation_loss`` was least, or of the last. ``seconds`` are of all its starts that
    came to a checkpoint, ``tokens`` those that went through the model. ``after`` is the
    record of the training that made the adapter with which this one began.
    """

    data: str
    data_hash: str = ""
    licence: str = ""
    rows: int = 0
    held_out: int = 0
    left_out: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    base_hash: str = ""
    command: str = ""
    steps: int = 0
    loss: float | None = None
    validation_loss: float | None = None
    kept_step: int | None = None
    reward: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write it into the adapter's folder."""
        write_json(folder / TRAINING_FILE, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """As the file holds it."""
        return asdict(self)


def read_training(folder: Path) -> TrainingRecord | None:
    """The record in an adapter's folder; None where there is none, or one of another maker.

    Raises ModelError where the file cannot be read.
    """
    path = folder / TRAINING_FILE
    if not path.exists():
        return None
    told = read_object(path, error=ModelError)
    if "data_hash" not in told:
        return None
    made: TrainingRecord = validated(
        TrainingRecord, told, where=str(path), error=ModelError, remedy="train again, or remove that file"
    )
    return made


def trained_with() -> dict[str, str]:
    """Versions of what the weights depend on."""
    return {"harness": __version__, "python": platform.python_version(), **versions(*_PACKAGES)}
