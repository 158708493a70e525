"""Where the things that travel with the harness lie: benchmarks, recipes, the starter pair."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(*parts: str) -> Path:
    """Path of an asset such as ``asset("benchmarks", "starter.yaml")``; it may not exist.

    Looked for in the installed wheel (``harness/_assets``) first, then at the repository's root.
    """
    installed = _PACKAGE.joinpath("_assets", *parts)
    return installed if installed.exists() else _PACKAGE.parent.joinpath(*parts)


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again, under ``XDG_CACHE_HOME``; not created."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root, "sql-harness", *parts)
