"""The completions of a run: what its folder lacks is dealt among the processes and generated."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.models import Generator, PairPlan, Settings
from harness.records import Benchmark, Completion, Example
from harness.runs import journal
from harness.runs.crew import Crew
from harness.runs.folder import RunFolder
from harness.runs.official import OfficialScorers
from harness.runs.progress import Forecast, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a run is to do: the pairs' answers to a benchmark's questions, kept in a folder.

    ``exposed`` has, by pair and id, the examples with what the pair's training has seen of them; ``endpoint``
    is the address of the server that answers ("" for none), ``official`` the benchmark's own metrics, opened.
    """

    benchmark: Benchmark
    plans: tuple[PairPlan, ...]
    settings: Settings
    folder: RunFolder
    endpoint: str | None
    exposed: Mapping[str, Mapping[str, Example]]
    official: OfficialScorers


def generate(asked: Evaluation, crew: Crew, progress: Progress) -> dict[str, Any]:
    """Generate what the folder lacks, with all processes of the crew; what the results say of that."""
    plans, folder, examples = asked.plans, asked.folder, asked.benchmark.examples
    done = crew.agree(sorted(set(_complete(asked, progress.say))) if crew.leads else None)
    finished = {(pair, id_) for pair, id_ in done}
    todo = {plan.name: [e for e in examples if (plan.name, e.id) not in finished] for plan in plans}
    if finished:
        progress.say(f"Going on: {len(finished)} of {len(examples) * len(plans)} answers are there already.")
    generator: Generator | None = None
    try:
        if any(todo.values()):
            generator = _open(asked, crew, progress)
        _answer(asked, generator, todo, crew, progress)
    finally:
        if generator is not None:
            cost = {plan.name: generator.cost(plan.name).to_json() for plan in plans}
            journal.note_start(folder.path, {"facts": dict(generator.facts), "cost": cost})
            generator.close()
    crew.finish()
    starts = journal.starts(folder.path)
    return {
        "config": {
            **asdict(asked.settings),
            **_facts(starts),
            "processes": crew.size,
            "examples_by_process": journal.examples_by_process(folder.path, crew.size),
        },
        "cost": {asked.benchmark.name: _sum_costs(starts, journal.read(folder.path).values())},
    }


def _answer(
    asked: Evaluation,
    generator: Generator | None,
    todo: Mapping[str, Sequence[Example]],
    crew: Crew,
    progress: Progress,
) -> None:
    """Generate and note down what is to do, and then what processes that were lost have left undone."""
    with journal.Journal(asked.folder.path, crew.rank) as book:
        if generator is not None:
            _generate_pairs(asked, generator, todo, crew, book, progress)
        if crew.leads and (lost := crew.wait_for_others()):
            names = " and ".join(map(str, sorted(lost)))
            progress.say(f"Process {names} of {crew.size} is gone: what it had begun is dealt again.")
            crew.go_on_alone()
            kept = set(_complete(asked, progress.say))
            again = {pair: [e for e in rows if (pair, e.id) not in kept] for pair, rows in todo.items()}
            if generator is not None:
                _generate_pairs(asked, generator, again, crew, book, progress)


def _open(asked: Evaluation, crew: Crew, progress: Progress) -> Generator:
    if asked.endpoint:
        from harness.models import connect

        return connect(asked.endpoint, asked.plans, asked.settings)
    from harness.models import load

    def choose(what: str, measure: Callable[[], Any]) -> Any:
        return crew.agree(asked.folder.decide(what, measure) if crew.leads else None)

    return load(asked.plans, asked.settings, progress.say, choose)


def _generate_pairs(
    asked: Evaluation,
    generator: Generator,
    todo: Mapping[str, Sequence[Example]],
    crew: Crew,
    book: journal.Journal,
    progress: Progress,
) -> None:
    examples = {example.id: example for example in asked.benchmark.examples}
    forecast = Forecast(sum(map(len, todo.values())), max(map(len, todo.values())))
    for pair, rows in todo.items():
        if not rows:
            continue
        with progress.stage(f"Generating · {pair}", len(rows)) as advance:
            for share in crew.shares(rows):
                for completion in generator.generate(pair, (examples[id_] for id_ in share)):
                    book.append(completion)
                    if completion.sample == asked.settings.samples - 1:
                        done = crew.tally(pair)
                        advance(done, note=generator.cost(pair).rate())
                        if said := forecast.after(done):
                            progress.say(said)


def _complete(asked: Evaluation, notify: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Pair and example of whatever has all of its samples."""
    found = journal.read(asked.folder.path, notify)
    for pair, id_, sample in found:
        if sample == 0 and all((pair, id_, other) in found for other in range(asked.settings.samples)):
            yield pair, id_


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


def _facts(starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the starts of a run found: the first word counts, and each pair may have come in another."""
    found: dict[str, Any] = {}
    for start in starts:
        for name, fact in start["facts"].items():
            known = found.setdefault(name, fact)
            if isinstance(known, dict) and isinstance(fact, dict):
                found[name] = {**fact, **known}
    return found


def _add(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    def one(key: str) -> Any:
        x, y = a.get(key), b.get(key)
        if isinstance(x, dict) or isinstance(y, dict):
            return _add(x or {}, y or {})
        if key in {"batch_rows", "peak_memory_bytes", "padding_share"}:
            return max(x or 0, y or 0)
        return (x or 0) + (y or 0)

    return {key: one(key) for key in {**a, **b}}
