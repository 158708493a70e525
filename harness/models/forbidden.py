"""What a model's ``generation_config`` says of decoding: what forbids tokens is applied, the rest is named.

A base that comes with ``suppress_tokens`` or ``no_repeat_ngram_size`` writes other texts without them;
transformers' own processors apply them here. Penalties and sampling settings stay out: they are for chat, and
hurt SQL, whose names repeat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

_APPLIED = (
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "no_repeat_ngram_size",
    "min_new_tokens",
)
_NO_MATTER = re.compile(  # ids, lengths, how a cache is kept: decided by the engine itself
    r"(bos|eos|pad|decoder_start)_token_id|max_|output_|cache_|_|transformers_version|use_cache|"
    r"return_dict|trust_remote_code|disable_compile|num_return_sequences"
)


class Forbidden:
    """Sets the logits of forbidden tokens to minus infinity; ``applied``, ``ignored`` are for the record."""

    def __init__(self, config: Any, stops: Sequence[int], device: Any) -> None:
        from transformers import (
            MinNewTokensLengthLogitsProcessor,
            NoBadWordsLogitsProcessor,
            NoRepeatNGramLogitsProcessor,
            SuppressTokensLogitsProcessor,
        )

        said = {key: value for key, value in config.to_diff_dict().items() if value not in (None, [], 0)}
        self.applied = {key: said[key] for key in _APPLIED if key in said}
        self.ignored = {
            key: value for key, value in said.items() if not _NO_MATTER.match(key) and key not in self.applied
        }
        asked, ends = self.applied, torch.tensor(list(stops), device=device)
        self._always: list[Any] = []
        self._first: list[Any] = []
        self._by_row: list[Callable[[int], Any]] = []
        if "suppress_tokens" in asked:
            self._always.append(SuppressTokensLogitsProcessor(asked["suppress_tokens"], device=device))
        if "begin_suppress_tokens" in asked:
            self._first.append(SuppressTokensLogitsProcessor(asked["begin_suppress_tokens"], device=device))
        if "bad_words_ids" in asked:
            words = NoBadWordsLogitsProcessor(asked["bad_words_ids"], ends)
            self._by_row.append(lambda _: words)
        if "no_repeat_ngram_size" in asked:
            grams = NoRepeatNGramLogitsProcessor(asked["no_repeat_ngram_size"])
            self._by_row.append(lambda _: grams)
        if "min_new_tokens" in asked and len(stops):
            least = asked["min_new_tokens"]
            self._by_row.append(
                lambda prompt: MinNewTokensLengthLogitsProcessor(prompt, least, ends, device=device)
            )

    def __bool__(self) -> bool:
        return bool(self._always or self._first or self._by_row)

    def __call__(
        self, logits: torch.Tensor, prompts: Sequence[np.ndarray], made: Sequence[np.ndarray]
    ) -> torch.Tensor:
        """Logits ``[rows, vocabulary]`` without what each row's prompt and new tokens forbid."""
        logits = logits.float()
        for always in self._always:
            logits = always(None, logits)
        for row, (prompt, new) in enumerate(zip(prompts, made, strict=True)):
            part = logits[row : row + 1]
            if not len(new):
                for first in self._first:
                    part = first(None, part)
            if self._by_row:
                ids = torch.tensor([[*prompt, *new]], device=logits.device)
                for processor in self._by_row:
                    part = processor(len(prompt))(ids, part)
            logits[row] = part[0]
        return logits
