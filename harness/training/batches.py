"""Training sequences of the starter model: one schema, several questions about it, in one sequence.

A question sees the schema and itself, never its neighbours, and its positions go on from the schema's
end. So a sequence costs the schema once, and is to the model as if each question stood alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.benchmarks.starter_domains import Domain
from harness.benchmarks.starter_questions import KINDS, ask
from harness.records import Form

from .invention import Inventor
from .tokens import ASSISTANT, END, SYSTEM, USER

if TYPE_CHECKING:
    import torch

    Tokenizer = Callable[[str], list[int]]

SYSTEM_TEXT = "You are a SQL expert."
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


class Mix(NamedTuple):
    """What sequences are made of: shares from 0 to 1, the form, and the kinds left out.

    From step ``spelled_from`` on the share ``spelled`` of the made-up words is put together of ``pieces``.
    """

    form: Form
    invented: float = 0.6
    copying: float = 0.15
    questions: int = 4
    withheld: tuple[str, ...] = ()
    spelled: float = 0.0
    spelled_from: int = 0
    pieces: tuple[str, ...] = ()


class Sample(NamedTuple):
    """Token ids, the part each belongs to (0 is the shared prefix), and whether it is to be learnt."""

    ids: list[int]
    parts: list[int]
    learnt: list[bool]


def framed(form: Form) -> tuple[str, str, str]:
    """The text before the schema, between schema and question, and between question and answer."""
    if form == "plain":
        return "", "\n-- ", "\n"
    return f"{SYSTEM}{SYSTEM_TEXT}{END}{USER}", "\nQuestion: ", f"{END}{ASSISTANT}"


def sequence(encode: Tokenizer, mix: Mix, inventor: Inventor, *, copying: float) -> Sample:
    """One schema and ``mix.questions`` questions, each with its answer and the end mark."""
    before, between, after = framed(mix.form)
    rng = inventor.rng
    domain = inventor.schema(mix.invented)
    ids = encode(before + domain.context)
    parts, learnt = [0] * len(ids), [False] * len(ids)
    kinds = [kind for kind in KINDS if kind not in mix.withheld]
    weights = [_WEIGHTS.get(kind, 1.0) for kind in kinds]
    for part in range(1, mix.questions + 1):
        if rng.random() < copying:
            question, answer = _copy(domain, inventor)
        else:
            drawn = None
            while drawn is None:
                drawn = ask(rng.choices(kinds, weights)[0], domain, rng)
            question, answer = drawn
        asked, told = encode(between + question + after), encode(answer + END)
        ids += asked + told
        parts += [part] * (len(asked) + len(told))
        learnt += [False] * len(asked) + [True] * len(told)
    return Sample(ids, parts, learnt)


def _copy(domain: Domain, inventor: Inventor) -> tuple[str, str]:
    """Names said in words and values to be written as they stand: the skill apart from SQL."""
    rng = inventor.rng
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
    return "Copy: " + ", ".join(said for said, _ in items), ", ".join(written for _, written in items)


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
    encode: Tokenizer, mix: Mix, *, tokens: int, seed: int, start: int, pad: int, warm: int = 0
) -> Iterator[Batch]:
    """Batches of about ``tokens`` tokens from step ``start`` on; the same for the same seed and step.

    Sequences of like length come together. Until step ``warm`` all is copying.
    """
    step, block = start, 8
    while True:
        first = step // block * block
        rng = random.Random(f"{seed} {mix.form} {first}")
        spelled = mix.spelled if first >= mix.spelled_from else 0.0
        inventor = Inventor(rng, pieces=mix.pieces, spelled=spelled)
        pool: list[Sample] = []
        while sum(len(each.ids) for each in pool) < tokens * block:
            pool.append(sequence(encode, mix, inventor, copying=1.0 if first < warm else mix.copying))
        pool.sort(key=lambda each: len(each.ids))
        cuts = [round(n * len(pool) / block) for n in range(block + 1)]
        order = rng.sample(range(block), block)
        for place in order[step - first :]:
            yield collate(pool[cuts[place] : cuts[place + 1]], pad)
            step += 1
