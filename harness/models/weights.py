"""A base's weights: on which device, in which numbers, quantised as stated, how much of them really is."""

from __future__ import annotations

import copy
import inspect
import os
import time
from collections import Counter
from typing import Any, Literal

from harness.errors import ModelError

ENOUGH_IN_4_BIT = 0.9
"""Share of the weights below which a base is not what "4-bit" says, and that is told."""

_TIMED_TOKENS, _TIMED_ROWS = 128, 16  # of a prefill pass and of a step, when ways are timed
_STEPS_A_TOKEN = 0.25  # steps (of that many rows) for each prompt token: short answers to long prompts


def pick_device(choice: str) -> str:
    """The device that ``--device`` means; "auto" is this process's GPU where there is one."""
    import torch

    if choice == "auto":
        if torch.cuda.is_available():
            return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
        return "cpu"
    if choice.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("no CUDA GPU is usable here", "leave --device out, or give --device cpu")
    try:
        return str(torch.device(choice))
    except RuntimeError as error:
        raise ModelError(f"device {choice!r} is unknown to torch", "give cpu, cuda or cuda:1") from error


def pick_dtype(choice: str, device: str) -> Any:
    """The dtype of products and activations."""
    import torch

    if choice != "auto":
        return getattr(torch, choice)
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def load_weights(
    where: str,
    *,
    revision: str | None,
    device: str,
    dtype: Any,
    quantization: Literal["nf4", "fp4", "int8", "none"],
    double: bool = False,
    named: str | None = None,
) -> Any:
    """The causal language model at a folder or hub id, its linear layers quantised by bitsandbytes.

    Code that travels with a model is never run. ``named`` is what errors call the base.

    Raises:
        ModelError: not to be had, not a causal language model, with code of its own, or too large.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from harness.models.packed import pack_queries
    from harness.models.products import quantise_by_pieces

    pack_queries()
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}, "revision": revision}
    if quantization in {"nf4", "fp4"}:
        quantise_by_pieces()
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=double,
        )
    elif quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    try:
        return AutoModelForCausalLM.from_pretrained(
            where, trust_remote_code=False, use_safetensors=True, **options
        )
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"base {named or where} does not fit on {device}", "use --quantization nf4 --dequantize no"
        ) from error
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"base {named or where} needs code of its own, which is never run here",
                "serve it (vLLM, SGLang) and evaluate it with --endpoint URL --model NAME",
            ) from error
        raise ModelError(
            f"base {named or where} cannot be loaded: {line}",
            "check --model; offline, fetch it where there is a network (hf download ID) and give the folder",
        ) from error


def cache_argument(model: Any) -> str:
    """The name under which the model's forward pass takes its cache.

    transformers 5.24 renamed ``past_key_values`` to ``cache`` in nearly every family, not in all.
    """
    return "cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values"


def four_bit_layers(model: Any) -> list[Any]:
    """Every layer whose weight is in 4-bit; none where bitsandbytes was not needed."""
    if not getattr(model, "is_loaded_in_4bit", False):
        return []
    from bitsandbytes.nn import Linear4bit

    return [module for module in model.modules() if isinstance(module, Linear4bit)]


def four_bit_share(model: Any) -> float:
    """The share of the weights that are really in 4-bit, embeddings and the output layer left out.

    transformers 5 holds a mixture's experts in 3-D parameters, which bitsandbytes leaves as they are.
    """
    layers = four_bit_layers(model)
    packed = sum(layer.in_features * layer.out_features for layer in layers)
    outside = {id(layer.weight) for layer in layers}
    for get in (model.get_input_embeddings, model.get_output_embeddings):
        outside |= {id(weight) for weight in (get().parameters() if get() is not None else ())}
    plain = sum(p.numel() for p in model.parameters() if p.dim() > 1 and id(p) not in outside)
    return packed / (packed + plain) if packed else 0.0


def prefers_dequantized(model: Any, dtype: Any, products: Any, device: str) -> tuple[bool, dict[str, Any]]:
    """Whether the layers are faster with the same values expanded in ``products``, and what was seen.

    One layer of each shape is timed both ways on the loaded weights, as in a prefill pass (128 tokens) and
    in a step (16 rows) of activations in ``dtype``; the times are added up over all layers. Where the
    expanded values would take more than half of the free memory nothing is timed.
    """
    import torch

    from harness.models.products import expanded

    layers = four_bit_layers(model)
    needed = sum(layer.in_features * layer.out_features for layer in layers) * products.itemsize
    free = (
        torch.cuda.mem_get_info(device)[0]
        if device.startswith("cuda")
        else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    if not layers or needed > free / 2:
        return False, {"expanded_bytes": needed, "free_bytes": free}
    shapes = Counter((layer.in_features, layer.out_features) for layer in layers)
    first = {(layer.in_features, layer.out_features): layer for layer in reversed(layers)}
    seconds = {"prefill_4bit": 0.0, "step_4bit": 0.0, "prefill_expanded": 0.0, "step_expanded": 0.0}
    with torch.inference_mode():
        for shape, count in shapes.items():
            wide = expanded(first[shape], products)
            packed = copy.deepcopy(first[shape]).eval()
            pack_for_cpu([packed], allowed=True)
            for stage, rows in (("prefill", _TIMED_TOKENS), ("step", _TIMED_ROWS)):
                x = torch.randn(rows, shape[0], device=device, dtype=dtype)
                seconds[f"{stage}_4bit"] += count * _seconds(lambda p=packed, x=x: p(x), device)
                seconds[f"{stage}_expanded"] += count * _seconds(lambda w=wide, x=x: w(x), device)
    total = {
        way: seconds[f"prefill_{way}"] / _TIMED_TOKENS + _STEPS_A_TOKEN * seconds[f"step_{way}"] / _TIMED_ROWS
        for way in ("4bit", "expanded")
    }
    return total["expanded"] < total["4bit"], {key: round(value, 5) for key, value in seconds.items()}


def _seconds(work: Any, device: str, times: int = 3) -> float:
    import torch

    took = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - start)
    return min(took[1:])


def pack_for_cpu(layers: list[Any], *, allowed: bool) -> None:
    """Let bitsandbytes lay weights out anew for its bfloat16 products on CPU, where they can take the shape.

    It does so at a layer's first product, and PEFT cannot wrap a layer after that.
    """
    if not layers or not hasattr(layers[0], "support_avx512bf16_for_cpu"):
        return
    from bitsandbytes.functional import has_avx512bf16

    able = allowed and has_avx512bf16()
    for layer in layers:
        fits = layer.out_features % 32 == 0 and layer.in_features % layer.weight.quant_state.blocksize == 0
        layer.support_avx512bf16_for_cpu = able and fits
