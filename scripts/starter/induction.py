"""Initial weights with which a tiny Llama can copy from the first step on.

From a random start a model of two million parameters hardly learns to copy names within minutes. So
the first layer's heads begin by looking one and two tokens back, and the next two layers' heads begin
as induction heads: they look where the same one or two tokens stood before, and copy what followed.
After "In-context learning and induction heads" (Olsson et al. 2022); the constants were found by trial.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_PREVIOUS = 7.0
"""How sharply the first layer's heads look at their one place."""
_MATCH = 2.4
"""How sharply an induction head prefers a match."""
_QUIET = 0.02
"""What is left of the other output projections."""


def set_induction(model: Any, generator: torch.Generator) -> None:
    """Overwrite the attention weights of the first three layers of a ``LlamaForCausalLM`` in place."""
    import torch

    config = model.config
    width, heads, size = config.hidden_size, config.num_attention_heads, config.head_dim
    scale = float(model.model.embed_tokens.weight.detach().std())
    half = size // 2
    speed = model.model.rotary_emb.inv_freq.float()

    def rotation(rows: int, columns: int) -> torch.Tensor:
        square = torch.randn(width, width, generator=generator)
        return torch.linalg.qr(square)[0][:rows, :columns]

    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(_QUIET)
            layer.self_attn.o_proj.weight.mul_(_QUIET)
        back = heads // 2 * size
        content = rotation(back, width)
        one, two = rotation(width, back), rotation(width, back)
        first = model.model.layers[0].self_attn
        first.q_proj.weight.mul_(_QUIET)
        first.k_proj.weight.mul_(_QUIET)
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            distance = 1 if head < heads // 2 else 2
            angle = distance * speed
            strength = math.sqrt(_PREVIOUS * math.sqrt(size))
            # fast frequencies alone tell neighbours apart; slow ones only add the same to all
            kept = (speed > 0.05).float() * strength
            first.k_proj.bias[rows] = torch.cat([kept, torch.zeros(half)])
            first.q_proj.bias[rows] = torch.cat([kept * torch.cos(angle), -kept * torch.sin(angle)])
        first.v_proj.weight.copy_(torch.cat([content, content]))
        first.o_proj.weight.copy_(torch.cat([one, two], dim=1) * scale)
        slow = torch.nonzero(speed < 0.01).flatten()
        places = torch.cat([slow, slow + half])
        for layer in list(model.model.layers)[1:3]:
            attention = layer.self_attn
            query, key = torch.zeros(width, width), torch.zeros(width, width)
            for head in range(heads):
                picked = head * size + places[torch.randperm(len(places), generator=generator)]
                ones, twos = picked[: len(picked) // 2], picked[len(picked) // 2 :]
                pick = torch.linalg.qr(torch.randn(back, back, generator=generator))[0]
                here, there = pick[: len(ones)], pick[len(ones) : len(picked)]
                query[ones], key[ones] = here @ content, here @ one.T
                query[twos], key[twos] = there @ one.T, there @ two.T
            attention.q_proj.weight.copy_(query * _MATCH)
            attention.k_proj.weight.copy_(key * _MATCH)
            value = rotation(width, width)
            attention.v_proj.weight.copy_(value)
            attention.o_proj.weight.copy_(value.T * scale * 0.7)
