"""The command line: each command parses, calls one function, prints what it gives.

Nothing heavy is imported here: ``--help``, ``score``, ``compare``, ``check`` and ``leaderboard`` run
without torch.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from harness import __version__
from harness.errors import UsageError
from harness.options import with_options
from harness.runs.selection import RunOptions, ScoreOptions

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document as the last line on standard output.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        help="A file of your own (JSONL, JSON, CSV, Parquet), or the data of --benchmark in its own form."
    ),
]
BenchmarkName = Annotated[str | None, typer.Option("--benchmark", help="A benchmark: see `benchmarks`.")]


class _Grouped(TyperCommand):
    """A command whose ``--help`` shows its options under their headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading, in the order of the first option of each."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if found := parameter.get_help_record(ctx):
                heading = getattr(parameter, "rich_help_panel", None)
                plain = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(heading or plain, []).append(found)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    name="harness",
    help="Evaluate models that write SQL: base+adapter in 4-bit, verdicts on databases that discriminate.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)


RunFolderOption = Annotated[Path | None, typer.Option("--run", help="A run's folder. [default: the latest]")]


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(cls=_Grouped)
@with_options
def run(options: RunOptions, *, json: Json = False) -> None:
    """Generate with base and adapter, judge on populated databases, report."""
    from harness.runs.run import run as run_pairs

    screen = _screen(json)
    with screen.waiting("Reading the benchmark and the models"):
        result = run_pairs(replace(options, command=_command()), screen)
    if result is not None:
        from harness.presentation import present  # behind the work: it needs whatever draws and prints

        present(screen, result, own_folder=options.output is None)


@app.command(cls=_Grouped)
@with_options
def score(options: ScoreOptions, *, json: Json = False) -> None:
    """Judge predictions of any origin; needs no torch and no model."""
    from harness.runs.score import score as score_files

    screen = _screen(json)
    with screen.waiting("Reading the benchmark and the predictions"):
        result = score_files(replace(options, command=_command()), screen)
    from harness.presentation import present

    present(screen, result, own_folder=options.output is None)


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Runs' folders, all compared with all; of a single one, its pairs.")
    ],
    pair_a: Annotated[str | None, typer.Option(help="The pair of the first run.")] = None,
    pair_b: Annotated[str | None, typer.Option(help="The pair of the second run.")] = None,
    benchmark: BenchmarkName = None,
    flips: Annotated[bool, typer.Option("--flips", help="List every flip: fixed or broken.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write every flip to this file, a line each.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    json: Json = False,
) -> None:
    """Compare pairs example by example, with paired intervals and tests."""
    from harness.reports import compare_all

    screen = _screen(json)
    comparisons = compare_all(runs, benchmark=benchmark, pair_a=pair_a, pair_b=pair_b)
    screen.table(*comparisons.table(), names=comparisons.names)
    for line in comparisons.lines(flips=flips):
        screen.show(line)
    if csv:
        comparisons.write_csv(csv)
    if markdown:
        comparisons.write_markdown(markdown)
    screen.finish(comparisons.to_json())


@app.command()
def check(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    baseline: Annotated[Path, typer.Option(help="Committed baseline to hold the run against.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="[default: execution_accuracy]; may be repeated.")
    ] = None,
    pair: Annotated[str | None, typer.Option(help="Only this pair. [default: all of the baseline]")] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Drop that is allowed, as a share: 0.01 is one point.")
    ] = 0.01,
    alpha: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Level of the one-sided paired test, over the whole check."),
    ] = 0.05,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail too where the questions are too few to tell.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML there, a case a benchmark, pair and metric.")
    ] = None,
    comment: Annotated[
        Path | None, typer.Option(help="Write Markdown there, sized for a comment on a pull request.")
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Write the run, or its --pair alone, as the new baseline instead."),
    ] = False,
    json: Json = False,
) -> None:
    """Gate: exit code 0 if the run is no worse than the baseline, 1 if it is."""
    from harness.reports import announce, write_baseline
    from harness.reports import check as check_run

    screen = _screen(json)
    if update:
        pairs = write_baseline(run_folder, baseline, pair=pair)
        screen.show(f"{baseline} now holds {', '.join(pairs)} of {run_folder}.")
        screen.finish({"baseline": str(baseline), "run": str(run_folder), "pairs": pairs})
        return
    gate = check_run(
        run_folder,
        baseline,
        tolerance=tolerance,
        alpha=alpha,
        metrics=tuple(metric or ("execution_accuracy",)),
        pair=pair,
        strict=strict,
    )
    for line in gate.lines:
        screen.show(line)
    announce(gate, junit_file=junit, comment_file=comment)
    screen.finish(gate.to_json())
    if not gate.passed:
        raise typer.Exit(1)


@app.command()
def leaderboard(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Results files or runs' folders. [default: reports/results/*.json]"),
    ] = None,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("reports/LEADERBOARD.md"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where the file is stale.")
    ] = False,
    json: Json = False,
) -> None:
    """Render the leaderboard from committed results."""
    from harness.reports import results_files, stale, write_leaderboard

    screen = _screen(json)
    files = results_files(results or [Path("reports/results")])
    if check:
        late = stale(files, output)
        screen.show(
            f"{output} is stale: write it again with python -m harness leaderboard"
            if late
            else f"{output} is what its results give."
        )
        screen.finish({"leaderboard": str(output), "stale": late})
        if late:
            raise typer.Exit(1)
        return
    text = write_leaderboard(files, output)
    screen.show(text)
    screen.finish({"leaderboard": str(output), "results": [str(file) for file in files]})


