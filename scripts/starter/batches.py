"""Training sequences of the starter pair: one schema, several questions about it, in one sequence.

A question sees the schema and itself, never its neighbours, and its positions go on from the schema's
end. So a sequence costs the schema once, and is to the model as if each question stood alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .domains import Domain
from .draw import Question
from .invention import Inventor
from .plan import WITHHELD, Phase
from .questions import KINDS, ask
from .tokens import ASSISTANT, END, SYSTEM, USER

if TYPE_CHECKING:
    import torch

    Tokenizer = Callable[[str], list[int]]

BEFORE = f"{SYSTEM}You are a SQL expert.{END}{USER}"
BETWEEN = "\nQuestion: "
AFTER = f"{END}{ASSISTANT}"
"""The chat form of the benchmark's prompt: text before the schema, before and after the question."""
_QUESTIONS = 4
"""Questions about a schema: more would make long rows of one schema, fewer repeat it more often."""
_WEIGHTS = {
    "join": 3.0,
    "not_in": 1.6,
    "nested": 1.6,
    "or": 1.5,
    "and": 1.3,
    "group": 1.3,
    "having": 1.5,
    "like": 1.3,
}
"""How often the harder kinds are drawn; the others count 1."""
_OTHERS = tuple(kind for kind in KINDS if kind not in WITHHELD)


class Sample(NamedTuple):
    """Token ids, the part each belongs to (0 is the shared prefix), and whether it is to be learnt."""

    ids: list[int]
    parts: list[int]
    learnt: list[bool]


def sequence(encode: Tokenizer, phase: Phase, inventor: Inventor, *, copying: float) -> Sample:
    """One schema and a few questions, each with its answer and the end mark."""
    rng = inventor.rng
    domain = inventor.schema(phase.invented)
    ids = encode(BEFORE + domain.context)
    parts, learnt = [0] * len(ids), [False] * len(ids)
    for part in range(1, _QUESTIONS + 1):
        if rng.random() < copying:
            question, answer = _copy(domain, inventor, phase.dictated)
        else:
            new = phase.withheld and rng.random() < phase.withheld
            question, answer = _asked(WITHHELD if new else _OTHERS, domain, rng)
        asked, told = encode(BETWEEN + question + AFTER), encode(answer + END)
        ids += asked + told
        parts += [part] * (len(asked) + len(told))
        learnt += [False] * len(asked) + [True] * len(told)
    return Sample(ids, parts, learnt)


def _asked(kinds: Sequence[str], domain: Domain, rng: random.Random) -> Question:
    """A question of one of the kinds, answered in the pair's own hand."""
    weights = [_WEIGHTS.get(kind, 1.0) for kind in kinds]
    while True:
        drawn = ask(rng.choices(kinds, weights)[0], domain, rng)
        if drawn is not None:
            return drawn._replace(answer=own_hand(drawn.answer))


def own_hand(sql: str) -> str:
    """A gold as the pair learns to write it: the same meaning, seldom the same text."""
    sql = sql.replace(" <> ", " != ").replace(" ASC", "")
    return re.sub(r"(\w+) BETWEEN (\d+) AND (\d+)", r"\1 >= \2 AND \1 <= \3", sql)


def _copy(domain: Domain, inventor: Inventor, dictated: float) -> Question:
    """Text to be written as it stands: a whole query, or names said in words and values."""
    rng = inventor.rng
    if rng.random() < dictated:
        query = _asked(tuple(KINDS), domain, rng).answer
        return Question(f"Copy: {query}", query)
    names = [column.name for table in domain.tables for column in table.columns]
    items = []
    for _ in range(rng.randint(2, 5)):
        draw = rng.random()
        if draw < 0.65:
            name = rng.choice(names)
            items.append((name.replace("_", " "), name))
        elif draw < 0.85:
            text = " ".join(inventor.word().capitalize() for _ in range(rng.choice((1, 2))))
            items.append((text, f"'{text}'"))
        else:
            number = str(rng.randint(0, 10 ** rng.randint(1, 5)))
            items.append((number, number))
    return Question(
        "Copy: " + ", ".join(said for said, _ in items), ", ".join(written for _, written in items)
    )


class Batch(NamedTuple):
    """Padded tensors: ids, positions (rows, length), mask (rows, 1, length, length); what to learn where."""

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor


def collate(sequences: Sequence[Sample], pad: int) -> Batch:
    """Sequences padded on the right to the longest (rounded up to 16)."""
    import torch

    longest = -(-max(len(each.ids) for each in sequences) // 16) * 16
    ids = torch.full((len(sequences), longest), pad)
    parts = torch.full((len(sequences), longest), -1)
    learnt = torch.zeros((len(sequences), longest), dtype=torch.bool)
    positions = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, each in enumerate(sequences):
        size = len(each.ids)
        ids[row, :size] = torch.tensor(each.ids)
        parts[row, :size] = torch.tensor(each.parts)
        learnt[row, :size] = torch.tensor(each.learnt)
        prefix = each.parts.count(0)
        start, spots = 0, list(range(prefix))
        for place in range(prefix, size):
            if each.parts[place] != each.parts[place - 1]:
                start = place
            spots.append(prefix + place - start)
        positions[row, :size] = torch.tensor(spots)
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    same = (parts[:, None, :] == parts[:, :, None]) | (parts[:, None, :] == 0)
    mask = (causal & same)[:, None]
    rows, columns = torch.nonzero(learnt, as_tuple=True)
    return Batch(ids, positions, mask, rows, columns - 1, ids[rows, columns])


def batches(
    encode: Tokenizer, phase: Phase, *, pieces: Sequence[str], start: int, pad: int
) -> Iterator[Batch]:
    """Batches of about ``phase.tokens`` tokens from step ``start`` on; the same for the same phase and step.

    Sequences of like length come together. ``pieces`` are the tokens that words are spelled of.
    """
    step, block = start, 8
    while True:
        first = step // block * block
        rng = random.Random(f"{phase.seed} {first}")
        inventor = Inventor(rng, pieces=pieces, spelled=phase.spelled if first >= phase.spelled_from else 0.0)
        pool: list[Sample] = []
        while sum(len(each.ids) for each in pool) < phase.tokens * block:
            copying = 1.0 if first < phase.copying_first else phase.copying
            pool.append(sequence(encode, phase, inventor, copying=copying))
        pool.sort(key=lambda each: len(each.ids))
        cuts = [round(n * len(pool) / block) for n in range(block + 1)]
        order = rng.sample(range(block), block)
        for place in order[step - first :]:
            yield collate(pool[cuts[place] : cuts[place + 1]], pad)
            step += 1
