import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from harness.log import LOG_FILE, hush_libraries, library_log

LIBRARY = """
import logging, sys, warnings
from harness.log import library_log
noisy = logging.getLogger("a.library")
with library_log() as log:
    warnings.warn("before the folder is known", FutureWarning)
    noisy.error("so too")
    log.write_to(__import__("pathlib").Path(sys.argv[1]))
    warnings.warn("after", UserWarning)
    noisy.warning("a record")
    noisy.info("not asked for")
warnings.warn("on the screen again")
"""


def test_nothing_reaches_the_screen_and_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIBRARY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[0] == "<string>:12: UserWarning: on the screen again"
    log = (tmp_path / LOG_FILE).read_text()
    told = ["FutureWarning: before the folder is known", "a.library: so too", "UserWarning: after"]
    assert [part for part in [*told, "a.library: a record"] if part not in log] == []
    assert "not asked for" not in log


def test_a_library_that_has_a_handler_of_its_own_is_heard_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = logging.getLogger("library_with_handler")
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    with library_log() as log:
        hush_libraries()
        log.write_to(tmp_path)
        library.warning("told by its own handler")
    assert "told" not in capsys.readouterr().err
    assert (tmp_path / LOG_FILE).read_text().count("told by its own handler") == 1


def test_a_warning_aimed_at_our_code_fails_a_test() -> None:
    with pytest.raises(FutureWarning):
        warnings.warn_explicit("renamed", FutureWarning, "decoder.py", 1, module="harness.models.decoder")
    with pytest.warns(FutureWarning, match="theirs"):
        warnings.warn_explicit("theirs", FutureWarning, "module.py", 1, module="torch.nn.modules.module")


def test_a_token_stands_nowhere(tmp_path: Path) -> None:
    """Neither in what is printed nor in any file of a run, nor in what an issue report would hold."""
    token = "hf_" + "tOkEn" * 7
    data = {"question": "Who?", "context": "CREATE TABLE t (a TEXT, b INTEGER)", "answer": "SELECT a FROM t"}
    (tmp_path / "data.jsonl").write_text(json.dumps(data) + "\n", "utf-8")
    (tmp_path / "p.jsonl").write_text(json.dumps({"id": "0", "sql": "SELECT b FROM t"}) + "\n", "utf-8")
    environment = {**os.environ, "HF_TOKEN": token, "HUGGING_FACE_HUB_TOKEN": token, "HF_HUB_OFFLINE": "1"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    score = ["score", "--data", str(tmp_path / "data.jsonl"), "--predictions", str(tmp_path / "p.jsonl")]
    for given in (
        [*score, "--output", str(tmp_path / "run"), "--json"],
        ["run", "--adapter", "nobody/nothing", "--output", str(tmp_path / "none")],
        ["doctor"],
    ):
        command = [sys.executable, "-m", "harness", *given]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert token not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"log.txt", "report.md", "results.db"} <= {path.name for path in written}
    assert [path for path in written if token.encode() in path.read_bytes()] == []
