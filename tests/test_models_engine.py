"""The engine against transformers' own ``generate``, and what it promises beside that."""

import resource
from dataclasses import replace

import pytest
import torch
from models_tiny import tiny_adapter, tiny_base
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import ModelError
from harness.log import hush_libraries
from harness.models import Settings, load, plan_pairs
from harness.models.prompts import render
from harness.records import Example, Prompt

SETTINGS = Settings(max_new_tokens=12, batch_size=16, dequantize="yes")  # auto goes by a timing
SHAPES = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 24},
    "gemma2": {
        "sliding_window": 24,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "tie_word_embeddings": False,
    },
    "phi3": {},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 2048},
    "deepseek_v3": {
        "n_routed_experts": 4,
        "kv_lora_rank": 16,
        "q_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 16,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "num_key_value_heads": 4,
        "first_k_dense_replace": 1,
    },
}


def examples(count=60):
    tables = [
        "CREATE TABLE t (a INT)",
        "CREATE TABLE club (name VARCHAR, year INT)",
        "CREATE TABLE x (b INT)",
    ]
    return [
        Example(
            id=str(i), question="how many " + "abc?"[i % 4] * (i * 7 % 40), context=tables[i % 3], gold=""
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("engine")
    tiny_base(place / "base")
    tiny_adapter(place / "sql", place / "base")
    tiny_adapter(place / "other.v2", place / "base", seed=2, use_rslora=True)
    return place


def texts(engine, pair, rows):
    done = {}
    for completion in engine.generate(pair, rows):
        assert (completion.id, completion.sample) not in done
        done[completion.id, completion.sample] = completion
    return {key[0]: value for key, value in done.items() if key[1] == 0} if len(done) == len(rows) else done


def reference(model, tokenizer, rows, stops, limit=12):
    said = {}
    for row, text in zip(rows, render(Prompt(), rows, tokenizer), strict=True):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                do_sample=False,
                eos_token_id=stops,
                pad_token_id=0,
            )
        said[row.id] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return said


@pytest.mark.parametrize("lines", [False, True], ids=["rectangles", "lines"])
@pytest.mark.parametrize("family", SHAPES)
def test_same_texts_as_generate_one_by_one(tmp_path, monkeypatch, family, lines):
    if lines:  # as for bases a thousand times as large
        monkeypatch.setattr("harness.models.decoder._CPU_LARGE", 0)
    rows = examples(30)
    base = tiny_base(tmp_path / "b", family=family, **SHAPES[family])
    (plan,) = plan_pairs(adapters=[], model=str(base))
    engine = load([plan], SETTINGS.replace(quantization="none", batch_size=7))
    ours = {key: value.text for key, value in texts(engine, "base", rows).items()}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    theirs = reference(model, tokenizer, rows, [0, 2])
    assert len(set(ours.values())) > 10, "the texts must differ for the comparison to mean something"
    assert ours == theirs
    assert engine.cost("base").shared_tokens > 0
    assert (engine.cost("base").padding_tokens == 0) <= lines


def test_pairs_of_one_base_each_give_their_own_texts_in_nf4(folder):
    rows = examples(24)
    adapters = [str(folder / "sql"), str(folder / "other.v2")]
    plans = plan_pairs(adapters=adapters)
    engine = load(plans, SETTINGS)
    got = {plan.name: {k: c.text for k, c in texts(engine, plan.name, rows).items()} for plan in plans}
    assert [plan.name for plan in plans] == ["base", "sql", "other.v2"]
    assert got["base"] != got["sql"] != got["other.v2"]
    assert engine.facts["dequantized"] is True
    for adapter, name in zip(adapters, ["sql", "other.v2"], strict=True):
        alone = load(plan_pairs(adapters=[adapter], include_base=False), SETTINGS)
        assert {k: c.text for k, c in texts(alone, name, rows).items()} == got[name]
    again = {k: c.text for k, c in texts(engine, "base", rows).items()}
    assert again == got["base"], "the base is the base again after adapters were on"


@pytest.mark.parametrize(
    ("change", "flips"),
    [
        ({"compute_dtype": "auto"}, 6),  # expanded values are multiplied in bfloat16 on CPUs that can
        ({"dequantize": "no"}, 6),  # so are packed ones, by bitsandbytes
        ({"merge": True}, 1),
        ({"batch_size": 1}, 1),
        ({"batch_size": 64}, 1),
    ],
)
def test_ways_that_must_not_change_the_texts(folder, change, flips):
    rows = examples(24)
    plans = plan_pairs(adapters=[str(folder / "sql")], include_base=False)
    exact = SETTINGS.replace(compute_dtype="float32")
    plain = texts(load(plans, exact), "sql", rows)
    other = texts(load(plans, exact.replace(**change)), "sql", rows)
    assert sum(plain[key].text != other[key].text for key in plain) <= flips


@pytest.mark.parametrize("quantization", ["fp4", "int8"])
def test_other_quantisations_are_other_weights(folder, quantization):
    rows = examples(12)
    plans = plan_pairs(adapters=[str(folder / "sql")], include_base=False)
    nf4 = {k: c.text for k, c in texts(load(plans, SETTINGS), "sql", rows).items()}
    other = texts(load(plans, SETTINGS.replace(quantization=quantization)), "sql", rows)
    assert {k: c.text for k, c in other.items()} != nf4


@pytest.mark.parametrize(
    "lora",
    [
        {"use_dora": True},
        {"target_modules": "all-linear", "modules_to_save": ["lm_head"]},
        {"trainable_token_indices": {"embed_tokens": [1, 2]}},
    ],
    ids=["dora", "modules_to_save", "trained_tokens"],
)
def test_kinds_of_adapters_match_peft_itself(folder, tmp_path, lora):
    from peft import PeftModel

    rows = examples(10)
    adapter = tiny_adapter(tmp_path / "a", folder / "base", **lora)
    plans = plan_pairs(adapters=[str(adapter)], include_base=False)
    ours = texts(load(plans, SETTINGS.replace(quantization="none")), "a", rows)
    hush_libraries()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), adapter)
    theirs = reference(model, AutoTokenizer.from_pretrained(folder / "base"), rows, [0, 2])
    assert {key: value.text for key, value in ours.items()} == theirs


