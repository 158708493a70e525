"""Training recipes: what a YAML under ``adapters/recipes`` may say, checked before anything is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import RecipeError
from harness.files import asset, read_yaml
from harness.options import validated


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Lora(_Strict):
    """The adapter: rank, alpha (the update is scaled by alpha / r), dropout and the layers it sits on."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")

    @model_validator(mode="after")
    def _layers(self) -> Lora:
        if isinstance(self.target_modules, str) and self.target_modules != "all-linear":
            raise ValueError(f"target_modules is a list or all-linear, not {self.target_modules!r}")
        if not self.target_modules:
            raise ValueError("target_modules names no layer")
        return self


class Data(_Strict):
    """The rows: a data set on the hub, a local ``file`` or a ``benchmark``'s split; shuffled, and the first
    ``limit`` of them."""

    hub: str | None = None
    file: Path | None = None
    benchmark: str | None = None
    split: str = "train"
    shuffle_seed: int = 42
    limit: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one(self) -> Data:
        if sum(given is not None for given in (self.hub, self.file, self.benchmark)) != 1:
            raise ValueError("give one of hub, file and benchmark")
        return self

    @property
    def name(self) -> str:
        """The training set as an adapter's folder declares it."""
        if self.benchmark is not None:
            return f"{self.benchmark}:{self.split}"
        return str(self.file.resolve()) if self.file else str(self.hub)


class Words(_Strict):
    """The prompt, in chat form; ``user`` is a template over {context} and {question}."""

    system: str | None = "You are a SQL expert."
    user: str = "{context}\nQuestion: {question}"

    @model_validator(mode="after")
    def _asks(self) -> Words:
        if "{question}" not in self.user:
            raise ValueError("user has no {question}")
        return self


class Steps(_Strict):
    """What any trainer is told of its steps.

    ``precision`` is the mixed precision of the training ("auto": bf16 where there is one, else fp16; none on
    a processor). ``warmup`` is a share of the steps. ``gradient_checkpointing`` computes activations twice
    instead of keeping them ("auto": on a GPU). A checkpoint is written every ``save_steps``.
    """

    epochs: float = Field(default=1, gt=0)
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0, ge=0, lt=1)
    optimizer: str = "paged_adamw_32bit"
    precision: Literal["auto", "none", "fp16", "bf16"] = "auto"
    gradient_checkpointing: Literal["auto", "yes", "no"] = "auto"
    save_steps: int = Field(default=50, ge=1)


class Optimisation(Steps):
    """Steps on given answers.

    ``max_length`` is in tokens, ``loss`` on the answer or on all of the text. ``pad`` "eos" pads with the
    end-of-turn token and leaves it out of the loss wherever it stands, as collators do that know a pad token
    by its number; "own" pads by place. ``length_groups`` puts rows of like length together, never two rows
    into one. ``validation`` is a number of rows held out: the checkpoint with the least loss on them is kept.
    """

    max_length: int = Field(default=512, ge=16)
    loss: Literal["answer", "all"] = "answer"
    pad: Literal["own", "eos"] = "own"
    length_groups: bool = False
    validation: int = Field(default=0, ge=0)


