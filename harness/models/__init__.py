"""Completions: which pairs, how they are asked, and their text, made here or by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.extract import Extracted, extract_sql
from harness.models.pair_plan import PairPlan, Settings, plan_endpoint, plan_pairs

if TYPE_CHECKING:
    from harness.models.cost import Cost, Generator
    from harness.models.endpoint import connect
    from harness.models.engine import load

__all__ = [
    "Cost",
    "Extracted",
    "Generator",
    "PairPlan",
    "Settings",
    "connect",
    "extract_sql",
    "load",
    "plan_endpoint",
    "plan_pairs",
]

_LATE = {"Cost": "cost", "Generator": "cost", "connect": "endpoint", "load": "engine"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"harness.models.{_LATE[name]}"), name)
