"""The key/value cache of the engine: a slab of slots, one a prompt, that rows enter and leave at any time.

Every row starts at column 0 of its slot and grows to the right, so that there is no left padding: positions
are plain columns, a row's own length is all that its mask needs, and rows of any age stand side by side.
Finished rows cost nothing: the last active row moves into the place of one that leaves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class Filled(Exception):
    """Ends a prefill's forward pass when every layer has its keys and values: no more is wanted."""


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, ``[rows, heads, columns, dim]``; where the next update goes is ``at``."""

    is_sliding = False
    is_croppable = False

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the slab's memory, at the first update."""
        rows, columns = self.window.rows, self.window.columns
        self.keys = _zeros(key_states, (rows, key_states.shape[1], columns, key_states.shape[3]))
        self.values = _zeros(value_states, (rows, value_states.shape[1], columns, value_states.shape[3]))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns and give back all that the queries may look at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window, width = self.window, key_states.shape[2]
        first, end, extent = window.first, window.first + key_states.shape[0], window.extent
        if window.columns_at is not None:
            self.keys[window.index, :, window.columns_at] = key_states.transpose(1, 2)
            self.values[window.index, :, window.columns_at] = value_states.transpose(1, 2)
            if window.prefix is not None:
                slot, shared = window.prefix
                before = self.keys[slot, :, :shared][None], self.values[slot, :, :shared][None]
                seen = torch.cat([before[0], key_states], 2), torch.cat([before[1], value_states], 2)
            else:
                seen = self.keys[first:end, :, :extent], self.values[first:end, :, :extent]
        else:
            self.keys[first:end, :, :width] = key_states
            self.values[first:end, :, :width] = value_states
            seen = key_states, value_states
        if window.waiting is not None:
            window.waiting.discard(self)
            if not window.waiting:
                raise Filled
        return seen

    def get_seq_length(self) -> int:
        """Columns before those of the forward pass under way."""
        return self.window.past

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of key columns, and the first one."""
        return self.window.extent, 0

    def get_max_length(self) -> int:
        """Columns of the slab."""
        return self.window.columns


def _zeros(like: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Zeros in the dtype and on the device of another tensor; on a CPU memory is taken as it is written."""
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    room = np.zeros(math.prod(shape) * like.element_size(), dtype=np.uint8)
    return torch.from_numpy(room).view(like.dtype).reshape(shape)


class Window:
    """The part of the slab that a forward pass reads and writes, shared by all layers.

    Row ``first + i`` gets its new columns at ``columns_at[i]`` (None: from column 0 on) and its queries look
    at columns below ``extent``. With a ``prefix`` (slot, columns) the tokens of many rows stand in one line:
    queries look at the prefix and at the line. A pass that fills ends when no layer is ``waiting`` any more.
    """

    __slots__ = (
        "columns",
        "columns_at",
        "extent",
        "first",
        "index",
        "past",
        "prefix",
        "rows",
        "waiting",
    )

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.first = self.past = self.extent = 0
        self.index: torch.Tensor | None = None
        self.columns_at: torch.Tensor | None = None
        self.prefix: tuple[int, int] | None = None
        self.waiting: set[SlotLayer] | None = None


class SlotCache(Cache):  # type: ignore[misc]
    """The slab of all layers."""

    def __init__(self, layers: int, rows: int, columns: int) -> None:
        self.window = Window(rows, columns)
        super().__init__(layers=[SlotLayer(self.window) for _ in range(layers)])

    @property
    def rows(self) -> int:
        """Slots in the slab."""
        return self.window.rows

    @property
    def columns(self) -> int:
        """Tokens that a slot holds."""
        return self.window.columns

    def aim(
        self,
        first: int,
        rows: int,
        width: int,
        extent: int,
        at: torch.Tensor | None,
        *,
        fills: bool = False,
    ) -> None:
        """Point the next forward pass at ``rows`` rows from ``first`` on, ``width`` new columns each.

        The i-th row's begin at ``at[i]``; None means at 0 for all. What would lie beyond the slab is padding
        and lands in its last column, which is written again before it is read. One that ``fills`` raises
        ``Filled`` as soon as all layers have their keys and values.
        """
        window = self.window
        window.waiting, window.prefix = set(self.layers) if fills else None, None
        window.first, window.past, window.extent = first, extent - width, extent
        window.index = window.columns_at = None
        if at is not None:
            window.index = torch.arange(first, first + rows, device=at.device)[:, None]
            columns = at[:, None] + torch.arange(width, device=at.device)
            window.columns_at = columns.clamp_(max=window.columns - 1)

    def line_up(self, slots: torch.Tensor, columns: torch.Tensor, prefix: tuple[int, int]) -> None:
        """Point the next forward pass at tokens in one line: the i-th goes to ``columns[i]`` of ``slots[i]``.

        What all rows begin with is read from the ``prefix``: the first columns of a slot. The pass fills.
        """
        window = self.window
        window.waiting, window.prefix = set(self.layers), prefix
        window.first, window.past, window.extent = 0, prefix[1], prefix[1] + len(slots)
        window.index, window.columns_at = slots[None], columns[None]

    def move(self, sources: Sequence[int], targets: Sequence[int], extent: int) -> None:
        """Copy rows over others, the first ``extent`` columns of them."""
        slabs = [slab[:, :, :extent] for layer in self.layers for slab in (layer.keys, layer.values)]
        if slabs[0].is_cuda:
            source, target = (torch.tensor(rows, device=slabs[0].device) for rows in (sources, targets))
            for slab in slabs:
                slab.index_copy_(0, target, slab.index_select(0, source))
            return
        for slab in slabs:  # one by one is three times as fast on a CPU
            for one, other in zip(sources, targets, strict=True):
                slab[other] = slab[one]

    def spread(self, keys: list[torch.Tensor], values: list[torch.Tensor], first: int, rows: int) -> None:
        """Write one prefix (``[1, heads, columns, dim]`` a layer) into the first columns of some rows."""
        for layer, key, value in zip(self.layers, keys, values, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(key, value)
            layer.keys[first : first + rows, :, : key.shape[2]] = key
            layer.values[first : first + rows, :, : value.shape[2]] = value

    def resize(self, rows: int, columns: int, keep: int, extent: int) -> None:
        """Another shape, layer by layer, with the first ``keep`` rows' first ``extent`` columns in it."""
        self.window.rows, self.window.columns = rows, columns
        for layer in self.layers:
            if layer.is_initialized:
                keys, values = layer.keys, layer.values
                layer.keys = layer.values = None
                layer.lazy_initialization(keys, values)
                layer.keys[:keep, :, :extent] = keys[:keep, :, :extent]
                layer.values[:keep, :, :extent] = values[:keep, :, :extent]
                del keys, values
