"""``doctor``: what an issue report needs to say about a machine, on one screen."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from harness.files import cache_folder
from harness.log import versions

PACKAGES = (
    "sql-harness",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "trl",
    "datasets",
    "sqlglot",
    "sqlite-utils",
)
_PATIENCE = 5.0  # seconds for the hub to answer


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found; sizes in bytes."""

    versions: tuple[str, ...]
    system: str
    sqlite: str
    device: str
    memory_free: int
    memory_total: int
    cache_folder: str
    disk_free: int
    hub: str

    def to_text(self) -> str:
        """One screen."""
        rows: Mapping[str, str] = {
            "versions": ", ".join(self.versions),
            "system": f"{self.system}, SQLite {self.sqlite}",
            "device": self.device,
            "memory": f"{_gib(self.memory_free)} free of {_gib(self.memory_total)}",
            "cache": f"{self.cache_folder}, {_gib(self.disk_free)} free on its disk",
            "hub": self.hub,
        }
        return "\n".join(f"{name + ':':<10}{value}" for name, value in rows.items())

    def to_json(self) -> dict[str, object]:
        """The same, for programs."""
        return asdict(self)


def examine() -> Diagnosis:
    """Look at this machine; takes as long as importing torch, and five seconds more where no hub answers."""
    import sqlite3

    import psutil

    memory, cache = psutil.virtual_memory(), cache_folder()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return Diagnosis(
        versions=(f"Python {platform.python_version()}", *map(" ".join, versions(*PACKAGES).items())),
        system=f"{platform.platform()}, {os.cpu_count()} cores",
        sqlite=sqlite3.sqlite_version,
        device=_device(),
        memory_free=memory.available,
        memory_total=memory.total,
        cache_folder=str(cache),
        disk_free=shutil.disk_usage(there).free,
        hub=_hub(),
    )


def _device() -> str:
    try:
        import torch
    except ImportError as error:
        return f"torch cannot be imported: {error}"
    if not torch.cuda.is_available():
        return f"cpu, {torch.get_num_threads()} threads"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    free, total = torch.cuda.mem_get_info()
    return f"{', '.join(names)}; {_gib(free)} free of {_gib(total)} on the first; CUDA {torch.version.cuda}"


def _hub() -> str:
    import httpx
    from huggingface_hub import constants, get_token

    token = "a token is set" if get_token() else "no token"
    if constants.HF_HUB_OFFLINE:
        return f"not asked (HF_HUB_OFFLINE is set), {token}"
    try:
        answer = httpx.head(constants.ENDPOINT, timeout=_PATIENCE, follow_redirects=True)
    except httpx.HTTPError as error:
        return f"{constants.ENDPOINT} does not answer ({type(error).__name__}), {token}"
    return f"{constants.ENDPOINT} answers ({answer.status_code}), {token}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
