"""BIRD's execution accuracy (EX) and soft F1.

Follow ``evaluation_ex.py`` and ``evaluation_f1.py`` of https://github.com/bird-bench/mini_dev (Li et al.
2023), written anew from their behaviour. EX compares sets of rows: order and repetition do not count, the
order of columns does. One limit of time holds for prediction and gold together; whatever fails scores 0.
R-VES is left out: it is made of timings, which do not repeat.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence

from harness.databases.answers import Failure, ResultRow
from harness.records import Example
from harness.scoring.official.execution import ExecutionScorer, Openable
from harness.scoring.official.scorer import RIGHT, Score

SOURCE = "https://github.com/bird-bench/mini_dev (evaluation/evaluation_ex.py, evaluation_f1.py)"


def soft_f1(predicted: Sequence[ResultRow], gold: Sequence[ResultRow]) -> float:
    """F1 over the values of rows that stand at the same place, both results without repeated rows.

    A row's values count in shares of the gold row's width: those of the prediction that the gold row has
    are right, its others are wrong, and those of the gold row that the prediction lacks are
    missed. A row without a partner is wrong or missed as a whole. Two empty results score 1.

    >>> round(soft_f1([("a", 1), ("b", 3)], [("a", 1), ("b", 2)]), 3)
    0.75
    """
    if not predicted and not gold:
        return 1.0
    ours, theirs = list(dict.fromkeys(predicted)), list(dict.fromkeys(gold))
    paired = min(len(ours), len(theirs))
    right, wrong, missed = 0.0, float(len(ours) - paired), float(len(theirs) - paired)
    for row, wanted in zip(ours, theirs, strict=False):
        hits = sum(value in wanted for value in row)
        right += hits / len(wanted)
        wrong += (len(row) - hits) / len(wanted)
        missed += sum(value not in row for value in wanted) / len(wanted)
    if not right:
        return 0.0
    precision, recall = right / (right + wrong), right / (right + missed)
    return 2 * precision * recall / (precision + recall)


class BirdScorer(ExecutionScorer):
    """Runs both queries and compares their rows; of several populated databases the worst counts."""

    source = SOURCE

    @abstractmethod
    def compare(self, predicted: Sequence[ResultRow], gold: Sequence[ResultRow]) -> float:
        """What two results score, 0 to 1."""

    def levels(self) -> dict[str, str]:
        """BIRD's own difficulty of each example, which is its kind."""
        return {example.id: example.kind for example in self.benchmark.examples if example.kind}

    def _explain(self, example: Example, sql: str) -> Score:
        databases = self.databases(example)
        if not databases:
            return Score(0.0, "no database could be populated from the schema")
        worst = RIGHT
        for database in databases:
            worst = min(worst, self._on(database, sql, example.gold))
            if not worst.value:
                break
        return worst

    def _on(self, database: Openable, sql: str, gold: str) -> Score:
        start = time.monotonic()
        found = self.run(database, sql)
        if isinstance(found, Failure):
            return Score(0.0, f"does not run: {found.message}")
        wanted = self.run(database, gold)
        if isinstance(wanted, Failure):
            return Score(0.0, f"the gold does not run: {wanted.message}")
        if time.monotonic() - start > self.options.timeout:
            return Score(0.0, f"it and the gold take more than {self.options.timeout:g} s together")
        value = self.compare(found.rows, wanted.rows)
        return Score(value, "" if value == 1 else "another answer")


class ExecutionAccuracy(BirdScorer):
    """1 where both results are the same set of rows."""

    name = "bird_ex"

    def compare(self, predicted: Sequence[ResultRow], gold: Sequence[ResultRow]) -> float:
        """1.0 where both are the same set of rows."""
        return float(set(predicted) == set(gold))


class SoftF1(BirdScorer):
    """The share of values that agree; see ``soft_f1``."""

    name = "bird_soft_f1"

    def compare(self, predicted: Sequence[ResultRow], gold: Sequence[ResultRow]) -> float:
        """F1 over the values of rows at the same place."""
        return soft_f1(predicted, gold)
