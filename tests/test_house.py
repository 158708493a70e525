"""The house itself: no two modules bear one name, and no two public records or aliases."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MODULES = {
    "wikisql": "its rows, and its authors' metric",
}
"""Names that two modules may share, each with the reason."""


def _modules(root: Path) -> list[Path]:
    return [path for path in sorted((root / "harness").rglob("*.py")) if not path.name.startswith("__")]


def _defined(path: Path) -> Iterator[str]:
    """The classes and aliases of types that a module defines for others."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper():
                    yield target.id


def test_a_module_has_a_name_of_its_own(root: Path) -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in _modules(root):
        found[path.stem].append(str(path.relative_to(root)))
    shared = {name: places for name, places in found.items() if len(places) > 1}
    assert shared.keys() == MODULES.keys(), shared


def test_a_record_has_a_name_of_its_own(root: Path) -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in _modules(root):
        for name in _defined(path):
            found[name].append(str(path.relative_to(root)))
    shared = {name: places for name, places in found.items() if len(places) > 1}
    assert not shared
