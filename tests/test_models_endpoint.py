"""A served model: against transformers' own server, and against one that misbehaves on purpose."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from models_tiny import tiny_base

from harness.errors import ModelError
from harness.models import Settings, connect, load, plan_endpoint, plan_pairs
from harness.records import Example, Prompt

ROWS = [
    Example(id=str(i), question="how many " + "x" * i, context="CREATE TABLE t (a INT)", gold="")
    for i in range(9)
]


@pytest.mark.slow
def test_transformers_serve_gives_what_the_engine_gives(tmp_path):
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi, uvicorn and openai")
    pytest.importorskip("uvicorn", reason="transformers serve needs fastapi, uvicorn and openai")
    base = tiny_base(tmp_path / "served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--device", "cpu", str(base)]
    quiet = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=quiet)
        try:
            deadline = time.monotonic() + 180
            while True:
                assert server.poll() is None, (tmp_path / "log").read_text()
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                        break
                except httpx.TransportError:
                    assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
            settings = Settings(max_new_tokens=8, quantization="none", batch_size=3)
            url = f"http://127.0.0.1:{port}/v1"
            endpoint = connect(url, plan_endpoint(url, [str(base)]), settings)
            name = plan_endpoint(url, [str(base)])[0].name
            served = {done.id: done for done in endpoint.generate(name, ROWS)}
            endpoint.close()
        finally:
            server.terminate()
            server.wait(10)
    engine = load(plan_pairs(adapters=[], model=str(base)), settings)
    ours = {done.id: done for done in engine.generate("base", ROWS)}
    assert {key: done.text for key, done in served.items()} == {key: done.text for key, done in ours.items()}
    assert {key: done.prompt_tokens for key, done in served.items()} == {
        k: d.prompt_tokens for k, d in ours.items()
    }
    assert endpoint.cost(name).examples == len(ROWS)


@contextmanager
def server(answer):
    """A server whose answers are ``answer(number of the request, path, body, headers)``."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.reply(200, {"data": [{"id": "m"}]}, {})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {key.lower(): value for key, value in self.headers.items()}
            seen.append((time.monotonic(), self.path, body, headers))
            self.reply(*answer(len(seen), body))

        def reply(self, status, value, headers):
            data = json.dumps(value).encode()
            self.send_response(status)
            for key, text in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", seen
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def good(body, text="SELECT 1", reason="stop"):
    choice = {"message": {"content": text}, "text": text, "finish_reason": reason}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}, {}


def test_a_model_that_is_not_served_ends_at_once():
    def answer(number, body):
        return good(body) if body["model"] == "m" else (500, {"error": "no such model"}, {})

    with server(answer) as (url, seen):
        plans = plan_endpoint(url, ["other"])
        start = time.monotonic()
        with pytest.raises(ModelError, match="does not serve other: 500 no such model; it serves m"):
            connect(url, plans, Settings())
    assert (len(seen), seen[0][2]["max_tokens"]) == (1, 1)
    assert time.monotonic() - start < 5


def test_a_model_that_answers_without_being_listed_is_taken():
    with server(lambda number, body: good(body)) as (url, _):
        connect(url, plan_endpoint(url, ["alias"]), Settings()).close()


def test_the_address_is_no_part_of_what_a_run_is():
    here, there = (plan_endpoint(f"http://host:{port}", ["m"])[0] for port in (1, 2))
    assert here.fingerprint() == there.fingerprint()
    assert here.fingerprint() != plan_endpoint("http://host:1", ["n"])[0].fingerprint()


def ask(url, rows=ROWS, prompt=None, **settings):
    plans = plan_endpoint(url, ["m"], benchmark_prompt=prompt or Prompt())
    endpoint = connect(url, plans, Settings(**settings))
    try:
        return list(endpoint.generate("m", rows)), endpoint
    finally:
        endpoint.close()


