"""Which keys a query may look at, for each kind of layer of a family, as its forward pass takes it."""

from __future__ import annotations

from typing import Any

import torch

_KINDS = {"full_attention", "sliding_attention", "chunked_attention"}


class Masks:
    """Masks ``[rows, 1, queries, keys]`` of one model: one, or one for each kind of layer.

    True where a key counts, or in numbers where the family's own attention adds them.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        config = model.config.get_text_config(decoder=True)
        kinds = set(getattr(config, "layer_types", None) or ())
        sliding = (
            getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
        )
        self._sliding = int(sliding) if sliding and (not kinds or "sliding_attention" in kinds) else None
        self._kinds = sorted(kinds & _KINDS) or [
            "full_attention" if self._sliding is None else "sliding_attention"
        ]
        self._chunk = int(getattr(config, "attention_chunk_size", None) or 0)
        self._adds = model.config._attn_implementation == "eager"
        self._dtype, self._device = model.dtype, device

    def of_slots(self, at: torch.Tensor, width: int, extent: int) -> Any:
        """Who may look at what in slots of ``extent`` columns: a row's queries are at ``at`` and after it."""
        columns = torch.arange(extent, device=self._device)
        positions = (at[:, None] + torch.arange(width, device=self._device))[:, None, :, None]
        return self.of(columns <= positions, columns, positions, extent)

    def of(self, full: torch.Tensor, columns: torch.Tensor, positions: torch.Tensor, reach: int) -> Any:
        """``full`` for each kind of layer: keys in ``columns``, queries at ``positions`` below ``reach``."""
        if reach <= (self._sliding or reach) and reach <= (self._chunk or reach):
            return self._form(full)
        masks = {"full_attention": full, "sliding_attention": full, "chunked_attention": full}
        if self._sliding is not None and reach > self._sliding:
            masks["sliding_attention"] = full & (columns > positions - self._sliding)
        if self._chunk and reach > self._chunk:
            masks["chunked_attention"] = full & (columns // self._chunk == positions // self._chunk)
        made = {kind: self._form(masks[kind]) for kind in self._kinds}
        return made if len(made) > 1 else next(iter(made.values()))

    def _form(self, mask: torch.Tensor) -> torch.Tensor:
        if not self._adds:
            return mask
        return torch.where(mask, 0.0, torch.finfo(self._dtype).min).to(self._dtype)
