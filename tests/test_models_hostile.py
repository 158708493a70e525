"""Bases and adapters made to run code, take all memory or never end: one line with a remedy each."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models_tiny import tiny_pair

from harness.errors import ModelError
from harness.models import Settings, load, plan_pairs
from harness.models.prompts import render
from harness.models.tokenizers import load_tokenizer
from harness.records import Example, Prompt

Spoil = Callable[[Path], object]
EXAMPLE = Example(id="1", question="Who?", context="CREATE TABLE t (a TEXT)", gold="SELECT a FROM t")
ADAPTER, BASE = "adapter/adapter_model.safetensors", "base/model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pair(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def pair(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "base", tmp_path / "base")
    shutil.copytree(folder / "adapter", tmp_path / "adapter")
    return tmp_path


def _config(where: str, **changes: Any) -> Spoil:
    def spoil(root: Path) -> None:
        path = root / where
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")

    return spoil


def _adapter(**changes: Any) -> Spoil:
    return _config("adapter/adapter_config.json", **changes)


def _base(**changes: Any) -> Spoil:
    return _config("base/config.json", **changes)


def _text(where: str, text: str) -> Spoil:
    return lambda root: (root / where).write_text(text, "utf-8")


def _header(where: str, change: Callable[[dict[str, Any]], object]) -> Spoil:
    """A header that says something else of the same data."""

    def spoil(root: Path) -> None:
        raw = (root / where).read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + length])
        header = change(header) or header
        text = json.dumps(header).encode()
        (root / where).write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])

    return spoil


def _first(header: dict[str, Any]) -> dict[str, Any]:
    return next(entry for name, entry in header.items() if name != "__metadata__")


def _folder_for(where: str) -> Spoil:
    def spoil(root: Path) -> None:
        (root / where).unlink()
        (root / where).mkdir()

    return spoil


def _file_for(where: str) -> Spoil:
    def spoil(root: Path) -> None:
        shutil.rmtree(root / where)
        (root / where).write_text("x", "utf-8")

    return spoil


def _pickled(where: str, name: str) -> Spoil:
    def spoil(root: Path) -> None:
        (root / where).with_name(name).write_bytes(pickle.dumps(Path("x")))
        (root / where).unlink()

    return spoil


DEEP = "[" * 100_000
BEFORE_LOADING = {
    "r of a billion": (_adapter(r=10**9), "r is 1,000,000,000"),
    "r of no kind": (_adapter(r="8"), "no rank"),
    "r below one": (_adapter(r=-8), "no rank"),
    "a rank pattern": (_adapter(rank_pattern={"q_proj": 10**8}), "rank_pattern q_proj is 100,000,000"),
    "a pattern that never ends": (_adapter(target_modules="(([a-z_.]+)+)+0"), "searches for ever"),
    "a rank pattern that never ends": (_adapter(rank_pattern={"(([a-z_.]+)+)+0": 1}), "searches for ever"),
    "no pattern": (_adapter(target_modules="(q_proj"), "is no pattern"),
    "modules that are numbers": (_adapter(target_modules=[1, 2]), "neither a text nor a list"),
    "layers again and again": (_adapter(layer_replication=[[0, 2]] * 10_000), "layer_replication"),
    "a module to import": (_adapter(auto_mapping={"parent_library": "this"}), "code of its own"),
    "megatron": (_adapter(megatron_config={"a": 1}, megatron_core="antigravity"), "code of its own"),
    "a huge vocabulary": (_base(vocab_size=10**10), "vocab_size is 10,000,000,000"),
    "huge layers": (_base(hidden_size=10**8), "hidden_size is 100,000,000"),
    "very many layers": (_base(num_hidden_layers=10**7), "num_hidden_layers is 10,000,000"),
    "sizes of no kind": (_base(hidden_size="64"), "no size"),
    "sizes below nothing": (_base(num_hidden_layers=-1), "no size"),
    "a deep config": (_text("base/config.json", DEEP), "nested too deeply"),
    "a deep adapter config": (_text("adapter/adapter_config.json", DEEP), "nested too deeply"),
    "a config that is a list": (_text("base/config.json", "[1]"), "no JSON object"),
    "a header cut short": (lambda root: (root / ADAPTER).write_bytes(b"\x00"), "not a safetensors file"),
    "a header without end": (
        lambda root: (root / ADAPTER).write_bytes(b"\xff" * 16),
        "lies about its length",
    ),
    "a header larger than the file": (
        lambda root: (root / BASE).write_bytes(struct.pack("<Q", 10**6) + b"{}"),
        "lies about its length",
    ),
    "a deep header": (
        lambda root: (root / BASE).write_bytes(struct.pack("<Q", len(DEEP)) + DEEP.encode()),
        "not a safetensors file",
    ),
    "a header that is a list": (
        lambda root: (root / BASE).write_bytes(struct.pack("<Q", 2) + b"[]"),
        "not a safetensors file",
    ),
    "offsets beyond the file": (
        _header(BASE, lambda h: _first(h).update(data_offsets=[0, 10**12])),
        "beyond its end",
    ),
    "offsets backwards": (_header(BASE, lambda h: _first(h).update(data_offsets=[64, 0])), "beyond its end"),
    "a shape of a billion": (_header(ADAPTER, lambda h: _first(h).update(shape=[10**9, 10**9])), "and has"),
    "a shape below nothing": (
        _header(ADAPTER, lambda h: _first(h).update(shape=[-1, -64])),
        "beyond its end",
    ),
    "a shape that is a text": (
        _header(ADAPTER, lambda h: _first(h).update(shape="8")),
        "not a safetensors file",
    ),
    "a tensor that is a number": (_header(ADAPTER, lambda h: {"x": 1}), "not a safetensors file"),
    "a pickled adapter": (_pickled(ADAPTER, "adapter_model.bin"), "pickled"),
    "a pickled base": (_pickled(BASE, "pytorch_model.bin"), "pickled"),
    "a folder for weights": (_folder_for(ADAPTER), "is no file"),
    "a folder for a base's weights": (_folder_for(BASE), "is no file"),
    "a folder for a config": (_folder_for("adapter/adapter_config.json"), "is no file"),
    "a folder for a base's config": (_folder_for("base/config.json"), "is no file"),
    "a file for an adapter": (_file_for("adapter"), "is a file, not an adapter's folder"),
    "a file for a base": (_file_for("base"), "is not on this machine"),
}


@pytest.mark.parametrize("name", BEFORE_LOADING)
def test_it_is_refused_before_anything_is_loaded(pair: Path, name: str) -> None:
    spoil, said = BEFORE_LOADING[name]
    spoil(pair)
    start = time.monotonic()
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        plan_pairs(adapters=[str(pair / "adapter")])
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert time.monotonic() - start < 30


OWN = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM"), "evil.Evil")
OWN_CODE = {"auto_map": {"AutoTokenizer": ["evil.Evil", None], **OWN}}
TEMPLATE = "adapter/chat_template.jinja"
TWICE = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLED = (
    "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
)
UNUSABLE = "the chat template cannot be used"
WHEN_LOADED = {
    "a tokenizer with code": (
        _config("adapter/tokenizer_config.json", **OWN_CODE, tokenizer_class="Evil"),
        "code of its own",
    ),
    "a base with code": (_base(**OWN_CODE, model_type="evil"), "code of its own"),
    "a deep tokenizer config": (_text("adapter/tokenizer_config.json", DEEP), "tokenizer"),
    "a deep tokenizer": (_text("adapter/tokenizer.json", DEEP), "tokenizer"),
    "a folder for a tokenizer": (_folder_for("adapter/tokenizer.json"), "tokenizer"),
    "a tokenizer of nothing": (_text("adapter/tokenizer.json", "{}"), "tokenizer"),
    "a template of all time": (_text(TEMPLATE, TWICE), "4 s or 1024 MiB"),
    "a template of all memory": (_text(TEMPLATE, "{{ 'x' * 10**9 }}{{ 'y' * 10**9 }}"), UNUSABLE),
    "a template that doubles": (_text(TEMPLATE, DOUBLED), UNUSABLE),
    "a template of a long prompt": (_text(TEMPLATE, "{{ 'x' * 20000000 }}"), "20,000,000 characters"),
    "a template that reaches out": (
        _text(TEMPLATE, "{{ messages.__class__.__mro__[1].__subclasses__() }}"),
        UNUSABLE,
    ),
    "a template that is none": (_text(TEMPLATE, "{% for %}"), UNUSABLE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHEN_LOADED)
def test_it_is_refused_when_it_is_loaded(
    pair: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody is asked whether code may run, and nothing runs where one would have said yes."""
    for file in ("base/evil.py", "adapter/evil.py"):
        (pair / file).write_text(f"from pathlib import Path\nPath({str(pair / 'ran')!r}).touch()\n", "utf-8")
    for file in (pair / "base").glob("token*"):
        shutil.copy(file, pair / "adapter")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    spoil, said = WHEN_LOADED[name]
    spoil(pair)
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        _generated(pair / "adapter")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert not (pair / "ran").exists()
    assert "[y/N]" not in "".join(capfd.readouterr())


