"""Tokenizers and chat templates: files and programs of strangers.

No code that travels with a tokenizer is run. A chat template is a program too: it is rendered in a process of
its own, with limits of memory and processor time, by the same function of transformers that the tokenizer
would call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from harness.errors import ModelError
from harness.workers import WorkerLost, WorkerPool

SECONDS = 4.0
"""Processor time for one prompt; a usual one takes 0.1 ms."""

MEMORY_MIB = 1024
LONGEST = 10_000_000
"""Most characters of a prompt."""


class TemplateError(Exception):
    """Why a chat template gives no text."""


class _Task(NamedTuple):
    template: str
    turns: list[dict[str, str]]
    options: dict[str, Any]


def load_tokenizer(where: str, *, revision: str | None = None) -> Any:
    """The tokenizer of a folder or hub id.

    Raises:
        ModelError: not to be had, or with code of its own.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's Rust part panics outside Exception
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"the tokenizer of {where} needs code of its own, which is never run here",
                "serve it (vLLM, SGLang) and evaluate it with --endpoint URL --model NAME",
            ) from None
        raise ModelError(
            f"the tokenizer of {where} cannot be loaded: {line}", "save it with the adapter or the base"
        ) from error


def render_chats(
    tokenizer: Any, chats: Sequence[list[dict[str, str]]], *, template: str | None, **options: Any
) -> list[str | TemplateError]:
    """The texts that a chat template (None: the tokenizer's own) makes of some chats, each a list of turns.

    Where it refuses a chat, is no template or takes more than it may, the reason stands in the text's place;
    after one that takes too much no other is tried.
    """
    chosen = tokenizer.get_chat_template(template)
    options = {**tokenizer.special_tokens_map, **options}
    texts: list[str | TemplateError] = [""] * len(chats)
    for number, said in _renderer().map(_Task(chosen, turns, options) for turns in chats):
        if isinstance(said, WorkerLost):
            fault = f"one prompt takes it more than {SECONDS:g} s or {MEMORY_MIB} MiB"
            return [TemplateError(fault)] * len(chats)
        text, fault = said
        texts[number] = TemplateError(fault) if fault else text
    return texts


@cache
def _renderer() -> WorkerPool[_Task, tuple[str, str]]:
    return WorkerPool(_rendered, workers=1, memory_mib=MEMORY_MIB, seconds=SECONDS)


def _rendered(task: _Task) -> tuple[str, str]:
    """The text, and what went wrong."""
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        (text,), _ = render_jinja_template([task.turns], chat_template=task.template, **task.options)
    except MemoryError:  # ends the worker
        raise
    except Exception as error:  # whatever a program of strangers raises
        return "", (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if len(text) > LONGEST:
        return "", f"it makes a prompt of {len(text):,} characters"
    return str(text), ""