class Policy(Steps):
    """Steps on the model's own completions, in groups of ``generations`` to a question.

    ``batch_size`` counts completions, so ``batch_size`` times ``gradient_accumulation`` is a multiple of
    ``generations``. ``steps`` ends the training before its epochs do. ``beta`` weighs the divergence from the
    adapter that the training began with. Completions have at most ``max_new_tokens``.
    """

    steps: int | None = Field(default=None, ge=1)
    generations: int = Field(default=8, ge=2)
    max_new_tokens: int = Field(default=128, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    beta: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _whole_groups(self) -> Policy:
        if (made := self.batch_size * self.gradient_accumulation) % self.generations:
            raise ValueError(
                f"{made} completions a step (batch_size times gradient_accumulation) are no multiple of "
                f"{self.generations} generations"
            )
        return self


class Earned(_Strict):
    """What completions earn: 1 for the gold's equal, ``dense`` at most for a wrong query by the share of
    databases on which it agrees, ``values`` for single outcomes, and ``form`` more where a completion is
    nothing but its query. ``workers`` judge in processes of their own."""

    dense: float = Field(default=0.0, ge=0, lt=1)
    form: float = Field(default=0.0, ge=0)
    values: dict[str, float] = Field(default_factory=dict)
    workers: int = Field(default=1, ge=1)


class Recipe(_Strict):
    """What all recipes say.

    ``compute_dtype`` is that of 4-bit products and of the base's other weights ("auto": bfloat16 where there
    is one, else float16; always float32 on a processor). ``quantization`` "none" holds the base as it is.
    ``licence`` is the one that the adapter goes under, in the hub's words ("apache-2.0").
    """

    kind: str
    output: Path
    licence: str | None = None
    seed: int = 42
    model: str | None = None
    revision: str | None = None
    quantization: Literal["nf4", "fp4", "none"] = "nf4"
    compute_dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    data: Data
    prompt: Words = Words()
    training: Steps = Steps()

    def changed(self, *, model: str | None, data: Path | None, limit: int | None) -> Recipe:
        """The same with another base, local rows or fewer of them."""
        rows = self.data
        if data is not None:
            rows = rows.model_copy(update={"hub": None, "benchmark": None, "file": data})
        if limit is not None:
            rows = rows.model_copy(update={"limit": limit})
        revision = self.revision if model is None else None
        return self.model_copy(update={"model": model or self.model, "revision": revision, "data": rows})


class Tuning(Recipe):
    """Supervised fine-tuning of a new adapter on a base."""

    kind: Literal["sft"]
    model: str
    lora: Lora = Lora()
    training: Optimisation = Optimisation()


class Reinforcement(Recipe):
    """An adapter trained on, by the reward that its own completions earn.

    The base is the adapter's, unless ``model`` names another place for it.
    """

    kind: Literal["grpo"]
    adapter: str | None = None
    reward: Earned = Earned()
    training: Policy = Policy()


_KINDS: dict[str, type[Recipe]] = {"sft": Tuning, "grpo": Reinforcement}


def find_recipe(named: Path) -> Path:
    """The recipe's file, or the one of that name among those at hand. Raises RecipeError where neither is."""
    own = asset("adapters", "recipes", f"{named}.yaml")
    if named.is_file():
        return named
    if own.is_file():
        return own
    known = sorted(path.stem for path in asset("adapters", "recipes").glob("*.yaml"))
    near = difflib.get_close_matches(named.stem, known, 1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise RecipeError(f"recipe {named} does not exist", f"{guess}those at hand: {', '.join(known)}")


def load_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; ``settings`` are ``key=value`` pairs that stand in for the file's.

    A key of an inner record has a dot (``training.epochs=3``), a value is YAML. Raises RecipeError, which
    names the key that is wrong.
    """
    path = find_recipe(path)
    values = read_yaml(path, error=RecipeError, what="recipe")
    kind: Any = values.get("kind")
    if kind not in _KINDS:
        raise RecipeError(f"recipe {path}: key 'kind': {kind!r} is none", f"use one of {', '.join(_KINDS)}")
    for setting in settings:
        _put(values, setting)
    made: Recipe = validated(
        _KINDS[kind],
        values | {"kind": kind},
        where=f"recipe {path}",
        error=RecipeError,
        remedy="the keys are those of adapters/recipes/*.yaml",
    )
    return made


def _put(values: dict[str, Any], setting: str) -> None:
    """Take a setting into a recipe's values. Raises RecipeError for one that can stand nowhere."""
    key, equals, text = setting.partition("=")
    *outer, last = key.split(".")
    if not equals or not all((*outer, last)):
        raise RecipeError(f"--set {setting}: no key=value", "for example --set training.epochs=3")
    if key == "kind":
        raise RecipeError("--set kind: a recipe stays of its kind", "take another recipe")
    record = values
    for part in outer:
        if not isinstance(inner := record.setdefault(part, {}), dict):
            raise RecipeError(f"--set {setting}: {part} has a value and no keys", f"--set {part}=VALUE")
        record = inner
    try:
        record[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting}: the value is no YAML", "quote it") from error
