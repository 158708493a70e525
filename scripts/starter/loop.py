"""The training loop of the starter pair: steps, schedule, checkpoints.

Batches depend on seed and step alone and a checkpoint holds weights and optimiser, so a training that
was killed goes on to the same end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .batches import Batch

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Steps and learning rate: up over ``rising`` steps, level, down over the last ``falling`` share."""

    steps: int
    learning_rate: float
    rising: int = 50
    falling: float = 0.35
    every: int = 100

    def rate(self, step: int) -> float:
        """The learning rate of a step counted from 0; it ends near a fiftieth of the highest."""
        left = (self.steps - step) / max(1.0, self.falling * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / self.rising, 0.02 + 0.98 * left)


def fit(
    model: Any,
    feed: Callable[[int], Iterator[Batch]],
    schedule: Schedule,
    *,
    name: str,
    checkpoint: Path,
    notify: Callable[[str], None],
) -> float:
    """Train the parameters of ``model`` that require gradients; go on from ``checkpoint`` where there is one.

    Returns the seconds that all its starts took together. ``feed(step)`` gives the batches from that step
    on. Raises FloatingPointError if the loss is not a number.
    """
    import torch

    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learnt, betas=(0.9, 0.98), weight_decay=0.01)
    start, before = 0, 0.0
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for parameter, saved in zip(learnt, state["parameters"], strict=True):
                parameter.copy_(saved)
        optimiser.load_state_dict(state["optimiser"])
        start, before = int(state["step"]), float(state["seconds"])
        notify(f"{name}: going on from step {start}")
    model.train()
    began, seen, shown = time.monotonic(), 0, []
    stream = feed(start)
    for step in range(start, schedule.steps):
        batch = next(stream)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.model(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                use_cache=False,
            ).last_hidden_state
            logits = model.lm_head(hidden[batch.rows, batch.columns])
        loss = torch.nn.functional.cross_entropy(logits.float(), batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seen += batch.ids.numel()
        shown.append((loss.detach(), (logits.argmax(-1) == batch.targets).float().mean()))
        last = step + 1 == schedule.steps
        if (step + 1) % schedule.every == 0 or last:
            losses, shares = (torch.stack(list(part)).mean().item() for part in zip(*shown, strict=True))
            shown = []
            if not math.isfinite(losses):
                raise FloatingPointError(f"the loss is {losses} at step {step + 1}")
            spent = time.monotonic() - began
            _save(checkpoint, learnt, optimiser, step + 1, before + spent)
            notify(
                f"{name}: step {step + 1}/{schedule.steps}, loss {losses:.4f}, tokens right {shares:.4f}, "
                f"{seen / spent:.0f} tokens/s, {(before + spent) / 60:.1f} min"
            )
    model.eval()
    return before + time.monotonic() - began


def _save(path: Path, learnt: list[Any], optimiser: Any, step: int, seconds: float) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "parameters": [parameter.detach() for parameter in learnt],
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    draft = path.with_suffix(".part")
    torch.save(state, draft)
    draft.replace(path)
