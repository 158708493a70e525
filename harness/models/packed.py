"""Attention of one query token where query heads share key heads, in every transformers that is supported.

From 5.24 on transformers packs the queries of a key head together; before, its SDPA copies keys and values
once for each query head at every step.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations import sdpa_attention


def pack_queries() -> None:
    """Have transformers' SDPA pack queries where it does not itself."""
    if not hasattr(sdpa_attention, "pack_gqa"):
        AttentionInterface.register("sdpa", packed)


def packed(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' ``sdpa_attention_forward``, without copies for single queries under a mask of all heads.

    Queries are ``[rows, heads, tokens, width]``, keys and values ``[rows, key heads, columns, width]``; the
    output is ``[rows, tokens, heads, width]``.
    """
    rows, heads, tokens, width = query.shape
    shared = getattr(module, "num_key_value_groups", 1) > 1 and tokens == 1
    if (
        not shared
        or attention_mask is None
        or attention_mask.shape[1] != 1
        or options.get("position_bias") is not None
    ):
        made: tuple[torch.Tensor, None] = sdpa_attention.sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return made
    together = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    out = torch.nn.functional.scaled_dot_product_attention(
        together, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    return out.reshape(rows, 1, heads, value.shape[-1]), None