def test_adapter_with_added_tokens_has_its_base_to_itself(folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.add_tokens(["<sql>", "</sql>"])
    hush_libraries()
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    model.resize_token_embeddings(len(tokenizer))
    config = LoraConfig(
        task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]
    )
    peft = get_peft_model(model, config)
    peft.peft_config["default"].base_model_name_or_path = str(folder / "base")
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    peft.save_pretrained(tmp_path / "added")
    tokenizer.save_pretrained(tmp_path / "added")
    plans = plan_pairs(adapters=[str(tmp_path / "added"), str(folder / "sql")])
    engine = load(plans, SETTINGS)
    assert {plan.name: len(texts(engine, plan.name, examples(5))) for plan in plans} == {
        "base": 5,
        "added": 5,
        "sql": 5,
    }


def test_adapter_that_is_not_on_is_refused(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    zero = tiny_adapter(tmp_path / "zero", folder / "base", zero=True)
    with pytest.raises(ModelError, match="all zero"):
        load(plan_pairs(adapters=[str(zero)]), SETTINGS)
    half = tiny_adapter(tmp_path / "half", folder / "base")
    weights = load_file(half / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[::2]), half / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="is missing"):
        load(plan_pairs(adapters=[str(half)]), SETTINGS)


@pytest.mark.parametrize("family", ["mamba", "bloom"])
def test_families_that_the_engine_cannot_serve_are_sent_to_an_endpoint(tmp_path, family):
    base = tiny_base(
        tmp_path / "b", family=family, **({"n_layer": 2, "n_head": 4} if family == "bloom" else {})
    )
    with pytest.raises(ModelError, match="--endpoint"):
        load(plan_pairs(adapters=[], model=str(base)), SETTINGS.replace(quantization="none"))


def test_no_chat_template_means_the_plain_form_and_says_so(tmp_path):
    base = tiny_base(tmp_path / "b", chat=False)
    said = []
    engine = load(plan_pairs(adapters=[], model=str(base)), SETTINGS, said.append)
    (done,) = engine.generate("base", examples(1))
    assert "no chat template" in said[0]
    assert done.prompt_tokens == len("CREATE TABLE t (a INT)\n-- how many \n")
    assert engine.facts["asked"]["base"]["form"] == "plain"


def test_prompts_beyond_the_context_are_flagged_or_cut_by_choice(tmp_path):
    base = tiny_base(tmp_path / "b", max_position_embeddings=160)
    plans = plan_pairs(adapters=[], model=str(base))
    rows = [*examples(3), Example(id="long", question="x" * 500, context="c", gold="")]
    flagged = texts(load(plans, SETTINGS), "base", rows)
    assert (flagged["long"].finish, flagged["long"].text, flagged["long"].new_tokens) == (
        "prompt_too_long",
        "",
        0,
    )
    assert flagged["0"].finish != "prompt_too_long"
    cut = texts(load(plans, SETTINGS.replace(long_prompts="truncate")), "base", rows)
    assert cut["long"].prompt_tokens == 160 - 12


def test_samples_depend_on_the_seed_and_not_on_the_batch(folder):
    plans = plan_pairs(adapters=[str(folder / "sql")], include_base=False)
    rows = examples(9)
    settings = SETTINGS.replace(temperature=1.0, samples=3, top_p=0.9)

    def draw(**change):
        engine = load(plans, settings.replace(**change))
        return {(c.id, c.sample): c.text for c in engine.generate("sql", rows)}

    first = draw()
    assert len(first) == 27
    assert first == draw(batch_size=4)
    assert first != draw(seed=1)
    assert len({first["0", sample] for sample in range(3)}) > 1
    cold = draw(temperature=1e-6)
    greedy = texts(load(plans, SETTINGS), "sql", rows)
    assert cold["3", 1] == greedy["3"].text


