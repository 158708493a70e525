"""From predictions to the result files: verdicts, official scores, witnesses, policy, metrics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from harness.benchmarks.rows import hash_examples
from harness.databases.store import SuiteStore, cache_file
from harness.measures import Metric
from harness.records import Benchmark, Example, Judging, Prediction, Sample, Verdict
from harness.runs.folder import RunFolder
from harness.runs.official import OfficialScorers
from harness.runs.progress import Progress
from harness.runs.remarks import remarks
from harness.runs.results import SuiteFacts, describe_benchmark, metric_json, write_results
from harness.runs.samples import samples_path, write_database, write_samples
from harness.scoring.metrics import breakdown, marks, share, summarise
from harness.scoring.suspects import in_question, suspects

_Groups = dict[tuple[str, str | None, str | None], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A finished run: its folder, the results file and the metrics of every benchmark and pair."""

    folder: Path
    results_file: Path
    results: Mapping[str, Mapping[str, Mapping[str, Metric]]]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that ``run --json`` and ``score --json`` print last."""
        results = {
            benchmark: {
                pair: {name: metric_json(metric) for name, metric in metrics.items()}
                for pair, metrics in pairs.items()
            }
            for benchmark, pairs in self.results.items()
        }
        return {"run": str(self.folder), "results": results, "notes": list(self.notes)}


def conclude(
    folder: RunFolder,
    benchmark: Benchmark,
    predictions: Sequence[Prediction],
    *,
    judging: Judging,
    official: OfficialScorers,
    facts: Mapping[str, Any],
    progress: Progress,
    notes: Sequence[str] = (),
    exposed: Mapping[str, Mapping[str, Example]] | None = None,
) -> RunResult:
    """Judge every prediction and write the run's samples, results and database.

    ``official`` are the benchmark's own metrics, opened. ``exposed`` has, for a pair whose training data are
    known, the examples by id, each with what the training has seen of it.
    """
    judging = replace(judging, rules=benchmark.rules, dialect=benchmark.dialect)
    notes = (*notes, *official.notes)
    with SuiteStore(cache_file(judging.cache)) as store:
        samples = _judge(benchmark, predictions, judging, store, progress)
        samples = [_expose(sample, exposed or {}) for sample in samples]
        samples = _with_signatures(benchmark, samples, predictions, judging, store)
        samples, flagged = official.score(samples, predictions, progress)
        samples = _with_witnesses(samples, judging, store, progress)
        said = remarks(samples)
        for line in said:
            progress.say(line)
        notes = (*said, *notes)
        policy = _policy(benchmark, samples, predictions, judging, store, progress)
    write_samples(samples_path(folder.path, benchmark.name, folder.time), samples)
    results = {benchmark.name: summarise(samples)}
    path = write_results(
        folder,
        {
            "results": results,
            "policy": {benchmark.name: policy},
            "official_flagged": {benchmark.name: flagged},
            "notes": notes,
            **_described(benchmark, samples, judging),
            **facts,
        },
    )
    write_database(folder.path / "results.db", samples, results)
    return RunResult(folder=folder.path, results_file=path, results=results, notes=notes)


def _described(benchmark: Benchmark, samples: Sequence[Sample], judging: Judging) -> dict[str, Any]:
    """What the results say of the benchmark and of its samples beside the metrics."""
    sizes = {
        "original": int(benchmark.about.get("size", len(benchmark.examples))),
        "effective": len(benchmark.examples),
    }
    about = {
        "breakdown": breakdown(samples),
        "suite": _suite_facts(benchmark, samples, judging),
        "configs": describe_benchmark(benchmark, judging),
        "sizes": sizes,
        "marks": marks(samples),
    }
    return {key: {benchmark.name: value} for key, value in about.items()}


def _judge(
    benchmark: Benchmark,
    predictions: Sequence[Prediction],
    judging: Judging,
    store: SuiteStore,
    progress: Progress,
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
            judging,
            store=store,
            signatures=several,
        ):
            key = (verdict.pair, verdict.id, verdict.sample)
            verdicts[key] = replace(verdict, format_compliance=by_key[key].clean)
            advance()
    pairs = list(dict.fromkeys(p.pair for p in predictions))
    drawn = max((p.sample for p in predictions), default=0) + 1
    return [
        Sample.of(examples[id_], by_key[key], verdicts[key])
        for pair in pairs
        for id_ in examples
        for sample in range(drawn)
        if (key := (pair, id_, sample)) in verdicts
    ]


def _with_signatures(
    benchmark: Benchmark,
    samples: list[Sample],
    predictions: Sequence[Prediction],
    judging: Judging,
    store: SuiteStore,
) -> list[Sample]:
    """The samples with the signatures of their results where a gold may be the one that is wrong."""
    doubtful = set(in_question(samples))
    if not doubtful or any(sample.signature for sample in samples):
        return samples
    from harness.scoring import judge_all

    found = {
        (verdict.pair, verdict.id): verdict.signature
        for verdict in judge_all(
            [example for example in benchmark.examples if example.id in doubtful],
            [one for one in predictions if one.id in doubtful and one.sample == 0],
            judging,
            store=store,
            attacks=0,
            signatures=True,
        )
    }
    return [replace(one, signature=found.get((one.pair, one.id), "")) for one in samples]


def _expose(sample: Sample, exposed: Mapping[str, Mapping[str, Example]]) -> Sample:
    examples = exposed.get(sample.pair)
    return replace(sample, meta=examples[sample.id].meta) if examples else sample


def _with_witnesses(
    samples: list[Sample], judging: Judging, store: SuiteStore, progress: Progress
) -> list[Sample]:
    """Witnesses for up to ``judging.witnesses`` wrong samples: first those that put a gold in doubt, then
    those that the first pair has right, then the others, in turn from every pair, cause and kind."""
    first = samples[0].pair if samples else ""
    right = {s.id for s in samples if s.pair == first and s.execution_match}
    doubted = {(one.sample.pair, one.sample.id) for one in suspects(samples)}
    tiers: tuple[_Groups, _Groups, _Groups] = (defaultdict(list), defaultdict(list), defaultdict(list))
    for index, sample in enumerate(samples):
        if not sample.execution_match and sample.prediction:
            broken = sample.pair != first and sample.id in right
            tier = 0 if (sample.pair, sample.id) in doubted else 1 if broken else 2
            tiers[tier][sample.pair, sample.cause, sample.kind].append(index)
    turns = chain.from_iterable(chain.from_iterable(zip_longest(*tier.values())) for tier in tiers)
    chosen = [index for index in turns if index is not None][: judging.witnesses]
    if not chosen:
        return samples
    from harness.scoring import witnesses

    asked = [(samples[index].example, samples[index].prediction) for index in chosen]
    shown = list(samples)
    with progress.stage("Witnesses", len(chosen)) as advance:
        for position, witness in witnesses(asked, judging, store=store):
            index = chosen[position]
            shown[index] = replace(samples[index], witness=witness)
            advance()
    return shown


def _policy(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    judging: Judging,
    store: SuiteStore,
    progress: Progress,
) -> Mapping[str, Mapping[str, Metric]]:
    if not judging.policy or not samples:
        return {}
    from harness.scoring import policy_table

    first = [prediction for prediction in predictions if prediction.sample == 0]
    with progress.stage("Policy", len(first)) as advance:
        return policy_table(
            benchmark.examples,
            first,
            [sample for sample in samples if sample.sample == 0],
            judging,
            store=store,
            progress=advance,
        )


def _suite_facts(benchmark: Benchmark, samples: Sequence[Sample], judging: Judging) -> SuiteFacts:
    golds = {sample.id: sample for sample in samples}
    strengths = [gold.suite_strength for gold in golds.values() if gold.suite_strength is not None]
    flagged = Counter(gold.gold_status for gold in golds.values() if not gold.counted)
    return SuiteFacts(
        strength=share(strengths).value if strengths else None,
        databases=judging.databases,
        flagged={str(status): number for status, number in flagged.items()},
        excluded={
            example.id: {
                "status": golds[example.id].gold_status,
                "hash": hash_examples([example])[:16],
            }
            for example in benchmark.examples
            if example.id in golds and not golds[example.id].counted
        },
        suspects=tuple(one.sample.id for one in suspects(samples)),
    )
