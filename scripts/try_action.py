"""Runs the steps of ``action.yml`` here as a job of another repository would, and ends with their exit code.

    python scripts/try_action.py --repository FOLDER --command "score --data d.jsonl --predictions p.jsonl" \\
        --baseline baseline.json [--check "--strict"] [--install]

FOLDER is the other repository's checkout, in which the steps run. Steps that use another action (a Python,
the upload) are named and left out; so is the installation without ``--install``: this interpreter is used.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def assignments(path: Path) -> dict[str, str]:
    """The ``NAME=value`` lines that a step has left for others."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines)


def run_steps(
    action: dict[str, Any], given: dict[str, str], folder: Path, *, install: bool
) -> dict[str, Any]:
    """Run the shell steps in order until one fails; what they wrote for the job."""
    inputs = {name: str(spec.get("default", "")) for name, spec in action["inputs"].items()} | given
    lacking = [name for name, spec in action["inputs"].items() if spec.get("required") and not inputs[name]]
    assert not lacking, f"inputs without a value: {lacking}"
    temp = Path(tempfile.mkdtemp(prefix="runner-"))
    files = {name: temp / name.lower() for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    common = {**os.environ, "RUNNER_TEMP": str(temp), "GITHUB_ACTION_PATH": str(ROOT)}
    common |= {name: str(path) for name, path in files.items()}
    if not install:
        common["HARNESS"] = f"{shlex.quote(sys.executable)} -m harness"
    code, ran = 0, []
    for step in action["runs"]["steps"]:
        name = step.get("name") or step["uses"]
        if "run" not in step or (name == "Install" and not install) or code:
            print(f"left out: {name}", file=sys.stderr)
            continue
        told = {
            key: re.sub(r"\$\{\{ *inputs\.([\w-]+) *\}\}", lambda found: inputs[found[1]], value)
            for key, value in step.get("env", {}).items()
        }
        assert not re.search(r"\$\{\{", "".join([*told.values(), step["run"]])), (
            f"{name} uses what is not known here"
        )
        command = [step["shell"], "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        code = subprocess.run(
            command, cwd=folder, env=common | assignments(files["GITHUB_ENV"]) | told
        ).returncode
        ran.append(name)
    return {"exit": code, "ran": ran, "temp": str(temp)} | {
        "outputs": assignments(files["GITHUB_OUTPUT"]),
        "summary": files["GITHUB_STEP_SUMMARY"].read_text("utf-8")
        if files["GITHUB_STEP_SUMMARY"].exists()
        else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--baseline", required=True)
    parser.add_argument("--check", default="")
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    given = {"command": options.command, "baseline": options.baseline, "check": options.check}
    told = run_steps(action, given, options.repository, install=options.install)
    print(json.dumps(told))
    sys.exit(told["exit"])


if __name__ == "__main__":
    main()
