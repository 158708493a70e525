"""One guard for every family: the slots give what the model gives without them, or the pair is refused.

When a pair is loaded, three rows of unequal length go through the decoder's own path (shared beginnings,
prefill, steps) and their logits are compared with forward passes without a cache of each row alone; again
with a row beyond every window and rope limit that the prompts pass. The difference may be a multiple of what
batching alone makes in that dtype. Of layers that are all alike the first three stand for all; what does not
pass so is tried with all of them. So no list says which families work: recurrent ones, encoders, positions
read off a mask, a rope whose factor hangs on the batch are all seen by their logits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from harness.errors import ModelError
from harness.models.cost import Cost
from harness.models.decoder import Decoder, Row, out_of_memory
from harness.models.pair import LoadedBase
from harness.models.pair_plan import Settings

_LIMITS = re.compile(r"window|chunk|local|block|max_position|context|seq|span|stride|n_positions|n_ctx")
_SHORT, _STEPS = 24, 3  # tokens of the longest row where no limit is reached; new tokens of each row
_NOISE, _MOST = 16, 0.05  # times what batching makes, and never more than this share of the logits
_FEW = 3  # layers that stand for all where all are alike
_PLACE = re.compile(r"(idx|index|layer_id|layer_number)$")


def limits_within(config: Any, reach: int) -> frozenset[int]:
    """Numbers in a config that may be a window or a rope limit and that a row of ``reach`` tokens passes."""
    return frozenset(value for key, value in _numbers(config.to_dict()) if 1 < value < reach)


def _beyond(limit: int) -> int:
    """Tokens of a row that is so far beyond a window that short rows beside it would lose much of it."""
    return limit + max(32, limit // 4)


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _numbers(part, str(name))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _numbers(part, key)
    elif isinstance(value, int) and not isinstance(value, bool) and _LIMITS.search(key):
        yield key, value


def refusal(base: LoadedBase, why: str) -> ModelError:
    """The one line for a family that the slots cannot serve."""
    return ModelError(
        f"{type(base.model).__name__} cannot be generated from here: {why}",
        "serve it (vLLM, SGLang, llama.cpp) and evaluate it with --endpoint URL --model NAME",
    )


def check(
    base: LoadedBase, settings: Settings, limits: frozenset[int] = frozenset(), reach: int = _SHORT
) -> dict[str, float]:
    """See that the slots give the pair that is on its logits; how far off they were.

    ``limits`` are those that the prompts pass, ``reach`` is the longest prompt with its answer, in tokens.

    Raises:
        ModelError: they do not, or the model's forward pass cannot work with them at all.
    """
    longest = max(3, min(reach, max([_SHORT, *map(_beyond, limits)])) - _STEPS)
    with _first_layers(base.model) as fewer:
        if fewer:
            with suppress(Exception):  # some read the number of their layers from the config
                return _compared(base, settings, longest) | {"layers": float(fewer)}
    return _compared(base, settings, longest)


def _compared(base: LoadedBase, settings: Settings, longest: int) -> dict[str, float]:
    try:
        seen, rows = _through_slots(base, settings, longest)
        alone = [_last_logits(base, [ids]) for ids in rows]
        off = max(_off(logits, one) for logits, one in zip(seen, alone, strict=True))
        noise, allowed = 0.0, _rounding(base) ** 0.5 / 4
        if not off <= allowed:
            noise = _off(_last_logits(base, [rows[0], rows[0][::-1]]), alone[0])  # what batching alone makes
    except ModelError:
        raise
    except torch.OutOfMemoryError as error:
        raise out_of_memory(base.device) from error
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0][:120]
        raise refusal(
            base, f"its forward pass does not take the slots ({type(error).__name__}: {line})"
        ) from error
    if not off <= max(min(_NOISE * noise, _MOST), allowed):
        raise refusal(
            base,
            f"rows that stand side by side do not get the logits of each alone (off by {off:.2g}, "
            f"batching alone makes {noise:.2g}): it needs more than keys, values and positions",
        )
    return {"off": off, "tokens": float(len(rows[0])), **({"noise": noise} if noise else {})}


@contextmanager
def _first_layers(model: Any) -> Iterator[int]:
    """Leave the model the first of its layers where all are alike: what these do, the others do. 0 if not."""
    number = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == number]
    if len(stacks) != 1 or len(stacks[0]) <= _FEW or len({_make(layer) for layer in stacks[0]}) > 1:
        yield 0
        return
    (stack,) = stacks
    rest = list(stack[_FEW:])
    del stack[_FEW:]
    try:
        yield _FEW
    finally:
        stack.extend(rest)


def _make(layer: torch.nn.Module) -> tuple[Any, ...]:
    """A layer's modules with their settings and the shapes of their weights, but not its place."""
    plain = (bool, int, float, str, type(None))
    return (
        *(
            (
                name,
                type(part),
                *sorted(
                    (key, repr(value))
                    for key, value in vars(part).items()
                    if isinstance(value, plain) and not _PLACE.search(key)
                ),
            )
            for name, part in layer.named_modules()
        ),
        *((name, tuple(tensor.shape)) for name, tensor in layer.state_dict().items()),
    )


def _rounding(base: LoadedBase) -> float:
    """The unit of the numbers that products are made in: a quantised layer's may be coarser."""
    quantized = getattr(base.model, "is_quantized", False) and not base.dequantized
    dtypes = [base.products, torch.bfloat16] if quantized else [base.products]
    return float(max(torch.finfo(dtype).eps for dtype in dtypes))


def _through_slots(
    base: LoadedBase, settings: Settings, longest: int
) -> tuple[list[torch.Tensor], list[list[int]]]:
    """Logits of the steps of three rows, and the rows' tokens with those that were made."""
    size = base.model.config.get_text_config(decoder=True).vocab_size
    ids = (np.arange(longest) * 7919 + 11) % max(2, size - 4) + 2 if size > 8 else np.ones(longest)
    ids = ids.astype(np.int32)
    other = np.concatenate([ids[: longest // 4], ids[::-1][: longest // 3]])
    rows = [ids, other, ids[: longest // 4 + 1][::-1].copy()]
    plain = settings.replace(
        max_new_tokens=_STEPS, samples=1, temperature=0.0, batch_size=max(3, settings.batch_size or 3)
    )
    decoder = Decoder(base, plain, lambda _: None)
    decoder.watch, decoder.steps.worth = {}, 1
    decoder.begin(Cost(), np.zeros(0, dtype=np.int64))
    decoder.add([Row(str(i), 0, row, "ab"[i // 2]) for i, row in enumerate(rows)])
    made = {done.row.example: done.tokens for done in decoder.run(drain=True)}
    seen = [torch.stack(decoder.watch[str(i)]) for i in range(len(rows))]
    return seen, [[*row.tolist(), *made[str(i)]] for i, row in enumerate(rows)]


def _last_logits(base: LoadedBase, rows: list[list[int]]) -> torch.Tensor:
    """Without slots: the first row's logits ``[steps, vocabulary]`` that say its last tokens."""
    ids = torch.tensor(rows, device=base.device)
    with torch.inference_mode():
        logits = base.model(input_ids=ids, use_cache=False, logits_to_keep=_STEPS + 1).logits
    return logits[0, -_STEPS - 1 : -1].float()


def _off(seen: torch.Tensor, alone: torch.Tensor) -> float:
    """How far logits are from those of the row alone: the median of the steps."""
    scale = (alone - alone.mean(-1, keepdim=True)).norm(dim=-1).clamp(min=1e-30)
    return float(((seen - alone).norm(dim=-1) / scale).median())
