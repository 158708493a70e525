"""Several processes on one run: who takes which examples, who leads, who is still there.

Started by ``accelerate launch -m harness run …`` (or torchrun), every process loads the pair and gets a fair
share of the examples (``deal``), whole schemas at a time; one that is through with its own helps the one
that has most left. What is taken stands in the store that torch's launcher has already set up. Every
process shows a sign of life in it, so that one that dies is noticed and its examples are dealt again.
"""

from __future__ import annotations

import heapq
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from harness.errors import RunError
from harness.records import Example

_MEETING = timedelta(minutes=10)  # for all processes to come
_PATIENCE = timedelta(seconds=60)  # for one word with the store
_POLL = 0.1  # seconds
_BEAT = 2.0  # seconds between signs of life
_SILENCE = 40.0  # seconds without one: dead
_BITE = 16  # examples taken at a time
_LETTERS = 4  # characters of a token, about
_ANSWER = 32  # an answer's tokens, about
_FAILED = "harness/failed"
_GONE = "the leading process is gone"
_AGAIN = "start the run again: it goes on where it stopped"


def deal(examples: Sequence[Example], ranks: int) -> list[list[str]]:
    """The ids that each rank begins with: shares of equally many tokens, whole schemas where they fit.

    A schema's tokens count once for a rank, since questions on it share them. The schema with the longest
    prompt comes first, and its longest question.

    >>> rows = [Example(id=str(i), question="?", context="ab"[i > 2], gold="") for i in range(6)]
    >>> deal(rows, 2)
    [['0', '1', '2'], ['3', '4', '5']]
    >>> [len(share) for share in deal(rows, 4)]
    [2, 1, 2, 1]
    """
    groups: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda e: -len(e.question)):
        groups.setdefault(example.context, []).append(example)
    shares: list[list[tuple[int, list[Example]]]] = [[] for _ in range(ranks)]
    fair = sum(_tokens(group) for group in groups.values()) / ranks
    loads = [(0.0, rank) for rank in range(ranks)]
    for group in sorted(groups.values(), key=_tokens, reverse=True):
        rest = group
        while rest:
            load, rank = heapq.heappop(loads)
            count = len(rest)
            if load + _tokens(rest) > fair + _ANSWER:
                fitting = (n for n in range(1, count) if load + _tokens(rest[:n]) >= fair)
                count = next(fitting, count)
            part, rest = rest[:count], rest[count:]
            heapq.heappush(loads, (load + _tokens(part), rank))
            shares[rank].append((len(part[0].context) + len(part[0].question), part))
    ordered = (sorted(share, key=lambda piece: -piece[0]) for share in shares)
    return [[example.id for _, part in share for example in part] for share in ordered]


def _tokens(group: Sequence[Example]) -> float:
    letters = len(group[0].context) + sum(len(example.question) for example in group)
    return letters / _LETTERS + _ANSWER * len(group)


