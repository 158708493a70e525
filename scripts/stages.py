"""Measurements in stages on a machine that is lent for minutes: each has a limit, prints one JSON line as it
ends and is kept in a file, so that a second call does those that the first one had no time for."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALL = 480  # seconds of one call


class OutOfTime(Exception):
    """A stage that took longer than it may."""


class Stages:
    """Results by stage, written after each; what an earlier call has done stays."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.values: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.start = time.perf_counter()
        self.left: list[str] = []

    def stage(self, name: str, limit: int, work: Callable[[dict[str, Any]], None]) -> None:
        """Do a stage in at most ``limit`` seconds; whatever it put into its dictionary is kept."""
        import torch

        before = self.values.get(name)
        if before and "failed" not in before and name != "machine":
            return
        if time.perf_counter() - self.start + limit > CALL:
            self.left.append(name)
            return

        def stop(*_: object) -> None:
            raise OutOfTime(f"not done in {limit} s")

        found: dict[str, Any] = {}
        self.values[name] = found
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(limit)
        start = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            work(found)
        except Exception as error:  # the other stages' results are worth more than this one's trace
            found["failed"] = f"{type(error).__name__}: {error}"[:300]
        finally:
            signal.alarm(0)
            found["stage_seconds"] = round(time.perf_counter() - start, 1)
            self.path.write_text(json.dumps(self.values, indent=1))
            print(json.dumps({"stage": name, **found}), flush=True)
