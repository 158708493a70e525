"""From predictions to the result files: verdicts, official scores, witnesses, policy, metrics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records import Benchmark, Example, Metric, Prediction, Sample, Verdict
from harness.runs.files import (
    describe_benchmark,
    samples_path,
    to_json,
    write_database,
    write_results,
    write_samples,
)
from harness.runs.folder import RunFolder
from harness.runs.progress import Progress
from harness.scoring.metrics import breakdown, share, summarise

if TYPE_CHECKING:
    from harness.scoring.official import Options, Score

_Groups = dict[tuple[str, str | None, str | None], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How predictions are judged.

    ``size`` is the number of databases an example, ``workers`` that of processes, ``witnesses`` that
    of wrong predictions which get their smallest database at once (the others on demand), ``cache``
    the folder of built suites (None: the user's cache). ``policy`` asks for the score with each rule
    flipped. ``official`` are the official scorers' options (None: theirs).
    """

    size: int = 8
    seed: int = 0
    workers: int = 1
    witnesses: int = 200
    policy: bool = True
    cache: Path | None = None
    official: Options | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A finished run: its folder, the results file and the metrics of every benchmark and pair."""

    folder: Path
    results_file: Path
    results: Mapping[str, Mapping[str, Mapping[str, Metric]]]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that ``run --json`` and ``score --json`` print last."""
        return {"run": str(self.folder), "results": to_json(self.results), "notes": list(self.notes)}


def conclude(
    folder: RunFolder,
    benchmark: Benchmark,
    predictions: Sequence[Prediction],
    *,
    judging: Judging,
    scorers: Sequence[str],
    facts: Mapping[str, Any],
    progress: Progress,
    notes: Sequence[str] = (),
    exposed: Mapping[str, Mapping[str, Example]] | None = None,
) -> RunResult:
    """Judge every prediction and write the run's samples, results and database.

    ``exposed`` has, for a pair whose training data are known, the examples by id, each with what the
    training has seen of it.
    """
    scorers, remarks = official_scorers(benchmark, scorers, judging)
    notes = (*notes, *remarks)
    samples = _judge(benchmark, predictions, judging, progress)
    samples = [_expose(sample, exposed or {}) for sample in samples]
    samples = _with_official(benchmark, samples, scorers, judging, progress)
    witnesses = _witnesses(benchmark, samples, judging, progress)
    rows = write_samples(samples_path(folder, benchmark.name), samples, witnesses)
    results = {benchmark.name: summarise(samples)}
    body: dict[str, Any] = {
        "results": results,
        "breakdown": {benchmark.name: breakdown(samples)},
        "policy": {benchmark.name: _policy(benchmark, samples, judging, progress)},
        "suite": {benchmark.name: _suite_facts(samples, judging)},
        "configs": {
            benchmark.name: {**describe_benchmark(benchmark), "size": judging.size, "seed": judging.seed}
        },
        "n-samples": {
            benchmark.name: {
                "original": int(benchmark.about.get("size", len(benchmark.examples))),
                "effective": len(benchmark.examples),
            }
        },
        "official_flagged": {benchmark.name: _flagged_golds(benchmark, scorers, judging)},
        "notes": list(notes),
        **facts,
    }
    path = write_results(folder, body)
    write_database(folder.path / "results.db", rows, results)
    return RunResult(folder=folder.path, results_file=path, results=results, notes=tuple(notes))


def _how(benchmark: Benchmark, judging: Judging) -> dict[str, Any]:
    """What verdicts, witnesses and policy are all told."""
    return {
        "rules": benchmark.rules,
        "dialect": benchmark.dialect,
        "workers": judging.workers,
        "size": judging.size,
        "seed": judging.seed,
        "cache": judging.cache,
    }


def _judge(
    benchmark: Benchmark, predictions: Sequence[Prediction], judging: Judging, progress: Progress
) -> list[Sample]:
    from harness.scoring import judge_all

    examples = {example.id: example for example in benchmark.examples}
    by_key = {(p.pair, p.id, p.sample): p for p in predictions}
    assert len(by_key) == len(predictions), "one prediction a pair, example and sample"
    several = any(p.sample for p in predictions)
    verdicts: dict[tuple[str, str, int], Verdict] = {}
    with progress.stage("Judging", len(predictions)) as advance:
        for verdict in judge_all(
            benchmark.examples,
            predictions,
            **_how(benchmark, judging),
            signatures=several,
        ):
            key = (verdict.pair, verdict.id, verdict.sample)
            verdicts[key] = replace(verdict, format_compliance=by_key[key].clean)
            advance()
    pairs = list(dict.fromkeys(p.pair for p in predictions))
    drawn = max((p.sample for p in predictions), default=0) + 1
    return [
        Sample(example=examples[id_], prediction=by_key[key], verdict=verdicts[key])
        for pair in pairs
        for id_ in examples
        for sample in range(drawn)
        if (key := (pair, id_, sample)) in verdicts
    ]


def _expose(sample: Sample, exposed: Mapping[str, Mapping[str, Example]]) -> Sample:
    examples = exposed.get(sample.verdict.pair)
    return replace(sample, example=examples[sample.example.id]) if examples else sample


