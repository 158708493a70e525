"""What generation costs: tokens, wall time by stage, padding, memory; and what a generator is."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.records import Completion, Example


@dataclass(slots=True)
class Cost:
    """What one pair has cost so far.

    ``prompt_tokens`` and ``new_tokens`` are real ones; ``shared_tokens`` of the prompts were copied from
    another prompt's slot. ``computed_tokens`` went through the model, ``padding_tokens`` of them in vain.
    ``seconds`` is wall time by stage: load, tokenise, prefill, decode, finish (tokens to text).
    ``peak_memory_bytes`` is the device's on a GPU, the process's on CPU.
    """

    prompt_tokens: int = 0
    new_tokens: int = 0
    shared_tokens: int = 0
    computed_tokens: int = 0
    padding_tokens: int = 0
    examples: int = 0
    batch_rows: int = 0
    peak_memory_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def padding_share(self) -> float:
        """The share of computed positions that were padding, 0 to 1."""
        return self.padding_tokens / self.computed_tokens if self.computed_tokens else 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def rate(self) -> str:
        """Speed and memory in a few words, for a progress bar."""
        busy = (
            sum(self.seconds.get(stage, 0.0) for stage in ("tokenise", "prefill", "decode", "finish")) or 1e-9
        )
        memory = self.peak_memory_bytes / 2**30
        return (
            f"{self.examples / busy:.1f} examples/s, {self.new_tokens / busy:,.0f} tokens/s, {memory:.1f} GiB"
        )

    def to_json(self) -> dict[str, Any]:
        """The cost as results files record it."""
        return {**asdict(self), "padding_share": self.padding_share}


def process_memory() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")  # what resource says, a child inherits from its parent
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text("ascii"))
        if found:
            return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Generator(Protocol):
    """Whatever turns examples into completions.

    ``facts`` is for the record (device, dtype, versions, what was proved of the adapters). ``generate``
    yields completions in the order in which they finish and takes any iterable, lazily.
    """

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the record says of how completions were made."""
        ...

    def generate(self, pair: str, examples: Iterable[Example]) -> Iterator[Completion]:
        """Completions of a pair, as they finish."""
        ...

    def cost(self, pair: str) -> Cost:
        """What the pair has cost so far."""
        ...

    def close(self) -> None:
        """Free the memory."""
        ...
