"""The verdict as a reward: for trl, for verl, and for anything that hands over completions and golds.

``ExecutionReward`` is a reward function of trl's ``GRPOTrainer``; ``compute_score`` is the one of verl, for a
completion or for a batch. Both give 1 for a completion whose one query is the gold's equal on databases made
to tell them apart, 0 for any other, and abstain where the gold is broken or says nothing.

>>> reward = ExecutionReward(keep=False)
>>> context = "CREATE TABLE head (name TEXT, age INTEGER)"
>>> gold = "SELECT name FROM head WHERE age > 56"
>>> told = ["SELECT name FROM head WHERE age >= 57", "SELECT name FROM head WHERE 1 = 0", "I do not know."]
>>> reward([""] * 3, told, context=[context] * 3, answer=[gold] * 3)
[1.0, 0.0, 0.0]
>>> reward([""], ["SELECT 1"], context=[context], answer=["SELECT tall FROM head"])
[None]
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache as once
from typing import Any, NamedTuple, get_args

from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.databases import Failure, Sandbox, Suite
from harness.databases.store import SuiteStore, cache_file, decode, encode, key, suite_of
from harness.models.extract import extract_sql
from harness.outcomes import Outcome
from harness.records import Example, GoldStatus, Judging
from harness.scoring.trial import expected, translate
from harness.scoring.verdict import judge
from harness.sql.parse import parse
from harness.workers import WorkerLost, WorkerPool

_REPEAT = re.compile(r"(?:^|[\n;:`])[ \t>*_(\"'-]*(?:\d+[.)][ \t]+)?$")
"""What may stand before a second query: nothing on its line or its number in a list, another one's end, a
label, a quoting mark."""
_MANY = 16
"""Queries in a completion that are looked at; where there are more, they are several."""
_LONGEST = 20_000
"""Characters of a query that is judged: no gold is a tenth as long, and parsing them all costs seconds."""

_OWN_OUTCOMES = (
    "several",
    "too_long",
    *(f"gold_{status}" for status in get_args(GoldStatus) if status != "ok"),
)
"""What a completion can come to beside the verdicts' outcomes."""


class Judged(NamedTuple):
    """What a completion came to: ``value`` is None where the gold decides nothing.

    ``outcome`` is its query's, or why no query of it was judged. No verdict says the latter, so these are no
    ``Outcome``: it holds "several", one that is "too_long", or the gold is not ok ("gold_broken", …).
    """

    value: float | None
    outcome: str
    cause: str


_Found = dict[str, tuple[str, str, float]]
"""Outcome, cause and share of databases on which it agrees, for each query of a question."""


class _Task(NamedTuple):
    """A question's suite (packed; None: to be built) and the queries to judge on it."""

    judging: Judging
    example: Example
    blob: bytes | None
    sqls: tuple[str, ...]
    dense: bool


class _Answer(NamedTuple):
    blob: bytes
    status: GoldStatus
    found: tuple[tuple[str, str, float], ...]
    """Outcome, cause and share of databases on which it agrees, for each query."""


