"""Completions from a served model: any server that speaks OpenAI's chat (or plain) completions protocol.

vLLM (each LoRA module is a model's name), SGLang, llama.cpp's server, Ollama, ``transformers serve``.
Requests run side by side; OpenAI's own client repeats those that a busy server or a broken line fails, and
waits as long as a ``Retry-After`` asks. The key comes from HARNESS_API_KEY or OPENAI_API_KEY.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import openai

from harness.errors import ModelError
from harness.models.cost import Cost, process_memory
from harness.models.pair_plan import PairPlan, Settings
from harness.models.prompts import fill, messages
from harness.records import Completion, Example

_CONCURRENT = 16
_RETRIES = 9  # pauses of 0.5 to 8 seconds: together what a server needs to start again
_BUSY = frozenset({408, 429, 502, 503, 504})
_TOO_LONG = (
    "context length",
    "context_length",
    "too long",
    "maximum context",
    "exceeds the available context",
)


def connect(url: str, plans: Sequence[PairPlan], settings: Settings, *, timeout: float = 600.0) -> Endpoint:
    """A generator whose pairs are models of a server.

    ``url`` is the server's address, with or without ``/v1``; ``settings.batch_size`` is the number of
    requests under way at a time (16 if None).

    Raises:
        ModelError: nothing answers there, or it refuses the key.
    """
    endpoint = Endpoint(url, plans, settings, timeout)
    try:
        endpoint.check()
    except BaseException:
        endpoint.close()
        raise
    return endpoint


class Endpoint:
    """A ``Generator`` over HTTP."""

    def __init__(self, url: str, plans: Sequence[PairPlan], settings: Settings, timeout: float) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._settings = settings
        self._costs = {plan.name: Cost() for plan in plans}
        address = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")
        self._url = address if urlsplit(address).path.strip("/") else f"{address}/v1"
        key = os.environ.get("HARNESS_API_KEY") or os.environ.get("OPENAI_API_KEY")
        self._workers = settings.batch_size or _CONCURRENT
        self._client: Any = openai.AsyncOpenAI(
            base_url=self._url, api_key=key or "none", timeout=timeout, max_retries=_RETRIES
        )
        self._runner = asyncio.Runner()
        self._retries = 0
        self._served = ""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where the completions came from."""
        return {"endpoint": self._url, "concurrent": self._workers, "retries": self._retries}

    def cost(self, pair: str) -> Cost:
        """What the pair has cost so far; tokens as the server counts them."""
        return self._costs[pair]

    def close(self) -> None:
        """Close the connections."""
        with self._runner:
            self._runner.run(self._client.close())

    def check(self) -> None:
        """Ask the server for its models, once, and for a token of those that it does not list."""
        self._runner.run(self._check())

    async def _check(self) -> None:
        once = self._client.with_options(max_retries=0, timeout=10.0)
        try:
            listed = _json((await once.models.with_raw_response.list()).text).get("data")
        except openai.APIConnectionError as error:
            raise ModelError(
                f"nothing answers at {self._url} ({error.__cause__ or error})",
                "start the server, or check --endpoint",
            ) from error
        except openai.APIStatusError as error:
            self._raise_for_key(error)
            listed = None
        served = [str(entry.get("id")) for entry in listed or [] if isinstance(entry, dict)]
        self._served = ", ".join(served[:8])
        for plan in self._plans.values() if served else ():
            if plan.base not in served:
                await self._try_once(plan)

    async def _try_once(self, plan: PairPlan) -> None:
        """Ask a model that the server does not list for a token: some serve more than they list."""
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": "1"}]}
        if plan.prompt.form == "plain":
            asked = {"prompt": "1"}
        once = self._client.with_options(max_retries=0)
        try:
            await _ask(once, plan, {"model": plan.base, "max_tokens": 1, **asked})
        except openai.APIStatusError as error:
            if error.status_code not in _BUSY:
                self._raise_for_key(error)
                raise ModelError(
                    f"{self._url} does not serve {plan.base}: {error.status_code} {_message(error)}",
                    f"it serves {self._served}: --model",
                ) from error
        except openai.APIConnectionError:
            return  # what is wrong with the line, the first real request says

    def generate(self, pair: str, examples: Iterable[Example]) -> Iterator[Completion]:
        """Completions as they come back.

        Raises:
            ModelError: the server refuses, or does not recover.
        """
        plan, cost = self._plans[pair], self._costs[pair]
        asked = ((example, sample) for example in examples for sample in range(self._settings.samples))
        start = time.perf_counter()
        loop = self._runner.get_loop()
        waiting: set[asyncio.Task[Completion]] = set()
        done: set[asyncio.Task[Completion]] = set()
        try:
            while True:
                for example, sample in islice(asked, self._workers - len(waiting)):
                    waiting.add(loop.create_task(self._complete(plan, example, sample)))
                if not waiting:
                    return
                done, waiting = self._runner.run(asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))
                while done:
                    completion = done.pop().result()
                    cost.prompt_tokens += completion.prompt_tokens
                    cost.new_tokens += completion.new_tokens
                    cost.computed_tokens += completion.prompt_tokens + completion.new_tokens
                    cost.examples += completion.sample == 0
                    now = time.perf_counter()
                    cost.seconds["decode"] = cost.seconds.get("decode", 0.0) + now - start
                    start = now
                    yield completion
        finally:
            cost.peak_memory_bytes = process_memory()
            for task in waiting:
                task.cancel()
            self._runner.run(_ended([*waiting, *done]))

    async def _complete(self, plan: PairPlan, example: Example, sample: int) -> Completion:
        settings, prompt = self._settings, plan.prompt
        body: dict[str, Any] = {
            "model": plan.base,
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "seed": settings.seed + sample,
        }
        if settings.temperature:
            body["top_p"] = settings.top_p
        if prompt.form == "chat":
            body["messages"] = messages(prompt, example)
            if prompt.chat_template:
                body["extra_body"] = {"chat_template": prompt.chat_template}
        else:
            body["prompt"] = fill(prompt.user, example)
        answer = await self._answer(plan, body)
        if answer is None:
            return Completion(id=example.id, pair=plan.name, text="", finish="prompt_too_long", sample=sample)
        try:
            choice = answer["choices"][0]
            text = choice["message"].get("content") if prompt.form == "chat" else choice.get("text")
        except (KeyError, IndexError, TypeError) as error:
            raise ModelError(
                f"{self._url} gave an answer without choices", "is it an OpenAI-compatible server?"
            ) from error
        usage = answer.get("usage") or {}
        return Completion(
            id=example.id,
            pair=plan.name,
            text=text or "",
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            new_tokens=int(usage.get("completion_tokens") or 0),
            finish="length" if choice.get("finish_reason") == "length" else "stop",
            sample=sample,
        )

    async def _answer(self, plan: PairPlan, body: dict[str, Any]) -> dict[str, Any] | None:
        """The server's answer; None where it says that the prompt does not fit its context."""
        try:
            answer = await _ask(self._client, plan, body)
        except openai.APIStatusError as error:
            self._raise_for_key(error)
            status, said = error.status_code, _message(error)
            if status in {400, 413, 422} and any(mark in said.lower() for mark in _TOO_LONG):
                return None
            if status not in {408, 409, 429} and status < 500:
                remedy = (
                    f"it serves {self._served}: --model"
                    if self._served
                    else "check --model and the server's log"
                )
                raise ModelError(f"{self._url} refuses model {plan.base}: {status} {said}", remedy) from error
            raise self._silent(f"{status} {said}") from error
        except openai.APIConnectionError as error:
            raise self._silent(str(error.__cause__ or error)) from error
        self._retries += answer.retries_taken
        return _json(answer.text)

    def _silent(self, trouble: str) -> ModelError:
        return ModelError(
            f"{self._url} did not answer in {1 + _RETRIES} tries ({trouble})",
            "see that the server is up and start the run again: it goes on where it stopped",
        )

    def _raise_for_key(self, error: openai.APIStatusError) -> None:
        if error.status_code in {401, 403}:
            raise ModelError(
                f"{self._url} refuses the key: {_message(error)}", "set HARNESS_API_KEY or OPENAI_API_KEY"
            ) from error


async def _ask(client: Any, plan: PairPlan, body: dict[str, Any]) -> Any:
    kind = client.completions if plan.prompt.form == "plain" else client.chat.completions
    return await kind.with_raw_response.create(**body)


async def _ended(tasks: Sequence[asyncio.Task[Completion]]) -> None:
    """Wait until no task is left, whatever became of it."""
    await asyncio.gather(*tasks, return_exceptions=True)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _message(error: openai.APIStatusError) -> str:
    text = error.response.text
    value: Any = _json(text)
    for key in ("error", "message", "detail"):
        value = value.get(key, value) if isinstance(value, dict) else value
    return (value if isinstance(value, str) else str(value) if value else text)[:200]
