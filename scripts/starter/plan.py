"""The starter base in numbers: its shape, its training, and the kinds of question that it never sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A training of the base; shares are from 0 to 1, ``tokens`` are those of one step, padding included."""

    seed: int = 0
    vocabulary: int = 1536
    hidden: int = 192
    intermediate: int = 384
    layers: int = 4
    heads: int = 4
    """``hidden`` is a multiple of 2 × ``heads``, ``heads`` even and ``layers`` at least 3 (see induction)."""

    steps: int = 1400
    tokens: int = 2048
    learning_rate: float = 2e-3
    withheld: tuple[str, ...] = ("distinct", "group", "having", "order", "limit", "join", "not_in", "nested")
    """The kinds that the adapter is to bring: 268 of the 604 test questions."""
    invented: float = 0.6
    """Schemas with invented names, so that names are copied and not known by heart."""
    copying: float = 0.15
    """Copy tasks among the questions; without them names are hardly learnt at all."""
    dictated: float = 0.4
    """Copy tasks that dictate a whole query of any kind: SQL is met, what it answers is not."""
    copying_first: int = 160
    """Steps of copying alone, until the induction heads have settled."""
    spelled: float = 0.4
    """Invented words made of any tokens in a row: rare tokens are learnt last."""
    spelled_from: int = 480
    """The step from which words are spelled so, once copying works."""


PLAN = Plan()