class ExecutionReward:
    """Execution accuracy as a reward function of trl: ``GRPOTrainer(reward_funcs=ExecutionReward(), …)``.

    Completions are texts or lists of messages; the data set's columns ``context`` (CREATE statements) and
    ``answer`` (the gold, or a list of golds) come as keyword arguments. All that belong to one question are
    judged together, each different query once. A completion holds exactly one query, taken out by the rule of
    the evaluation; several different ones earn nothing, whatever they are.

    ``values`` says what an outcome is worth where it is not 1 for a right and 0 for a wrong one, for example
    ``{"null_only": 0.5}``. ``dense`` below 1 gives that much of it to a wrong query for the share of
    databases on which it agrees (none on which the gold's own result is empty). ``judging`` has the
    rules, the dialect, the number of processes that judge (with 0 or 1 this one does) and the file in which
    built suites are kept for the next training; without ``keep`` they stay in memory alone.

    Raises:
        ValueError: an unknown outcome, or a value that is not from 0 to 1.
    """

    __name__ = "execution"

    def __init__(
        self,
        *,
        context: str = "context",
        answer: str = "answer",
        values: Mapping[str, float] | None = None,
        dense: float = 0.0,
        judging: Judging | None = None,
        keep: bool = True,
    ) -> None:
        unknown = set(values or ()) - {outcome.value for outcome in Outcome}
        if unknown:
            raise ValueError(f"unknown outcome {min(unknown)!r}; outcomes are {', '.join(Outcome)}")
        if not all(0 <= value <= 1 for value in (values or {}).values()) or not 0 <= dense < 1:
            raise ValueError("values lie from 0 to 1, dense below 1")
        self._context, self._answer = context, answer
        self._values = {o.value: float(o.right) for o in Outcome} | dict(values or {})
        self._dense = dense
        self._judging = judging or Judging()
        self._cache = cache_file(self._judging.cache) if keep else None
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()
        workers = self._judging.workers
        self._pool = WorkerPool[_Task, _Answer](_work, workers=workers, seconds=30.0) if workers > 1 else None

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        *,
        log_extra: Callable[[str, list[str]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """A reward for each completion, None where its gold is broken or says nothing.

        Raises KeyError where the data set lacks the context's or the answer's column.
        """
        for name in (self._context, self._answer):
            if name not in columns:
                raise KeyError(f"the data set has no column {name!r}; it has {', '.join(sorted(columns))}")
        judged = self.judge(completions, columns[self._context], columns[self._answer])
        if log_extra:
            log_extra("outcome", [one.outcome for one in judged])
            log_extra("cause", [one.cause for one in judged])
        if log_metric and judged:
            counts = Counter(one.outcome for one in judged)
            for outcome in (
                *Outcome,
                *_OWN_OUTCOMES,
            ):  # none left out: a mean over batches takes those with 0 too
                log_metric(f"outcome/{outcome}", counts[outcome] / len(judged))
        return [one.value for one in judged]

    def judge(
        self, completions: Sequence[Any], contexts: Sequence[str], golds: Sequence[str | Sequence[str]]
    ) -> list[Judged]:
        """What each completion came to; contexts and golds are one for each completion. Safe in threads.

        A gold may be a list: the best that a completion comes to beside one of them counts.
        """
        asked: dict[tuple[str, str], dict[str, None]] = {}
        taken = []
        for completion, context, gold in zip(completions, contexts, golds, strict=True):
            sql = only_query(text_of(completion))
            questions = [(context, one) for one in ([gold] if isinstance(gold, str) else gold)]
            for question in questions:
                queries = asked.setdefault(question, {})
                if isinstance(sql, str):
                    queries[sql] = None
            taken.append((questions, sql))
        with self._lock:
            answers = self._answers(asked)
        return [_best([self._value(answers[one], sql) for one in questions]) for questions, sql in taken]

    def close(self) -> None:
        """End the worker processes."""
        if self._pool:
            self._pool.close()

    def _value(self, answer: tuple[GoldStatus, _Found], sql: str | Judged) -> Judged:
        status, found = answer
        if status != "ok":
            return Judged(None, f"gold_{status}", "")
        if isinstance(sql, Judged):
            return sql
        outcome, cause, share = found[sql]
        return Judged(self._values[outcome] or self._dense * share, outcome, cause)

    def _answers(
        self, asked: Mapping[tuple[str, str], Mapping[str, None]]
    ) -> dict[tuple[str, str], tuple[GoldStatus, _Found]]:
        examples = [Example(id="", question="", context=c, gold=g) for c, g in asked]
        keys = [key(example, self._judging) for example in examples]
        if any(name not in self._blobs for name in keys):
            with SuiteStore(self._cache) as store:
                kept = {name: store.get(name) for name in keys if name not in self._blobs}
            self._blobs |= {name: blob for name, blob in kept.items() if blob is not None}
        tasks = [
            _Task(self._judging, example, self._blobs.get(name), tuple(sqls), self._dense > 0)
            for example, name, sqls in zip(examples, keys, asked.values(), strict=True)
        ]
        answers = self._run(tasks)
        new = {}
        for name, task, answer in zip(keys, tasks, answers, strict=True):
            if task.blob is None and answer.blob:
                new[name] = answer.blob
        if new:
            self._blobs |= new
            with SuiteStore(self._cache) as store:
                for name, blob in new.items():
                    store.put(name, blob)
        return {
            question: (answer.status, dict(zip(task.sqls, answer.found, strict=True)))
            for question, task, answer in zip(asked, tasks, answers, strict=True)
        }

    def _run(self, tasks: Sequence[_Task]) -> list[_Answer]:
        """An answer for each task; a query that brings a worker down is a timeout, alone."""
        if self._pool is None:
            return [_work(task) for task in tasks]
        found = dict(self._pool.map(tasks))
        for number, task in enumerate(tasks):
            answer = found[number]
            if isinstance(answer, WorkerLost):
                found[number] = self._one_by_one(task)
        return [answer for _, answer in sorted(found.items()) if not isinstance(answer, WorkerLost)]

    def _one_by_one(self, task: _Task) -> _Answer:
        assert self._pool is not None
        alone = dict(self._pool.map([task._replace(sqls=()), *(task._replace(sqls=(s,)) for s in task.sqls)]))
        bare = alone.pop(0)
        lost = (Outcome.TIMEOUT.value, "timeout", 0.0)
        if isinstance(bare, WorkerLost):
            return _Answer(b"", "broken", (lost,) * len(task.sqls))
        parts = [lost if isinstance(a, WorkerLost) else a.found[0] for _, a in sorted(alone.items())]
        return _Answer(bare.blob, bare.status, tuple(parts))


def _best(judged: Sequence[Judged]) -> Judged:
    """The highest that a completion came to; a gold that decides nothing is left out where another does."""
    return max(judged, key=lambda one: -1.0 if one.value is None else one.value)


def only_query(text: str) -> str | Judged:
    """The one query of a completion, or what a completion with none or with several comes to.

    >>> only_query("SELECT a FROM t;\\nSELECT b FROM t")
    Judged(value=0.0, outcome='several', cause='several')
    """
    text = text[: 4 * _LONGEST]
    sql = extract_sql(text).sql
    if sql is None:
        return Judged(0.0, Outcome.MISSING.value, "missing")
    if len(sql) > _LONGEST:
        return Judged(0.0, "too_long", "too_long")
    rest = re.sub(r"\A.*</think(?:ing)?>", "", text, flags=re.S | re.I)
    for number, (before, other) in enumerate(_others(*rest.partition(sql)[::2])):
        if number == _MANY or (_plain(other) != _plain(sql) and _answers(before, other)):
            return Judged(0.0, "several", "several")
    return sql


def _others(*parts: str) -> Iterator[tuple[str, str]]:
    """What reads like a query in what is left of a completion, each with the text before it."""
    for part in parts:
        if other := extract_sql(part).sql:
            before, _, after = part.partition(other)
            yield before, other
            yield from _others(before, after)


def _plain(sql: str) -> str:
    return " ".join(sql.split()).lower()


def _answers(before: str, other: str) -> bool:
    """Whether it is one more answer and no prose: it stands where answers do, or is a whole query."""
    if _REPEAT.search(before):
        return True
    if not other.startswith(("SELECT", "WITH")):
        return False
    try:
        return any(tree.find(exp.From) for tree in parse(other))
    except SqlglotError:
        return False


def text_of(completion: Any) -> str:
    """The text of a completion: a string, or messages of which the last one counts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def format_reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
    """1 for a completion that is nothing but its query, else 0: a reward function of its own for trl."""
    return [float(extract_sql(text_of(completion)).clean) for completion in completions]


def compute_score(
    data_source: Any = None,
    solution_str: str = "",
    ground_truth: str | Sequence[str] = "",
    extra_info: Mapping[str, Any] | None = None,
    *,
    data_sources: Sequence[Any] | None = None,
    solution_strs: Sequence[str] | None = None,
    ground_truths: Sequence[str | Sequence[str]] | None = None,
    extra_infos: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
) -> Any:
    """The score of verl's reward managers: of one completion, or a list for ``solution_strs`` of a batch.

    The gold is the ground truth; the CREATE statements stand in ``extra_info["context"]``. A score is
    ``{"score", "outcome", "abstained"}``; verl knows no abstention, so there the score is 0 and the flag 1.
    Safe in threads. Raises KeyError where ``extra_info`` has no context.
    """
    single = solution_strs is None
    texts = [solution_str] if solution_strs is None else solution_strs
    golds = [ground_truth] if ground_truths is None else ground_truths
    infos = [extra_info or {}] if extra_infos is None else extra_infos
    judged = _shared().judge(texts, [info["context"] for info in infos], golds)
    scores = [
        {"score": one.value or 0.0, "outcome": one.outcome, "abstained": float(one.value is None)}
        for one in judged
    ]
    return scores[0] if single else scores


@once
def _shared() -> ExecutionReward:
    return ExecutionReward()


_OWN = threading.local()


def _work(task: _Task) -> _Answer:
    """Judge a task, in a worker or here."""
    if not hasattr(_OWN, "box"):
        _OWN.box = Sandbox()
    example, judging = task.example, task.judging
    if task.blob is None:
        suite = suite_of(judging, example)
        blob = encode(suite)
    else:
        blob, suite = task.blob, decode(task.blob, example, judging)
    if suite.gold_status != "ok":
        return _Answer(blob, suite.gold_status, tuple(("", "", 0.0) for _ in task.sqls))
    found = []
    for sql, verdict in zip(task.sqls, judge(suite, task.sqls, box=_OWN.box), strict=True):
        share = 0.0
        if task.dense and not verdict.execution_match and verdict.valid_sql:
            share = _agreement(suite, sql, _OWN.box)
        found.append((verdict.outcome.value, verdict.cause or "", share))
    return _Answer(blob, "ok", tuple(found))


def _agreement(suite: Suite, sql: str, box: Sandbox) -> float:
    """The share of databases on which a query agrees with the gold, of those where the gold finds rows."""
    text = translate(suite, sql)
    agreed = []
    for database in suite.databases:
        answers = [answer for answer in expected(suite, database) if answer and answer.result.rows]
        if answers:
            box.load(database.image)
            result = box.query(text)
            agreed.append(not isinstance(result, Failure) and any(answer.same(result) for answer in answers))
    return sum(agreed) / len(agreed) if agreed else 0.0
