"""The built wheel, used by somebody who is elsewhere: what the harness needs travels with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_assets_are_in_the_wheel(installed: Path) -> None:
    assets = installed / "harness" / "_assets"
    for name in (
        "benchmarks/starter.yaml",
        "benchmarks/starter/test.jsonl",
        "adapters/recipes/sql-assistant.yaml",
        "adapters/starter/adapter_config.json",
        "adapters/starter/adapter_model.safetensors",
        "adapters/starter-base/model.safetensors",
        "adapters/starter-base/tokenizer.json",
    ):
        assert (assets / name).stat().st_size > 0
    assert not [path for path in installed.rglob("*") if path.name in {"tests", "LEADERBOARD.md"}]


def test_the_main_job_runs_elsewhere(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "harness", "run", "--limit", "6", "--no-policy", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "reports" / "runs" / "LEADERBOARD.md").exists()
    assert '"base"' in ran.stdout
    assert '"starter"' in ran.stdout
