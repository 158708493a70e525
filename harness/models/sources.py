"""Where bases and adapters lie: a folder or a hub id, looked at without torch.

Nothing here loads weights. A folder's JSON files and the headers of its safetensors files say nearly all
that can be wrong with a pair, in milliseconds and before anything is downloaded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.files import read_object

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_PICKLED = ("pytorch_model*.bin", "adapter_model.bin", "*.pt", "*.pth", "*.ckpt")
_PICKLED_REMEDY = "save them as safetensors: save_pretrained of a current transformers or PEFT does"
_SPEED = 10e6  # bytes a second, what a home line gives
_FETCHED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.yaml"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model or adapter: a local ``folder``, or a hub ``id`` whose files are not (all) here yet.

    ``hash`` changes when the weights do; ``fetch`` is the number of bytes still to be downloaded.
    ``config`` is config.json or adapter_config.json.
    """

    id: str
    folder: Path | None
    config: dict[str, Any]
    hash: str
    revision: str | None = None
    fetch: int = 0

    @property
    def where(self) -> str:
        """What ``from_pretrained`` takes."""
        return str(self.folder) if self.folder else self.id

    def has(self, *names: str) -> bool:
        """Whether the folder holds any of these files."""
        return self.folder is not None and any((self.folder / name).exists() for name in names)


def is_hub_id(text: str) -> bool:
    """Whether a name looks like ``owner/name`` and no folder of that name is here.

    >>> is_hub_id("Qwen/Qwen2.5-1.5B-Instruct"), is_hub_id("../base"), is_hub_id("/home/me/base")
    (True, False, False)
    """
    return bool(_HUB_ID.fullmatch(text)) and text[0] != "." and not Path(text).exists()


