"""The lock fits the project: every direct dependency pinned in its range, all but torch by hash."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = re.compile(
    r"^(\S+)==([^ ;\\\n]+)( ; [^\\\n]+)?(.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*)", re.MULTILINE
)


def pins() -> Iterator[tuple[str, str, int]]:
    """Name, version and number of hashes of each line."""
    for name, version, _, rest in PINS.findall((ROOT / "requirements.lock").read_text()):
        yield name, version, rest.count("--hash=sha256:")


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["test"]
    return [Requirement(line) for line in [*lines, *project["build-system"]["requires"]]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_each_direct_dependency_is_locked_within_its_range(requirement: Requirement) -> None:
    found = [version for name, version, _ in pins() if name == canonicalize_name(requirement.name)]
    assert found
    assert all(requirement.specifier.contains(version) for version in found)


def test_all_but_torch_are_locked_by_hash() -> None:
    hashes = {name: count for name, _, count in pins()}
    assert len(hashes) > 80
    assert [name for name, count in hashes.items() if not count] == ["torch"]


def test_a_machine_without_gpu_is_not_sent_for_cuda() -> None:
    assert [name for name, _, _ in pins() if name.startswith(("nvidia-", "cuda-", "triton"))] == []


def test_every_lower_bound_is_named() -> None:
    stubs = {"types-PyYAML", "types-psutil"}
    assert [r.name for r in requirements() if r.name not in stubs and ">=" not in str(r.specifier)] == []