def test_chat_and_plain_requests_carry_prompt_settings_and_key(monkeypatch):
    monkeypatch.setenv("HARNESS_API_KEY", "secret")
    with server(lambda number, body: good(body, reason="length")) as (url, seen):
        (done,), _ = ask(url, ROWS[:1], max_new_tokens=5)
        ask(f"{url}/v1/", ROWS[:1], prompt=Prompt(form="plain", user="Q {question}"))
    (_, path, body, headers), (_, plain_path, plain, _) = seen
    assert (path, plain_path) == ("/v1/chat/completions", "/v1/completions")
    assert headers["authorization"] == "Bearer secret"
    assert body["messages"][1]["content"] == "CREATE TABLE t (a INT)\nQuestion: how many "
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 5, 0.0)
    assert plain["prompt"] == "Q how many "
    assert (done.finish, done.prompt_tokens, done.new_tokens) == ("length", 7, 3)


def test_busy_server_is_asked_again_and_nothing_is_lost():
    with server(lambda number, body: (503, {"error": "busy"}, {}) if number % 3 == 1 else good(body)) as (
        url,
        seen,
    ):
        done, endpoint = ask(url)
    assert sorted(d.id for d in done) == sorted(row.id for row in ROWS)
    assert endpoint.facts["retries"] == len(seen) - len(ROWS) > 0


def test_retry_after_is_waited_for():
    def answer(number, body):
        return (
            (429, {"error": {"message": "slow down"}}, {"Retry-After": "0.6"}) if number == 1 else good(body)
        )

    with server(answer) as (url, seen):
        done, _ = ask(url, ROWS[:4], batch_size=1)
    assert len(done) == 4
    assert seen[1][0] - seen[0][0] >= 0.6


def test_requests_run_side_by_side():
    barrier = threading.Barrier(4, timeout=20)

    def answer(number, body):
        barrier.wait()
        return good(body)

    with server(answer) as (url, _):
        done, _ = ask(url, ROWS[:8], batch_size=4)
    assert len(done) == 8


def test_prompt_beyond_the_servers_context_is_flagged():
    message = {"error": {"message": "This model's maximum context length is 512 tokens"}}
    with server(lambda number, body: (400, message, {}) if number == 1 else good(body)) as (url, _):
        done, _ = ask(url, ROWS[:3], batch_size=1)
    assert sorted(d.finish for d in done) == ["prompt_too_long", "stop", "stop"]


@pytest.mark.parametrize(
    ("status", "says", "remedy"),
    [
        (401, "refuses the key", "HARNESS_API_KEY"),
        (404, "refuses model m", "it serves m"),
        (422, "refuses model m: 422", "--model"),
    ],
)
def test_refusals_are_one_line(status, says, remedy):
    with server(lambda number, body: (status, {"detail": "no"}, {})) as (url, seen):
        with pytest.raises(ModelError) as caught:
            ask(url, ROWS[:1])
        assert len(seen) == 1
    assert says in caught.value.problem
    assert remedy in caught.value.remedy


def test_nothing_listens_and_a_server_that_never_recovers(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ModelError, match="nothing answers"):
        ask(url)
    monkeypatch.setattr("harness.models.endpoint._RETRIES", 2)
    with server(lambda number, body: (500, {"error": "broken"}, {})) as (url, seen):
        with pytest.raises(ModelError, match="did not answer in 3 tries"):
            ask(url, ROWS[:1])
        assert len(seen) == 3


def test_samples_are_asked_for_one_by_one_with_their_own_seeds():
    with server(lambda number, body: good(body)) as (url, seen):
        done, _ = ask(url, ROWS[:2], samples=3, temperature=0.7, seed=5)
    assert sorted((d.id, d.sample) for d in done) == [(i, s) for i in "01" for s in range(3)]
    assert sorted(body["seed"] for _, _, body, _ in seen) == [5, 5, 6, 6, 7, 7]


def test_stopping_does_not_wait_for_the_requests_under_way():
    release = threading.Event()

    def answer(number, body):
        if number > 1:
            release.wait(30)
        return good(body)

    with server(answer) as (url, _):
        endpoint = connect(url, plan_endpoint(url, ["m"]), Settings(batch_size=3))
        answers = endpoint.generate("m", ROWS)
        next(answers)
        start = time.monotonic()
        answers.close()
        took = time.monotonic() - start
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("ThreadPoolExecutor"):
                thread.join(20)
        endpoint.close()
    assert took < 10