class Crew:
    """The processes of one run. ``rank`` 0 leads: it writes everything but the journals of the others."""

    def __init__(self, notify: Callable[[str], None] = lambda _: None) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._store: Any = None
        self._uses = 0
        self._beats: dict[int, tuple[bytes, float]] = {}
        self._lost: set[int] = set()
        self._tallied: dict[str, int] = {}
        self._over = threading.Event()
        if self.size > 1:
            self._meet(notify)
        elif "MASTER_ADDR" in os.environ and "ACCELERATE_MIXED_PRECISION" in os.environ:
            notify(
                "accelerate was asked for several processes and started one (it sees no GPU); this starts "
                "them: torchrun --nproc_per_node 2 -m harness run …"
            )

    def _meet(self, notify: Callable[[str], None]) -> None:
        from torch.distributed import rendezvous

        if self.leads:
            notify(f"Waiting for all of the {self.size} processes.")
        try:
            found = next(iter(rendezvous("env://", timeout=_MEETING)))
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"the {self.size} processes did not come together: {str(error).splitlines()[0][:160]}",
                "start as many as WORLD_SIZE says, all with the same MASTER_ADDR and MASTER_PORT",
            ) from error
        self._store, self.rank, self.size = found
        self._store.set_timeout(_PATIENCE)
        threading.Thread(target=self._show_life, daemon=True).start()

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
            self._ask("set", key, json.dumps(value))
            return value
        self._await({0: key})
        return json.loads(self._ask("get", key))

    def fail(self, error: str) -> None:
        """Tell all who wait, now or later, that this process goes no further."""
        if self._store is not None:
            self._over.set()
            try:
                self._store.set(_FAILED, error)
            except RuntimeError:
                return  # nobody is left to be told

    def shares(self, examples: Sequence[Example]) -> Iterator[Iterator[str]]:
        """The ids that this process works on: first its own share, taken as it is asked for, then help.

        All processes begin together. Who is through with all that it took takes half of what the slowest
        has not begun, a dead process's like any other, until nothing is left.

        Raises:
            RunError: the leader is gone, or another process has failed.
        """
        if self._store is None:
            yield iter(deal(examples, 1)[0])
            return
        key = self._key("share")
        self._ask("set", f"{key}/here/{self.rank}", "")
        self._await({rank: f"{key}/here/{rank}" for rank in range(self.size)})
        dealt = deal(examples, self.size)
        yield self._own(key, dealt)
        while True:
            left = {rank: self._left(key, share, rank) for rank, share in enumerate(dealt)}
            slowest = max(left, key=lambda rank: left[rank][1] - left[rank][0])
            if left[slowest][0] >= left[slowest][1]:
                return
            yield iter(self._take(key, dealt, slowest, helping=True))

    def _own(self, key: str, dealt: Sequence[Sequence[str]]) -> Iterator[str]:
        while taken := self._take(key, dealt, self.rank, helping=False):
            yield from taken

    def _left(self, key: str, share: Sequence[str], rank: int) -> tuple[int, int, str]:
        """First and last example of a share that nobody has taken, and the word for it in the store."""
        said = self._ask("compare_set", f"{key}/{rank}", "", f"0,{len(share)},").decode()
        first, end, _ = said.split(",", 2)
        return int(first), int(end), said

    def _take(self, key: str, dealt: Sequence[Sequence[str]], rank: int, *, helping: bool) -> list[str]:
        """A bite of a rank's own share from the front, or half of what another has left from the end."""
        while True:
            first, end, said = self._left(key, dealt[rank], rank)
            count = -(-(end - first) // 2) if helping else min(_BITE, end - first)
            if count <= 0:
                return []
            begin, after = (first, end - count) if helping else (first + count, end)
            mine = f"{begin},{after},{self.rank}"  # the taker's name: two may want the same
            if self._ask("compare_set", f"{key}/{rank}", said, mine).decode() == mine != said:
                return list(dealt[rank][end - count : end] if helping else dealt[rank][first:begin])

    def tally(self, pair: str) -> int:
        """Count an example of a pair as done; how many all processes did since this one asked last."""
        if self._store is None:
            return 1
        total = int(self._ask("add", f"harness/tally/{pair}", 1))
        news, self._tallied[pair] = total - self._tallied.get(pair, 0), total
        return news

    def finish(self) -> None:
        """Say that this process has nothing more to write."""
        if self._store is not None:
            self._ask("set", f"harness/finished/{self.rank}", "")
            self._over.set()

    def wait_for_others(self) -> set[int]:
        """Wait until every other process has finished; those that died instead."""
        if self._store is not None:
            self._await({rank: f"harness/finished/{rank}" for rank in range(1, self.size)})
        return set(self._lost)

    def go_on_alone(self) -> None:
        """Wait for nobody any more: what is dealt from now on is all this process's."""
        self._over.set()
        self._store = None

    def _await(self, keys: dict[int, str]) -> None:
        """Wait until every rank has set its key, or is dead.

        Raises:
            RunError: another process has failed, or the leader is gone.
        """
        waiting = dict(keys)
        while waiting := {
            rank: key
            for rank, key in waiting.items()
            if rank not in self._lost and not self._ask("check", [key])
        }:
            if self._ask("check", [_FAILED]):
                raise RunError(
                    f"another process failed: {self._ask('get', _FAILED).decode()}",
                    "mend that and start the run again: it goes on where it stopped",
                )
            self._lost |= {rank for rank in waiting if rank != self.rank and self._is_silent(rank)}
            if 0 in self._lost:
                raise RunError(_GONE, _AGAIN)
            time.sleep(_POLL)

    def _is_silent(self, rank: int) -> bool:
        key, now = f"harness/beat/{rank}", time.monotonic()
        beat = self._ask("get", key) if self._ask("check", [key]) else b""
        before, since = self._beats.get(rank, (None, now))
        self._beats[rank] = (beat, since if beat == before else now)
        return beat == before and now - since > _SILENCE

    def _show_life(self) -> None:
        count = 0
        store = self._store
        while not self._over.wait(_BEAT):
            count += 1
            try:
                store.set(f"harness/beat/{self.rank}", str(count))
            except RuntimeError:
                return  # the store is gone; the next word with it says so

    def _ask(self, operation: str, *arguments: Any) -> Any:
        try:
            return getattr(self._store, operation)(*arguments)
        except RuntimeError as error:
            raise RunError(_GONE, _AGAIN) from error

    def _key(self, use: str) -> str:
        self._uses += 1
        return f"harness/{self._uses}/{use}"
