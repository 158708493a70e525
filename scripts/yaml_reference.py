"""Write the keys of a benchmark's YAML into docs/benchmarks.md.

    python scripts/yaml_reference.py [--check]

They are taken from the records that read it: name, default and help stand there once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from harness.benchmarks.spec import BenchmarkSpec
from harness.options import Option

TARGET = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
_PLACE = re.compile(r"(<!-- keys -->\n).*?(<!-- end of keys -->\n)", re.DOTALL)
_NOT_KEYS = {"name", "path"}


class Key(NamedTuple):
    """One key of the YAML."""

    name: str
    default: Any
    help: str


def keys(model: Any, prefix: str = "") -> Iterator[Key]:
    """The keys of a model, those of its parts with their place before them."""
    if is_dataclass(model):
        hints = get_type_hints(model, include_extras=True)
        for field in fields(model):
            for mark in get_args(hints[field.name])[1:]:
                if isinstance(mark, Option):
                    default = "required" if field.default is MISSING else field.default
                    hint = get_args(hints[field.name])[0]
                    yield Key(prefix + field.name, default, mark.help + _choices(hint))
        return
    for name, info in model.model_fields.items():
        part = info.annotation
        if isinstance(part, type) and (issubclass(part, BaseModel) or is_dataclass(part)):
            yield from keys(part, f"{prefix}{name}.")
        elif name not in _NOT_KEYS:
            required = info.default is PydanticUndefined and info.default_factory is None
            yield Key(
                prefix + name,
                "required" if required else info.default,
                (info.description or "") + _choices(part),
            )


def _choices(hint: Any) -> str:
    if get_origin(hint) is not Literal:
        return ""
    return " (" + ", ".join(f"`{value}`" for value in get_args(hint)) + ")"


def render() -> str:
    """The page with its table of keys as the records say."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    lines += [f"| `{key.name}` | {_shown(key.default)} | {key.help} |" for key in keys(BenchmarkSpec)]
    return _PLACE.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], TARGET.read_text("utf-8"))


def _shown(default: Any) -> str:
    if default == "required":
        return "required"
    if default is PydanticUndefined or default in (None, "", ()):
        return ""
    text = ", ".join(default) if isinstance(default, tuple) else str(default)
    return "`" + text.replace("\n", "\\n") + "`"


if __name__ == "__main__":
    page = render()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text("utf-8") == page else "docs/benchmarks.md is out of date")
    TARGET.write_text(page, "utf-8")
