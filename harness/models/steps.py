"""The decode step's forward pass, on a GPU as a CUDA graph by numbers of rows and columns.

A step of a few hundred rows is bound by starting its kernels: a graph starts all of them at once. Passes are
recorded for rows and columns rounded up (rows beyond the real ones write to the first column of free slots,
which is written again before it is read), and what they read lies in buffers that are filled before each
replay. Where nothing records (a CPU), a pass runs on exactly the rows there are. Follows PyTorch's notes on
CUDA graphs: one memory pool for all, a warm-up on a stream of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch

Forward = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
Replay = Callable[[], object]
Recorder = Callable[[Callable[[], object]], Replay]

MOST_ROWS = 1024
"""Rows above which a step is bound by its arithmetic."""

WORTH = 8
"""Passes of one shape before it is recorded, 1 or more: recording takes as long as some ten of them."""

_COLUMNS = 128


class DecodeStep:
    """Steps of one token a row. ``record`` runs a piece of device work and gives what repeats it without
    Python; None: nothing is recorded.
    """

    def __init__(self, device: torch.device, record: Recorder | None, notify: Callable[[str], None]) -> None:
        self._device, self._record, self._notify = device, record, notify
        self.worth = WORTH
        self._seen: Counter[tuple[int, int]] = Counter()
        self._recorded: dict[tuple[int, int], Replay] = {}
        self._last = self._at = torch.zeros(0, dtype=torch.long)
        self._logits = torch.zeros(0, 0)

    def forget(self) -> None:
        """Drop what is recorded: the slots lie elsewhere, or another adapter is on."""
        self._seen.clear()
        self._recorded.clear()

    def __call__(
        self, forward: Forward, last: np.ndarray, at: np.ndarray, extent: int, slots: tuple[int, int]
    ) -> torch.Tensor:
        """Logits ``[rows, vocabulary]``, good until the next call, for the tokens ``last`` in columns ``at``.

        ``forward(last, at, columns)`` gives them where the first ``columns`` of the slots count, ``extent``
        at least; ``slots`` are the rows and columns there are. It is not kept: it holds the whole model.

        Raises:
            torch.OutOfMemoryError: out of memory.
        """
        count = len(at)
        if self._record is not None and count <= MOST_ROWS:
            shape = min(bucket(count), slots[0]), min(-(-extent // _COLUMNS) * _COLUMNS, slots[1])
            self._seen[shape] += 1
            if self._seen[shape] > self.worth:
                self._make_room(min(MOST_ROWS, slots[0]))
                for buffer, values in ((self._last, last), (self._at, at)):
                    buffer[:count] = torch.from_numpy(values)
                    buffer[count:] = 0
                if shape in self._recorded or self._is_recorded(forward, shape):
                    self._recorded[shape]()
                    return self._logits[:count]
        tokens, places = (torch.from_numpy(values).to(self._device) for values in (last, at))
        logits = forward(tokens, places, extent)
        if not self._logits.numel():
            self._logits = logits.new_empty(0, logits.shape[1])
        return logits

    def _make_room(self, rows: int) -> None:
        """Have buffers of so many rows; what is recorded reads those that it was recorded with."""
        if len(self._last) < rows:
            self._recorded.clear()
            self._last, self._at = (
                torch.zeros(rows, dtype=torch.long, device=self._device) for _ in range(2)
            )
            self._logits = self._logits.new_zeros(rows, self._logits.shape[1])

    def _is_recorded(self, forward: Forward, shape: tuple[int, int]) -> bool:
        """Record the pass for a shape, unless it cannot be; the buffers hold a true step, which is made."""
        assert self._record is not None
        rows, columns = shape
        last, at, logits = self._last[:rows], self._at[:rows], self._logits[:rows]
        try:
            self._recorded[shape] = self._record(lambda: logits.copy_(forward(last, at, columns)))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # it asks the device for something amid its work
            line = (str(error).strip().splitlines() or [""])[0][:120]
            self._record = None
            self.forget()
            self._notify(f"Steps go without CUDA graphs, more slowly for few rows: {line}")
            return False
        return True


def bucket(rows: int) -> int:
    """Rows rounded up to a power of two, or to one and a half times one.

    >>> [bucket(rows) for rows in (1, 3, 5, 33, 49, 700)]
    [1, 3, 6, 48, 64, 768]
    """
    whole = 1 << (rows - 1).bit_length()
    return whole * 3 // 4 if whole >= 4 and rows <= whole * 3 // 4 else whole


def recorder(device: torch.device) -> Recorder | None:
    """What records on a device: CUDA graphs that share their memory, or nothing."""
    if device.type != "cuda":
        return None
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], object]) -> Replay:
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            work()
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            work()
        replay: Replay = graph.replay
        return replay

    return record
