"""A benchmark's own metrics beside the verdicts: which of them are computed, and what they give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from harness.errors import BenchmarkError
from harness.records import Benchmark, Prediction, Sample
from harness.runs.progress import Progress

if TYPE_CHECKING:
    from harness.scoring.official import Options, Score, Scorer


class OfficialScorers:
    """The official metrics of a run, each opened once; ``notes`` is what must be said of them.

    Of a benchmark's own metrics those are left out that cannot be what the published evaluator would
    give (no databases at all, no tables.json); ``asked`` ones are computed anyway. To be used in a ``with``.

    Raises:
        UsageError: there is no metric of that name.
        BenchmarkError: one that is asked for lacks what it needs.
    """

    def __init__(self, benchmark: Benchmark, asked: Sequence[str], options: Options | None) -> None:
        self.benchmark = benchmark
        self.scorers: dict[str, Scorer] = {}
        self.notes: tuple[str, ...] = ()
        with ExitStack() as held:
            remarks = self._open(asked, options, held) if asked or benchmark.scorers else {}
            self._held = held.pop_all()
        notes = [f"{name}: {remark}" for name, remark in remarks.items() if remark]
        if left_out := [name for name in remarks if name not in self.scorers]:
            notes.append(
                f"Left out for that reason (--scorer NAME computes them anyway): {', '.join(left_out)}"
            )
        self.notes = tuple(notes)

    def _open(self, asked: Sequence[str], options: Options | None, held: ExitStack) -> dict[str, str]:
        """Open the metrics that are computed; the remark on each that was considered."""
        from harness.scoring.official import open_scorer

        remarks: dict[str, str] = {}
        for name in asked or self.benchmark.scorers:
            try:
                scorer = held.enter_context(open_scorer(name, self.benchmark, options))
            except BenchmarkError as error:
                if asked:
                    raise
                remarks[name] = error.problem
                continue
            remarks[name] = scorer.remark()
            if asked or scorer.faithful():
                self.scorers[name] = scorer
        return remarks

    def score(
        self, samples: list[Sample], predictions: Sequence[Prediction], progress: Progress
    ) -> tuple[list[Sample], dict[str, dict[str, str]]]:
        """The samples with their official scores, and by scorer the golds that it does not score 1."""
        if not self.scorers:
            return samples, {}
        given: dict[str, dict[str, str | None]] = defaultdict(dict)
        for prediction in predictions:
            if prediction.sample == 0:
                given[prediction.pair][prediction.id] = prediction.sql
        scores: dict[tuple[str, str], dict[str, Score]] = defaultdict(dict)
        levels: dict[str, dict[str, str]] = {}
        flagged: dict[str, dict[str, str]] = {}
        with progress.stage("Official scores", len(self.scorers) * len(given)) as advance:
            for name, scorer in self.scorers.items():
                levels[name], flagged[name] = scorer.levels(), scorer.flagged()
                for pair, texts in given.items():
                    for example in self.benchmark.examples:
                        score = scorer.explain(example, texts.get(example.id))
                        if score is not None:
                            scores[pair, example.id][name] = score
                    advance()
        judged = []
        for sample in samples:
            own = scores[sample.pair, sample.id]
            by_scorer = {name: by_id.get(sample.id, "") for name, by_id in levels.items() if by_id}
            judged.append(
                replace(
                    sample,
                    meta={**sample.meta, "levels": by_scorer},
                    official={name: score.value for name, score in own.items()},
                    official_notes={name: score.note for name, score in own.items() if score.note},
                )
            )
        return judged, flagged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()
