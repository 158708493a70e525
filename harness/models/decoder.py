"""Prefill and decode over the slots of one loaded base: one loop over the model's own forward pass.

Each prompt gets a slot of the key/value slab (``slots``), a batched prefill without its last token, and then
every step feeds one token a row. A row that ends leaves at once, and when enough slots are free the next
prompts are let in, so that the batch stays full to the end. What a prompt begins with in common with another
(the system turn, the schema) is copied from that one's slot instead of computed again. Out of memory halves
the rows in use and goes on; after a while twice as many are tried.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import DynamicCache

from harness.errors import ModelError
from harness.models.cost import Cost, process_memory
from harness.models.forbidden import Forbidden
from harness.models.masks import Masks
from harness.models.pair import LoadedBase, Notify
from harness.models.pair_plan import Settings
from harness.models.slots import Filled, SlotCache
from harness.models.steps import DecodeStep, recorder
from harness.models.weights import cache_argument

_CPU_ROWS, _GPU_ROWS = 128, 4096  # rows decoded together at most
_CPU_PASS, _GPU_PASS = 4096, 65536  # tokens of one prefill pass at most
_CPU_PADDING, _GPU_PADDING = 256, 8192  # padding of one pass that costs less than another pass
_CPU_START = 4e8  # … on a CPU as many tokens as have that many weights, and 16 for reading the weights again
_CPU_LINE = 256  # tokens of many prompts in one line: without padding, but each meets all others in attention
_CPU_LARGE = 1e8  # weights from which that pays on a CPU
_CALM = 2048  # rows finished since memory ran out, before twice as many are tried
_WORTH_SHARING = 8  # tokens
_USUAL_COLUMNS = 512  # tokens of a prompt and its answer, before any is known


@dataclass(slots=True)
class Row:
    """A prompt on its way: its tokens, which sample it is, what it may share, and its seed.

    Its chance begins anew whenever it enters a slot, so that a row that had to start over is the same.
    """

    example: str
    sample: int
    ids: np.ndarray
    group: str
    seed: str = ""
    dice: random.Random | None = None


class Finished(NamedTuple):
    """A row that ended, its new tokens without the end mark, and whether there was one."""

    row: Row
    tokens: list[int]
    stopped: bool


class Decoder:
    """Rows in, finished rows out. ``context`` is the number of tokens that the model can look at."""

    def __init__(self, base: LoadedBase, settings: Settings, notify: Notify) -> None:
        self._model, self._settings, self._notify = base.model, settings, notify
        self._device = torch.device(base.device)
        self._gpu = self._device.type == "cuda"
        config = base.model.config.get_text_config(decoder=True)
        self.context = int(getattr(config, "max_position_embeddings", None) or 1 << 20)
        self._cached_by = cache_argument(base.model)
        self._layers, self._token_bytes = self._measure()
        self._masks = Masks(base.model, self._device)
        self._passing, self._wasting = (_GPU_PASS, _GPU_PADDING) if self._gpu else (_CPU_PASS, _CPU_PADDING)
        self._lines = not self._gpu and base.weights >= _CPU_LARGE
        if not self._gpu:
            self._wasting = min(_CPU_PADDING, 16 + int(_CPU_START / base.weights))
        self._none = torch.zeros(
            0, dtype=torch.long, device=self._device
        )  # positions whose logits are wanted
        self._limit = settings.batch_size or (_GPU_ROWS if self._gpu else _CPU_ROWS)
        self._most, self._calm = self._limit, 0
        self._queue: deque[Row] = deque()
        self._cache: SlotCache | None = None
        self.steps = DecodeStep(self._device, recorder(self._device), notify)
        self._forbidden: Forbidden | None = None
        self.watch: dict[str, list[torch.Tensor]] | None = None  # the steps' logits by example, for the guard
        self.begin(Cost(), np.zeros(0, dtype=np.int64))

    @property
    def wanted(self) -> int:
        """How many more prompts the free slots can hold, 1 or more."""
        rows = self._cache.rows if self._cache else self._budget(_USUAL_COLUMNS)
        return max(1, rows - len(self._rows) - len(self._queue))

    def begin(self, cost: Cost, stops: np.ndarray, forbidden: Forbidden | None = None) -> None:
        """Start with nothing in the slots, for a pair that stops at these tokens and never writes those."""
        self._forbidden = forbidden
        self.steps.forget()  # another adapter may be on
        self._queue.clear()
        self._clear()
        self._head: tuple[np.ndarray, list[torch.Tensor], list[torch.Tensor]] | None = None
        self._cost, self._stops = cost, stops

    def add(self, rows: Sequence[Row]) -> None:
        """Queue prompts: the group with the longest first, the longest first within it."""
        longest: dict[str, int] = {}
        for row in rows:
            longest[row.group] = max(longest.get(row.group, 0), len(row.ids))
        self._queue.extend(
            sorted(rows, key=lambda r: (-longest[r.group], r.group, -len(r.ids), r.example, r.sample))
        )

    def run(self, *, drain: bool) -> Iterator[Finished]:
        """Rows as they finish, until slots are free for more (``drain``: until nothing is left).

        Raises:
            ModelError: out of memory with a single row.
        """
        while self._queue or (self._rows and (drain or not self._is_hungry())):
            try:
                finished: list[Finished] = []
                if self._queue and self._has_room():
                    with self._cost.stage("prefill"), torch.inference_mode():
                        self._admit()
                if self._rows:
                    with self._cost.stage("decode"), torch.inference_mode():
                        finished = self._step()
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                    raise
                self._shrink(error)
            if finished:
                peak = torch.cuda.max_memory_allocated(self._device) if self._gpu else process_memory()
                self._cost.peak_memory_bytes = max(self._cost.peak_memory_bytes, peak)
            self._calm += len(finished)
            if self._limit < self._most and self._calm >= _CALM:  # others may have let go of memory
                self._limit, self._calm = min(self._most, 2 * self._limit), 0
            yield from finished

    def _measure(self) -> tuple[int, int]:
        """Layers that keep a cache, and the bytes that one token takes in all of them."""
        cache = DynamicCache()
        ids = torch.ones(1, 1, dtype=torch.long, device=self._device)
        with torch.inference_mode():
            self._model(input_ids=ids, use_cache=True, **{self._cached_by: cache})
        sizes = [layer.keys.nbytes + layer.values.nbytes for layer in cache.layers]
        return len(sizes), sum(sizes)

    def _clear(self) -> None:
        self._rows: list[Row] = []
        self._waiting: list[Row] = []  # taken from the queue, not yet in a slot
        self._at = np.zeros(0, dtype=np.int64)  # tokens in the slot
        self._made = np.zeros(0, dtype=np.int64)  # new tokens so far
        self._last = np.zeros(0, dtype=np.int64)  # the token to feed next
        self._tokens = np.zeros((0, self._settings.max_new_tokens), dtype=np.int32)

    def _shrink(self, error: Exception) -> None:
        in_use = max(1, len(self._rows) + len(self._waiting))
        self._queue.extendleft(reversed([*self._rows, *self._waiting]))
        self._clear()
        self.steps.forget()
        self._cache = None
        if self._gpu:
            torch.cuda.empty_cache()
        if self._limit == 1:
            raise out_of_memory(self._device) from error
        self._limit, self._calm = max(1, min(self._limit, in_use) // 2), 0
        self._notify(f"Out of memory: going on with at most {self._limit} prompts at a time.")

    def _need(self, row: Row) -> int:
        return len(row.ids) + self._settings.max_new_tokens

    def _budget(self, columns: int) -> int:
        if not self._gpu or self._settings.batch_size:
            return self._limit
        held = 0 if self._cache is None else self._cache.rows * self._cache.columns * self._token_bytes
        free = torch.cuda.mem_get_info(self._device)[0] + held
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return max(1, min(self._limit, int(free / 2) // (columns * self._token_bytes)))

    def _is_hungry(self) -> bool:
        """Whether enough slots are free to be worth a prefill."""
        cache = self._cache
        return cache is None or cache.rows - len(self._rows) >= max(1, cache.rows // 4)

    def _has_room(self) -> bool:
        """Whether it is time to let prompts in; the slab is made, widened or narrowed for them here."""
        need, active, cache = self._need(self._queue[0]), len(self._rows), self._cache
        if (
            cache is not None
            and need <= cache.columns
            and (need * 2 > cache.columns or cache.rows >= self._limit)
        ):
            return self._is_hungry() or cache.rows - active >= len(self._queue)
        widest = int(self._at.max(initial=0))
        columns = -(-max(need, widest + self._settings.max_new_tokens) // 16) * 16
        rows = self._budget(columns)
        if rows <= active:
            return False
        self.steps.forget()
        if cache is None or not active:
            self._cache = None
            self._cache = SlotCache(self._layers, rows, columns)
        else:
            cache.resize(rows, columns, active, widest)
        return True

    def _admit(self) -> None:
        """Let prompts in: copy what another slot holds of them, prefill the rest but their last token."""
        cache, first = self._cache, len(self._rows)
        assert cache is not None
        self._make_head(cache)
        slots = {row.group: slot for slot, row in enumerate(self._rows)}
        leaders: list[Row] = []
        members: list[Row] = []
        while self._queue and first + len(leaders) + len(members) < cache.rows:
            if self._need(self._queue[0]) > cache.columns:
                break
            row = self._queue.popleft()
            if row.group in slots:
                members.append(row)
            else:
                slots[row.group] = first + len(leaders)
                leaders.append(row)
        head, keys, values = self._head or (np.zeros(0, dtype=np.int32), [], [])
        begun = [(_common(head, row.ids), row) for row in leaders]
        self._enter(leaders)
        self._waiting = members
        if keys:
            cache.spread(keys, values, first, len(leaders))
        (self._line_up if self._lines else self._extend)(first, begun)
        held = [self._rows[slots[row.group]].ids for row in members]
        follow = [(_common(ids, row.ids), row) for ids, row in zip(held, members, strict=True)]
        follow.sort(key=lambda pair: pair[0] - len(pair[1].ids))
        if follow:
            target = first + len(leaders)
            sources = [slots[row.group] for _, row in follow]
            columns = max(start for start, _ in follow)
            cache.move(sources, range(target, target + len(follow)), columns)
            self._enter([row for _, row in follow])
            self._waiting = []
            self._extend(target, follow)
        self._cost.shared_tokens += sum(start for start, _ in [*begun, *follow])

    def _make_head(self, cache: SlotCache) -> None:
        """Compute once what the first prompts all begin with (the system turn, often more)."""
        if self._head is not None or len(self._queue) < 2 or len(self._rows) >= cache.rows:
            return
        longest = self._queue[0].ids
        length = min(_common(longest, row.ids) for row in self._queue)
        if length < _WORTH_SHARING:
            length = 0
        ids = longest[:length]
        keys: list[torch.Tensor] = []
        values: list[torch.Tensor] = []
        if length:
            slot = len(self._rows)
            head = Row("", 0, longest[: length + 1], "")
            self._extend(slot, [(0, head)])
            keys = [layer.keys[slot : slot + 1, :, :length].clone() for layer in cache.layers]
            values = [layer.values[slot : slot + 1, :, :length].clone() for layer in cache.layers]
        self._head = (ids, keys, values)

    def _extend(self, first: int, rows: Sequence[tuple[int, Row]]) -> None:
        """Prefill rows in the slots from ``first`` on, from its start to its last token but one."""
        cache, done = self._cache, 0
        assert cache is not None
        lengths = np.array([len(row.ids) - 1 - start for start, row in rows], dtype=np.int64)
        while done < len(rows):
            widths = np.maximum.accumulate(lengths[done:])
            sizes = widths * np.arange(1, len(widths) + 1)
            fitting = (sizes <= self._passing) & (sizes - np.cumsum(lengths[done:]) <= self._wasting)
            count = max(1, int(np.argmin(fitting)) if not fitting.all() else len(widths))
            part, width = rows[done : done + count], int(widths[count - 1])
            if width > 0:
                ids = np.zeros((count, width), dtype=np.int64)
                for line, (start, row) in zip(ids, part, strict=True):
                    line[: len(row.ids) - 1 - start] = row.ids[start:-1]
                starts = np.array([start for start, _ in part], dtype=np.int64)
                at = self._put(starts) if starts.any() else None
                extent = min(cache.columns, int(starts.max()) + width)
                cache.aim(first + done, count, width, extent, at, fills=True)
                steps = torch.arange(width, device=self._device)[None]
                mask = None if at is None else self._masks.of_slots(at, width, extent)
                self._fill(ids, steps if at is None else at[:, None] + steps, mask)
                self._cost.padding_tokens += ids.size - int(lengths[done : done + count].sum())
            done += count
        if self._gpu:
            torch.cuda.synchronize(self._device)  # so that the stages' times are their own

    def _line_up(self, first: int, rows: Sequence[tuple[int, Row]]) -> None:
        """Prefill rows in the slots from ``first`` on that share no more than the head, many in one line."""
        cache = self._cache
        assert cache is not None
        shared = max((start for start, _ in rows), default=0)
        head = (first + next((i for i, (start, _) in enumerate(rows) if start == shared), 0), shared)
        line: list[tuple[int, int, np.ndarray]] = []  # slot, first column, tokens
        for number, (start, row) in enumerate(rows):
            line.append((first + number, start, row.ids[start:-1]))
            tokens = sum(len(part) for _, _, part in line)
            if tokens and (number + 1 == len(rows) or tokens >= _CPU_LINE):
                lengths = [len(part) for _, _, part in line]
                slots = self._put(np.repeat([slot for slot, _, _ in line], lengths))
                starts = self._put(np.repeat([start for _, start, _ in line], lengths))
                columns = self._put(np.concatenate([start + np.arange(len(part)) for _, start, part in line]))
                cache.line_up(slots, columns, head)
                before = torch.arange(shared, device=self._device)
                seen = torch.cat(
                    [before < starts[:, None], (slots == slots[:, None]) & (columns <= columns[:, None])], 1
                )
                reach = max(start + len(part) for _, start, part in line)
                mask = self._masks.of(seen[None, None], torch.cat([before, columns]), columns[:, None], reach)
                self._fill(np.concatenate([part for _, _, part in line])[None], columns[None], mask)
                line = []

    def _fill(self, ids: np.ndarray, positions: torch.Tensor, mask: Any) -> None:
        """One forward pass for keys and values alone."""
        with suppress(Filled):
            self._model(
                input_ids=self._put(ids.astype(np.int64)),
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                logits_to_keep=self._none,
                **{self._cached_by: self._cache},
            )
        self._cost.computed_tokens += ids.size

    def _put(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)

    def _enter(self, batch: Sequence[Row]) -> None:
        count = len(batch)
        for row in batch:
            row.dice = random.Random(row.seed) if row.seed else None
        self._rows += batch
        self._at = np.concatenate([self._at, [len(row.ids) - 1 for row in batch]]).astype(np.int64)
        self._made = np.concatenate([self._made, np.zeros(count, dtype=np.int64)])
        self._last = np.concatenate([self._last, [row.ids[-1] for row in batch]]).astype(np.int64)
        room = np.zeros((count, self._settings.max_new_tokens), dtype=np.int32)
        self._tokens = np.concatenate([self._tokens, room])

    def _forward(self, last: torch.Tensor, at: torch.Tensor, extent: int) -> torch.Tensor:
        """The pass of a step: logits ``[rows, vocabulary]`` for tokens at ``at`` below ``extent``."""
        cache = self._cache
        assert cache is not None
        cache.aim(0, len(at), 1, extent, at)
        made = self._model(
            input_ids=last[:, None],
            attention_mask=self._masks.of_slots(at, 1, extent),
            position_ids=at[:, None],
            use_cache=True,
            **{self._cached_by: cache},
        )
        logits: torch.Tensor = made.logits[:, -1]
        return logits

    def _step(self) -> list[Finished]:
        """One token for every row; those that end leave."""
        cache, count = self._cache, len(self._rows)
        assert cache is not None
        extent = int(self._at.max()) + 1
        logits = self.steps(self._forward, self._last, self._at, extent, (cache.rows, cache.columns))
        if self.watch is not None:
            for row, line in zip(self._rows, logits.float(), strict=True):
                self.watch.setdefault(row.example, []).append(line.clone())
        if self._forbidden:
            made = [line[:count] for line, count in zip(self._tokens, self._made, strict=True)]
            logits = self._forbidden(logits, [row.ids for row in self._rows], made)
        chosen = self._choose(logits).cpu().numpy()
        self._cost.computed_tokens += count
        self._cost.batch_rows = max(self._cost.batch_rows, count)
        stopped = np.isin(chosen, self._stops)
        self._tokens[np.arange(count), self._made] = chosen
        self._at = self._at + 1
        self._made = self._made + 1
        self._last = chosen
        ended = stopped | (self._made >= self._settings.max_new_tokens)
        return self._leave(ended, stopped, extent) if ended.any() else []

    def _choose(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._settings.temperature:
            return logits.argmax(-1)
        shares = torch.softmax(logits.float() / self._settings.temperature, -1)
        shares, order = shares.sort(-1, descending=True)
        totals = shares.cumsum(-1)
        kept = torch.where(totals - shares < self._settings.top_p, totals, 0.0).amax(-1, keepdim=True)
        drawn = [row.dice.random() for row in self._rows if row.dice is not None]
        point = torch.tensor(drawn, device=logits.device, dtype=totals.dtype)[:, None] * kept
        place = torch.searchsorted(totals, point, right=True).clamp(max=logits.shape[-1] - 1)
        return order.gather(-1, place)[:, 0]

    def _leave(self, ended: np.ndarray, stopped: np.ndarray, extent: int) -> list[Finished]:
        finished = [
            Finished(self._rows[i], self._tokens[i, : self._made[i] - stopped[i]].tolist(), bool(stopped[i]))
            for i in np.flatnonzero(ended)
        ]
        stay = int((~ended).sum())
        holes = np.flatnonzero(ended[:stay])
        movers = stay + np.flatnonzero(~ended[stay:])
        if len(holes) and self._cache is not None:
            self._cache.move(movers.tolist(), holes.tolist(), extent)
            for array in (self._at, self._made, self._last, self._tokens):
                array[holes] = array[movers]
            for hole, mover in zip(holes, movers, strict=True):
                self._rows[hole] = self._rows[mover]
        del self._rows[stay:]
        self._at, self._made = self._at[:stay], self._made[:stay]
        self._last, self._tokens = self._last[:stay], self._tokens[:stay]
        return finished


def out_of_memory(device: Any) -> ModelError:
    """The line for a device that cannot hold a single prompt."""
    return ModelError(
        f"out of memory on {device} with a single prompt",
        "use --dequantize no, --quantization nf4, fewer --max-new-tokens, or --device cpu",
    )


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Tokens that both begin with, the last of ``other`` left out (it is fed by the first step)."""
    length = min(len(one), len(other) - 1)
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length
