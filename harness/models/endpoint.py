"""Completions from a served model: any server that speaks OpenAI's chat (or plain) completions protocol.

vLLM (each LoRA module is a model's name), SGLang, llama.cpp's server, Ollama, ``transformers serve``.
Requests run side by side, are repeated with growing pauses when the server is busy or the line breaks, and
wait as long as a ``Retry-After`` asks. The key comes from HARNESS_API_KEY or OPENAI_API_KEY.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

import httpx

from harness.errors import ModelError
from harness.models.cost import Cost, process_memory
from harness.models.pair_plan import PairPlan, Settings
from harness.models.prompts import fill, messages
from harness.records import Completion, Example

_CONCURRENT = 16
_TRIES = 7
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_BUSY = frozenset({408, 425, 429, 502, 503, 504})
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
    endpoint.check()
    return endpoint


class Endpoint:
    """A ``Generator`` over HTTP."""

    def __init__(self, url: str, plans: Sequence[PairPlan], settings: Settings, timeout: float) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._settings = settings
        self._costs = {plan.name: Cost() for plan in plans}
        address = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")
        self._url = address if httpx.URL(address).path.strip("/") else f"{address}/v1"
        key = os.environ.get("HARNESS_API_KEY") or os.environ.get("OPENAI_API_KEY")
        self._workers = settings.batch_size or _CONCURRENT
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=10.0),
            limits=httpx.Limits(max_connections=self._workers),
        )
        self._not_before = 0.0
        self._stop = threading.Event()
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
        self._stop.set()
        self._client.close()

    def check(self) -> None:
        """Ask the server for its models, once, and for a token of those that it does not list."""
        try:
            answer = self._client.get(f"{self._url}/models", timeout=10.0)
        except httpx.HTTPError as error:
            raise ModelError(
                f"nothing answers at {self._url} ({error})", "start the server, or check --endpoint"
            ) from error
        self._raise_for_key(answer)
        served = [
            str(entry.get("id")) for entry in _json(answer).get("data") or [] if isinstance(entry, dict)
        ]
        self._served = ", ".join(served[:8])
        for plan in self._plans.values() if served else ():
            if plan.base not in served:
                self._try_once(plan)

    def _try_once(self, plan: PairPlan) -> None:
        """Ask a model that the server does not list for a token: some serve more than they list."""
        body = {"model": plan.base, "max_tokens": 1, "messages": [{"role": "user", "content": "1"}]}
        if plan.prompt.form == "plain":
            body = {"model": plan.base, "max_tokens": 1, "prompt": "1"}
        path = "completions" if plan.prompt.form == "plain" else "chat/completions"
        try:
            answer = self._client.post(f"{self._url}/{path}", json=body)
        except httpx.HTTPError:
            return  # what is wrong with the line, the first real request says
        if answer.status_code >= 400 and answer.status_code not in _BUSY:
            self._raise_for_key(answer)
            raise ModelError(
                f"{self._url} does not serve {plan.base}: {answer.status_code} {_message(answer)}",
                f"it serves {self._served}: --model",
            )

    def generate(self, pair: str, examples: Iterable[Example]) -> Iterator[Completion]:
        """Completions as they come back; at most twice as many requests are queued as run side by side.

        Raises:
            ModelError: the server refuses, or does not recover.
        """
        plan, cost = self._plans[pair], self._costs[pair]
        tasks = ((example, sample) for example in examples for sample in range(self._settings.samples))
        start = time.perf_counter()
        pool = ThreadPoolExecutor(self._workers)
        waiting: set[Future[Completion]] = set()
        try:
            while True:
                for example, sample in islice(tasks, 2 * self._workers - len(waiting)):
                    waiting.add(pool.submit(self._complete, plan, example, sample))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    completion = future.result()
                    cost.prompt_tokens += completion.prompt_tokens
                    cost.new_tokens += completion.new_tokens
                    cost.computed_tokens += completion.prompt_tokens + completion.new_tokens
                    cost.examples += completion.sample == 0
                    now = time.perf_counter()
                    cost.seconds["decode"] = cost.seconds.get("decode", 0.0) + now - start
                    start = now
                    yield completion
        except BaseException:
            self._stop.set()  # nobody retries on behalf of a run that has ended
            raise
        finally:
            cost.peak_memory_bytes = process_memory()
            pool.shutdown(wait=False, cancel_futures=True)

    def _complete(self, plan: PairPlan, example: Example, sample: int) -> Completion:
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
                body["chat_template"] = prompt.chat_template
        else:
            body["prompt"] = fill(prompt.user, example)
        answer = self._post("chat/completions" if prompt.form == "chat" else "completions", body)
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

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The server's answer; None where it says that the prompt does not fit its context."""
        trouble = ""
        for attempt in range(_TRIES):
            pause = max(0.0, self._not_before - time.monotonic())
            if self._stop.wait(pause):
                raise ModelError("the endpoint was closed", "start the run again: it goes on")
            try:
                answer = self._client.post(f"{self._url}/{path}", json=body)
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
                self._pause(attempt, None)
                continue
            if answer.status_code == 200:
                return _json(answer)
            self._raise_for_key(answer)
            said = _message(answer)
            trouble = f"{answer.status_code} {said}"
            if answer.status_code in {400, 413, 422} and any(mark in said.lower() for mark in _TOO_LONG):
                return None
            if answer.status_code not in _AGAIN:
                remedy = (
                    f"it serves {self._served}: --model"
                    if self._served
                    else "check --model and the server's log"
                )
                raise ModelError(f"{self._url} refuses model {body['model']}: {trouble}", remedy)
            self._pause(attempt, answer.headers.get("Retry-After"))
        raise ModelError(
            f"{self._url} did not answer in {_TRIES} tries ({trouble})",
            "see that the server is up and start the run again: it goes on where it stopped",
        )

    def _pause(self, attempt: int, retry_after: str | None) -> None:
        self._retries += 1
        asked = _seconds(retry_after)
        if asked is not None:  # the server's own word holds for all requests
            self._not_before = max(self._not_before, time.monotonic() + min(asked, 10 * _LONGEST_PAUSE))
        elif attempt + 1 < _TRIES:
            self._stop.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1.0))

    def _raise_for_key(self, answer: httpx.Response) -> None:
        if answer.status_code in {401, 403}:
            raise ModelError(
                f"{self._url} refuses the key: {_message(answer)}", "set HARNESS_API_KEY or OPENAI_API_KEY"
            )


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _message(answer: httpx.Response) -> str:
    value: Any = _json(answer)
    for key in ("error", "message", "detail"):
        value = value.get(key, value) if isinstance(value, dict) else value
    return (value if isinstance(value, str) else str(value) if value else answer.text)[:200]


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
