"""The decode step as a GPU repeats it: recorded device work without Python, on rows and columns rounded up.

A CPU has no CUDA graphs; what stands in for one records every operation that PyTorch dispatches and repeats
these, so that whatever Python would have done anew at the next step is missing here as it is there.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models_tiny import tiny_pair
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from harness.models import Settings, load, plan_pairs
from harness.models.packed import packed
from harness.models.steps import DecodeStep, Replay
from harness.records import Example


class Tape(TorchDispatchMode):
    """The operations of a piece of device work, to be repeated on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        """Every operation again; what one made takes the place of what it made before."""
        self.replays += 1
        now: dict[int, torch.Tensor] = {}
        for func, args, kwargs, out in self._calls:

            def current(value: Any) -> Any:
                return now.get(id(value), value) if isinstance(value, torch.Tensor) else value

            made = func(*tree_map(current, args), **tree_map(current, kwargs))
            for old, new in zip(_tensors(out), _tensors(made), strict=True):
                now[id(old)] = new


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, (list, tuple)) else []


def taped(made: list[Tape]) -> Callable[[Callable[[], object]], Replay]:
    """A recorder, and the tapes that it made."""

    def record(work: Callable[[], object]) -> Replay:
        work()
        tape = Tape()
        with tape:
            work()
        made.append(tape)
        return tape.replay

    return record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pair(tmp_path_factory.mktemp("steps"))


def _texts(engine: Any, rows: list[Example], record: Any = None) -> dict[str, str]:
    (pair,) = engine._plans
    engine._decoder.steps._record = record
    engine._decoder.steps.worth = 1
    return {done.id: done.text for done in engine.generate(pair, rows)}


def test_recorded_steps_write_the_same_texts(folder: Path) -> None:
    """Rows of many lengths that come and go, in slots that are made anew."""
    plans = plan_pairs(adapters=[str(folder / "adapter")], include_base=False)
    engine = load(plans, Settings(quantization="none", max_new_tokens=24, batch_size=7))
    rows = [
        Example(
            id=str(i), question="abc? " * (i * 5 % 17 + 1), context=f"CREATE TABLE t{i % 3} (a INT)", gold=""
        )
        for i in range(40)
    ]
    plain = _texts(engine, rows)
    tapes: list[Tape] = []
    assert _texts(engine, rows, taped(tapes)) == plain
    assert len(set(plain.values())) > 20
    assert len(tapes) > 1
    assert sum(tape.replays for tape in tapes) > 20
    engine.close()


def test_a_closed_engine_leaves_no_model_behind(folder: Path) -> None:
    """The next base must not wait for a collection of circles before there is room for it."""
    engine = load(
        plan_pairs(adapters=[str(folder / "adapter")], include_base=False), Settings(quantization="none")
    )
    _texts(engine, [Example(id="0", question="abc", context="", gold="")], taped([]))
    gc.collect()
    gc.disable()
    try:
        model = weakref.ref(engine._base.model)  # type: ignore[union-attr]
        engine.close()
        assert model() is None
    finally:
        gc.enable()


def test_one_that_cannot_be_recorded_goes_on_without(folder: Path) -> None:
    """Asking the device for a number amid the work ends a recording, not the run."""
    said: list[str] = []
    plans = plan_pairs(adapters=[str(folder / "adapter")], include_base=False)
    engine = load(plans, Settings(quantization="none", max_new_tokens=8, batch_size=4), said.append)
    rows = [Example(id=str(i), question="abc" * i, context="", gold="") for i in range(6)]
    plain = _texts(engine, rows)

    def refuse(work: Callable[[], object]) -> Replay:
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    assert _texts(engine, rows, refuse) == plain
    assert [
        line
        for line in said
        if "without CUDA graphs" in line and "capturing" in line and "more\n" not in line
    ]
    assert engine._decoder.steps._record is None
    engine.close()


def test_a_recording_is_forgotten_with_its_slots() -> None:
    """After ``forget`` a shape is seen anew; rows beyond the real ones stand at the first column."""
    seen: list[tuple[list[int], list[int], int]] = []

    def forward(last: torch.Tensor, at: torch.Tensor, columns: int) -> torch.Tensor:
        seen.append((last.tolist(), at.tolist(), columns))
        return torch.stack([last, at], 1).float()

    tapes: list[Any] = []

    def record(work: Callable[[], object]) -> Replay:
        tapes.append(work)
        return work

    steps = DecodeStep(torch.device("cpu"), record, lambda _: None)
    steps.worth = 2
    last, at = np.array([7, 8, 9, 7, 6]), np.array([3, 200, 5, 1, 2])
    for _ in range(3):
        logits = steps(forward, last, at, 201, (16, 208))
    assert seen == [([7, 8, 9, 7, 6], [3, 200, 5, 1, 2], 201)] * 2 + [
        ([7, 8, 9, 7, 6, 0], [3, 200, 5, 1, 2, 0], 208)
    ]
    assert logits.tolist() == [[7, 3], [8, 200], [9, 5], [7, 1], [6, 2]]
    assert (len(tapes), len(steps._recorded)) == (1, 1)
    steps.forget()
    assert len(steps._recorded) == 0
    steps(forward, last, at, 201, (16, 208))
    assert (len(tapes), seen[-1][2]) == (1, 201)


def test_out_of_memory_amid_a_recording_is_out_of_memory() -> None:
    def full(work: Callable[[], object]) -> Replay:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def forward(last: torch.Tensor, at: torch.Tensor, columns: int) -> torch.Tensor:
        return torch.zeros(len(last), 3)

    steps = DecodeStep(torch.device("cpu"), full, lambda _: None)
    steps.worth = 1
    one = np.ones(1, dtype=np.int64)
    steps(forward, one, one, 2, (4, 16))
    with pytest.raises(torch.OutOfMemoryError):
        steps(forward, one, one, 2, (4, 16))


@pytest.mark.parametrize(
    ("heads", "tokens", "masked"), [(6, 1, True), (6, 1, False), (6, 3, True), (2, 1, True)]
)
def test_packed_queries_attend_as_transformers_does(heads: int, tokens: int, masked: bool) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    class Module(torch.nn.Module):
        num_key_value_groups = heads // 2
        is_causal = True

    torch.manual_seed(0)
    query = torch.randn(3, heads, tokens, 8)
    key, value = torch.randn(3, 2, 11, 8), torch.randn(3, 2, 11, 5)
    mask = (
        (torch.arange(11) <= torch.tensor([2, 10, 7])[:, None])[:, None, None].expand(3, 1, tokens, 11)
        if masked
        else None
    )
    ours, _ = packed(Module(), query, key, value, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(Module(), query, key, value, mask, scaling=0.3)
    assert ours.shape == theirs.shape == (3, tokens, heads, 5)
    assert torch.allclose(ours, theirs, atol=1e-6)
