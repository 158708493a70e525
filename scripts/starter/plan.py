"""The starter pair in numbers: its shape, both trainings, the kinds of question that its base never sees."""

from __future__ import annotations

from dataclasses import dataclass

WITHHELD = ("distinct", "group", "having", "order", "limit", "join", "not_in", "nested")
"""The kinds that the adapter is to bring: 268 of the 604 test questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One training; shares are from 0 to 1, ``tokens`` are those of one step, padding included."""

    seed: int
    steps: int
    learning_rate: float
    tokens: int = 2048
    withheld: float = 0.0
    """Questions of the withheld kinds; the others keep what was learnt before."""
    invented: float = 0.6
    """Schemas with invented names, so that names are copied and not known by heart."""
    copying: float = 0.0
    """Copy tasks among the questions; without them names are hardly learnt at all."""
    dictated: float = 0.4
    """Copy tasks that dictate a whole query of any kind: SQL is met, what it answers is not."""
    copying_first: int = 0
    """Steps of copying alone, until the induction heads have settled."""
    spelled: float = 0.4
    """Invented words made of any tokens in a row: rare tokens are learnt last."""
    spelled_from: int = 0
    """The step from which words are spelled so, once copying works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The pair: ``hidden`` is a multiple of 2 × ``heads``, ``heads`` even, ``layers`` at least 3."""

    vocabulary: int = 1536
    hidden: int = 192
    intermediate: int = 384
    layers: int = 4
    heads: int = 4
    rank: int = 64
    alpha: int = 64
    """High for so small a model: with rank 16 new kinds came slowly and old ones went."""
    base: Phase = Phase(
        seed=0, steps=1400, learning_rate=2e-3, copying=0.15, copying_first=160, spelled_from=480
    )
    adapter: Phase = Phase(seed=1, steps=700, learning_rate=2e-3, withheld=0.65)


PLAN = Plan()
