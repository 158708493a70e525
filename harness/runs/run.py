"""The main job: generate for every pair, judge, write the run's folder."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.files import asset
from harness.log import library_log
from harness.models import Generator, PairPlan, Settings, extract_sql, plan_endpoint, plan_pairs
from harness.models.weights import ENOUGH_IN_4_BIT
from harness.records import Benchmark, Completion, Example, Prediction, Prompt
from harness.runs import journal
from harness.runs.conclude import RunResult, conclude, official_scorers
from harness.runs.crew import Crew
from harness.runs.folder import RunFolder, digest
from harness.runs.progress import Forecast, Progress, Silent
from harness.runs.results import read_results, results_path
from harness.runs.selection import RunOptions

STARTER = "starter"
DEFAULT_BENCHMARK = "create-context-small"

Exposed = dict[str, dict[str, Example]]
"""By pair and id, the examples with what the pair's training has seen of them."""


def run(options: RunOptions, progress: Progress | None = None) -> RunResult | None:
    """Evaluate the pairs on the benchmark; go on where an earlier start of the same run stopped.

    Returns None in the processes that do not lead, where several work on one run.

    Raises:
        HarnessError: anything that the user can mend, before the first example wherever possible.
    """
    progress = progress or Silent()
    crew = Crew(progress.say)
    try:
        with library_log() as log:
            benchmark, plans, settings, folder, exposed = _prepare(options, crew, progress)
            log.write_to(folder.path)
            if not crew.leads:
                _generate(options, benchmark, plans, settings, folder, crew, Silent())
                return None
            with folder.lock():
                facts = _generate(options, benchmark, plans, settings, folder, crew, progress)
                return _conclude(options, benchmark, plans, settings, folder, facts, exposed, progress)
    except BaseException as error:
        crew.fail(str(error) or type(error).__name__)
        raise


def _prepare(
    options: RunOptions, crew: Crew, progress: Progress
) -> tuple[Benchmark, tuple[PairPlan, ...], Settings, RunFolder, Exposed]:
    own = bool(options.adapters or options.models or options.endpoint)
    adapters = options.adapters if own else (str(asset("adapters", STARTER)),)
    _plan(options, adapters, Prompt(), options.settings)  # a slip is told before a benchmark is fetched
    benchmark = options.selection.load(default=DEFAULT_BENCHMARK if own else STARTER)
    official_scorers(benchmark, options.scorers, options.official)
    settings = options.settings.replace(max_new_tokens=options.max_new_tokens or benchmark.max_new_tokens)
    plans = _plan(options, adapters, benchmark.prompt, settings)
    facts = _fingerprint(benchmark, plans, settings)
    path = options.output or _default_output(benchmark, plans, facts)
    exposed: Exposed = {}
    if crew.leads:
        exposed = _exposed(benchmark, plans, progress)
        for pair, told in _leaks(exposed).items() if not options.allow_leak else ():
            raise UsageError(
                f"{pair} was trained on the test: {told}",
                "take questions that were held out from it, or add --allow-leak: the figures are marked then",
            )
        folder = RunFolder.open(path, facts, command=options.command)
        crew.agree({"path": str(path)})
        for plan in plans:
            if plan.download:
                progress.say(plan.download)
    else:
        folder = RunFolder.open(Path(crew.agree(None)["path"]), facts)
    return benchmark, plans, settings, folder, exposed


def _plan(
    options: RunOptions, adapters: tuple[str, ...], prompt: Prompt, settings: Settings
) -> tuple[PairPlan, ...]:
    if options.endpoint:
        if options.adapters:
            raise UsageError(
                "--adapter and --endpoint do not go together", "name the served adapter with --model"
            )
        return plan_endpoint(
            options.endpoint, options.models, prompts=options.prompts, benchmark_prompt=prompt
        )
    if len(options.models) > 1:
        raise UsageError("several --model without --endpoint", "run one base at a time")
    return plan_pairs(
        adapters=adapters,
        model=options.models[0] if options.models else None,
        prompts=options.prompts,
        include_base=options.include_base,
        benchmark_prompt=prompt,
        settings=settings,
    )


def _fingerprint(benchmark: Benchmark, plans: Sequence[PairPlan], settings: Settings) -> dict[str, Any]:
    """All that the completions depend on; how fast they come and how they are judged is left out."""
    return {
        "benchmark": {"name": benchmark.name, "split": benchmark.split, "data": benchmark.data_hash},
        "pairs": {plan.name: plan.fingerprint() for plan in plans},
        "generation": settings.fingerprint(),
    }


