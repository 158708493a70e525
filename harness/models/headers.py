"""The headers of safetensors files: names and shapes of tensors, read before any memory is taken for them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import ModelError
from harness.options import reason

_LONGEST = 100_000_000  # bytes of a header, as the format's own reader has it
_BITS = {"BOOL": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_BITS |= {f"{kind}{bits}": bits for kind in "IUF" for bits in (8, 16, 32, 64)} | {"BF16": 16, "C64": 64}


class _Tensor(TypedDict):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_HEADER = TypeAdapter(dict[str, _Tensor])


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a folder's safetensors files, from their headers alone.

    Raises:
        ModelError: a file is none, or its header does not fit what is in it.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            shapes |= _shapes(path)
        except (struct.error, ValueError, OverflowError, RecursionError, ValidationError) as error:
            raise ModelError(
                f"{path} is not a safetensors file ({reason(error)})", "copy or download it again"
            ) from None
        except OSError as error:
            raise ModelError(
                f"{path} cannot be read ({error.strerror})", "a file of weights should stand there"
            ) from None
    return shapes


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > min(_LONGEST, size - 8):
            raise ValueError("cut short, or its header lies about its length")
        header: Any = json.loads(file.read(length))
    if isinstance(header, dict):
        header.pop("__metadata__", None)
    found = {}
    for name, tensor in _HEADER.validate_python(header, strict=False).items():
        begin, end = tensor["data_offsets"]
        bits = _BITS.get(tensor["dtype"])
        if not 0 <= begin <= end <= size - 8 - length or min(tensor["shape"], default=0) < 0:
            raise ValueError(f"{name} lies beyond its end")
        if bits is not None and math.prod(tensor["shape"]) * bits != 8 * (end - begin):
            raise ValueError(f"{name} is said to be {tensor['shape']}, and has {end - begin} bytes")
        found[name] = tuple(tensor["shape"])
    return found
