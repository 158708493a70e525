"""The rows of a training: found, shuffled and cut as the recipe says, and known by their hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from harness.benchmarks import get_spec, list_benchmarks, load_benchmark, load_file
from harness.errors import DataError, RecipeError
from harness.models.prompts import messages
from harness.records import Example, Prompt

from .recipe import Data, Words

COLUMNS = ("question", "context", "answer")


class TrainingRows(NamedTuple):
    """``table`` is a ``datasets.Dataset`` of question, context and answer, in the recipe's order; ``hash``
    the SHA-256 of these texts in that order."""

    table: Any
    hash: str
    licence: str

    def held_out(self, count: int) -> tuple[Any, Any]:
        """The rows to train on, and the last ``count`` of them held out (None for 0)."""
        if not count:
            return self.table, None
        kept = len(self.table) - count
        if kept < 1:
            raise RecipeError(
                f"training.validation: {count} of {len(self.table)} rows leave none to train on",
                "hold out fewer of them",
            )
        return self.table.select(range(kept)), self.table.select(range(kept, len(self.table)))


def find_rows(data: Data) -> TrainingRows:
    """The rows that a recipe names. Raises DataError, BenchmarkError where they cannot be had."""
    from datasets import Dataset, disable_progress_bars, load_dataset

    disable_progress_bars()
    if data.hub is None:
        named = load_benchmark(data.benchmark, split=data.split) if data.benchmark else None
        examples = (named or load_file(data.file or Path())).examples
        found = Dataset.from_list(
            [{"question": row.question, "context": row.context, "answer": row.gold} for row in examples]
        )
    else:
        try:
            found = load_dataset(data.hub, split=data.split)
        except Exception as error:
            raise DataError(
                f"data set {data.hub} cannot be had: {error}",
                "give a local file of the same form: --data FILE",
            ) from error
        if lacking := set(COLUMNS) - set(found.column_names):
            raise DataError(
                f"data set {data.hub} has no column {min(lacking)!r}",
                "save it as a file with: " + ", ".join(COLUMNS),
            )
        found = found.select_columns(list(COLUMNS))
    found = found.shuffle(seed=data.shuffle_seed)
    if data.limit is not None:
        found = found.select(range(min(data.limit, len(found))))
    digest = hashlib.sha256()
    for row in found:
        digest.update(json.dumps([row[name] for name in COLUMNS], ensure_ascii=False).encode() + b"\n")
    return TrainingRows(found, digest.hexdigest(), _licence(data))


def turns(table: Any, words: Words, *, answered: bool) -> Any:
    """The rows as conversations: "prompt", and "completion" where they are ``answered``; else the columns
    that a reward reads stay beside the prompt."""
    prompt = Prompt(system=words.system, user=words.user)

    def turn(row: dict[str, str]) -> dict[str, Any]:
        example = Example(id="", question=row["question"], context=row["context"], gold=row["answer"])
        asked = {"prompt": messages(prompt, example)}
        if not answered:
            return asked
        return {**asked, "completion": [{"role": "assistant", "content": row["answer"]}]}

    return table.map(turn, remove_columns=table.column_names if answered else ["question"])


def _licence(data: Data) -> str:
    """What the benchmark with these rows says of their licence; empty where none has them."""
    if data.benchmark:
        return get_spec(data.benchmark).source.licence
    known = (spec.source.licence for spec in list_benchmarks() if data.hub and spec.source.hub == data.hub)
    return next(known, "")
