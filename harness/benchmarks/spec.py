"""A benchmark's YAML: ``benchmarks/NAME.yaml``, read, checked and found by name.

    title: Questions over my warehouse
    source:
      kind: files
      files: {test: mine/test.jsonl}

is a whole benchmark; everything else has a default. Paths are relative to the YAML. Keys are listed in
``docs/benchmarks.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.errors import BenchmarkError
from harness.files import asset, read_yaml
from harness.measures import METRICS, OFFICIAL
from harness.options import validated
from harness.records import Prompt, Rules


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSource(_Strict):
    """Where the examples come from."""

    kind: Literal["files", "create-context", "wikisql", "spider", "bird"] = Field(
        description="names the reader"
    )
    files: dict[str, Path] = Field(default_factory=dict, description="kind files: split to file")
    folder: Path | None = Field(
        default=None, description="where a download is looked for before the cache is"
    )
    hub: str | None = Field(default=None, description="a data set's id on the hub")
    file: str | None = Field(default=None, description="the file in it")
    revision: str | None = Field(default=None, description="the revision asked for")
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="the pin: that file's hash"
    )
    variant: Literal["plain", "full", "used", "mini"] = Field(
        default="plain",
        description="`full` and `plain` (sql-create-context), `used` (WikiSQL), `mini` (BIRD)",
    )
    sample: int | None = Field(
        default=None, gt=0, description="this many stratified test questions (sql-create-context)"
    )
    context_field: str = Field(
        default="context", description="kind files: the field that holds the CREATE statements"
    )
    url: str = Field(default="", description="for people: where it comes from")
    fetch: str = Field(default="", description="for people: how to fetch it")
    licence: str = Field(default="", description="for people: its licence")

    @model_validator(mode="after")
    def _files_are_named(self) -> DataSource:
        if self.kind == "files" and not self.files:
            raise ValueError("kind 'files' needs 'files: {test: FILE}'")
        return self


def _asks(prompt: Prompt) -> Prompt:
    for field in ("{question}", "{context}"):
        if field not in prompt.user:
            raise ValueError(f"the template 'user' must contain {field}")
    return prompt


class Generation(_Strict):
    """Limits of generation."""

    max_new_tokens: int = Field(default=256, gt=0, le=32768, description="most tokens of a completion")


class BenchmarkSpec(_Strict):
    """One benchmark as its YAML states it; ``name`` is the file's stem and ``path`` the file."""

    name: str
    path: Path
    title: str = Field(description="one line for listings")
    source: DataSource
    split: str = Field(default="test", description="the split that is meant")
    prompt: Annotated[Prompt, AfterValidator(_asks)] = Prompt()
    rules: Rules = Rules()
    dialect: str = Field(
        default="sqlite", description="what golds and contexts are written in; any that sqlglot reads"
    )
    metrics: tuple[str, ...] = Field(
        default=("execution_accuracy", "exact_match"),
        description="official ones are computed beside the harness's own",
    )
    baselines: tuple[Literal["rule"], ...] = Field(
        default=(), description="`rule`: the no-model rule gets a row"
    )
    generation: Generation = Generation()

    @field_validator("metrics")
    @classmethod
    def _metrics_exist(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        known = (*METRICS, *OFFICIAL)
        for metric in metrics:
            if metric not in known:
                raise ValueError(f"'{metric}' is no metric; known are {', '.join(known)}")
        return metrics

    @field_validator("dialect")
    @classmethod
    def _dialect_exists(cls, dialect: str) -> str:
        from sqlglot.dialects import DIALECTS

        known = {name.lower() for name in DIALECTS} - {"dialect"}
        if dialect not in known:
            raise ValueError(f"'{dialect}' is no dialect; known are {', '.join(sorted(known))}")
        return dialect

    @property
    def scorers(self) -> tuple[str, ...]:
        """The official metrics among ``metrics``."""
        return tuple(metric for metric in self.metrics if metric in OFFICIAL)

    def resolve(self, path: Path) -> Path:
        """A path of the YAML as seen from here."""
        return path if path.is_absolute() else self.path.parent / path


def read_spec(path: Path) -> BenchmarkSpec:
    """The benchmark in one YAML file; BenchmarkError names the file, the key and what would be right."""
    content = read_yaml(path, error=BenchmarkError)
    for key in ("name", "path"):
        if key in content:
            raise BenchmarkError(
                f"{path}: key '{key}' is not allowed", "a benchmark's name is its file's stem"
            )
    spec: BenchmarkSpec = validated(
        BenchmarkSpec,
        {**content, "name": path.stem, "path": path},
        where=str(path),
        error=BenchmarkError,
        remedy="see docs/benchmarks.md for the keys and what they take",
    )
    return spec


def find_specs() -> dict[str, Path]:
    """Name to YAML file: those that travel with the harness, and those in ``./benchmarks``, which win."""
    found = {path.stem: path for path in sorted(asset("benchmarks").glob("*.yaml"))}
    return found | {path.stem: path for path in sorted(Path("benchmarks").resolve().glob("*.yaml"))}


def list_benchmarks() -> list[BenchmarkSpec]:
    """Every benchmark that can be named, in order of name."""
    return [read_spec(path) for _, path in sorted(find_specs().items())]


def get_spec(name: str) -> BenchmarkSpec:
    """The benchmark of that name, or at that path when it ends in .yaml."""
    if name.endswith((".yaml", ".yml")):
        return read_spec(Path(name).resolve())
    known = find_specs()
    if name not in known:
        raise BenchmarkError(
            f"benchmark '{name}' is unknown (known: {', '.join(sorted(known))})",
            "see: python -m harness benchmarks; for data of your own use --data FILE",
        )
    return read_spec(known[name])