def official_scorers(
    benchmark: Benchmark, asked: Sequence[str], judging: Judging
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The official metrics to compute, and what must be said of them.

    Of a benchmark's own metrics those are left out that cannot be what the published evaluator would
    give (no databases, no tables.json); ``asked`` ones are computed anyway.

    Raises:
        UsageError: there is no metric of that name.
    """
    if not (asked or benchmark.scorers):
        return (), ()
    from harness.scoring.official import remarks

    said = {name: remarks(name, benchmark, options=judging.official) for name in asked or benchmark.scorers}
    chosen = tuple(asked) or tuple(name for name, lines in said.items() if not lines)
    left_out = [name for name in said if name not in chosen]
    notes = [line for lines in said.values() for line in lines]
    if left_out:
        notes.append(f"Left out for that reason (--scorer NAME computes them anyway): {', '.join(left_out)}")
    return chosen, tuple(notes)


def _with_official(
    benchmark: Benchmark, samples: list[Sample], scorers: Sequence[str], judging: Judging, progress: Progress
) -> list[Sample]:
    if not scorers:
        return samples
    from harness.scoring.official import explain_official, levels

    predictions: dict[str, dict[str, Prediction]] = defaultdict(dict)
    for sample in samples:
        if sample.prediction.sample == 0:
            predictions[sample.prediction.pair][sample.example.id] = sample.prediction
    scores: dict[tuple[str, str], dict[str, Score]] = defaultdict(dict)
    hardness = {scorer: levels(scorer, benchmark, options=judging.official) for scorer in scorers}
    with progress.stage("Official scores", len(scorers) * len(predictions)) as advance:
        for scorer in scorers:
            for pair, by_id in predictions.items():
                found = explain_official(scorer, benchmark, by_id, options=judging.official)
                for id_, score in found.items():
                    scores[pair, id_][scorer] = score
                advance()
    judged = []
    for sample in samples:
        given = scores[sample.verdict.pair, sample.example.id]
        by_scorer = {scorer: by_id.get(sample.example.id, "") for scorer, by_id in hardness.items() if by_id}
        verdict = replace(
            sample.verdict,
            official={scorer: score.value for scorer, score in given.items()},
            official_notes={scorer: score.note for scorer, score in given.items() if score.note},
        )
        example = replace(sample.example, meta={**sample.example.meta, "levels": by_scorer})
        judged.append(replace(sample, example=example, verdict=verdict))
    return judged


def _flagged_golds(
    benchmark: Benchmark, scorers: Sequence[str], judging: Judging
) -> dict[str, dict[str, str]]:
    if not scorers:
        return {}
    from harness.scoring.official import flagged_golds

    return {scorer: flagged_golds(scorer, benchmark, options=judging.official) for scorer in scorers}


def _witnesses(
    benchmark: Benchmark, samples: Sequence[Sample], judging: Judging, progress: Progress
) -> dict[int, Any]:
    """Witnesses of up to ``judging.witnesses`` wrong samples: first of those that the first pair has right,
    then of the others, in turn from every pair, cause and kind."""
    first = samples[0].verdict.pair if samples else ""
    right = {s.example.id for s in samples if s.verdict.pair == first and s.verdict.execution_match}
    tiers: tuple[_Groups, _Groups] = (defaultdict(list), defaultdict(list))
    for index, sample in enumerate(samples):
        if not sample.verdict.execution_match and sample.prediction.sql:
            broken = sample.verdict.pair != first and sample.example.id in right
            key = (sample.verdict.pair, sample.verdict.cause, sample.example.kind)
            tiers[0 if broken else 1][key].append(index)
    turns = chain.from_iterable(chain.from_iterable(zip_longest(*tier.values())) for tier in tiers)
    chosen = [index for index in turns if index is not None][: judging.witnesses]
    if not chosen:
        return {}
    from harness.scoring import witnesses

    found: dict[int, Any] = {}
    with progress.stage("Witnesses", len(chosen)) as advance:
        for position, witness in witnesses(
            [(samples[index].example, samples[index].prediction) for index in chosen],
            **_how(benchmark, judging),
        ):
            if witness is not None:
                found[chosen[position]] = witness
            advance()
    return found


def _policy(
    benchmark: Benchmark, samples: Sequence[Sample], judging: Judging, progress: Progress
) -> Mapping[str, Mapping[str, Metric]]:
    if not judging.policy or not samples:
        return {}
    from harness.scoring import policy_table

    first = [sample for sample in samples if sample.prediction.sample == 0]
    with progress.stage("Policy", len(first)) as advance:
        return policy_table(
            benchmark.examples,
            [sample.prediction for sample in first],
            [sample.verdict for sample in first],
            **_how(benchmark, judging),
            progress=advance,
        )


def _suite_facts(samples: Sequence[Sample], judging: Judging) -> dict[str, Any]:
    verdicts = {sample.example.id: sample.verdict for sample in samples}
    strengths = [v.suite_strength for v in verdicts.values() if v.suite_strength is not None]
    flagged = Counter(v.gold_status for v in verdicts.values() if v.gold_status != "ok")
    return {
        "strength": share(strengths).value if strengths else None,
        "databases": judging.size,
        "flagged": dict(flagged),
        "flagged_ids": sorted(id_ for id_, v in verdicts.items() if v.gold_status != "ok"),
    }
