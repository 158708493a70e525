"""Many predictions judged over worker processes, an example at a time.

A worker that dies or hangs over an example is replaced, and that example's predictions are tried again one
by one: whichever brings its worker down once more is a timeout. Nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from harness.databases import Sandbox, Suite
from harness.databases.store import SuiteStore, suites
from harness.outcomes import Outcome
from harness.records import Example, Judging, Prediction, Rules, Verdict, Witness
from harness.scoring.attack import ATTACKS
from harness.scoring.cause import CLAUSES
from harness.scoring.own_database import own_database
from harness.scoring.verdict import harness_error, judge
from harness.scoring.witness import find_witness
from harness.workers import WorkerLost, WorkerPool

_Task = TypeVar("_Task")
_Value = TypeVar("_Value")
MEMORY_MIB = 2048
SECONDS = 60.0


class Task(NamedTuple):
    """What a worker is given: an example with its suite and the SQL texts to judge."""

    example: Example
    suite: Suite
    sqls: tuple[str | None, ...]
    attacks: int
    signatures: bool


class Grouped(NamedTuple):
    """An example and the predictions made for it."""

    example: Example
    predictions: tuple[Prediction, ...]


def judge_all(
    examples: Sequence[Example],
    predictions: Iterable[Prediction],
    judging: Judging | None = None,
    *,
    store: SuiteStore | None = None,
    attacks: int = ATTACKS,
    signatures: bool = False,
    built: Rules | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Verdict]:
    """A verdict for every prediction that belongs to one of the examples, example after example.

    Where an example has several golds, each has a suite of its own and the best verdict counts.

    Suites come from the store (see ``suites``) or are built on the way. ``built`` are the rules that the
    suites are built under where those that are judged by differ only in how results are compared.
    ``progress`` is called with the number of predictions just judged.
    """
    judging = judging or Judging()
    groups = group(examples, predictions)
    held = {
        f"{number}\n{g.example.id}": (g, replace(g.example.held_to(number), id=f"{number}\n{g.example.id}"))
        for g in groups
        for number in range(len(g.example.golds))
    }
    asked = [example for _, example in held.values()]
    tasks = (
        Task(
            held[id_][1],
            replace(suite, rules=judging.rules),
            tuple(p.sql for p in held[id_][0].predictions),
            attacks,
            signatures,
        )
        for id_, suite in suites(asked, replace(judging, rules=built or judging.rules), store=store)
    )
    waiting: dict[str, dict[str, list[Verdict]]] = {}
    for task, verdicts in _over(tasks, judging.workers):
        example, own = held[task.example.id][0]
        beside = waiting.setdefault(example.id, {})
        beside[task.example.id] = verdicts
        if len(beside) < len(example.golds):
            continue
        del waiting[example.id]
        sides = [beside[f"{number}\n{example.id}"] for number in range(len(example.golds))]
        for prediction, *found in zip(own, *sides, strict=True):
            yield replace(best(found), id=prediction.id, pair=prediction.pair, sample=prediction.sample)
        if progress:
            progress(len(own))


def best(verdicts: Sequence[Verdict]) -> Verdict:
    """Of the verdicts on one prediction beside each of an example's golds the surest that it is right.

    Sound golds come before flagged ones; a prediction that equals none is held against the one that its text
    differs from in the fewest clauses.
    """
    numbered = [replace(verdict, gold_number=number) for number, verdict in enumerate(verdicts)]
    sound = [verdict for verdict in numbered if verdict.counted] or numbered
    order = list(Outcome)
    found = min(
        sound,
        key=lambda v: (
            (order.index(v.outcome), 0)
            if v.outcome.counts != "wrong"
            else (len(order), v.clauses or len(CLAUSES))
        ),
    )
    return replace(
        found, raw_match=any(verdict.raw_match for verdict in sound), signature=verdicts[0].signature
    )


def witnesses(
    pairs: Sequence[tuple[Example, str | None]],
    judging: Judging | None = None,
    *,
    store: SuiteStore | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Witness | None]]:
    """The smallest database found for each example and wrong SQL text, with the index in ``pairs``."""
    judging = judging or Judging()
    places: dict[str, list[int]] = {}
    for place, (example, _) in enumerate(pairs):
        places.setdefault(example.id, []).append(place)
    order: list[int] = []

    def tasks() -> Iterator[tuple[Suite, str | None]]:
        for id_, suite in suites([pairs[own[0]][0] for own in places.values()], judging, store=store):
            for place in places[id_]:
                order.append(place)
                yield suite, pairs[place][1]

    for number, found in _mapped(_witness_task, tasks(), judging.workers):
        yield order[number], None if isinstance(found, WorkerLost) else found
        if progress:
            progress(1)


def group(examples: Sequence[Example], predictions: Iterable[Prediction]) -> list[Grouped]:
    """The examples that have predictions, in the order of the examples, each with all of its predictions."""
    found: dict[str, list[Prediction]] = {example.id: [] for example in examples}
    for prediction in predictions:
        if prediction.id in found:
            found[prediction.id].append(prediction)
    by_id: Mapping[str, Example] = {example.id: example for example in examples}
    return [Grouped(by_id[id_], tuple(own)) for id_, own in found.items() if own]


def _over(tasks: Iterable[Task], workers: int) -> Iterator[tuple[Task, list[Verdict]]]:
    waiting: dict[int, Task] = {}

    def numbered() -> Iterator[Task]:
        for number, task in enumerate(tasks):
            waiting[number] = task
            yield task

    lost: list[Task] = []
    for number, verdicts in _mapped(_judge_task, numbered(), workers):
        task = waiting.pop(number)
        if isinstance(verdicts, WorkerLost):
            lost.append(task)
        else:
            yield task, verdicts
    for task in lost:
        found: dict[int, list[Verdict]] = {}
        single = [task._replace(sqls=(sql,)) for sql in task.sqls]
        for number, verdicts in _mapped(_judge_task, single, workers):
            found[number] = [_lost(task.suite)] if isinstance(verdicts, WorkerLost) else verdicts
        yield task, [found[number][0] for number in range(len(single))]


def _mapped(
    function: Callable[[_Task], _Value], tasks: Iterable[_Task], workers: int
) -> Iterator[tuple[int, _Value | WorkerLost]]:
    """The number of each task and what came of it."""
    with WorkerPool(function, workers=workers, memory_mib=MEMORY_MIB, seconds=SECONDS) as pool:
        yield from pool.map(tasks)


def _lost(suite: Suite) -> Verdict:
    return Verdict(
        id="",
        pair="",
        outcome=Outcome.TIMEOUT,
        valid_sql=True,
        cause=Outcome.TIMEOUT.words,
        detail="brought its worker process down",
        gold_status=suite.gold_status,
        gold_reason=suite.reason,
        suite_strength=suite.strength,
        widened=suite.widened,
    )


_BOXES: list[Sandbox] = []


def _box() -> Sandbox:
    """This process's sandbox."""
    if not _BOXES:
        _BOXES.append(Sandbox())
    return _BOXES[0]


def _judge_task(task: Task) -> list[Verdict]:
    return judge(
        task.suite,
        task.sqls,
        box=_box(),
        real=own_database(task.example, task.suite.rules),
        attacks=task.attacks,
        signatures=task.signatures,
    )


def _witness_task(task: tuple[Suite, str | None]) -> Witness | None:
    suite, sql = task
    try:
        return None if not sql else find_witness(suite, sql, _box())
    except Exception as error:  # a witness that is not found ends nothing
        harness_error(suite, sql, error)
        return None
