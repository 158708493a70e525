"""What a user asks for: the pairs of a run or the files of a score, on which questions, judged how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge

from harness.errors import UsageError
from harness.files import read_text
from harness.models.pair_plan import Settings
from harness.options import Expand, Option
from harness.records import Benchmark, Judging, Rules, Seed

if TYPE_CHECKING:
    from harness.scoring.official import Options


def read_ids(text: str) -> tuple[str, ...]:
    """The ids of ``--ids``: separated by commas, or lines of a file that is named with ``@``."""
    if not text.strip():
        raise UsageError("--ids names no example", "give ids, or leave the option out")
    if not text.startswith("@"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    lines = read_text(Path(text[1:]), error=UsageError, what="--ids").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A benchmark by name, a file of one's own, or a named benchmark whose data lie elsewhere.

    ``rules`` are fields of ``Rules`` that win over the benchmark's own.
    """

    group: ClassVar[str] = "Questions"

    benchmark: Annotated[str | None, Option("A benchmark: see `benchmarks`.")] = None
    data: Annotated[
        Path | None,
        Option("A file of your own (JSONL, JSON, CSV, Parquet), or the data of --benchmark in its own form."),
    ] = None
    split: Annotated[str | None, Option("The benchmark's split. [default: the benchmark's]")] = None
    context_field: Annotated[
        str | None, Option("Field that holds the CREATE statements. [default: context]")
    ] = None
    databases_root: Annotated[
        Path | None,
        Option("Folder below which rows of --data may name databases. [default: the data's folder]"),
    ] = None
    limit: Annotated[int | None, Option("Only the first N examples."), Ge(1)] = None
    ids: Annotated[
        tuple[str, ...] | None,
        Option("Only these ids: comma-separated, or @FILE with one a line.", parse=read_ids),
    ] = None
    seed: Seed = 0
    dialect: Annotated[str | None, Option("SQL dialect of golds and predictions, as sqlglot names it.")] = (
        None
    )
    rules: Annotated[Mapping[str, Any], Expand(Rules)] = field(default_factory=dict)

    def load(self, default: str | None = None) -> Benchmark:
        """Load it; ``default`` is the benchmark where neither name nor file is given.

        Raises:
            UsageError: nothing is named, or no example is left.
            BenchmarkError, DataError: see ``load_benchmark`` and ``load_file``.
        """
        from harness.benchmarks import load_benchmark, load_file

        if self.dialect:
            _check_dialect(self.dialect)
        name = self.benchmark or (None if self.data else default)
        if name:
            benchmark = load_benchmark(
                name,
                data=self.data,
                split=self.split,
                limit=self.limit,
                ids=self.ids,
                context_field=self.context_field,
                databases_root=self.databases_root,
                seed=self.seed,
            )
        elif self.data:
            benchmark = load_file(
                self.data,
                split=self.split,
                context_field=self.context_field,
                databases_root=self.databases_root,
                limit=self.limit,
                ids=self.ids,
            )
        else:
            raise UsageError("nothing says which questions to take", "give --benchmark NAME or --data FILE")
        if not benchmark.examples:
            raise UsageError(f"no example of {benchmark.name} is left", "check --limit and --ids")
        return replace(
            benchmark, rules=replace(benchmark.rules, **self.rules), dialect=self.dialect or benchmark.dialect
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What ``run`` and ``score`` are both asked; ``scorer_options`` are texts KEY=VALUE."""

    selection: Annotated[Selection, Expand()] = Selection()
    judging: Annotated[Judging, Expand()] = Judging()
    scorers: Annotated[
        tuple[str, ...],
        Option("An official metric as well; may be repeated.", flag="--scorer", group="Official metrics"),
    ] = ()
    scorer_options: Annotated[
        tuple[str, ...],
        Option(
            "Of a scorer: tables, databases, edition, keep_distinct, plug_values, ordered, timeout.",
            flag="--scorer-option",
            metavar="KEY=VALUE",
            group="Official metrics",
        ),
    ] = ()
    output: Annotated[
        Path | None,
        Option("The run's folder. [default: one of its own under reports/runs]", group="Results"),
    ] = None
    command: str = ""

    @property
    def official(self) -> Options | None:
        """The official scorers' options (None: theirs). Raises UsageError for what is none."""
        return _scorer_options(self.scorer_options)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(_Asked):
    """What to run. With no adapter and no model, the starter pair."""

    group: ClassVar[str] = "Pairs"

    adapters: Annotated[
        tuple[str, ...],
        Option("Adapter folder or hub id; may be repeated. [default: the starter pair]", flag="--adapter"),
    ] = ()
    models: Annotated[
        tuple[str, ...],
        Option(
            "Base (folder or hub id; [default: the adapter's]), or a served model of --endpoint.",
            flag="--model",
        ),
    ] = ()
    prompts: Annotated[
        tuple[str, ...],
        Option(
            "benchmark, adapter or FILE; once for all adapters or once for each. [default: benchmark]",
            flag="--prompt",
        ),
    ] = ()
    include_base: Annotated[
        bool, Option("Evaluate the base itself beside its adapters.", flag="--base/--no-base")
    ] = True
    allow_leak: Annotated[
        bool,
        Option(
            "Evaluate though questions stand in the adapter's training data; marks the figures.",
            flag="--allow-leak",
        ),
    ] = False
    endpoint: Annotated[str | None, Option("URL of an OpenAI-compatible server; see --model.")] = None
    settings: Annotated[Settings, Expand()] = Settings()
    max_new_tokens: Annotated[
        int | None,
        Option("Most tokens of a completion. [default: the benchmark's]", group="Generation"),
        Ge(1),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions(_Asked):
    """What to score. One pair for each file of predictions."""

    predictions: Annotated[
        tuple[Path, ...],
        Option("JSONL with id and sql (or completion), SQL lines, …; may be repeated.", group="Predictions"),
    ] = ()
    golds: Annotated[
        Path | None,
        Option("Write the golds that several files contradict alike to this CSV file.", group="Results"),
    ] = None


def _scorer_options(texts: Sequence[str]) -> Options | None:
    if not texts:
        return None
    from harness.options import validated
    from harness.scoring.official import Options

    parts = (text.partition("=") for text in texts)
    given = {key.replace("-", "_"): value if sign else "true" for key, sign, value in parts}
    found: Options = validated(
        Options,
        given,
        where="--scorer-option",
        error=UsageError,
        remedy="its keys are tables, databases, edition, keep_distinct, plug_values, ordered, timeout",
    )
    return found


def _check_dialect(name: str) -> None:
    from sqlglot import Dialect

    try:
        Dialect.get_or_raise(name)
    except ValueError as error:
        raise UsageError(
            f"dialect {name!r} is unknown", "sqlite, postgres, mysql, tsql, … : any that sqlglot reads"
        ) from error