def _default_output(benchmark: Benchmark, plans: Sequence[PairPlan], facts: Mapping[str, Any]) -> Path:
    names = [plan.name for plan in plans if plan.name != "base"] or [plan.name for plan in plans]
    stem = re.sub(r"[^\w.+-]+", "_", "-".join([benchmark.name, *names]))[:80]
    return Path("reports", "runs", f"{stem}-{digest(facts)[:8]}")


def _generate(
    options: RunOptions,
    benchmark: Benchmark,
    plans: Sequence[PairPlan],
    settings: Settings,
    folder: RunFolder,
    crew: Crew,
    progress: Progress,
) -> dict[str, Any]:
    done = crew.agree(
        sorted({key[:2] for key in _complete(folder, settings, progress.say)}) if crew.leads else None
    )
    finished = {(pair, id_) for pair, id_ in done}
    examples = {example.id: example for example in benchmark.examples}
    todo = {plan.name: [e for e in benchmark.examples if (plan.name, e.id) not in finished] for plan in plans}
    left = sum(map(len, todo.values()))
    if finished:
        progress.say(f"Going on: {len(finished)} of {len(examples) * len(plans)} answers are there already.")
    generator: Generator | None = None
    cost: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    try:
        if left:
            generator = _open(options, plans, settings, folder, crew, progress)
        with journal.Journal(folder.path, crew.rank) as book:
            if generator is not None:
                _generate_pairs(generator, todo, examples, settings, crew, book, progress)
            if crew.leads and (lost := crew.wait_for_others()):
                names = " and ".join(map(str, sorted(lost)))
                progress.say(f"Process {names} of {crew.size} is gone: what it had begun is dealt again.")
                crew.go_on_alone()
                kept = set(_complete(folder, settings, progress.say))
                again = {pair: [e for e in rows if (pair, e.id) not in kept] for pair, rows in todo.items()}
                if generator is not None:
                    _generate_pairs(generator, again, examples, settings, crew, book, progress)
    finally:
        if generator is not None:
            facts = dict(generator.facts)
            cost = {plan.name: generator.cost(plan.name).to_json() for plan in plans}
            journal.note_start(folder.path, {"facts": facts, "cost": cost})
            generator.close()
    crew.finish()
    starts = journal.starts(folder.path)
    return {
        "config": {
            **asdict(settings),
            **(starts[0]["facts"] if starts else {}),
            "processes": crew.size,
            "examples_by_process": journal.examples_by_process(folder.path, crew.size),
        },
        "cost": {benchmark.name: _sum_costs(starts, journal.read(folder.path).values())},
    }


def _open(
    options: RunOptions,
    plans: Sequence[PairPlan],
    settings: Settings,
    folder: RunFolder,
    crew: Crew,
    progress: Progress,
) -> Generator:
    if options.endpoint:
        from harness.models import connect

        return connect(options.endpoint, plans, settings)
    from harness.models import load

    def choose(what: str, measure: Callable[[], Any]) -> Any:
        return crew.agree(folder.decide(what, measure) if crew.leads else None)

    return load(plans, settings, progress.say, choose)


def _generate_pairs(
    generator: Generator,
    todo: Mapping[str, Sequence[Example]],
    examples: Mapping[str, Example],
    settings: Settings,
    crew: Crew,
    book: journal.Journal,
    progress: Progress,
) -> None:
    forecast = Forecast(sum(map(len, todo.values())), max(map(len, todo.values())))
    for pair, rows in todo.items():
        if not rows:
            continue
        with progress.stage(f"Generating · {pair}", len(rows)) as advance:
            for share in crew.shares(rows):
                for completion in generator.generate(pair, (examples[id_] for id_ in share)):
                    book.append(completion)
                    if completion.sample == settings.samples - 1:
                        done = crew.tally(pair)
                        advance(done, note=generator.cost(pair).rate())
                        if said := forecast.after(done):
                            progress.say(said)


