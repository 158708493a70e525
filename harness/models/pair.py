"""A base with its adapters in memory: quantised as stated, each adapter proved to be on."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.log import hush_libraries
from harness.models.plan import PairPlan, Settings
from harness.models.sources import read_json, tensor_shapes

Notify = Callable[[str], None]
_PLAIN_CACHES = frozenset({"full_attention", "sliding_attention", "attention", "moe", "mlp"})


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


@dataclass(slots=True)
class LoadedBase:
    """A base with some adapters. ``model`` is the transformers model, adapters injected; ``peft`` wraps it.

    ``facts`` has one entry an adapter: how many layers it changes and by how much it moves the logits.
    """

    model: Any
    peft: Any
    device: str
    dtype: Any
    dequantized: bool
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def activate(self, adapter: str | None) -> None:
        """Put one adapter on, or none."""
        if self.peft is None:
            return
        if adapter is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.set_adapter(_inner(adapter))


def _inner(name: str) -> str:
    """The adapter's name inside peft, where a dot or a module's own name would break it."""
    return "pair_" + sha256(name.encode()).hexdigest()[:12]


def group_key(plan: PairPlan, settings: Settings) -> tuple[Any, ...]:
    """What pairs must share to stand on one loaded base.

    An adapter that brings embeddings of another size, or that is merged, has its base to itself.
    """
    rows = _embedding_rows(plan)
    return (plan.base, plan.revision, rows, plan.name if settings.merge and plan.adapter else None)


def _embedding_rows(plan: PairPlan) -> int | None:
    folder = Path(plan.adapter) if plan.adapter else None
    if folder is None or not folder.is_dir():
        return None
    shapes = tensor_shapes(folder)
    rows = [
        shape[0]
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(("embed_tokens.weight", "wte.weight", "lm_head.weight"))
    ]
    held = tensor_shapes(Path(plan.base)) if Path(plan.base).is_dir() else {}
    base_rows = {
        shape[0] for name, shape in held.items() if name.endswith(("embed_tokens.weight", "wte.weight"))
    }
    beside = read_json(folder / "adapter_config.json").get("modules_to_save")  # those stand beside the base's
    return max(rows) if rows and (set(rows) != base_rows or not beside) else None


def load_base(plans: Sequence[PairPlan], settings: Settings, notify: Notify) -> LoadedBase:
    """Load the base that the plans share (same ``group_key``) and every adapter among them.

    Raises:
        ModelError: not to be had, not a causal language model, too large, an adapter that does not fit or
            that changes nothing.
    """
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.compute_dtype, device)
    hush_libraries()
    model = _from_pretrained(plans[0], settings, device, dtype)
    _check_family(model)
    if (rows := group_key(plans[0], settings)[2]) is not None:
        model.resize_token_embeddings(rows, mean_resizing=False)
    dequantized = _wants_dequantizing(model, settings, device, dtype, notify) and _dequantize(model, dtype)
    model.eval()
    loaded = LoadedBase(model, None, device, dtype, dequantized)
    for plan in plans:
        if plan.adapter is not None:
            _add_adapter(loaded, plan)
    if settings.merge and loaded.peft is not None:
        loaded.model, loaded.peft = loaded.peft.merge_and_unload(), None
    return loaded


def cache_argument(model: Any) -> str:
    """The name under which the model's forward pass takes its cache.

    transformers 5.24 renamed ``past_key_values`` to ``cache`` in nearly every family, not in all.
    """
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _from_pretrained(plan: PairPlan, settings: Settings, device: str, dtype: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}, "revision": plan.revision}
    if plan.quantized is None and settings.quantization in {"nf4", "fp4"}:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=settings.quantization,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=settings.double_quantization,
        )
    elif plan.quantized is None and settings.quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    try:
        return AutoModelForCausalLM.from_pretrained(plan.base, **options)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"base {plan.base} does not fit on {device}", "use --quantization nf4 --dequantize no"
        ) from error
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = (
            "check --model; offline, fetch it where there is a network (hf download ID) and give the folder"
        )
        raise ModelError(f"base {plan.base} cannot be loaded: {line}", remedy) from error


def _check_family(model: Any) -> None:
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    alibi = config.model_type == "bloom" or getattr(config, "alibi", False)  # read positions off a 2-D mask
    stateful = getattr(model, "_is_stateful", False) or not kinds <= _PLAIN_CACHES
    if model.config.is_encoder_decoder or stateful or alibi:
        raise ModelError(
            f"{type(model).__name__} needs more between tokens than keys, values and positions",
            "serve it (vLLM, SGLang, llama.cpp) and evaluate it with --endpoint URL --model NAME",
        )


def _wants_dequantizing(model: Any, settings: Settings, device: str, dtype: Any, notify: Notify) -> bool:
    import torch

    layers = _four_bit_layers(model)
    if not layers:
        if settings.dequantize == "yes":
            notify("Nothing to dequantise: the base's layers are not in 4-bit.")
        return False
    if settings.dequantize != "auto" or settings.merge:
        return settings.merge or settings.dequantize == "yes"
    needed = sum(layer.in_features * layer.out_features for _, _, layer in layers) * dtype.itemsize
    if device.startswith("cuda"):
        return bool(needed < torch.cuda.mem_get_info(device)[0] / 2)
    return bool(needed < os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2)


def _four_bit_layers(model: Any) -> list[tuple[Any, str, Any]]:
    from bitsandbytes.nn import Linear4bit

    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, Linear4bit)
    ]


def _dequantize(model: Any, dtype: Any) -> bool:
    """Put the very values that 4-bit products would re-expand into plain linear layers."""
    import torch
    from bitsandbytes.functional import dequantize_4bit

    for parent, name, layer in _four_bit_layers(model):
        plain = torch.nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        values = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
        plain.weight = torch.nn.Parameter(
            values.reshape(layer.out_features, layer.in_features), requires_grad=False
        )
        plain.bias = (
            None if layer.bias is None else torch.nn.Parameter(layer.bias.data.to(dtype), requires_grad=False)
        )
        setattr(parent, name, plain)
    for attribute in ("is_loaded_in_4bit", "is_quantized"):
        if hasattr(model, attribute):
            setattr(model, attribute, False)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return True


def _add_adapter(loaded: LoadedBase, plan: PairPlan) -> None:
    from peft import PeftConfig, PeftModelForCausalLM
    from safetensors import SafetensorError

    assert plan.adapter is not None
    inner = _inner(plan.name)
    try:
        config = PeftConfig.from_pretrained(plan.adapter)
        config.inference_mode = True
        if loaded.peft is None:
            loaded.peft = PeftModelForCausalLM(loaded.model, config, inner, autocast_adapter_dtype=False)
        result = loaded.peft.load_adapter(
            plan.adapter, inner, torch_device=loaded.device, autocast_adapter_dtype=False
        )
    except (ValueError, RuntimeError, OSError, TypeError, KeyError, SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        line = lines[1] if len(lines) > 1 and "size mismatch" in lines[1] else lines[0]
        raise ModelError(
            f"adapter {plan.adapter} does not go on base {plan.base}: {line[:200]}",
            "if it was trained on another base, name that one with --model",
        ) from error
    for name, parameter in loaded.peft.named_parameters():
        if f".{inner}." in name and parameter.is_floating_point():
            parameter.data = parameter.data.to(loaded.dtype)
    loaded.peft.eval()
    loaded.facts[plan.name] = _prove(loaded, plan, result)


def _prove(loaded: LoadedBase, plan: PairPlan, result: Any) -> dict[str, Any]:
    """Show that the adapter is on: all of its tensors found a place and it moves the logits."""
    import torch

    inner = _inner(plan.name)
    missing = [key for key in result.missing_keys if f".{inner}." in key or "modules_to_save" in key]
    # peft itself saves the halves of its wrapper beside the embedding that it restores
    twice = (".modules_to_save.", ".original_module.")
    homeless = [key for key in result.unexpected_keys if not any(mark in key for mark in twice)]
    if missing or homeless:
        which = (
            f"{missing[0].replace(f'.{inner}', '')} is missing" if missing else f"{homeless[0]} has no place"
        )
        raise ModelError(
            f"adapter {plan.adapter} is not whole on base {plan.base}: {which}",
            "it was trained on another base or saved by halves: name the base with --model, or save it again",
        )
    layers = [m for m in loaded.peft.modules() if inner in getattr(m, "lora_B", ())]
    saved = [m for m in loaded.peft.modules() if inner in (getattr(m, "modules_to_save", None) or ())]
    dead = [m for m in layers if not m.lora_B[inner].weight.any()]
    if layers and len(dead) == len(layers) and not saved:
        raise ModelError(
            f"adapter {plan.adapter} changes nothing: its LoRA B is all zero",
            "it was saved before training, or its weights were lost: save it again",
        )
    ids = torch.arange(1, 9, device=loaded.device)[None] % loaded.model.config.get_text_config().vocab_size
    with torch.inference_mode():
        loaded.activate(None)
        without = loaded.model(ids).logits
        loaded.activate(plan.name)
        moved = float((loaded.model(ids).logits - without).abs().max())
    if not moved > 0:
        raise ModelError(
            f"adapter {plan.adapter} leaves the base's logits as they are",
            "its weights are zero or not a number: save it again",
        )
    return {"layers": len(layers) or len(saved), "dead_layers": len(dead), "logits_moved_by": moved}
