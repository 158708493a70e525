"""Makes a run's folder with the harness's own writers, from a few lines a case."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.outcomes import Outcome
from harness.records import Benchmark, Example, Judging, Prediction, Rules, Sample, Verdict, Witness
from harness.runs.folder import RunFolder
from harness.runs.results import describe_benchmark, write_results
from harness.runs.samples import samples_path, write_samples
from harness.scoring.metrics import breakdown, marks, share, summarise

KINDS = ("filter", "aggregate", "join", "order")
CAUSES = ("wrong column", "missing condition", "aggregate", "literal", "join")
RULES = Rules()
WITNESS = Witness(
    script="CREATE TABLE t (name TEXT, age INTEGER);\nINSERT INTO t VALUES ('Ann', 31), ('Bo', 4);",
    image=b"",
    gold_columns=("name", "age"),
    gold_rows=(("Ann", 31), ("Bo", 4)),
    prediction_columns=("name", "age"),
    prediction_rows=(("ann", 31), ("Bo", None)),
)


def examples(n: int) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=str(number),
            question=f"What is the name of person {number} | who is <b>older</b> than {number}?",
            context="CREATE TABLE t (name VARCHAR, age INTEGER)",
            gold=f"SELECT name FROM t WHERE age > {number}",
            kind=KINDS[number % len(KINDS)],
        )
        for number in range(n)
    )


def sample(example: Example, pair: str, outcome: Outcome, **verdict: Any) -> Sample:
    cause = None if outcome.right else CAUSES[int(example.id) % len(CAUSES)]
    sql = (
        example.gold if outcome is Outcome.EXACT else f"SELECT age FROM t WHERE age > {example.id} -- {pair}"
    )
    return Sample.of(
        example,
        Prediction(id=example.id, pair=pair, sql=sql, completion=f"```sql\n{sql}\n```", clean=True),
        Verdict(
            **{
                "id": example.id,
                "pair": pair,
                "outcome": outcome,
                "exact_match": outcome is Outcome.EXACT,
                "valid_sql": outcome is not Outcome.SYNTAX_ERROR,
                "schema_adherence": outcome is not Outcome.SCHEMA_ERROR,
                "cause": cause,
                "suite_strength": 0.9 if example.id == "3" else 1.0,
                **verdict,
            }
        ),
    )


def outcomes(n: int, right: float, seed: int) -> list[Outcome]:
    """A believable list of outcomes, about ``right`` of them right."""
    draw = random.Random(seed)
    good = (Outcome.EXACT, Outcome.EXACT, Outcome.EQUIVALENT, Outcome.INDISTINGUISHABLE, Outcome.NULL_ONLY)
    bad = (Outcome.WRONG, Outcome.WRONG, Outcome.WRONG, Outcome.SCHEMA_ERROR, Outcome.SYNTAX_ERROR)
    return [draw.choice(good) if draw.random() < right else draw.choice(bad) for _ in range(n)]


def write_run(
    folder: Path,
    answers: Mapping[str, Sequence[Outcome]],
    *,
    flagged: Mapping[str, str] | None = None,
    rules: Rules = RULES,
    data_hash: str = "d" * 64,
    name: str = "starter",
    change: Callable[[Sample], Sample] = lambda made: made,
    **facts: Any,
) -> Path:
    """Write samples and results of a run in which each pair's answers end as given; returns the folder."""
    asked = examples(len(next(iter(answers.values()))))
    benchmark = Benchmark(name=name, split="test", examples=asked, rules=rules, data_hash=data_hash)
    flags: Any = flagged or {}
    made = [
        change(sample(example, pair, outcome, gold_status=flags.get(example.id, "ok")))
        for pair, ended in answers.items()
        for example, outcome in zip(asked, ended, strict=True)
    ]
    made = [one if one.execution_match else replace(one, witness=WITNESS) for one in made]
    run = RunFolder.open(folder, {"pairs": list(answers)}, command="python -m harness run")
    write_samples(samples_path(run.path, name, run.time), made)
    body = {
        "results": {name: summarise(made)},
        "breakdown": {name: breakdown(made)},
        "policy": {
            name: {
                pair: {"as judged": share([1.0] * 6 + [0.0] * 4), "case=exact": share([1.0] * 5 + [0.0] * 5)}
                for pair in answers
            }
        },
        "suite": {name: {"strength": 0.998, "databases": 8, "flagged": {}}},
        "configs": {name: describe_benchmark(benchmark, Judging(rules=rules))},
        "pairs": {
            pair: {
                "base": "starter-base",
                "adapter": None if pair == "base" else pair,
                "prompt": asdict(benchmark.prompt),
            }
            for pair in answers
        },
        "config": {"quantization": "nf4"},
        "cost": {
            name: {
                pair: {
                    "prompt_tokens": 90_000,
                    "new_tokens": 9_000,
                    "examples": len(asked),
                    "seconds": {"load": 1.5, "prefill": 8.25, "decode": 20.0},
                    "peak_memory_bytes": 2**30,
                    "padding_share": 0.04,
                }
                for pair in answers
            }
        },
        "command": "python -m harness run",
        "marks": {name: marks(made)},
        **facts,
    }
    write_results(run, body)
    return folder