def _complete(
    folder: RunFolder, settings: Settings, notify: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    found = journal.read(folder.path, notify)
    for pair, id_, sample in found:
        if sample == 0 and all((pair, id_, other) in found for other in range(settings.samples)):
            yield pair, id_


def _conclude(
    options: RunOptions,
    benchmark: Benchmark,
    plans: Sequence[PairPlan],
    settings: Settings,
    folder: RunFolder,
    facts: Mapping[str, Any],
    exposed: Exposed,
    progress: Progress,
) -> RunResult:
    _tell_other_rules(folder, benchmark, progress)
    completions = journal.read(folder.path)
    predictions = [
        _prediction(completions[plan.name, example.id, sample])
        for plan in plans
        for example in benchmark.examples
        for sample in range(settings.samples)
    ]
    predictions += _rule_row(benchmark)
    too_long = sum(p.finish == "prompt_too_long" for p in predictions)
    notes = [*benchmark_notes(benchmark)]
    if too_long:
        notes.append(f"{too_long} prompts were longer than the model's context and count as wrong.")
    leaks = _leaks(exposed)
    notes += [f"LEAK: {pair}: {told}. Its figures are marked with LEAK." for pair, told in leaks.items()]
    pairs = {p.name: {**p.to_json(), **({"leak": leaks[p.name]} if p.name in leaks else {})} for p in plans}
    for pair, share in facts["config"].get("four_bit_share", {}).items():
        if not share:
            continue
        pairs[pair]["weights_in_4_bit"] = f"{100 * share:.1f} %"
        if share < ENOUGH_IN_4_BIT:
            notes.append(
                f"Only {100 * share:.0f} % of the weights of {pair} are in 4-bit: the others (mostly "
                "experts of a mixture) are as the base has them."
            )
    return conclude(
        folder,
        benchmark,
        predictions,
        judging=options.judging,
        scorers=options.scorers,
        official=options.official,
        facts={**facts, "pairs": pairs, "command": options.command},
        progress=progress,
        notes=notes,
        exposed=exposed,
    )


def _tell_other_rules(folder: RunFolder, benchmark: Benchmark, progress: Progress) -> None:
    if not results_path(folder).exists():
        return
    before = read_results(folder.path).benchmark(benchmark.name).config.get("rules") or {}
    changed = [f"{rule}={now}" for rule, now in asdict(benchmark.rules).items() if before.get(rule) != now]
    if changed:
        progress.say(f"Judged anew with {', '.join(changed)}: replaces this run's earlier results.")


def _exposed(benchmark: Benchmark, plans: Sequence[PairPlan], progress: Progress) -> Exposed:
    """What the training of each adapter that declares its data has seen of the examples."""
    from harness.benchmarks import declared, expose

    found: Exposed = {}
    for plan in plans:
        if not plan.adapter or not Path(plan.adapter).is_dir():
            continue
        try:
            if trainings := declared(Path(plan.adapter)):
                found[plan.name] = {e.id: e for e in expose(benchmark, *trainings).examples}
        except HarnessError as error:
            progress.say(f"What {plan.name} saw in training stays unknown: {error}")
    return found


def _leaks(exposed: Exposed) -> dict[str, str]:
    """By pair, how many of the questions its training has seen; pairs that saw none are left out."""
    from harness.benchmarks import told_leak

    told = {pair: told_leak(list(examples.values())) for pair, examples in exposed.items()}
    return {pair: text for pair, text in told.items() if text}


def benchmark_notes(benchmark: Benchmark) -> list[str]:
    """What a benchmark itself wants said beside its figures."""
    return [note for note in [benchmark.about.get("note")] if note]


def _rule_row(benchmark: Benchmark) -> list[Prediction]:
    if "rule" not in benchmark.about.get("baselines", ""):
        return []
    from harness.benchmarks import apply_rule

    return [Prediction(id=e.id, pair="rule", sql=apply_rule(e)) for e in benchmark.examples]


def _prediction(completion: Completion) -> Prediction:
    extracted = extract_sql(completion.text)
    return Prediction(
        id=completion.id,
        pair=completion.pair,
        sql=extracted.sql,
        completion=completion.text,
        clean=extracted.clean,
        finish=completion.finish,
        sample=completion.sample,
    )


def _sum_costs(
    starts: Sequence[Mapping[str, Any]], completions: Iterable[Completion]
) -> dict[str, dict[str, Any]]:
    """What every start of the run has cost, all processes together (seconds are process-seconds then).

    Tokens and examples are counted in the journal: a start that was killed has left no cost behind.
    """
    total: dict[str, dict[str, Any]] = {}
    for start in starts:
        for pair, cost in start["cost"].items():
            total[pair] = _add(total.get(pair, {}), cost)
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for done in completions:
        counted[done.pair].update(
            examples=int(done.sample == 0), prompt_tokens=done.prompt_tokens, new_tokens=done.new_tokens
        )
    return {pair: {**total.get(pair, {}), **counts} for pair, counts in counted.items()}


def _add(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    def one(key: str) -> Any:
        x, y = a.get(key), b.get(key)
        if isinstance(x, dict) or isinstance(y, dict):
            return _add(x or {}, y or {})
        if key in {"peak_memory_bytes", "padding_share"}:
            return max(x or 0, y or 0)
        return (x or 0) + (y or 0)

    return {key: one(key) for key in {**a, **b}}
