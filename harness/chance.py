"""Chance that is the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A stream of numbers that depends on its seed alone: the same on every machine and Python."""

    __slots__ = ("_random",)

    def __init__(self, *seed: object) -> None:
        digest = blake2b("\x1f".join(map(str, seed)).encode("utf-8", "replace"), digest_size=8).digest()
        self._random = Random(int.from_bytes(digest, "big")).random

    def below(self, n: int) -> int:
        """A number from 0 to n - 1."""
        return int(self._random() * n)

    def skewed(self, n: int) -> int:
        """A number from 0 to n - 1, small ones more often."""
        x = self._random()
        return int(x * x * n)

    def hit(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self._random() * 100 < percent

    def picks(self, values: Sequence[T], count: int) -> list[T]:
        """So many of the values, each as likely as the others, also more than once."""
        random, n = self._random, len(values)
        return [values[int(random() * n)] for _ in range(count)]

    def skewed_picks(self, values: Sequence[T], count: int) -> list[T]:
        """So many of the values, the first ones more often."""
        random, n = self._random, len(values)
        return [values[int(x * x * n)] for x in [random() for _ in range(count)]]

    def hits(self, percent: int, count: int) -> list[int]:
        """Which of ``count`` cases are among the so many of a hundred."""
        random, share = self._random, percent / 100
        return [number for number in range(count) if random() < share]

    def shuffled(self, n: int) -> list[int]:
        """The numbers from 0 to n - 1 in a drawn order."""
        random = self._random
        return sorted(range(n), key=[random() for _ in range(n)].__getitem__)