@app.command()
def show(
    id: Annotated[str | None, typer.Argument(help="The example's id; or --failed.")] = None,
    run_folder: RunFolderOption = None,
    pair: Annotated[str | None, typer.Option(help="Only this pair.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Every wrong answer, one after the other.")
    ] = False,
    cause: Annotated[str | None, typer.Option(help="With --failed: of this cause, say wrong-column.")] = None,
    database: Annotated[
        Path | None, typer.Option(help="Write the database that shows the failure: .sqlite or .sql.")
    ] = None,
    json: Json = False,
) -> None:
    """Explain a verdict: question, queries, cause, and the smallest database that shows the difference."""
    from harness.runs.latest import latest_run
    from harness.runs.show import show_example, show_failed

    screen = _screen(json)
    if (id is None) != failed or (cause and not failed) or (failed and database):
        raise UsageError("show takes an id, or --failed", "show ID [--database FILE], or show --failed")
    folder = run_folder or latest_run()
    if id is None:
        shown = screen.walk(show_failed(folder, cause=cause, pair=pair), lambda one: one.to_text())
        screen.finish({"run": str(folder), "samples": [s for one in shown for s in one.to_json()["samples"]]})
        return
    example = show_example(folder, id, pair=pair)
    screen.show(example.to_text())
    if database:
        example.write_database(database)
        screen.show(f"Wrote {database}.")
    screen.finish(example.to_json() | ({"file": str(database)} if database else {}))


@app.command()
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    form: Annotated[
        Literal["model-index", "eval-results", "inspect"],
        typer.Option("--format", help="Whose form."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="The file to write. [default: FORMAT.yaml or .json in the run's folder]"),
    ] = None,
    pair: Annotated[str | None, typer.Option(help="The pair. [default: the only one under test]")] = None,
    benchmark: BenchmarkName = None,
    json: Json = False,
) -> None:
    """Write a pair's results as a model card's index, the hub's evaluation results or an Inspect log."""
    from harness.reports import export as export_run

    screen = _screen(json)
    target = output or run_folder / f"{form}.{'json' if form == 'inspect' else 'yaml'}"
    export_run(run_folder, target, form, benchmark=benchmark, pair=pair)
    screen.show(f"Wrote {target}.")
    screen.finish({"file": str(target)})


@app.command()
def train(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe's file, or sql-assistant, sql-assistant-fixed, …-full, grpo.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Where the adapter goes. [default: the recipe's]")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another base than the recipe's.")] = None,
    adapter: Annotated[str | None, typer.Option(help="The adapter with which grpo begins.")] = None,
    data: Annotated[Path | None, typer.Option(help="A local file in place of the recipe's data.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value than the recipe's; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    json: Json = False,
) -> None:
    """Train an adapter by a recipe; a killed training goes on where it stopped."""
    from harness.training import leads
    from harness.training import train as train_recipe

    screen = _screen(json)
    folder = train_recipe(
        recipe,
        output=output,
        model=model,
        adapter=adapter,
        data=data,
        limit=limit,
        settings=settings or (),
        device=device,
        progress=screen,
        command=_command(),
    )
    if not leads():
        return
    screen.show(f"Trained: {folder}. Evaluate it with: python -m harness run --adapter {folder}")
    screen.finish({"adapter": str(folder)})


@app.command()
def publish(
    adapter: Annotated[Path, typer.Argument(metavar="DIR", help="An adapter's folder.")],
    repository: Annotated[
        str | None, typer.Option("--repo", metavar="OWNER/NAME", help="[default: yours, named as the folder]")
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", help="The run whose figures go along. [default: the newest of these weights]"),
    ] = None,
    benchmark_id: Annotated[
        str | None, typer.Option(help="The benchmark's id on the hub: enters evaluation results for it.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a private repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, send nothing.")] = False,
    json: Json = False,
) -> None:
    """Send an adapter with its card and the figures of its last run to the hub."""
    from harness.training import publish as publish_adapter

    screen = _screen(json)
    done = publish_adapter(
        adapter,
        repository=repository,
        run=run_folder,
        benchmark_id=benchmark_id,
        private=private,
        dry_run=dry_run,
    )
    for line in done.lines():
        screen.show(line)
    screen.finish(done.to_json())


@app.command()
def benchmarks(
    name: Annotated[str | None, typer.Argument(help="Describe this one. [default: list all]")] = None,
    data: DataOption = None,
    audit: Annotated[bool, typer.Option("--audit", help="Write what its splits leak.")] = False,
    against: Annotated[Path | None, typer.Option(help="Training file to audit against.")] = None,
    json: Json = False,
) -> None:
    """List the benchmarks, describe one, or audit its splits for leaks."""
    from harness import benchmarks as room

    screen = _screen(json)
    if name is None and (audit or against or data):
        raise UsageError("no benchmark is named", "python -m harness benchmarks NAME --audit")
    if name is None:
        specs = room.list_benchmarks()
        rows = [room.listing_row(spec) for spec in specs]
        screen.table("Benchmarks", ("name", "what it is", "here"), rows, figures=False)
        screen.finish({"benchmarks": [spec.name for spec in specs]})
        return
    told: Any = room.audit(name, data=data, against=against) if audit else room.describe(name, data=data)
    screen.show(told.to_markdown())
    screen.finish(told.to_json())


@app.command()
def doctor(json: Json = False) -> None:
    """Versions, device, memory, disk, cache, hub: what an issue report needs."""
    from harness.doctor import examine

    screen = _screen(json)
    found = examine()
    screen.show(found.to_text())
    screen.finish(found.to_json())


def _screen(as_json: bool) -> Any:
    from harness.screen import Screen

    return Screen(as_json=as_json)


def _command() -> str:
    return shlex.join(["python", "-m", "harness", *sys.argv[1:]])
