"""Chance that is the same on every machine."""

from __future__ import annotations

from hashlib import blake2b
from random import Random


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
