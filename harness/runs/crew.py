"""Several processes on one run: who takes which examples.

Started by ``accelerate launch -m harness run …`` (or torchrun), every process loads the pair and takes
chunks of the work that is left from a counter that all share, so that a slow rank does not hold the others.
The counter lives in the store that torch's launcher has already set up; alone, there is no store.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from harness.errors import RunError

_PATIENCE = timedelta(minutes=30)
_POLL = 0.2  # seconds
_FAILED = "harness/failed"


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
        """The leader's value (JSON), the same for everybody; the others wait for it."""
        if self._store is None:
            return value
        key = self._key("agree")
        if self.leads:
            self._store.set(key, json.dumps(value))
            return value
        self._await([key])
        return json.loads(self._store.get(key))

    def fail(self, error: str) -> None:
        """Tell all who wait, now or later, that this process goes no further."""
        if self._store is not None:
            self._store.set(_FAILED, error)

    def _await(self, keys: list[str]) -> None:
        """Wait until every key is set.

        Raises:
            RunError: another process has failed.
        """
        while not self._store.check(keys):
            if self._store.check([_FAILED]):
                raise RunError(
                    f"another process failed: {self._store.get(_FAILED).decode()}",
                    "mend that and start the run again: it goes on where it stopped",
                )
            time.sleep(_POLL)

    def chunks(self, todo: Sequence[str], size: int) -> Iterator[list[str]]:
        """This process's share of ``todo``: lists of at most ``size``, taken one at a time."""
        if self._store is None:
            yield list(todo)
            return
        key = self._key("chunk")
        while (start := (self._store.add(key, 1) - 1) * size) < len(todo):
            yield list(todo[start : start + size])

    def wait_for_all(self) -> None:
        """The leader goes on when every process has come here; the others at once."""
        if self._store is None:
            return
        key = self._key("here")
        self._store.set(f"{key}/{self.rank}", "")
        if self.leads:
            self._await([f"{key}/{rank}" for rank in range(self.size)])

    def _key(self, use: str) -> str:
        self._uses += 1
        return f"harness/{self._uses}/{use}"
