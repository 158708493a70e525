"""An adapter to the hub: its weights, its card, the results of its last run; or exactly what would go there.

Figures go along only where they are of the very weights that go: a run records the hash of what it evaluated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ModelError, RunError
from harness.files import read_text, write_text
from harness.models.sources import Checkpoint, find_adapter
from harness.reports.exchange import eval_results
from harness.runs.latest import runs_here
from harness.runs.results import REFERENCES, Entry, Results, read_results

from .card import KEEP, write_card
from .record import read_training

_SENT = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "training.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "prompt.yaml",
    "prompt.yml",
    "prompt.json",
)
"""What of an adapter's folder goes; a trainer's checkpoints, logs and optimiser stay."""
CARD, ASIDE, ENTRIES = "README.md", "README.old.md", ".eval_results"
_PLACEHOLDERS = ("[More Information Needed]", "generated_from_trainer")
"""What stands in the cards that PEFT and trl write, which say nothing that a new one does not."""


class Sent(NamedTuple):
    """One file: its path there, its bytes and their SHA-256."""

    path: str
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What goes to which repository; ``url`` where it went, empty where it only would."""

    repository: str
    files: tuple[Sent, ...]
    notes: tuple[str, ...]
    url: str = ""

    def lines(self) -> Iterator[str]:
        """All of it for people, a file a line."""
        yield f"{'Published' if self.url else 'Would publish'} {self.repository}:"
        for file in self.files:
            yield f"  {file.path}  {len(file.content):,} bytes  sha256 {file.sha256[:16]}"
        yield from self.notes
        if self.url:
            yield self.url

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        files = [{"path": f.path, "bytes": len(f.content), "sha256": f.sha256} for f in self.files]
        return {"repository": self.repository, "files": files, "notes": list(self.notes), "url": self.url}


def publish(
    adapter: Path,
    *,
    repository: str | None = None,
    run: Path | None = None,
    benchmark_id: str | None = None,
    private: bool = False,
    dry_run: bool = False,
) -> Publication:
    """Send an adapter's folder to a model repository, which is made where there is none.

    ``run`` is the run whose figures go along (default: the newest here that evaluated these weights).
    ``benchmark_id`` is the benchmark's id on the hub, for which evaluation results are entered. The
    repository is ``OWNER/NAME``, by default the folder's name under the token's account. The card is written
    into the folder as well, with what its author has added to it; with ``dry_run`` nothing is written and
    nothing sent.

    Raises:
        ModelError: no adapter there, no token, or the hub refuses.
        RunError: the run is of other weights, or holds none of them.
    """
    found, _ = find_adapter(str(adapter))
    if found.folder is None or "peft_type" not in found.config:
        raise ModelError(f"{adapter} is no adapter's folder", "give the folder that `train` wrote")
    entries, notes = _entries(found, run)
    named = str(found.config.get("base_model_name_or_path"))
    if Path(named).is_absolute():
        notes.append(
            f"The adapter names its base by a path of this machine, {named}: others have to name it."
        )
    name = adapter.resolve().name
    card, foreign = _card(found, name, repository, entries)
    if foreign:
        notes.append(f"{CARD} there is not one of train's: a new one takes its place, it stays as {ASIDE}.")
    files = tuple(_files(found, card, entries, benchmark_id))
    if dry_run:
        return Publication(
            repository=repository or f"(your account)/{name}",
            files=files,
            notes=tuple(notes),
        )
    if foreign:
        (found.folder / CARD).replace(found.folder / ASIDE)
    for file in files:
        if file.path == CARD or file.path.startswith(ENTRIES):
            write_text(found.folder / file.path, file.content.decode("utf-8"))
    target, url = _send(repository, name, files, private=private)
    return Publication(repository=target, files=files, notes=tuple(notes), url=url)