def test_out_of_memory_halves_the_batch_and_loses_nothing(folder, monkeypatch):
    plans = plan_pairs(adapters=[str(folder / "sql")], include_base=False)
    rows, said = examples(40), []
    expected = {k: c.text for k, c in texts(load(plans, SETTINGS), "sql", rows).items()}
    engine = load(plans, SETTINGS, said.append)
    forward, failures = engine._base.model.forward, []

    def starved(*args, **kwargs):
        if kwargs["input_ids"].shape[0] > 5:
            failures.append(kwargs["input_ids"].shape[0])
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine._base.model, "forward", starved)
    got = {k: c.text for k, c in texts(engine, "sql", rows).items()}
    assert set(got) == set(expected)
    assert sum(got[key] != expected[key] for key in got) <= 1
    assert said == [f"Out of memory: going on with at most {n} prompts at a time." for n in (8, 4)]
    failed = len(failures)
    assert len(texts(engine, "sql", rows)) == 40
    assert len(failures) == failed, "the size that was found is remembered"


def test_chance_is_the_same_for_rows_that_had_to_start_over(folder, monkeypatch):
    plans = plan_pairs(adapters=[str(folder / "sql")], include_base=False)
    settings = replace(SETTINGS, temperature=1.0, seed=3)
    rows = examples(30)
    expected = {k: c.text for k, c in texts(load(plans, settings), "sql", rows).items()}
    engine = load(plans, settings)
    forward, seen = engine._base.model.forward, []

    def starved_once(*args, **kwargs):
        seen.append(kwargs["input_ids"].shape[1])
        if seen[-4:] == [1, 1, 1, 1] and len(seen) < 40 and not starved:
            starved.append(len(seen))
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    starved: list[int] = []
    monkeypatch.setattr(engine._base.model, "forward", starved_once)
    got = {k: c.text for k, c in texts(engine, "sql", rows).items()}
    assert starved
    assert sum(got[key] != expected[key] for key in expected) <= 1


def test_after_a_while_more_rows_are_tried_again(folder, monkeypatch):
    monkeypatch.setattr("harness.models.decoder._CALM", 30)
    engine = load(plan_pairs(adapters=[str(folder / "sql")], include_base=False), SETTINGS)
    forward, rows, failed = engine._base.model.forward, [], []

    def starved_once(*args, **kwargs):
        rows.append(kwargs["input_ids"].shape[0])
        if rows[-1] > 5 and not failed:
            failed.append(len(rows))
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine._base.model, "forward", starved_once)
    assert len(texts(engine, "sql", examples(160))) == 160
    assert max(rows[failed[0] : failed[0] + 10]) <= 8
    assert max(rows[failed[0] :]) == 16


def test_out_of_memory_at_one_row_is_one_line(folder, monkeypatch):
    engine = load(plan_pairs(adapters=[str(folder / "sql")], include_base=False), SETTINGS)

    def starved(*args, **kwargs):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(engine._base.model, "forward", starved)
    with pytest.raises(ModelError, match="single prompt"):
        list(engine.generate("sql", examples(3)))


def test_costs_are_counted_in_real_tokens(folder):
    engine = load(plan_pairs(adapters=[str(folder / "sql")], include_base=False), SETTINGS)
    done = texts(engine, "sql", examples(50))
    cost = engine.cost("sql")
    assert cost.examples == 50
    assert cost.prompt_tokens == sum(c.prompt_tokens for c in done.values())
    assert cost.new_tokens == sum(c.new_tokens for c in done.values())
    assert cost.computed_tokens - cost.padding_tokens == pytest.approx(
        cost.prompt_tokens - cost.shared_tokens + cost.new_tokens - 50, abs=60
    )
    assert set(cost.seconds) == {"load", "tokenise", "prefill", "decode", "finish"}
    assert cost.to_json()["padding_share"] < 0.35


def test_memory_is_flat_and_examples_are_drawn_as_needed(folder):
    engine = load(
        plan_pairs(adapters=[str(folder / "sql")], include_base=False),
        SETTINGS.replace(max_new_tokens=1, batch_size=256),
    )
    drawn = 0

    def stream():
        nonlocal drawn
        for number in range(5000):
            drawn += 1
            yield replace(examples(1)[0], id=str(number), question=f"q{number}")

    answers = engine.generate("sql", stream())
    next(answers)
    assert drawn <= 1024
    early = None
    for count, _ in enumerate(answers):
        if count == 3000:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early < 8 << 10
