"""What libraries say while a run works: off the screen, none of it lost, in the run's ``log.txt``.

Warnings and log records are held until the run's folder is known, then written there as they come. Which
warnings Python shows at all stays the user's choice (``python -W``, ``PYTHONWARNINGS``).
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from logging.handlers import MemoryHandler
from pathlib import Path

LOG_FILE = "log.txt"
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_NAMED = ("sql-harness", "torch", "transformers", "peft", "bitsandbytes", "accelerate", "sqlglot")


class LibraryLog(MemoryHandler):
    """Holds what the ``logging`` and ``warnings`` modules are told; ``write_to`` says where it goes."""

    def __init__(self) -> None:
        super().__init__(capacity=sys.maxsize, flushLevel=logging.CRITICAL + 1, flushOnClose=False)

    def write_to(self, folder: Path) -> None:
        """Append to the folder's log what came so far, and from now on each record at once."""
        file = logging.FileHandler(folder / LOG_FILE, encoding="utf-8", errors="replace")
        file.setFormatter(logging.Formatter(_LINE))
        self.setTarget(file)
        self.capacity = 1
        installed = map(" ".join, versions(*_NAMED).items())
        started = ", ".join([f"Python {platform.python_version()}", *installed])
        logging.getLogger("harness").info("started with %s", started)


@contextmanager
def library_log() -> Iterator[LibraryLog]:
    """Keep libraries off the screen inside the block.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, library_log() as log:
    ...     logging.getLogger("some.library").warning("held first")
    ...     log.write_to(Path(folder))
    ...     "WARNING some.library: held first" in (Path(folder) / "log.txt").read_text()
    True
    """
    log = LibraryLog()
    root, ours = logging.getLogger(), logging.getLogger("harness")
    root.addHandler(log)
    ours.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield log
    finally:
        logging.captureWarnings(False)
        ours.setLevel(logging.NOTSET)
        root.removeHandler(log)
        if log.target:
            log.target.close()
        log.close()


def hush_libraries() -> None:
    """Have the model libraries, once imported, draw no bars and log to the root logger alone."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        for handler in [h for h in logger.handlers if type(h) is logging.StreamHandler]:
            logger.removeHandler(handler)
            logger.propagate = True


def versions(*names: str) -> dict[str, str]:
    """The version of each of these packages that is installed.

    >>> versions("no-such-package")
    {}
    """
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
