"""4-bit weights on a CPU: the same bits as bitsandbytes makes, the same products as its values give."""

from __future__ import annotations

from typing import Any

import bitsandbytes
import pytest
import torch
from bitsandbytes.functional import dequantize_4bit, get_4bit_type
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import nn

from harness.models.products import Head, Product, expanded, product_dtype, quantise_by_pieces

quantise_by_pieces()


def nearest(values: torch.Tensor, blocksize: int, quant_type: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[n]`` and scales by bitsandbytes' own rule, spelled out: the bucket between two midpoints."""
    code = get_4bit_type(quant_type, device="cpu")
    order = torch.argsort(code)
    bounds = (code[order[:-1]] + code[order[1:]]) / 2
    scales, codes = [], []
    for block in values.reshape(-1).float().split(blocksize):
        scale = block.abs().max()
        whole = len(block) == blocksize
        floor = scale.clamp(min=1e-38)
        scales.append(scale if whole else floor)
        scaled = block * (1.0 / floor) if whole else block / floor
        codes.append(order[torch.bucketize(scaled.clamp(-1, 1), bounds)])
    return torch.cat(codes), torch.stack(scales)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
@pytest.mark.parametrize("shape", [(96, 64), (33, 64), (7, 33), (1, 130), (2049, 64), (3, 3)])
def test_quantised_by_pieces_has_the_bits_of_the_rule(
    shape: tuple[int, int], quant_type: str, dtype: Any
) -> None:
    values = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    if shape[0] > 30:
        values[0] = 0
        values[1, :5] = values[1].abs().max()
    packed, scales = torch.ops.bitsandbytes.quantize_4bit(values, 64, quant_type, torch.uint8)
    codes, wanted = nearest(values, 64, quant_type)
    found = torch.stack([packed[:, 0] >> 4, packed[:, 0] & 15], 1).reshape(-1)[: len(codes)]
    assert torch.equal(found.long(), codes)
    assert torch.equal(scales, wanted)


def layer(bias: bool = False) -> Any:
    made = Linear4bit(64, 96, bias=bias, compute_dtype=torch.float32, compress_statistics=False)
    weight = torch.randn(96, 64, generator=torch.Generator().manual_seed(1)) * 0.05
    made.weight = Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=False)
    return made.to("cpu").eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 16, 300])
@pytest.mark.parametrize("bias", [False, True])
def test_expanded_layers_multiply_by_the_very_4bit_values(dtype: Any, rows: int, bias: bool) -> None:
    packed = layer(bias)
    values = dequantize_4bit(packed.weight.data, packed.weight.quant_state)
    wide = expanded(packed, dtype)
    x = torch.randn(rows, 1, 64, generator=torch.Generator().manual_seed(2))
    got, wanted = wide(x), nn.functional.linear(x, values, packed.bias)
    assert got.dtype == torch.float32
    assert got.shape == (rows, 1, 96)
    assert got.is_contiguous()
    assert isinstance(wide, Product)
    assert wide.weight.dtype == dtype
    assert (got - wanted).norm() / wanted.norm() < (1e-5 if dtype == torch.float32 else 0.01)


def test_the_output_layer_stays_in_float32_and_leaves_the_setting_alone() -> None:
    plain = nn.Linear(64, 500)
    x, before = torch.randn(16, 1, 64), torch.backends.mkldnn.matmul.fp32_precision
    wanted = plain(x)
    plain.__class__ = Head
    got = plain(x)
    assert got.dtype == torch.float32
    assert got.shape == wanted.shape
    assert (got - wanted).norm() / wanted.norm() < torch.finfo(torch.bfloat16).eps
    assert len(got.unique()) > 7000, "not rounded to bfloat16 on the way out"
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_a_dtype_that_is_asked_for_is_kept() -> None:
    assert product_dtype("float32", "cpu", torch.float32) == torch.float32
    able = bitsandbytes.functional.has_avx512bf16()
    assert product_dtype("auto", "cpu", torch.float32) == (torch.bfloat16 if able else torch.float32)
    assert product_dtype("auto", "cuda:0", torch.float16) == torch.float16