def _generated(adapter: Path) -> None:
    plans = plan_pairs(adapters=[str(adapter)], include_base=False)
    generator = load(plans, Settings(quantization="none", batch_size=2), lambda _: None)
    list(generator.generate(plans[0].name, [EXAMPLE]))


def test_a_template_gives_what_the_tokenizer_gives(folder: Path) -> None:
    tokenizer = load_tokenizer(str(folder / "base"))
    turns = [{"role": "user", "content": "CREATE TABLE t (a TEXT) Who?"}]
    (made,) = render(Prompt(system=None, user="{context} {question}"), [EXAMPLE], tokenizer)
    assert made == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def test_a_template_without_a_system_role_gets_it_in_front(folder: Path) -> None:
    """Prompts of one call are those of one call each, whichever of them the template refuses."""
    template = (
        "{% if messages[0].role == 'system' and 'b' in messages[1].content %}"
        "{{ raise_exception('no System role') }}{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    tokenizer = load_tokenizer(str(folder / "base"))
    prompt = Prompt(system="S", user="{question}", chat_template=template)
    examples = [Example(id=q, question=q, context="", gold="") for q in "abcb"]
    together = render(prompt, examples, tokenizer)
    assert together == [
        "<system>S<user>a",
        "<user>S\n\nb",
        "<system>S<user>c",
        "<user>S\n\nb",
    ]
    assert together == [text for example in examples for text in render(prompt, [example], tokenizer)]


def test_the_command_says_it_in_one_line(pair: Path) -> None:
    _adapter(r=10**9)(pair)
    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        "--adapter",
        str(pair / "adapter"),
        "--benchmark",
        "starter",
    ]
    done = subprocess.run([*command, "--output", str(pair / "out")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "r is 1,000,000,000" in done.stderr
    assert len(done.stderr.splitlines()) <= 2
