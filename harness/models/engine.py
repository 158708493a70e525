"""The engine: completions of many prompts at the speed of the hardware, with any transformers model.

One loop over the model's own forward pass. Prompts are tokenised once and taken longest first; each gets a
slot of the key/value slab (``slots``), a batched prefill without its last token, and then every step feeds
one token a row. A row that ends leaves at once, and when enough slots are free the next prompts are let in,
so that the batch stays full to the end. Out of memory halves the slots and goes on.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from harness.errors import ModelError
from harness.models.cost import Cost, process_memory
from harness.models.pair import LoadedBase, Notify, group_key, load_base, quiet
from harness.models.plan import PairPlan, Settings
from harness.models.prompts import render
from harness.models.slots import SlotCache
from harness.records import Completion, Example, Prompt

_CPU_ROWS = 128
_GPU_ROWS = 4096
_CPU_PREFILL, _GPU_PREFILL = 4096, 65536  # tokens of one prefill pass


def load(plans: Sequence[PairPlan], settings: Settings, notify: Notify = lambda _: None) -> Engine:
    """Load the first pairs' base with its adapters; a generator for all of them.

    Raises:
        ModelError: as ``load_base``.
    """
    engine = Engine(plans, settings, notify)
    engine.ready(plans[0].name)
    return engine


@dataclass(slots=True)
class _Row:
    """A prompt on its way: its tokens, which sample it is, and where its random numbers come from."""

    example: str
    sample: int
    ids: np.ndarray
    dice: random.Random | None = None


@dataclass(slots=True)
class _Text:
    """A pair's tokenizer, the prompt as it is really asked, and the tokens that end a turn."""

    tokenizer: Any
    prompt: Prompt
    stops: np.ndarray


class Engine:
    """A ``Generator`` over transformers models. One base is in memory at a time."""

    def __init__(self, plans: Sequence[PairPlan], settings: Settings, notify: Notify) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._settings, self._notify = settings, notify
        self._costs = {plan.name: Cost() for plan in plans}
        self._texts: dict[str, _Text] = {}
        self._base: LoadedBase | None = None
        self._key: tuple[Any, ...] | None = None
        self._decoder: _Decoder | None = None
        self._facts: dict[str, Any] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Device, dtype, what was proved of each adapter, how each pair is really asked."""
        return self._facts

    def cost(self, pair: str) -> Cost:
        """What the pair has cost so far."""
        return self._costs[pair]

    def close(self) -> None:
        """Free the model's memory."""
        self._base = self._decoder = self._key = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def ready(self, pair: str) -> None:
        """Have the pair's base in memory and its adapter on."""
        plan = self._plans[pair]
        with self._costs[pair].stage("load"):
            if (key := group_key(plan, self._settings)) != self._key:
                self.close()
                group = [other for other in self._plans.values() if group_key(other, self._settings) == key]
                self._base = load_base(group, self._settings, self._notify)
                self._decoder, self._key = _Decoder(self._base, self._settings, self._notify), key
                self._facts |= {
                    "device": self._base.device,
                    "dtype": str(self._base.dtype).removeprefix("torch."),
                    "dequantized": self._base.dequantized,
                    "attention": self._base.model.config._attn_implementation,
                    "adapters": {**self._facts.get("adapters", {}), **self._base.facts},
                }
            assert self._base is not None
            self._base.activate(plan.name if plan.adapter else None)
            if pair not in self._texts:
                self._texts[pair] = _text(plan, self._base, self._notify)
                asked = self._texts[pair].prompt
                self._facts.setdefault("asked", {})[pair] = {"form": asked.form, "origin": asked.origin}

    def generate(self, pair: str, examples: Iterable[Example]) -> Iterator[Completion]:
        """Completions as they finish; examples are drawn from the iterable as room for them comes free.

        Raises:
            ModelError: out of memory with one row, a chat template that fails.
        """
        self.ready(pair)
        decoder, cost, text = self._decoder, self._costs[pair], self._texts[pair]
        assert decoder is not None
        source = iter(examples)
        decoder.begin(cost, text.stops)
        while True:
            with cost.stage("tokenise"):
                window = list(islice(source, decoder.window))
                rows, flagged = self._rows(window, text, decoder.context)
            yield from (replace(completion, pair=pair) for completion in flagged)
            cost.examples += len(flagged)
            decoder.add(rows)
            for row, tokens, stopped in decoder.run(drain=len(window) < decoder.window):
                with cost.stage("finish"):
                    words = text.tokenizer.decode(tokens, skip_special_tokens=True)
                    cost.prompt_tokens += len(row.ids)
                    cost.new_tokens += len(tokens) + stopped
                    cost.examples += row.sample == 0
                yield Completion(
                    id=row.example,
                    pair=pair,
                    text=words,
                    prompt_tokens=len(row.ids),
                    new_tokens=len(tokens) + stopped,
                    finish="stop" if stopped else "length",
                    sample=row.sample,
                )
            if len(window) < decoder.window:
                return

    def _rows(
        self, examples: Sequence[Example], text: _Text, context: int
    ) -> tuple[list[_Row], list[Completion]]:
        settings, plain = self._settings, text.prompt.form == "plain"
        rows: list[_Row] = []
        flagged: list[Completion] = []
        if not examples:
            return rows, flagged
        prompts = [render(text.prompt, example, text.tokenizer) for example in examples]
        options = {
            "return_attention_mask": False,
            "return_token_type_ids": False,
            "add_special_tokens": plain,
        }
        room = context - settings.max_new_tokens
        for example, ids in zip(examples, text.tokenizer(prompts, **options)["input_ids"], strict=True):
            tokens = np.asarray(ids, dtype=np.int32)
            if plain and len(tokens) > 1 and tokens[-1] in text.stops:
                tokens = tokens[:-1]  # some tokenizers end every text
            if len(tokens) > room and settings.long_prompts == "truncate" and room > 0:
                tokens = tokens[-room:]
            for sample in range(settings.samples):
                if len(tokens) > room or not len(tokens):
                    flagged.append(
                        Completion(
                            id=example.id,
                            pair="",
                            text="",
                            prompt_tokens=len(tokens),
                            finish="prompt_too_long",
                            sample=sample,
                        )
                    )
                    continue
                dice = (
                    random.Random(f"{settings.seed} {example.id} {sample}") if settings.temperature else None
                )
                rows.append(_Row(example.id, sample, tokens, dice))
        return rows, flagged


