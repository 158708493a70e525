"""The main job: generate for every pair, judge, write the run's folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.files import asset
from harness.log import library_log
from harness.models import PairPlan, Settings, extract_sql, plan_endpoint, plan_pairs
from harness.models.weights import ENOUGH_IN_4_BIT
from harness.records import Benchmark, Completion, Example, Prediction, Prompt
from harness.runs import journal
from harness.runs.conclude import RunResult, conclude
from harness.runs.crew import Crew
from harness.runs.folder import RunFolder, digest
from harness.runs.generation import Evaluation, generate
from harness.runs.official import OfficialScorers
from harness.runs.progress import Progress, Silent
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
        with library_log() as log, ExitStack() as held:
            asked = _prepare(options, crew, progress, held)
            log.write_to(asked.folder.path)
            if not crew.leads:
                generate(asked, crew, Silent())
                return None
            with asked.folder.lock():
                facts = generate(asked, crew, progress)
                return _conclude(options, asked, facts, progress)
    except BaseException as error:
        crew.fail(str(error) or type(error).__name__)
        raise


def _prepare(options: RunOptions, crew: Crew, progress: Progress, held: ExitStack) -> Evaluation:
    own = bool(options.adapters or options.models or options.endpoint)
    adapters = options.adapters if own else (str(asset("adapters", STARTER)),)
    _plan(options, adapters, Prompt(), options.settings)  # a slip is told before a benchmark is fetched
    benchmark = options.selection.load(default=DEFAULT_BENCHMARK if own else STARTER)
    official = held.enter_context(OfficialScorers(benchmark, options.scorers, options.official))
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
    return Evaluation(
        benchmark=benchmark,
        plans=plans,
        settings=settings,
        folder=folder,
        endpoint=options.endpoint,
        exposed=exposed,
        official=official,
    )


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


def _conclude(
    options: RunOptions, asked: Evaluation, facts: Mapping[str, Any], progress: Progress
) -> RunResult:
    benchmark = asked.benchmark
    _tell_other_rules(asked.folder, benchmark, progress)
    completions = journal.read(asked.folder.path)
    predictions = [
        _prediction(completions[plan.name, example.id, sample])
        for plan in asked.plans
        for example in benchmark.examples
        for sample in range(asked.settings.samples)
    ]
    predictions += _rule_row(benchmark)
    too_long = sum(p.finish == "prompt_too_long" for p in predictions)
    notes = [*benchmark_notes(benchmark)]
    if too_long:
        notes.append(f"{too_long} prompts were longer than the model's context and count as wrong.")
    leaks = _leaks(asked.exposed)
    notes += [f"LEAK: {pair}: {told}. Its figures are marked with LEAK." for pair, told in leaks.items()]
    leaked = {pair: {"leak": told} for pair, told in leaks.items()}
    pairs = {plan.name: {**plan.to_json(), **leaked.get(plan.name, {})} for plan in asked.plans}
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
        asked.folder,
        benchmark,
        predictions,
        judging=options.judging,
        official=asked.official,
        facts={**facts, "pairs": pairs, "command": options.command},
        progress=progress,
        notes=notes,
        exposed=asked.exposed,
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


def _leaks(exposed: Mapping[str, Mapping[str, Example]]) -> dict[str, str]:
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