def _entries(adapter: Checkpoint, run: Path | None) -> tuple[tuple[Entry, ...], list[str]]:
    """The adapter's results of one run, and what is to be said where there are none."""
    if run is not None:
        results = read_results(run)
        if mine := _of(results, adapter.hash):
            return mine, []
        others = {
            str(pair.facts.get("adapter_hash"))[:12]
            for side in results.benchmarks
            for pair in side.pairs
            if pair.pair not in REFERENCES
        }
        raise RunError(
            f"{run} is of other weights: it evaluated {' and '.join(sorted(others)) or 'no adapter'}, "
            f"and {adapter.id} holds {adapter.hash[:12]}",
            f"evaluate these: python -m harness run --adapter {adapter.id}",
        )
    newest: tuple[str, tuple[Entry, ...]] = ("", ())
    for folder in runs_here():
        try:
            results = read_results(folder)
        except (RunError, ValueError, OSError):
            continue
        if (mine := _of(results, adapter.hash)) and results.time > newest[0]:
            newest = results.time, mine
    notes = [] if newest[1] else ["No run here is of these weights: the card goes without figures."]
    return newest[1], notes


def _of(results: Results, hash_: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(results, side, pair)
        for side in results.benchmarks
        for pair in side.pairs
        if pair.facts.get("adapter_hash") == hash_
    )


def _card(
    adapter: Checkpoint, name: str, repository: str | None, entries: tuple[Entry, ...]
) -> tuple[str, bool]:
    """The card, and whether one of another maker is in its place. Raises ModelError where that cannot go."""
    assert adapter.folder is not None
    path = adapter.folder / CARD
    there = read_text(path, error=ModelError) if path.exists() else KEEP
    _, kept, own = there.partition(f"{KEEP}\n")
    told = read_training(adapter.folder)
    foreign = not kept and there != KEEP and not any(mark in there for mark in _PLACEHOLDERS)
    if foreign and (adapter.folder / ASIDE).exists():
        raise ModelError(f"{path} is not one of train's, and {ASIDE} is there too", "move one of them away")
    return write_card(name, adapter.config, told, entries, repository=repository, own=own), foreign


def _files(
    adapter: Checkpoint, card: str, entries: tuple[Entry, ...], benchmark_id: str | None
) -> Iterator[Sent]:
    assert adapter.folder is not None
    for path in sorted(_SENT):
        if (adapter.folder / path).is_file():
            yield _sent(path, (adapter.folder / path).read_bytes())
    yield _sent(CARD, card.encode())
    for entry in entries[:1]:
        yield _sent(entry.results.path.name, entry.results.path.read_bytes())
    if benchmark_id:
        for entry in entries:
            yield _sent(f"{ENTRIES}/{entry.benchmark.name}.yaml", eval_results(entry, benchmark_id).encode())


def _sent(path: str, content: bytes) -> Sent:
    return Sent(path, content, hashlib.sha256(content).hexdigest())


def _send(repository: str | None, name: str, files: tuple[Sent, ...], *, private: bool) -> tuple[str, str]:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not get_token():
        raise ModelError("the hub wants a token and none is set", "hf auth login, or set HF_TOKEN")
    hub = HfApi()
    try:
        target = repository or f"{hub.whoami()['name']}/{name}"
        hub.create_repo(target, private=private, exist_ok=True)
        done = hub.create_commit(
            target,
            [CommitOperationAdd(file.path, file.content) for file in files],
            commit_message=f"Publish {name}",
        )
    except HFValidationError as error:
        raise ModelError(f"{repository}: {error}", "name it OWNER/NAME") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in {401, 403}:
            raise ModelError(
                f"the hub refuses the token for {repository or name} ({status})",
                "take a token that may write there: hf auth login",
            ) from error
        raise ModelError(f"the hub refuses: {error}", "try again, or another --repo") from error
    except Exception as error:  # whatever the hub's HTTP library of the day raises
        raise ModelError(
            f"the hub at {hub.endpoint} cannot be reached ({type(error).__name__}: {error})",
            "check the network, or HF_ENDPOINT; --dry-run shows what would go",
        ) from error
    return target, str(done.commit_url)
