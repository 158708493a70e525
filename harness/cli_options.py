"""The options that ``run`` and ``score`` share, declared once and handed over as one value."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from harness.errors import UsageError
from harness.records import Judging, Rules

if TYPE_CHECKING:
    from harness.runs.selection import Selection
    from harness.scoring.official import Options

_RULES = [rule.name for rule in fields(Rules)]

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document as the last line on standard output.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="A file of your own (JSONL, JSON, CSV, Parquet), or the data of --benchmark in its own form."
    ),
]
BenchmarkName = Annotated[str | None, typer.Option("--benchmark", help="A benchmark: see `benchmarks`.")]


class Common(NamedTuple):
    """What ``run`` and ``score`` are both told."""

    selection: Selection
    judging: Judging
    scorers: tuple[str, ...]
    official: Options | None
    output: Path | None
    as_json: bool


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options; it gets their values as ``common``."""
    shared = inspect.signature(_read, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*(p for p in own if p.name != "common"), *shared.values()]

    @wraps(command)
    def told(**given: Any) -> None:
        common = _read(**{name: given.pop(name) for name in shared})
        command(**given, common=common)

    del told.__wrapped__  # typer would look for hints there
    told.__annotations__ = {p.name: p.annotation for p in parameters}
    setattr(told, "__signature__", inspect.Signature(parameters))  # noqa: B010
    return told


def _read(
    *,
    benchmark: BenchmarkName = None,
    data: Data = None,
    split: Annotated[
        str | None, typer.Option(help="The benchmark's split. [default: the benchmark's]")
    ] = None,
    context_field: Annotated[
        str | None, typer.Option(help="Field that holds the CREATE statements. [default: context]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N examples.")] = None,
    ids: Annotated[
        str | None, typer.Option(help="Only these ids: comma-separated, or @FILE with one a line.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The run's folder. [default: one of its own under reports/runs]")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="SQL dialect of golds and predictions, as sqlglot names it.")
    ] = None,
    case: Annotated[
        Literal["exact", "ignore"] | None,
        typer.Option(help="Does text differ by case alone. [default: the benchmark's]"),
    ] = None,
    keys: Annotated[
        Literal["sound", "declared", "loose"] | None,
        typer.Option(help="Which keys hold in the databases made."),
    ] = None,
    types: Annotated[
        Literal["inferred", "declared"] | None, typer.Option(help="Column types: from use, or as declared.")
    ] = None,
    nulls: Annotated[
        Literal["forgive", "count"] | None, typer.Option(help="A difference on NULLs alone.")
    ] = None,
    ties: Annotated[
        Literal["forgive", "count"] | None, typer.Option(help="A difference on ties of a superlative alone.")
    ] = None,
    columns: Annotated[
        Literal["any", "exact"] | None, typer.Option(help="May a result's columns be permuted.")
    ] = None,
    distinct: Annotated[Literal["count", "strip"] | None, typer.Option(help="Does DISTINCT count.")] = None,
    readings: Annotated[
        Literal["all", "literal"] | None, typer.Option(help="Readings of a gold with a questionable literal.")
    ] = None,
    databases: Annotated[int, typer.Option(min=1, max=64, help="Databases an example.")] = 8,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Judging processes. [default: cores, 8 at most]")
    ] = None,
    witnesses: Annotated[
        int, typer.Option(min=0, help="How many wrong predictions get their smallest database at once.")
    ] = 200,
    policy: Annotated[
        bool, typer.Option(help="Also give the score with each rule of a verdict flipped.")
    ] = True,
    scorer: Annotated[
        list[str] | None, typer.Option(help="An official metric as well; may be repeated.")
    ] = None,
    scorer_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Of a scorer: tables, databases, edition, keep_distinct, plug_values, ordered, timeout.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of databases and of sampling.")] = 0,
    json: Json = False,
) -> Common:
    from harness.runs.selection import Selection

    told = locals()
    return Common(
        selection=Selection(
            benchmark=benchmark,
            data=data,
            split=split,
            context_field=context_field,
            limit=limit,
            ids=_ids(ids),
            seed=seed,
            dialect=dialect,
            rules={rule: told[rule] for rule in _RULES if told[rule] is not None},
        ),
        judging=Judging(
            databases=databases,
            seed=seed,
            workers=workers or min(8, os.cpu_count() or 1),
            witnesses=witnesses,
            policy=policy,
        ),
        scorers=tuple(scorer or ()),
        official=_scorer_options(scorer_option or ()),
        output=output,
        as_json=json,
    )


def _scorer_options(texts: Sequence[str]) -> Options | None:
    """``KEY=VALUE`` as the official scorers' options; their types say how a value reads."""
    if not texts:
        return None
    from pydantic import TypeAdapter, ValidationError

    from harness.scoring.official import Options

    parts = (text.partition("=") for text in texts)
    given = {key.replace("-", "_"): value if sign else "true" for key, sign, value in parts}
    try:
        return TypeAdapter(Options).validate_python(given, extra="forbid")
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(
            f"--scorer-option {fault['loc'][0] if fault['loc'] else ''}: {fault['msg']}",
            "its keys are tables, databases, edition, keep_distinct, plug_values, ordered, timeout",
        ) from error


def _ids(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if not text.strip():
        raise UsageError("--ids names no example", "give ids, or leave the option out")
    if not text.startswith("@"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return tuple(line.strip() for line in Path(text[1:]).read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{text[1:]} cannot be read ({error})", "give --ids @FILE a text file") from error
