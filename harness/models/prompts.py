"""How a question becomes the text that a model sees: chat form, plain form, and whose prompt it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from harness.errors import ModelError, UsageError
from harness.files import read_text, read_yaml
from harness.models.tokenizers import TemplateError, render_chats
from harness.options import validated
from harness.records import Example, Prompt, PromptForm

TODAY = date(
    2024, 7, 26
)  # what chat templates that print the date are told, so that a run is itself tomorrow
PROMPT_FILES = ("prompt.yaml", "prompt.yml", "prompt.json")
_DATED = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
_FIELD = re.compile(r"\{(context|question|evidence)\}")


def fill(template: str, example: Example) -> str:
    """A template with an example's fields in it; braces in the data are safe.

    >>> fill("{context} {x}\\nQ: {question}", Example(id="0", question="{context}?", context="C", gold=""))
    'C {x}\\nQ: {context}?'
    """
    values = {"context": example.context, "question": example.question, "evidence": example.evidence or ""}
    return _FIELD.sub(lambda found: values[found[1]], template)


def messages(prompt: Prompt, example: Example) -> list[dict[str, str]]:
    """The chat turns of a prompt, as chat templates and served models take them."""
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*turns, {"role": "user", "content": fill(prompt.user, example)}]


def render(prompt: Prompt, examples: Sequence[Example], tokenizer: Any) -> list[str]:
    """The whole texts that a model continues, one an example.

    A template without a system role gets the system text in front of the user's.

    Raises:
        ModelError: the chat template cannot be used, or what comes out is empty.
    """
    if prompt.form == "plain":
        texts = [fill(prompt.user, example) for example in examples]
    else:
        try:
            texts = _chats(prompt, examples, tokenizer)
        except TemplateError as error:
            raise ModelError(
                f"the chat template cannot be used: {error}", "give another one: --prompt FILE"
            ) from error
    for example, text in zip(examples, texts, strict=True):
        if not text.strip():
            raise ModelError(
                f"the prompt of example {example.id} is empty (its template is from {prompt.origin})",
                "give one that asks the {question}: --prompt FILE",
            )
    return texts


def _chats(prompt: Prompt, examples: Sequence[Example], tokenizer: Any) -> list[str]:
    """The chat template's texts.

    Raises:
        TemplateError: it gives none of an example.
    """
    render_all = partial(
        render_chats,
        tokenizer,
        template=prompt.chat_template,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    chats = [messages(prompt, example) for example in examples]
    texts = render_all(chats)
    refused = [
        i for i, text in enumerate(texts) if isinstance(text, TemplateError) and "system" in str(text).lower()
    ]
    if refused and prompt.system is not None:
        joined = [f"{prompt.system}\n\n{chats[i][-1]['content']}" for i in refused]
        again = render_all([[{"role": "user", "content": content}] for content in joined])
        for i, text in zip(refused, again, strict=True):
            texts[i] = text
    whole: list[str] = []
    for text in texts:
        if isinstance(text, TemplateError):
            raise text
        whole.append(text)
    return whole


def with_fixed_date(template: str) -> str:
    """A chat template that prints ``TODAY`` where it asked for the day's date.

    >>> with_fixed_date("{{ strftime_now('%d %b %Y') }}")
    "{{ '26 Jul 2024' }}"
    """
    return _DATED.sub(lambda found: f"{found[1]}{TODAY.strftime(found[2])}{found[1]}", template)


def load_prompt(choice: str, benchmark: Prompt, adapter: Path | None) -> Prompt:
    """The prompt that ``--prompt benchmark|adapter|FILE`` asks for.

    FILE is YAML or JSON with any of ``system``, ``user``, ``form``, ``chat_template`` (the template's text or
    the path of a .jinja file beside it); a .jinja file is a chat template, a .txt file a plain template.
    ``adapter`` reads prompt.yaml or prompt.json in the adapter's folder. What a file leaves out is the
    benchmark's.

    Raises:
        ModelError, UsageError: no such file, or a key that is unknown or malformed.
    """
    if choice == "benchmark":
        return benchmark
    if choice == "adapter":
        found = [adapter / name for name in PROMPT_FILES if adapter and (adapter / name).exists()]
        if not found:
            raise ModelError(
                f"{adapter or 'the pair'} brings no prompt of its own ({' or '.join(PROMPT_FILES[::2])})",
                "use --prompt benchmark, or write down the prompt of its training: --prompt FILE",
            )
        return _from_file(found[0], benchmark, "adapter")
    path = Path(choice).expanduser()
    if not path.is_file():
        raise UsageError(
            f"prompt file {choice} does not exist", "--prompt takes benchmark, adapter or a file"
        )
    return _from_file(path, benchmark, str(path))


class _PromptFile(TypedDict, total=False):
    """The keys of a prompt file."""

    system: str | None
    user: str
    form: PromptForm
    chat_template: str | None


def _from_file(path: Path, benchmark: Prompt, origin: str) -> Prompt:
    what = f"prompt file {path}"
    if path.suffix in {".jinja", ".jinja2"}:
        values: Any = {"form": "chat", "chat_template": _read(path)}
    elif path.suffix == ".txt":
        values = {"form": "plain", "user": _read(path)}
    else:
        values = read_yaml(path, error=UsageError, what="prompt file")
    fields: _PromptFile = validated(
        _PromptFile,
        values,
        where=what,
        error=UsageError,
        remedy=f"its keys are {', '.join(sorted(_PromptFile.__annotations__))}, their values text",
    )
    template = fields.get("chat_template")
    if template and template.endswith(".jinja"):
        template = fields["chat_template"] = _read(path.parent / template)
    if template is not None and not template.strip():
        raise UsageError(f"{what}: its chat template is empty", "leave it out to use the tokenizer's")
    if fields.get("form") == "plain":
        fields.setdefault("system", None)
    prompt = replace(benchmark, **fields, origin=origin)
    if "{question}" not in prompt.user:
        raise UsageError(f"{what}: its user template has no {{question}}", "add {context} and {question}")
    return prompt


def _read(path: Path) -> str:
    return read_text(path, error=UsageError, what="prompt file")
