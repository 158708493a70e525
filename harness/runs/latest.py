"""Which run is the latest, wherever its folder lies."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from harness.errors import RunError
from harness.files import cache_folder, read_text, write_text


def remember(folder: Path) -> None:
    """Keep that this run is the latest; a cache that cannot be written costs nobody his results."""
    with suppress(RunError):
        write_text(cache_folder("latest-run"), str(folder.resolve()))


def latest_run() -> Path:
    """The newest of the run that ended last and of those under ``reports/runs``.

    Raises:
        RunError: there is none.
    """
    found = [(file.stat().st_mtime, place) for place in runs_here() for file in place.glob("results_*.json")]
    if not found:
        raise RunError("no run has ended here yet", "give --run FOLDER, or start one: python -m harness run")
    return max(found)[1]


def runs_here() -> list[Path]:
    """The folders of the runs under ``reports/runs`` and of the one that ended last, each once."""
    places = [path.parent for path in Path("reports", "runs").glob("*/results_*.json")]
    with suppress(RunError):
        places.append(Path(read_text(cache_folder("latest-run"), error=RunError)))
    return list({place.resolve(): place for place in places if place.is_dir()}.values())
