"""An official metric, opened on a benchmark: what all of them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

from harness.records import Benchmark, Example


class Score(NamedTuple):
    """What a scorer gives one prediction, 0 to 1, and why it is not 1 ("" where it is)."""

    value: float
    note: str = ""


RIGHT = Score(1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the official evaluators; the defaults are theirs.

    tables: Spider's tables.json (plain or .gz) or a folder that holds one; else looked for in the benchmark's
        folder. databases: the folder of DB/DB.sqlite, or WikiSQL's .db file, in place of the benchmark's own.
    edition: "test-suite" is the evaluator in force (any LIMIT is read, the placeholder ``value`` of a
        prediction is 1), "spider" the one of 2018 (LIMIT must be a number).
    keep_distinct: DISTINCT counts in spider_execution; else it is stripped from both queries.
    plug_values: the gold's values are tried in the prediction's places, spider_execution.
    ordered: WikiSQL's conditions count in their order.
    timeout: seconds for one query on one database; for BIRD, for gold and prediction together.
    """

    tables: Path | None = None
    databases: Path | None = None
    edition: Literal["test-suite", "spider"] = "test-suite"
    keep_distinct: bool = False
    plug_values: bool = False
    ordered: bool = False
    timeout: float = 30.0


class Scorer(ABC):
    """One official metric on one benchmark. Use as a context manager: some hold a process or files.

    ``source`` is the published evaluator that it follows. Opening raises BenchmarkError where a file that
    was named is not there or not in its form, or where one is missing that the figure cannot do without.
    """

    named: ClassVar[dict[str, type[Scorer]]] = {}
    """Those that have a name, by it."""

    name: ClassVar[str] = ""
    source: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            Scorer.named[cls.name] = cls

    def __init__(self, benchmark: Benchmark, options: Options) -> None:
        self.benchmark, self.options = benchmark, options
        self.held = ExitStack()

    def explain(self, example: Example, sql: str | None) -> Score | None:
        """What a prediction scores and why, of several golds beside the one that gives most.

        One that is missing scores 0. None where the example cannot be scored and others of the benchmark can:
        it does not count then.
        """
        if not self.scores(example):
            return None
        if not sql:
            return Score(0.0, "no prediction")
        sides = (example.held_to(number) for number in range(len(example.golds)))
        return max((self._explain(side, sql) for side in sides), key=lambda score: score.value)

    def score(self, example: Example, sql: str | None) -> float | None:
        """What a prediction scores, 0 to 1; None as in ``explain``."""
        found = self.explain(example, sql)
        return None if found is None else found.value

    def flagged(self) -> dict[str, str]:
        """Examples whose gold does not score 1 as its own prediction, each with the reason."""
        found = {e.id: self.explain(e.held_to(0), e.gold) for e in self.benchmark.examples}
        return {id_: score.note for id_, score in found.items() if score is not None and score.value < 1}

    def scores(self, example: Example) -> bool:
        """Whether an example can be scored."""
        return True

    def remark(self) -> str:
        """What belongs beside the figure: what is not as the published evaluator has it, "" where all is."""
        return ""

    def faithful(self) -> bool:
        """Whether the published evaluator would give this figure, of the examples that count."""
        return not self.remark()

    def levels(self) -> dict[str, str]:
        """The official difficulty of the examples by id: Spider's hardness, BIRD's difficulty; or {}."""
        return {}

    def close(self) -> None:
        """Let go of processes and files."""
        self.held.close()

    @abstractmethod
    def _explain(self, example: Example, sql: str) -> Score: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