def find_adapter(text: str) -> tuple[Checkpoint, list[str]]:
    """The adapter (or full fine-tune) that ``--adapter`` names, and what the user should know of the choice.

    A Trainer's output folder that holds nothing but ``checkpoint-*`` gives its last checkpoint.

    Raises:
        ModelError: nothing there, or nothing usable.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return _adapter_folder(path)
    if path.exists():
        raise ModelError(
            f"{text} is a file, not an adapter's folder", f"give its folder: --adapter {path.parent}"
        )
    if not _HUB_ID.fullmatch(text) or path.parent.is_dir():  # beside other folders: surely no hub id
        raise ModelError(
            f"adapter folder {text} does not exist", "give a folder with adapter_config.json or a hub id"
        )
    return find_on_hub(text, ("adapter_config.json", "config.json")), []


def _adapter_folder(path: Path) -> tuple[Checkpoint, list[str]]:
    for name in ("adapter_config.json", "config.json"):
        if (path / name).exists():
            return _local(path, name), []
    steps = [(int(step), child) for child in path.glob("checkpoint-*") if (step := child.name[11:]).isdigit()]
    if steps:
        last = max(steps)[1]
        others = len(steps) - 1
        source, _ = _adapter_folder(last)
        note = f"{path} has only checkpoints: the last one, {last.name}, is taken"
        return source, [note + (f" (give one of the {others} others by its own path)" if others else "")]
    held = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
    raise ModelError(
        f"{path} has neither adapter_config.json nor config.json (it holds {held})",
        "give the folder that save_pretrained or the trainer wrote",
    )


def find_base(text: str, *, near: Path | None, revision: str | None, named_by: str) -> Checkpoint:
    """The base that ``--model`` or an adapter's config names.

    A relative path is looked for beside the adapter (``near``), then from the current folder; what is no
    folder and looks like ``owner/name`` is a hub id.

    Raises:
        ModelError: a path that is not there, a folder that holds no model, a hub id that cannot be had.
    """
    for path in [near / text] * bool(near) + [Path(text).expanduser()] if near else [Path(text).expanduser()]:
        if path.is_dir():
            if not (path / "config.json").exists():
                raise ModelError(
                    f"base {path} has no config.json", "give a model's folder or hub id: --model"
                )
            return _local(path.resolve() if near else path, "config.json")
    if _HUB_ID.fullmatch(text) and not text.startswith(("./", "../")):
        return find_on_hub(text, ("config.json",), revision)
    if re.fullmatch(r"[\w-][\w.-]*", text):
        return find_on_hub(text, ("config.json",), revision)
    cached = _HUB_CACHE.search(text)
    guess = (
        f"--model {cached[1]}/{cached[2]}"
        if cached
        else f"--model PATH_OR_HUB_ID (its last part was '{Path(text).name}')"
    )
    raise ModelError(f"base {text}, named by {named_by}, is not on this machine", f"say where it is: {guess}")


def _local(folder: Path, config: str) -> Checkpoint:
    weights = sorted(folder.glob("*.safetensors"))
    pickled = sorted(path for pattern in _PICKLED for path in folder.glob(pattern))
    if not weights and pickled:
        raise ModelError(
            f"{folder} has its weights pickled ({pickled[0].name}), which can run code when they are read",
            _PICKLED_REMEDY,
        )
    if not weights:
        kind = "adapter_model.safetensors" if config.startswith("adapter") else "model weights"
        raise ModelError(f"{folder} has {config} but no {kind}", "save or download the weights too")
    for path in (folder / config, *weights):
        if not path.is_file():
            raise ModelError(f"{path} is no file", "copy or download it again")
    return Checkpoint(
        str(folder),
        folder,
        read_object(folder / config, error=ModelError),
        _hash([folder / config, *weights]),
    )


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        facts = path.stat()
        digest.update(path.name.encode())
        if (
            facts.st_size > 1 << 30
        ):  # a gigabyte takes seconds to read: a base of that size is known by its date
            digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
            continue
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def find_on_hub(name: str, configs: tuple[str, ...], revision: str | None = None) -> Checkpoint:
    """A model or adapter by hub id: from the cache where it is complete, else asked for at the hub.

    An adapter is fetched whole (tens of megabytes), so that it can be checked; of a model only its config.

    Raises:
        ModelError: unknown, gated, or neither cached nor reachable.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(
            snapshot_download(name, revision=revision, allow_patterns=_FETCHED, local_files_only=True)
        )
        for config in configs:
            if (folder / config).exists() and any(folder.glob("*.safetensors")):
                return Checkpoint(
                    name, folder, read_object(folder / config, error=ModelError), folder.name, revision
                )
    except (LocalEntryNotFoundError, OSError):
        pass  # not cached: ask the hub
    fetch = f"fetch it where there is a network (hf download {name}) and give its folder"
    advice = f"check the name, or {fetch}, a base's with --model"
    try:
        facts = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=10)
        files = {file.rfilename: file.size or 0 for file in facts.siblings or ()}
        wanted = [config for config in configs if config in files]
        if not wanted:
            raise ModelError(f"{name} on the hub has no {' or '.join(configs)}", "name an adapter or a model")
        if not any(file.endswith(".safetensors") for file in files):
            raise ModelError(f"{name} on the hub has no weights as safetensors", _PICKLED_REMEDY)
        path = Path(hf_hub_download(name, wanted[0], revision=revision))
        if wanted[0] == "adapter_config.json":
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=_FETCHED))
            return Checkpoint(name, folder, read_object(path, error=ModelError), facts.sha or "", revision)
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is gated on the hub", "accept its terms there, then: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"{name} is neither a folder here nor a model on the hub", advice) from error
    except ModelError:
        raise
    except Exception as error:  # whatever the hub's HTTP library of the day raises
        raise ModelError(f"{name} is not on this machine and the hub cannot be reached", advice) from error
    size = sum(bytes_ for file, bytes_ in files.items() if file.endswith((".safetensors", ".json")))
    return Checkpoint(name, None, read_object(path, error=ModelError), facts.sha or "", revision, size)


def download_text(sources: Iterable[Checkpoint]) -> str:
    """What is still to be fetched and how long that should take; empty where all is here."""
    lines = []
    for source in {source.id: source for source in sources if source.fetch}.values():
        seconds = source.fetch / _SPEED
        time = f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(1, seconds):.0f} s"
        lines.append(
            f"{source.id}: {source.fetch / 1e9:.2f} GB to fetch once, about {time} at {_SPEED / 1e6:.0f} MB/s"
        )
    return "\n".join(lines)
