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
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.assets import asset
from harness.errors import BenchmarkError
from harness.records import Form, Prompt, Rules

OFFICIAL_METRICS = (
    "wikisql_logical_form",
    "wikisql_execution",
    "spider_exact_set_match",
    "spider_execution",
    "bird_ex",
    "bird_soft_f1",
)
METRICS = (
    "execution_accuracy",
    "exact_match",
    "raw_match",
    "valid_sql",
    "schema_adherence",
    "format_compliance",
    *OFFICIAL_METRICS,
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where the examples come from.

    ``kind`` names the reader. ``files`` (kind "files") maps a split to its file, ``folder`` is the place
    where a download is looked for first, both relative to the YAML. ``hub`` is a data set's id on the
    hub, ``file`` the file in it, ``revision`` the revision asked for and ``sha256`` the pin: the hash of
    that file. ``variant`` and ``sample`` (this many stratified test questions) belong to the kinds that
    have them. ``url``, ``fetch`` and ``licence`` are for people.
    """

    kind: Literal["files", "create-context", "wikisql", "spider", "bird"]
    files: dict[str, Path] = Field(default_factory=dict)
    folder: Path | None = None
    hub: str | None = None
    file: str | None = None
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    variant: Literal["plain", "full", "used", "mini"] = "plain"
    sample: int | None = Field(default=None, gt=0)
    context_field: str = "context"
    url: str = ""
    fetch: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _files_are_named(self) -> Source:
        if self.kind == "files" and not self.files:
            raise ValueError("kind 'files' needs 'files: {test: FILE}'")
        return self


class PromptSpec(_Strict):
    """How a question is put unless the pair brings a prompt of its own; see ``records.Prompt``."""

    system: str | None = "You are a SQL expert."
    user: str = "{context}\nQuestion: {question}"
    form: Form = "chat"
    chat_template: str | None = None

    @field_validator("user")
    @classmethod
    def _asks(cls, user: str) -> str:
        for field in ("{question}", "{context}"):
            if field not in user:
                raise ValueError(f"the template must contain {field}")
        return user


class RulesSpec(_Strict):
    """The rules of a verdict that this benchmark sets; names and values are those of ``records.Rules``."""

    case: Literal["exact", "ignore"] = "ignore"
    keys: Literal["sound", "declared", "loose"] = "sound"
    types: Literal["inferred", "declared"] = "inferred"
    nulls: Literal["forgive", "count"] = "forgive"
    ties: Literal["forgive", "count"] = "forgive"
    columns: Literal["any", "exact"] = "any"
    distinct: Literal["count", "strip"] = "count"
    readings: Literal["all", "literal"] = "all"


class Generation(_Strict):
    """Limits of generation."""

    max_new_tokens: int = Field(default=256, gt=0, le=32768)


class BenchmarkSpec(_Strict):
    """One benchmark as its YAML states it; ``name`` is the file's stem and ``path`` the file."""

    name: str
    path: Path
    title: str
    source: Source
    split: str = "test"
    prompt: PromptSpec = PromptSpec()
    rules: RulesSpec = RulesSpec()
    dialect: str = "sqlite"
    metrics: tuple[str, ...] = ("execution_accuracy", "exact_match")
    baselines: tuple[Literal["rule"], ...] = ()
    generation: Generation = Generation()

    @field_validator("metrics")
    @classmethod
    def _metrics_exist(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for metric in metrics:
            if metric not in METRICS:
                raise ValueError(f"'{metric}' is no metric; known are {', '.join(METRICS)}")
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
        return tuple(metric for metric in self.metrics if metric in OFFICIAL_METRICS)

    def resolve(self, path: Path) -> Path:
        """A path of the YAML as seen from here."""
        return path if path.is_absolute() else self.path.parent / path

    def to_prompt(self) -> Prompt:
        """The prompt as the record that travels."""
        return Prompt(**self.prompt.model_dump(), origin="benchmark")

    def to_rules(self) -> Rules:
        """The rules as the record that travels."""
        return Rules(**self.rules.model_dump())


def read_spec(path: Path) -> BenchmarkSpec:
    """The benchmark in one YAML file; BenchmarkError names the file, the key and what would be right."""
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path}: cannot be read ({error})", "check the file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise BenchmarkError(
            f"{path}{line}: not YAML ({getattr(error, 'problem', error)})", "mend that line"
        ) from None
    if not isinstance(content, dict):
        raise BenchmarkError(f"{path}: no mapping of keys", "begin with 'title:' and 'source:'")
    for key in ("name", "path"):
        if key in content:
            raise BenchmarkError(
                f"{path}: key '{key}' is not allowed", "a benchmark's name is its file's stem"
            )
    try:
        return BenchmarkSpec(name=path.stem, path=path, **{str(key): value for key, value in content.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "source"
        message = first["msg"].removeprefix("Value error, ")
        remedy = {
            "extra_forbidden": f"remove '{key}', or see docs/benchmarks.md for the keys that exist",
            "missing": f"add '{key}:'",
        }.get(first["type"], "see docs/benchmarks.md for what the key takes")
        raise BenchmarkError(f"{path}: key '{key}': {message}", remedy) from None


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
