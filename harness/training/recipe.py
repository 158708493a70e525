"""Training recipes: what a YAML under ``adapters/recipes`` may say, checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from harness.benchmarks.starter_questions import KINDS
from harness.errors import RecipeError
from harness.files import asset


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lora(_Strict):
    """The adapter: rank, alpha (the update is scaled by alpha / r), dropout and the layers it sits on."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class Shape(_Strict):
    """The tiny Llama's measures."""

    hidden: int = 192
    intermediate: int = 384
    layers: int = Field(default=4, ge=3)
    heads: int = 4

    @model_validator(mode="after")
    def _divides(self) -> Shape:
        if self.hidden % (2 * self.heads) or self.heads % 2:
            raise ValueError("hidden must be a multiple of 2 × heads, and heads even")
        return self


class Phase(_Strict):
    """One training: steps of about ``tokens`` tokens; shares of invented schemas and of copying tasks.

    ``copying_first`` steps are copying alone. ``withheld`` kinds of question are left out. From step
    ``spelled_from`` on the share ``spelled`` of the made-up words is put together of the tokenizer's tokens.
    """

    steps: int = Field(ge=1)
    tokens: int = Field(default=4096, ge=512)
    learning_rate: float = Field(gt=0)
    invented: float = Field(default=0.6, ge=0, le=1)
    copying: float = Field(default=0.15, ge=0, le=1)
    copying_first: int = Field(default=0, ge=0)
    spelled: float = Field(default=0.0, ge=0, le=1)
    spelled_from: int = Field(default=0, ge=0)
    withheld: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Phase:
        unknown = [kind for kind in self.withheld if kind not in KINDS]
        if unknown:
            raise ValueError(f"unknown kind {unknown[0]!r}; kinds are {', '.join(KINDS)}")
        return self


class StarterRecipe(_Strict):
    """A pair from nothing: tokenizer, base and adapter, on questions that are made as training goes."""

    kind: Literal["starter"]
    output: Path = Path("adapters/starter")
    seed: int = 0
    vocabulary: int = Field(default=1536, ge=600)
    shape: Shape = Shape()
    base: Phase
    adapter: Phase
    lora: Lora = Lora()


class Data(_Strict):
    """The rows: a data set on the hub or a local ``file``, shuffled, and the first ``limit`` of them."""

    hub: str | None = None
    file: Path | None = None
    split: str = "train"
    shuffle_seed: int = 42
    limit: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one(self) -> Data:
        if (self.hub is None) == (self.file is None):
            raise ValueError("give either hub or file")
        return self


class Words(_Strict):
    """The prompt, in chat form; ``user`` is a template over {context} and {question}."""

    system: str | None = "You are a SQL expert."
    user: str = "{context}\nQuestion: {question}"

    @model_validator(mode="after")
    def _asks(self) -> Words:
        if "{question}" not in self.user:
            raise ValueError("user has no {question}")
        return self


class Optimisation(_Strict):
    """What the trainer is told; ``max_length`` is in tokens, ``loss`` on the answer or on all of the text."""

    epochs: float = Field(default=1, gt=0)
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    optimizer: str = "paged_adamw_32bit"
    max_length: int = Field(default=512, ge=16)
    loss: Literal["answer", "all"] = "answer"
    save_steps: int = Field(default=50, ge=1)


class SftRecipe(_Strict):
    """Supervised fine-tuning of an adapter on a base that is held in 4-bit ("none": as it is)."""

    kind: Literal["sft"]
    output: Path
    seed: int = 42
    model: str
    revision: str | None = None
    quantization: Literal["nf4", "fp4", "none"] = "nf4"
    data: Data
    prompt: Words = Words()
    lora: Lora = Lora()
    training: Optimisation = Optimisation()

    def changed(self, *, model: str | None, data: Path | None, limit: int | None) -> SftRecipe:
        """The same with another base, local rows or fewer of them."""
        rows = self.data
        if data is not None:
            rows = rows.model_copy(update={"hub": None, "file": data})
        if limit is not None:
            rows = rows.model_copy(update={"limit": limit})
        revision = self.revision if model is None else None
        return self.model_copy(update={"model": model or self.model, "revision": revision, "data": rows})


Recipe = SftRecipe | StarterRecipe
_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Annotated[SftRecipe | StarterRecipe, Field(discriminator="kind")])


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises RecipeError, which names the key that is wrong."""
    if not path.is_file():
        known = ", ".join(str(found) for found in sorted(asset("adapters", "recipes").glob("*.yaml")))
        raise RecipeError(f"recipe {path} does not exist", f"those at hand: {known}")
    try:
        values: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}", "write YAML in UTF-8") from error
    try:
        return _RECIPE.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in {"sft", "starter"}) or "the file"
        said = first["msg"].removeprefix("Value error, ")
        raise RecipeError(
            f"recipe {path}: {place}: {said}", "the keys are those of adapters/recipes/*.yaml"
        ) from error
