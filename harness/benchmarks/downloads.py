"""Where a benchmark's files lie: what the user points at, the download folder, or the hub.

A download is looked for in ``~/.cache/sql-harness/benchmarks/NAME`` (or below ``XDG_CACHE_HOME``); files of a
data set on the hub are fetched into the hub's own cache, checked against the benchmark's pin.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness.benchmarks.spec import BenchmarkSpec
from harness.errors import BenchmarkError, DataError
from harness.files import FORMATS, DataRow, cache_folder, read_rows

_NOT_ROWS = ("origins.csv", "tables.json", "dataset_infos.json", "dataset_info.json")


def download_folder(spec: BenchmarkSpec) -> Path:
    """The folder in which a download of this benchmark is looked for."""
    folder = spec.source.folder
    return cache_folder("benchmarks", spec.source.kind) if folder is None else spec.resolve(folder)


def local(spec: BenchmarkSpec, data: Path | None) -> Path | None:
    """What the user points at, else the download folder, else None; BenchmarkError for a path that is not."""
    if data is not None:
        if not data.exists():
            raise BenchmarkError(
                f"{data}: no such file or folder for benchmark '{spec.name}'", "check --data"
            )
        return data
    folder = download_folder(spec)
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def is_here(spec: BenchmarkSpec) -> bool:
    """Whether the benchmark's data can be read without fetching anything."""
    if spec.source.kind == "files":
        return all(spec.resolve(path).exists() for path in spec.source.files.values())
    return local(spec, None) is not None or bool(spec.source.hub and spec.source.file and _cached(spec))


def absent(spec: BenchmarkSpec, why: str = "") -> BenchmarkError:
    """The error for a benchmark that is not here: what to fetch, and where to put it."""
    what, where = spec.source.fetch or spec.source.url, download_folder(spec)
    return BenchmarkError(
        f"benchmark '{spec.name}' is not here" + (f" ({why})" if why else ""),
        f"fetch {what} and put it into {where}, or point to it with --data",
    )


def fetch(spec: BenchmarkSpec, file: str, sha256: str | None = None) -> tuple[Path, str]:
    """A file of the benchmark's data set on the hub, and the commit that it is of.

    BenchmarkError where it cannot be fetched, or is not the file that the benchmark was pinned to.
    """
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    source = spec.source
    if not source.hub:
        raise absent(spec)
    get = partial(hf_hub_download, source.hub, file, repo_type="dataset", revision=source.revision)
    try:
        path = Path(get(local_files_only=True))
    except LocalEntryNotFoundError:
        try:
            httpx.head(ENDPOINT, timeout=5)  # the hub's client would retry for half a minute
            path = Path(get())
        except (OSError, httpx.HTTPError, HfHubHTTPError, HFValidationError) as error:
            raise absent(spec, f"the hub does not give it: {type(error).__name__}") from None
    if sha256 and hash_file(path) != sha256:
        raise BenchmarkError(
            f"{source.hub}: {file} has changed on the hub since benchmark '{spec.name}' was pinned",
            "figures would not compare; to measure on the new file, give a YAML of your own its sha256",
        )
    return path, path.parts[path.parts.index("snapshots") + 1] if "snapshots" in path.parts else "unknown"


def _cached(spec: BenchmarkSpec) -> bool:
    from huggingface_hub import try_to_load_from_cache

    source = spec.source
    file = str(source.file).format(split="test")
    return isinstance(
        try_to_load_from_cache(str(source.hub), file, repo_type="dataset", revision=source.revision), str
    )


def download(url: str, sha256: str, target: Path) -> bool:
    """Fetch a pinned file to ``target``; whether it is there now. False without a network (or with
    HF_HUB_OFFLINE), and where the file has changed."""
    import httpx
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    try:
        content = httpx.get(url, timeout=20, follow_redirects=True).raise_for_status().content
    except (OSError, httpx.HTTPError):
        return False
    if hashlib.sha256(content).hexdigest() != sha256:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(target)
    return True


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows(path: Path) -> Iterator[DataRow]:
    """The rows of a file, of every data file in a folder (in order of name), or of a data set that
    ``datasets`` saved there."""
    if path.is_file():
        yield from read_rows(path)
        return
    if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
        yield from _saved(path)
        return
    found = [file for file in sorted([*path.glob("*"), *path.glob("data/*")]) if _holds_rows(file)]
    if not found:
        raise DataError(
            f"{path}: no data in it", f"it should hold {', '.join(FORMATS)} (.gz too), or a saved data set"
        )
    for file in found:
        yield from (DataRow(f"{file.name}, {where}", values) for where, values in read_rows(file))


def _holds_rows(file: Path) -> bool:
    name = file.name.removesuffix(".gz")
    return file.is_file() and name.endswith(FORMATS) and name not in _NOT_ROWS


def _saved(path: Path) -> Iterator[DataRow]:
    from datasets import DatasetDict, load_from_disk

    saved: Any = load_from_disk(str(path))
    parts = saved.values() if isinstance(saved, DatasetDict) else [saved]
    number = 0
    for part in parts:
        for values in part:
            number += 1
            yield DataRow(f"row {number}", {key: value for key, value in values.items() if value is not None})
