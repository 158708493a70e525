"""What the configs of a base and an adapter claim, held against the headers of their tensors.

A config is a stranger's text: sizes that no tensor has would take memory before anything is compared, a
pattern may search for ever, a field may name code to import. All of it is refused in one line, without torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from harness.errors import ModelError
from harness.models.headers import tensor_shapes
from harness.models.sources import Checkpoint
from harness.workers import WorkerLost, WorkerPool

_SIZES = (
    "hidden_size",
    "n_embd",
    "d_model",
    "vocab_size",
    "intermediate_size",
    "n_inner",
    "ffn_dim",
    "d_ff",
    "n_positions",
    "moe_intermediate_size",
)
"""Fields that no tensor's largest side may fall below."""

_POSITIONS = 16_384
"""Positions that need no tensor of their own: rotary families turn by them and keep a mask of that side."""

_SHARED = 16
"""Times that a layer's tensors may be used: some families go through the same layers again and again."""

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_NUMBER = re.compile(r"\.(\d+)\.")
_PATTERN_SECONDS = 1.0
_IMPORTS = ("megatron_config", "auto_mapping")
"""Fields of an adapter's config for which PEFT imports a module that they name."""


def check_base(base: Checkpoint) -> None:
    """See that a base's sizes are those of its tensors.

    Raises:
        ModelError: a field is no size, or larger than any tensor.
    """
    if base.folder is None:
        return
    shapes = tensor_shapes(base.folder)
    text = base.config.get("text_config")
    for config in (base.config, text if isinstance(text, dict) else {}):
        for field in (*_SIZES, *_LAYERS):
            for value in _each(config, field):
                if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                    _refuse_base(base, f"{field} is {str(value)[:40]!r}, no size")
        if not shapes:
            continue
        side = max((max(shape, default=1) for shape in shapes.values()), default=1)
        packed = 8 if "quantization_config" in base.config else 1  # several values in one
        for field in _SIZES:
            claimed = max(_each(config, field), default=0)
            if claimed > max(packed * side, _POSITIONS if field == "n_positions" else 0):
                _refuse_base(base, f"{field} is {claimed:,}, its largest tensor has a side of {side:,}")
        layers = 1 + max((int(n) for name in shapes for n in _NUMBER.findall(name)), default=-1)
        for field in _LAYERS:
            claimed = max(_each(config, field), default=0)
            if layers and claimed > _SHARED * layers:
                _refuse_base(base, f"{field} is {claimed:,}, its tensors are those of {layers} layers")


def _each(config: dict[str, Any], field: str) -> list[Any]:
    """The field's values: one, one a layer, or none."""
    told = config.get(field)
    return told if isinstance(told, list) else [] if told is None else [told]


def _refuse_base(base: Checkpoint, what: str) -> NoReturn:
    raise ModelError(
        f"base {base.id}: config.json does not fit the weights ({what})", "copy or download it again"
    )


def check_adapter(adapter: Checkpoint, base: Checkpoint) -> None:
    """See that an adapter's rank, layers and target modules are those of its tensors and its base's.

    Raises:
        ModelError: they are not, or its config names code to run.
    """
    config = adapter.config
    for field in _IMPORTS:
        told = config.get(field)
        if field == "auto_mapping" and isinstance(told, dict):
            told = told.get("parent_library") not in (None, "transformers") and not str(
                told.get("parent_library")
            ).startswith(("transformers.", "peft."))
        if told:
            _refuse(adapter, f"{field} names code of its own, which is never run here")
    if adapter.folder is None:
        return
    shapes = tensor_shapes(adapter.folder)
    ranks = {shape[0] for name, shape in shapes.items() if name.endswith("lora_A.weight") and shape}
    for field, rank in _ranks(config):
        least = 0 if config.get("oft_block_size") else 1  # OFT goes by the size of its blocks instead
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < least:
            _refuse(adapter, f"{field} is {str(rank)[:40]!r}, no rank")
        if ranks and rank > max(ranks):
            _refuse(adapter, f"{field} is {rank:,}, its tensors have rank {max(ranks)}")
    layers = 1 + max((int(n) for name in shapes for n in _NUMBER.findall(name)), default=-1)
    repeated = config.get("layer_replication")
    if repeated is not None:
        try:
            claimed = sum(int(end) - int(start) for start, end in repeated)
        except (TypeError, ValueError):
            claimed = -1
        if not 0 < claimed <= layers:
            _refuse(adapter, f"layer_replication asks for layers that its tensors do not have ({layers})")
    for field in ("target_modules", "exclude_modules", "modules_to_save"):
        told = config.get(field)
        if told is not None and not isinstance(told, str) and not _texts(told):
            _refuse(adapter, f"{field} is neither a text nor a list of texts")
    if base.folder is not None:
        _try_patterns(adapter, [name.rpartition(".")[0] for name in tensor_shapes(base.folder)])


def _ranks(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if "r" in config:
        yield "r", config["r"]
    patterns = config.get("rank_pattern")
    yield from (
        ((f"rank_pattern {key[:40]}", r) for key, r in patterns.items()) if isinstance(patterns, dict) else ()
    )


def _texts(told: Any) -> bool:
    return isinstance(told, list) and len(told) <= 100_000 and all(isinstance(t, str) for t in told)


def _try_patterns(adapter: Checkpoint, names: list[str]) -> None:
    """See that each pattern of the config finds an end on the names of the base's modules."""
    config = adapter.config
    found: list[Any] = [config.get(field) for field in ("target_modules", "exclude_modules")]
    for field in ("rank_pattern", "alpha_pattern"):
        told = config.get(field)
        found += [rf"(.*\.)?({key})$" for key in told] if isinstance(told, dict) else []
    layered = config.get("layers_pattern")
    for key in layered if isinstance(layered, list) else [layered] if layered else []:
        found.append(rf".*\.[^.]*{key}\.(\d+)\.")
    patterns = [pattern for pattern in found if isinstance(pattern, str) and pattern != "all-linear"]
    if not patterns:
        return
    with WorkerPool(partial(_tried, names), workers=1, memory_mib=256, seconds=_PATTERN_SECONDS) as pool:
        for number, told in pool.map(patterns):
            if told:
                said = "searches for ever" if isinstance(told, WorkerLost) else f"is no pattern: {told}"
                _refuse(adapter, f"{patterns[number][:60]!r} {said}")


def _tried(names: list[str], pattern: str) -> str:
    """Why a pattern cannot be used; "" where it can."""
    try:
        compiled = re.compile(pattern)
        for name in names:
            compiled.fullmatch(name)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        return str(error)[:100] or type(error).__name__
    return ""


def _refuse(adapter: Checkpoint, what: str) -> NoReturn:
    raise ModelError(
        f"adapter {adapter.id}: adapter_config.json cannot be used ({what})",
        "save the adapter again with PEFT, or take it from a source that you trust",
    )
