"""Nothing wrong in silence: what the slots cannot serve is refused, what an adapter spoils is kept apart."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from models_tiny import tiny_adapter, tiny_base
from test_models_engine import SETTINGS, examples, reference, texts
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from harness.errors import ModelError
from harness.models import Settings, guard, load, plan_pairs
from harness.models.prompts import TODAY

PLAIN = SETTINGS.replace(quantization="none")
ENCODER = {"num_hidden_layers": 2, "num_attention_heads": 4, "is_decoder": False}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 190,
}


def engine(base: Path, adapters: tuple[Path, ...] = (), settings: Settings = PLAIN, said: Any = None) -> Any:
    plans = plan_pairs(adapters=[str(a) for a in adapters], model=str(base))
    return load(plans, settings, said.append if said is not None else lambda _: None)


def said_by(engine: Any, pair: str, count: int = 16) -> dict[str, str]:
    return {key: done.text for key, done in texts(engine, pair, examples(count)).items()}


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("bert", ENCODER),
        ("roberta", ENCODER),
        ("openai-gpt", {"n_embd": 64, "n_layer": 2, "n_head": 4}),
        ("mamba", {}),
    ],
)
def test_families_that_need_more_are_refused_when_loaded(tmp_path: Path, family: str, config: Any) -> None:
    base = tiny_base(tmp_path / "b", family=family, **config)
    with pytest.raises(ModelError, match="--endpoint"):
        engine(base)


def run_by_layer(model: Any, work: Any) -> list[int]:
    """How often each layer of a Llama runs in ``work()``."""
    runs = [0] * len(model.model.layers)

    def count(number: int) -> Any:
        def hook(*_: Any) -> None:
            runs[number] += 1

        return hook

    hooks = [layer.register_forward_pre_hook(count(i)) for i, layer in enumerate(model.model.layers)]
    work()
    for hook in hooks:
        hook.remove()
    return runs


def test_three_layers_stand_for_all_where_all_are_alike(tmp_path: Path) -> None:
    loaded = engine(tiny_base(tmp_path / "b", num_hidden_layers=6))._base
    layers = list(loaded.model.model.layers)
    seen: dict[str, float] = {}
    runs = run_by_layer(loaded.model, lambda: seen.update(guard.check(loaded, PLAIN)))
    assert min(runs[:3]) > 0 == max(runs[3:])
    assert seen["layers"] == 3
    assert list(loaded.model.model.layers) == layers
    layers[5].self_attn.scaling *= 2
    runs = run_by_layer(loaded.model, lambda: seen.update(guard.check(loaded, PLAIN)))
    assert min(runs) > 0, "one that is another kind of layer has all of them looked at"


def test_what_three_layers_do_not_show_all_layers_say(tmp_path: Path) -> None:
    loaded = engine(tiny_base(tmp_path / "b", num_hidden_layers=6))._base
    last = loaded.model.model.layers[5]
    forward = last.self_attn.forward
    last.self_attn.is_sloppy = True

    def blurred(*args: Any, **kwargs: Any) -> Any:
        out, *rest = forward(*args, **kwargs)
        return (out + 0.5 * out.mean(0, keepdim=True), *rest)  # looks at the rows beside it

    last.self_attn.forward = blurred
    with pytest.raises(ModelError, match="do not get the logits of each alone"):
        guard.check(loaded, PLAIN)


def test_a_rope_that_switches_is_refused_where_prompts_pass_its_limit(tmp_path: Path) -> None:
    base = tiny_base(
        tmp_path / "b",
        family="phi3",
        num_hidden_layers=5,
        rope_parameters=LONGROPE,
        original_max_position_embeddings=190,
    )
    loaded = engine(base)
    assert texts(loaded, "base", examples(3))
    with pytest.raises(ModelError, match="do not get the logits of each alone"):
        texts(loaded, "base", [replace(examples(1)[0], question="x" * 100), *examples(3)])


@pytest.mark.parametrize(
    "lora",
    [{"bias": "lora_only"}, {"bias": "all"}, {"init_lora_weights": "pissa"}, {"init_lora_weights": "olora"}],
    ids=str,
)
def test_an_adapter_that_writes_into_the_base_leaves_the_other_rows_alone(
    tmp_path: Path, lora: dict[str, Any]
) -> None:
    from peft import PeftModel

    base = tiny_base(tmp_path / "base", attention_bias=True)
    plain = tiny_adapter(tmp_path / "plain", base)
    writing = tiny_adapter(tmp_path / "writing", base, seed=3, **lora)
    together = engine(base, (writing, plain))
    got = {pair: said_by(together, pair) for pair in ("base", "writing", "plain")}
    assert got["base"] == said_by(engine(base), "base")
    assert got["plain"] == said_by(engine(base, (plain,)), "plain")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), writing).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert got["writing"] == reference(model, tokenizer, examples(16), [0, 2])


def test_what_no_config_tells_is_seen_by_the_base_itself(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("harness.models.pair._writes_into_base", lambda plan: False)
    base = tiny_base(tmp_path / "base", attention_bias=True)
    writing = tiny_adapter(tmp_path / "writing", base, bias="all")
    told: list[str] = []
    together = engine(base, (writing,), said=told)
    assert [line for line in told if "base to itself" in line]
    assert said_by(together, "base") == said_by(engine(base), "base")
    assert said_by(together, "writing") != said_by(together, "base")


@pytest.mark.parametrize(
    "config",
    [
        {"suppress_tokens": list(range(3, 120))},
        {"begin_suppress_tokens": list(range(3, 200))},
        {"bad_words_ids": [[i] for i in range(150, 230)] + [[140, 141]]},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 5},
    ],
    ids=lambda config: next(iter(config)),
)
def test_what_forbids_tokens_is_applied_as_generate_does(tmp_path: Path, config: dict[str, Any]) -> None:
    base = tiny_base(tmp_path / "base")
    bare = said_by(engine(base), "base")
    GenerationConfig(eos_token_id=0, pad_token_id=0, **config).save_pretrained(base)
    loaded = engine(base)
    got = said_by(loaded, "base")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    assert got == reference(model, tokenizer, examples(16), [0, 2])
    assert got != bare or "min_new_tokens" in config
    assert set(loaded.facts["asked"]["base"]["generation_config_applied"]) == set(config)


def test_penalties_and_sampling_are_ignored_by_name(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    bare = said_by(engine(base), "base")
    chat = {"do_sample": True, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1}
    GenerationConfig(eos_token_id=0, pad_token_id=0, **chat).save_pretrained(base)
    loaded = engine(base)
    assert said_by(loaded, "base") == bare
    assert loaded.facts["asked"]["base"]["generation_config_ignored"] == chat


def test_experts_left_in_16_bits_are_said(tmp_path: Path) -> None:
    mixture = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    base = tiny_base(tmp_path / "base", family="qwen3_moe", head_dim=16, **mixture)
    told: list[str] = []
    loaded = engine(base, settings=SETTINGS, said=told)
    assert 0 < loaded.facts["four_bit_share"]["base"] < 0.9
    assert [line for line in told if "of the weights" in line and "4-bit" in line]
    dense = engine(tiny_base(tmp_path / "dense"), settings=SETTINGS)
    assert dense.facts["four_bit_share"] == {"base": 1.0}


def test_a_template_that_prints_the_date_gets_a_fixed_one(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    path = base / "chat_template.jinja"
    path.write_text("{{ strftime_now('%d %b %Y') }}" + path.read_text("utf-8"), "utf-8")
    loaded = engine(base)
    assert loaded.facts["asked"]["base"]["date"] == str(TODAY)
    assert datetime.now(UTC).date() != TODAY
    (done,) = loaded.generate("base", examples(1))
    (dated,) = engine(tiny_base(tmp_path / "undated")).generate("base", examples(1))
    assert done.prompt_tokens == dated.prompt_tokens + len("26 Jul 2024")


def test_a_base_with_code_of_its_own_is_refused_without_a_question(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"},
    }
    (base / "config.json").write_text(json.dumps(config))
    (base / "own.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(ModelError, match="code of its own"):
        engine(base)
