"""Several processes on one run: who takes which examples.

Started by ``accelerate launch -m harness run …`` (or torchrun), every process loads the pair and takes
chunks of the work that is left from a counter that all share, so that a slow rank does not hold the others.
The counter lives in the store that torch's launcher has already set up; alone, there is no store.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from harness.errors import RunError

_PATIENCE = timedelta(hours=24)


class Crew:
    """The processes of one run. ``rank`` 0 leads: it writes everything but the journals of the others."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._store: Any = None
        self._uses = 0
        if self.size > 1:
            from torch.distributed import rendezvous

            self._store, self.rank, self.size = next(iter(rendezvous("env://", timeout=_PATIENCE)))

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's results."""
        return self.rank == 0

    def agree(self, value: Any) -> Any:
        """The leader's value (JSON), the same for everybody; the others wait for it.

        A leader that fails passes its error on with ``fail``, so that nobody waits for it in vain.
        """
        if self._store is None:
            return value
        key = self._key("agree")
        if self.leads:
            self._store.set(key, json.dumps({"value": value}))
            return value
        self._store.wait([key], _PATIENCE)
        told = json.loads(self._store.get(key))
        if "error" in told:
            raise RunError(told["error"], "see the first process's message")
        return told["value"]

    def fail(self, error: str) -> None:
        """Tell those who wait in the next ``agree`` that there will be no value."""
        if self._store is not None and self.leads:
            self._store.set(self._key("agree"), json.dumps({"error": error}))

    def chunks(self, todo: Sequence[str], size: int) -> Iterator[list[str]]:
        """This process's share of ``todo``: lists of at most ``size``, taken one at a time."""
        if self._store is None:
            yield list(todo)
            return
        key = self._key("chunk")
        while (start := (self._store.add(key, 1) - 1) * size) < len(todo):
            yield list(todo[start : start + size])

    def gather(self, value: Any) -> list[Any]:
        """What every process brings (JSON), in the order of ranks, on the leader; its own elsewhere."""
        if self._store is None:
            return [value]
        key = self._key("gather")
        self._store.set(f"{key}/{self.rank}", json.dumps(value))
        keys = [f"{key}/{rank}" for rank in range(self.size)]
        if not self.leads:
            return [value]
        self._store.wait(keys, _PATIENCE)
        return [json.loads(self._store.get(key)) for key in keys]

    def _key(self, use: str) -> str:
        self._uses += 1
        return f"harness/{self._uses}/{use}"