def _text(plan: PairPlan, base: LoadedBase, notify: Notify) -> _Text:
    from transformers import AutoTokenizer

    prompt = plan.prompt
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer)
            if prompt.form == "chat" and not (prompt.chat_template or tokenizer.chat_template):
                if plan.tokenizer != plan.base:
                    other = AutoTokenizer.from_pretrained(plan.base, revision=plan.revision)
                    tokenizer.chat_template = other.chat_template
                if not tokenizer.chat_template:
                    prompt = replace(prompt, form="plain", user=prompt.plain)
                    notify(
                        f"{plan.name}: the tokenizer has no chat template, so it is asked in the plain form."
                    )
        except (OSError, ValueError, ImportError, KeyError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"the tokenizer of {plan.tokenizer} cannot be loaded: {line}",
                "save it with the adapter or the base",
            ) from error
    ends = {tokenizer.eos_token_id, *_as_list(base.model.generation_config.eos_token_id)}
    if prompt.form == "chat":
        ends |= _turn_end(tokenizer, prompt)
    return _Text(tokenizer, prompt, np.array(sorted(end for end in ends if end is not None), dtype=np.int64))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _turn_end(tokenizer: Any, prompt: Prompt) -> set[int]:
    """The special token that the chat template puts after an answer: models stop there."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "SELECT 1"}]
    options = {"chat_template": prompt.chat_template} if prompt.chat_template else {}
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, **options))
    except Exception:  # a template may refuse these turns; the tokenizer's own end token stands
        return set()
    after = tokenizer(text.rpartition("SELECT 1")[2].lstrip(), add_special_tokens=False)["input_ids"]
    return {after[0]} if after and after[0] in tokenizer.all_special_ids else set()


class _Decoder:
    """Prefill and decode over the slots of one loaded base."""

    def __init__(self, base: LoadedBase, settings: Settings, notify: Notify) -> None:
        self._model, self._settings, self._notify = base.model, settings, notify
        self._device = torch.device(base.device)
        self._gpu = self._device.type == "cuda"
        config = base.model.config.get_text_config(decoder=True)
        self.context = int(getattr(config, "max_position_embeddings", None) or 1 << 20)
        self._layers, self._token_bytes = _measure(base.model, self._device)
        kinds = set(getattr(config, "layer_types", None) or ())
        window = (
            getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
        )
        self._sliding = int(window) if window and (not kinds or "sliding_attention" in kinds) else None
        self._both = self._sliding is not None and "full_attention" in kinds
        self._float_mask = base.model.config._attn_implementation == "eager"
        self._limit = settings.batch_size or (_GPU_ROWS if self._gpu else _CPU_ROWS)
        self._queue: deque[_Row] = deque()
        self._cache: SlotCache | None = None
        self._cost = Cost()
        self._stops = np.zeros(0, dtype=np.int64)
        self._clear()

    @property
    def window(self) -> int:
        """How many examples are worth looking at together."""
        return max(512, 2 * self._limit)

    def begin(self, cost: Cost, stops: np.ndarray) -> None:
        """Start with nothing in the slots."""
        self._queue.clear()
        self._clear()
        self._cost, self._stops = cost, stops

    def add(self, rows: list[_Row]) -> None:
        """Queue prompts, the longest first."""
        self._queue.extend(sorted(rows, key=lambda row: (-len(row.ids), row.sample)))

    def run(self, *, drain: bool) -> Iterator[tuple[_Row, list[int], bool]]:
        """Rows as they finish, until the queue (``drain``: the slots too) is empty."""
        while self._queue or (drain and self._rows):
            try:
                if self._queue and self._wants_more():
                    with self._cost.stage("prefill"), torch.inference_mode():
                        self._admit()
                if self._rows:
                    with self._cost.stage("decode"), torch.inference_mode():
                        finished = self._step()
                    yield from finished
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                    raise
                self._shrink(error)
        self._cost.peak_memory_bytes = max(
            self._cost.peak_memory_bytes,
            torch.cuda.max_memory_allocated(self._device) if self._gpu else process_memory(),
        )

    def _clear(self) -> None:
        self._rows: list[_Row] = []
        self._at = np.zeros(0, dtype=np.int64)  # tokens in the slot
        self._made = np.zeros(0, dtype=np.int64)  # new tokens so far
        self._last = np.zeros(0, dtype=np.int64)
        self._tokens = np.zeros((0, 0), dtype=np.int32)

    def _shrink(self, error: Exception) -> None:
        self._queue.extendleft(reversed(self._rows))
        self._clear()
        self._cache = None
        if self._gpu:
            torch.cuda.empty_cache()
        if self._limit == 1:
            raise ModelError(
                f"out of memory on {self._device} with a single prompt",
                "use --dequantize no, --quantization nf4, fewer --max-new-tokens, or --device cpu",
            ) from error
        self._limit = max(1, self._limit // 2)
        self._notify(f"Out of memory: going on with at most {self._limit} prompts at a time.")

    def _need(self, row: _Row) -> int:
        return len(row.ids) + self._settings.max_new_tokens

    def _budget(self, columns: int) -> int:
        if not self._gpu or self._settings.batch_size:
            return self._limit
        held = 0 if self._cache is None else self._cache.rows * self._cache.columns * self._token_bytes
        free = torch.cuda.mem_get_info(self._device)[0] + held
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return max(1, min(self._limit, int(free / 2) // (columns * self._token_bytes)))

    def _wants_more(self) -> bool:
        need, active = self._need(self._queue[0]), len(self._rows)
        cache = self._cache
        if cache is None or need > cache.columns or (need * 2 <= cache.columns and cache.rows < self._limit):
            columns = -(-max(need, int(self._at.max(initial=0)) + self._settings.max_new_tokens) // 16) * 16
            rows = self._budget(columns)
            if rows <= active:
                return False
            if cache is None or not active:
                self._cache = None
                self._cache = SlotCache(self._layers, rows, columns)
            else:
                cache.resize(rows, columns, active, int(self._at.max()))
            return True
        return cache.rows - active >= min(len(self._queue), max(1, cache.rows // 4))

    def _admit(self) -> None:
        """Prefill the next prompts into free slots, all but their last token."""
        cache = self._cache
        assert cache is not None
        while self._queue and len(self._rows) < cache.rows and self._need(self._queue[0]) <= cache.columns:
            width = max(1, len(self._queue[0].ids) - 1)
            budget = max(1, (_GPU_PREFILL if self._gpu else _CPU_PREFILL) // width)
            count = min(budget, cache.rows - len(self._rows), len(self._queue))
            first, batch = len(self._rows), [self._queue.popleft() for _ in range(count)]
            self._rows += batch
            self._append(batch)
            width = len(batch[0].ids) - 1
            if width == 0:
                continue
            ids = np.zeros((count, width), dtype=np.int64)
            for line, row in zip(ids, batch, strict=True):
                line[: len(row.ids) - 1] = row.ids[:-1]
            cache.prefill(first, 0, width)
            self._model(
                input_ids=torch.from_numpy(ids).to(self._device),
                position_ids=torch.arange(width, device=self._device)[None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            self._cost.computed_tokens += ids.size
            if self._gpu:
                torch.cuda.synchronize(self._device)

    def _append(self, batch: list[_Row]) -> None:
        lengths = np.array([len(row.ids) - 1 for row in batch], dtype=np.int64)
        self._at = np.concatenate([self._at, lengths])
        self._made = np.concatenate([self._made, np.zeros(len(batch), dtype=np.int64)])
        self._last = np.concatenate([self._last, np.array([row.ids[-1] for row in batch], dtype=np.int64)])
        room = np.zeros((len(batch), self._settings.max_new_tokens), dtype=np.int32)
        self._tokens = np.concatenate([self._tokens, room]) if len(self._tokens) else room

    def _step(self) -> list[tuple[_Row, list[int], bool]]:
        """One token for every row; those that end leave."""
        cache, count = self._cache, len(self._rows)
        assert cache is not None
        extent = int(self._at.max()) + 1
        at = torch.from_numpy(self._at).to(self._device)
        cache.decode(at, torch.arange(count, device=self._device), extent)
        logits = self._model(
            input_ids=torch.from_numpy(self._last).to(self._device)[:, None],
            attention_mask=self._mask(at, extent),
            position_ids=at[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
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

    def _mask(self, at: torch.Tensor, extent: int) -> Any:
        columns = torch.arange(extent, device=self._device)
        full = (columns <= at[:, None])[:, None, None]
        if self._sliding is None or extent <= self._sliding:
            return self._as_float(full)
        near = self._as_float(full & (columns > at[:, None] - self._sliding)[:, None, None])
        return {"full_attention": self._as_float(full), "sliding_attention": near} if self._both else near

    def _as_float(self, mask: torch.Tensor) -> torch.Tensor:
        if not self._float_mask:
            return mask
        dtype = self._model.dtype
        return torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)

    def _choose(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._settings.temperature:
            return logits.argmax(-1)
        shares = torch.softmax(logits.float() / self._settings.temperature, -1)
        shares, order = shares.sort(-1, descending=True)
        totals = shares.cumsum(-1)
        kept = (totals - shares) < self._settings.top_p
        limit = torch.where(kept, totals, 0.0).amax(-1)
        drawn = [row.dice.random() for row in self._rows if row.dice is not None]
        point = torch.tensor(drawn, device=logits.device, dtype=totals.dtype) * limit
        place = torch.searchsorted(totals, point[:, None], right=True).clamp(max=logits.shape[-1] - 1)
        return order.gather(-1, place)[:, 0]

    def _leave(
        self, ended: np.ndarray, stopped: np.ndarray, extent: int
    ) -> list[tuple[_Row, list[int], bool]]:
        finished = [
            (self._rows[i], self._tokens[i, : self._made[i] - stopped[i]].tolist(), bool(stopped[i]))
            for i in np.flatnonzero(ended)
        ]
        stay = int((~ended).sum())
        holes = np.flatnonzero(ended[:stay])
        movers = stay + np.flatnonzero(~ended[stay:])
        if len(holes) and self._cache is not None:
            self._cache.move(
                torch.from_numpy(movers).to(self._device), torch.from_numpy(holes).to(self._device), extent
            )
            for array in (self._at, self._made, self._last, self._tokens):
                array[holes] = array[movers]
            for hole, mover in zip(holes, movers, strict=True):
                self._rows[hole] = self._rows[mover]
        del self._rows[stay:]
        self._at, self._made, self._last = self._at[:stay], self._made[:stay], self._last[:stay]
        self._tokens = self._tokens[:stay]
        return finished


def _measure(model: Any, device: torch.device) -> tuple[int, int]:
    """Layers that keep a cache, and the bytes that one token takes in all of them."""
    from transformers import DynamicCache

    cache = DynamicCache()
    ids = torch.ones(1, 1, dtype=torch.long, device=device)
    with torch.inference_mode():
        model(input_ids=ids, past_key_values=cache, use_cache=True)
    sizes = [layer.keys.nbytes + layer.values.nbytes for layer in cache.layers]
    return len(sizes), sum(sizes)
