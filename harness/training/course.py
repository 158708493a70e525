"""What a training says while it works: a bar (or lines) with loss or reward, tokens a second and memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from harness.runs.progress import Progress

from .checkpoints import seal


class Course(NamedTuple):
    """How a whole training went, all its starts together; loss and reward are means over all steps."""

    steps: int
    loss: float | None
    reward: float | None
    seconds: float
    tokens: int

    def told(self) -> str:
        """The course in words."""
        figures = [f"loss {self.loss:.4f}"] if self.loss is not None else []
        figures += [f"reward {self.reward:.3f}"] if self.reward is not None else []
        return f"{', '.join(figures)} over {self.steps} step{'s' * (self.steps != 1)}"


def course(log: Sequence[Mapping[str, Any]], steps: int) -> Course:
    """The course of a training, from the trainer's log of every step."""
    logged = {int(entry["step"]): entry for entry in log if "loss" in entry}

    def mean(key: str) -> float | None:
        found = [float(entry[key]) for entry in logged.values() if entry.get(key) is not None]
        return statistics.fmean(found) if found else None

    def total(key: str) -> float:
        return sum(float(entry.get(key) or 0) for entry in logged.values())

    return Course(steps, mean("loss"), mean("reward"), total("own_seconds"), round(total("own_tokens")))


def watch(
    trainer: Any, stack: ExitStack, progress: Progress, forecast: Callable[[int], str], *, on_gpu: bool
) -> None:
    """Have the trainer tell its progress until ``stack`` closes, after the ``forecast`` for so many steps;
    each step logs its seconds and tokens, each checkpoint is sealed."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            left = state.max_steps - state.global_step
            if told := forecast(left):
                progress.say(told)
            name = f"Training from step {state.global_step}" if state.global_step else "Training"
            self.advance = stack.enter_context(progress.stage(name, left))
            self.begun = self.last = time.monotonic()
            self.start = self.tokens = state.num_input_tokens_seen

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            now, entry = time.monotonic(), state.log_history[-1]
            seen = int(logs.get("num_tokens") or 0)
            entry["own_seconds"], entry["own_tokens"] = now - self.last, max(0, seen - self.tokens)
            self.last, self.tokens = now, max(seen, self.tokens)
            self.advance(1, note=self.note(logs, now))

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trainer.accelerator.wait_for_everyone()  # each process writes its own random state
            if state.is_world_process_zero:
                seal(Path(args.output_dir, f"checkpoint-{state.global_step}"))

        def note(self, logs: Mapping[str, Any], now: float) -> str:
            parts = [f"loss {float(logs['loss']):.4f}"]
            if logs.get("reward") is not None:
                parts.append(f"reward {float(logs['reward']):.3f}")
            if new := self.tokens - self.start:
                parts.append(f"{new / max(now - self.begun, 1e-9):,.0f} tokens/s")
            return ", ".join([*parts, memory(on_gpu=on_gpu)])

    trainer.add_callback(Watch())
    for known in list(trainer.callback_handler.callbacks):
        if type(known).__name__ == "PrinterCallback":
            trainer.remove_callback(known)


def memory(*, on_gpu: bool) -> str:
    """The most memory that was held so far.

    >>> memory(on_gpu=False).endswith(" GiB")
    True
    """
    if on_gpu:
        import torch

        held = float(torch.cuda.max_memory_allocated())
    else:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return f"{held / 2**30:.1f} GiB"
