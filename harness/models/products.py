"""4-bit weights on a CPU: quantised by pieces, and multiplied in the numbers that the CPU is fast in.

bitsandbytes multiplies packed 4-bit weights in bfloat16 on a CPU with AVX512-BF16. Expanded to bfloat16 they
take three times the memory and give the same products for less time wherever 16 rows or more go through at
once: in prefill, and in the steps of a batch. Activations, attention and the cache stay as they were.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_FEW = 96  # rows up to which ``weight @ rows.T`` wins on a CPU: ``linear`` lays the weight out anew each time
_PIECE = 1 << 17  # values quantised at once: what fits the second cache


def product_dtype(choice: str, device: str, dtype: torch.dtype) -> torch.dtype:
    """What 4-bit layers multiply in: bfloat16 on a CPU that is made for it, unless a dtype was asked for."""
    if choice != "auto" or not device.startswith("cpu"):
        return dtype
    from bitsandbytes.functional import has_avx512bf16

    return torch.bfloat16 if has_avx512bf16() else dtype


class Product(nn.Linear):  # type: ignore[misc]
    """A linear layer whose weight may be in other numbers than what goes in and comes out.

    ``[..., in]`` to ``[..., out]`` in the input's dtype. A few rows on a CPU are multiplied from the weight's
    side: at 16 rows of 1,536 numbers that takes two thirds of the time.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product, with the bias added in the input's dtype."""
        rows = x.reshape(-1, self.in_features).to(self.weight.dtype)
        if x.device.type == "cpu" and rows.shape[0] <= _FEW:
            turned = (self.weight @ rows.T).T
            made = turned.to(x.dtype, memory_format=torch.contiguous_format).contiguous()
        else:
            made = nn.functional.linear(rows, self.weight).to(x.dtype)
        if self.bias is not None:
            made = made + self.bias.to(x.dtype)
        return made.reshape(*x.shape[:-1], self.out_features)


class Head(nn.Linear):  # type: ignore[misc]
    """The output layer in float32, multiplied by oneDNN: MKL takes two and a half times as long on some CPUs.

    Where the CPU has bfloat16 tiles, oneDNN rounds what goes in to bfloat16, never what comes out.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., hidden]`` to logits ``[..., vocabulary]``."""
        matmul: Any = torch.backends.mkldnn.matmul
        before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
        try:
            made = (self.weight @ x.reshape(-1, self.in_features).T).T
        finally:
            matmul.fp32_precision = before
        if self.bias is not None:
            made = made + self.bias
        return made.reshape(*x.shape[:-1], self.out_features)


def expand(model: Any, dtype: torch.dtype) -> Any:
    """The model with its 4-bit layers' very values held in ``dtype``, one layer at a time.

    transformers' own ``dequantize`` expands every layer twice and keeps a gigabyte more of one of 1.5 billion
    weights.
    """
    from bitsandbytes.nn import Linear4bit

    names = [name for name, module in model.named_modules() if isinstance(module, Linear4bit)]
    for name in names:
        model.set_submodule(name, expanded(model.get_submodule(name), dtype))
    head = model.get_output_embeddings()
    if type(head) is nn.Linear and head.weight.dtype == torch.float32 != dtype:
        head.__class__ = Head
    model.hf_quantizer.remove_quantization_config(model)
    return model


def expanded(layer: Any, dtype: torch.dtype) -> Product:
    """A 4-bit layer's values in a ``Product``."""
    from bitsandbytes.functional import dequantize_4bit

    with torch.device("meta"):
        made: Product = Product(layer.in_features, layer.out_features, bias=False)
    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    made.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    made.bias = layer.bias
    return made


def quantise_by_pieces() -> None:
    """Give bitsandbytes a quantiser for CPUs with the same bits as its own, in a third of the time.

    Its own looks every value up in a table of 15 bounds, over temporary copies of the whole weight.
    """
    import bitsandbytes  # noqa: F401 - defines the operator

    name = "bitsandbytes::quantize_4bit"
    if not torch._C._dispatch_has_kernel_for_dispatch_key(name, "CPU"):
        torch.library.register_kernel(name, "cpu", _quantise)


def _quantise(
    values: torch.Tensor, blocksize: int, quant_type: str, storage: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    from bitsandbytes.functional import get_4bit_type

    code = get_4bit_type(quant_type, device="cpu")
    order = torch.argsort(code)
    bounds = ((code[order[:-1]] + code[order[1:]]) / 2).tolist()
    ranks = None if quant_type == "nf4" else order.to(torch.uint8)
    flat = values.reshape(-1)
    whole = flat.numel() // blocksize * blocksize
    packed, scales = [], []
    for start in range(0, whole, _PIECE):
        piece = flat[start : min(whole, start + _PIECE)].float().reshape(-1, blocksize)
        scale = piece.abs().amax(-1)
        packed.append(_pack(piece * (1.0 / scale.clamp(min=1e-38))[:, None], bounds, ranks))
        scales.append(scale)
    if whole < flat.numel():
        piece = flat[whole:].float()
        scale = piece.abs().max().clamp(min=1e-38)
        packed.append(_pack(piece / scale, bounds, ranks))
        scales.append(scale[None])
    out = torch.cat(packed)
    return (out if storage == torch.uint8 else out.view(storage))[:, None], torch.cat(scales)


def _pack(scaled: torch.Tensor, bounds: list[float], ranks: torch.Tensor | None) -> torch.Tensor:
    """Two values a byte, the first in the high half; an odd one is followed by a zero."""
    scaled = scaled.clamp(-1, 1).reshape(-1)
    if scaled.numel() % 2:
        scaled = nn.functional.pad(scaled, (0, 1))
    found = torch.zeros(scaled.numel(), dtype=torch.uint8)
    for bound in bounds:
        found += scaled > bound
    if ranks is not None:
        found = ranks[found.int()]
    return (found[::2] << 4) | found[1::2]
