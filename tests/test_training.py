"""Training: recipes are checked, sequences are what the prompts say, both kinds train and go on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.benchmarks.starter_domains import domains
from harness.errors import ModelError, RecipeError, UsageError
from harness.training import SftRecipe, StarterRecipe, load_recipe, train
from harness.training.loop import Schedule

BAD_RECIPES = [
    ("kind: sft\noutput: x\nmodel: m\n", "data: Field required"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {}\n", "give either hub or file"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nlora: {r: 0}\n", "lora.r"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nlearning_rate: 1\n", "learning_rate: Extra inputs"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nprompt: {user: hi}\n", "user has no {question}"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nquantization: int3\n", "quantization"),
    ("kind: starter\nbase: {steps: 1, learning_rate: 1}\n", "adapter: Field required"),
    (
        "kind: starter\nadapter: {steps: 1, learning_rate: 1}\n"
        "base: {steps: 1, learning_rate: 1, withheld: [joy]}\n",
        "unknown kind 'joy'",
    ),
    (
        "kind: starter\nshape: {hidden: 100, heads: 4}\nadapter: {steps: 1, learning_rate: 1}\n"
        "base: {steps: 1, learning_rate: 1}\n",
        "hidden must be a multiple",
    ),
    ("kind: rlhf\n", "kind"),
    ("- a list\n", "the file"),
    ("a: [\n", "cannot be read"),
]


@pytest.mark.parametrize(("text", "said"), BAD_RECIPES, ids=[said for _, said in BAD_RECIPES])
def test_a_bad_recipe_gets_one_line_with_the_key_and_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert said in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_names_those_at_hand(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"does not exist; those at hand: .*starter\.yaml"):
        train(tmp_path / "recipe.yaml")


def test_the_seed_recipe_value_for_value(root: Path) -> None:
    recipe = load_recipe(root / "adapters" / "recipes" / "sql-assistant.yaml")
    assert isinstance(recipe, SftRecipe)
    assert (recipe.model, recipe.quantization) == ("Qwen/Qwen2.5-1.5B-Instruct", "nf4")
    assert (recipe.data.hub, recipe.data.shuffle_seed, recipe.data.limit) == (
        "b-mc2/sql-create-context",
        42,
        1000,
    )
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (16, 16, 0.05)
    assert recipe.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    plan = recipe.training
    assert (plan.batch_size, plan.gradient_accumulation, plan.learning_rate) == (4, 2, 2e-4)
    assert (plan.epochs, plan.optimizer, plan.max_length) == (1, "paged_adamw_32bit", 512)
    assert (recipe.prompt.system, recipe.prompt.user) == (
        "You are a SQL expert.",
        "{context}\nQuestion: {question}",
    )


def test_options_that_a_starter_recipe_does_not_have(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--limit does not go with a starter recipe"):
        train(root / "adapters" / "recipes" / "starter.yaml", limit=3, output=tmp_path / "x")


def test_a_base_that_is_not_there(root: Path, tmp_path: Path) -> None:
    rows = root / "benchmarks" / "starter" / "validation.jsonl"
    with pytest.raises(ModelError, match=r"is not on this machine; .*--model"):
        train(
            root / "adapters" / "recipes" / "sql-assistant.yaml",
            model=str(tmp_path / "nothing"),
            data=rows,
            limit=4,
            output=tmp_path / "out",
        )


def test_an_adapter_that_is_there_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(RecipeError, match="already holds an adapter"):
        train(root / "adapters" / "recipes" / "sql-assistant.yaml", output=tmp_path)


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=1000, learning_rate=1.0, rising=10, falling=0.4)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(300) == schedule.rate(599) == 1.0
    assert schedule.rate(800) == pytest.approx(0.51)
    assert 0 < schedule.rate(999) < 0.03


def test_invented_names_come_of_the_training_domains_alone() -> None:
    from harness.training.invention import Inventor, plural

    inventor = Inventor(random.Random(1))
    known = {domain.name for domain in domains() if domain.split == "train"} | {"invented"}
    made = [inventor.schema(0.5) for _ in range(400)]
    assert {domain.name for domain in made} <= known
    held_out = {table.name for domain in domains() if domain.split != "train" for table in domain.tables}
    share = sum(table.name in held_out for domain in made for table in domain.tables) / len(made)
    assert share < 0.02  # a made-up word may be an English one by chance
    assert [plural(word) for word in ("party", "day", "dish", "box", "team")] == [
        "parties",
        "days",
        "dishes",
        "boxes",
        "teams",
    ]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from harness.training.tokens import train_tokenizer

    return train_tokenizer(1200, 0)


def test_the_tokenizer_gives_text_back_and_shares_words(tokenizer: Any, root: Path) -> None:
    for line in (root / "benchmarks" / "starter" / "test.jsonl").read_text("utf-8").splitlines()[::25]:
        row = json.loads(line)
        text = f"{row['context']}\n-- {row['question']}\n{row['answer']}"
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.decode(tokenizer("Zoë's 1\t{}%")["input_ids"]) == "Zoë's 1\t{}%"

    def words(text: str) -> set[int]:
        return set(tokenizer(text)["input_ids"])

    assert words("shirt_number") - words("_") == words("shirt number") - words(" ")


def test_a_training_sequence_is_the_prompt_that_the_harness_will_give(tokenizer: Any) -> None:
    from harness.benchmarks import load_benchmark
    from harness.models.prompts import render
    from harness.records import Example
    from harness.training.batches import Mix, sequence
    from harness.training.invention import Inventor

    def encode(text: str) -> list[int]:
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    prompt = load_benchmark("starter", limit=1).prompt
    for seed in range(30):
        made = sequence(encode, Mix("chat", questions=3), Inventor(random.Random(seed)), copying=0.1)
        prefix = [token for token, part in zip(made.ids, made.parts, strict=True) if part == 0]
        context = tokenizer.decode(prefix).rsplit("<|user|>", 1)[1]
        for number in (1, 2, 3):
            asked = [
                token
                for token, part, learnt in zip(made.ids, made.parts, made.learnt, strict=True)
                if part == number and not learnt
            ]
            question = tokenizer.decode(asked).split("Question: ", 1)[1].removesuffix("<|end|><|assistant|>")
            example = Example(id="", question=question, context=context, gold="")
            assert encode(render(prompt, example, tokenizer)) == prefix + asked


def test_a_question_sees_the_schema_and_itself_alone(tokenizer: Any) -> None:
    """Several questions in one sequence get the same logits as each alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.training.batches import Mix, Sample, collate, sequence
    from harness.training.invention import Inventor

    def encode(text: str) -> list[int]:
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    ).eval()
    made = sequence(encode, Mix("plain", questions=3), Inventor(random.Random(3)), copying=0.0)
    second = [place for place, part in enumerate(made.parts) if part in {0, 2}]
    alone = Sample(*([field[place] for place in second] for field in made))

    def logits(sample: Sample) -> Any:
        batch = collate([sample], pad=0)
        with torch.no_grad():
            return model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions).logits[
                0
            ]

    torch.testing.assert_close(logits(made)[second], logits(alone)[: len(second)], atol=1e-4, rtol=1e-4)


def test_batches_depend_on_seed_and_step_alone(tokenizer: Any) -> None:
    import torch

    from harness.training.batches import Mix, batches

    def encode(text: str) -> list[int]:
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    def feed(start: int) -> Any:
        return batches(encode, Mix("plain"), tokens=1024, seed=5, start=start, pad=0)

    first = feed(0)
    for _ in range(11):
        next(first)
    assert torch.equal(next(first).ids, next(feed(11)).ids)


def test_words_are_spelled_of_tokens_from_the_step_that_the_recipe_says(tokenizer: Any) -> None:
    from harness.training.batches import Mix, batches
    from harness.training.tokens import letter_pieces

    def encode(text: str) -> list[int]:
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    def met(mix: Mix, start: int) -> set[int]:
        feed = batches(encode, mix, tokens=1024, seed=5, start=start, pad=0)
        return {token for _ in range(16) for token in next(feed).ids.flatten().tolist()}

    pieces = letter_pieces(tokenizer)
    assert {"t", "er"} <= set(pieces)
    spelled = Mix("plain", invented=1.0, spelled=0.9, spelled_from=16, pieces=pieces)
    plain = Mix("plain", invented=1.0)
    assert met(spelled, 0) == met(plain, 0)
    assert len(met(spelled, 16)) > len(met(plain, 16)) + 50


TINY = {
    "kind": "starter",
    "vocabulary": 900,
    "shape": {"hidden": 96, "intermediate": 96, "layers": 3, "heads": 2},
    "base": {"steps": 6, "tokens": 512, "learning_rate": 2e-3, "copying_first": 6},
    "adapter": {"steps": 3, "tokens": 512, "learning_rate": 3e-3, "spelled": 0.5},
}


@pytest.mark.slow
def test_both_kinds_of_recipe_end_to_end(root: Path, tmp_path: Path) -> None:
    """A pair from nothing, then the seed's recipe on that base with local rows."""
    from transformers import AutoTokenizer

    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), "utf-8")
    said: list[str] = []
    adapter = train(recipe, output=tmp_path / "tiny", device="cpu", notify=said.append)
    base = tmp_path / "tiny-base"
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "../tiny-base"
    assert (config["r"], sorted(config["target_modules"])) == (16, ["k_proj", "o_proj", "q_proj", "v_proj"])
    for path in (adapter / "adapter_model.safetensors", base / "model.safetensors", adapter / "README.md"):
        assert path.is_file()
    assert not (tmp_path / "checkpoint-tiny").exists()
    assert any("step 6/6" in line for line in said)
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True
    )
    assert asked == "<|user|>x<|end|><|assistant|>"
    assert json.loads((base / "generation_config.json").read_text("utf-8"))["eos_token_id"] == [
        tokenizer.eos_token_id
    ]

    tuned = train(
        root / "adapters" / "recipes" / "sql-assistant.yaml",
        model=str(base),
        data=root / "benchmarks" / "starter" / "train.jsonl",
        limit=16,
        output=tmp_path / "tuned",
        device="cpu",
        notify=said.append,
    )
    assert (tuned / "adapter_model.safetensors").is_file()
    assert json.loads((tuned / "training.json").read_text("utf-8"))["recipe"]["data"]["limit"] == 16
    assert not list(tuned.glob("checkpoint-*"))
    assert any("paged_adamw_32bit needs a GPU" in line for line in said)


@pytest.mark.slow
def test_a_killed_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    recipe = load_recipe_of(TINY)
    whole, broken = tmp_path / "a" / "tiny", tmp_path / "b" / "tiny"
    _build(recipe, whole)

    class Killed(BaseException):
        pass

    def kill(text: str) -> None:
        if "base: step 3/6" in text:
            raise Killed

    with pytest.raises(Killed):
        _build(recipe, broken, notify=kill)
    with pytest.raises(RecipeError, match="begun training by another recipe"):
        _build(recipe.model_copy(update={"seed": 1}), broken)
    said: list[str] = []
    _build(recipe, broken, notify=said.append)
    assert "base: going on from step 3" in said
    one, two = (load_file(path.with_name("tiny-base") / "model.safetensors") for path in (whole, broken))
    assert all(one[name].equal(two[name]) for name in one)


def load_recipe_of(values: dict[str, Any]) -> StarterRecipe:
    return StarterRecipe.model_validate(values)


def _build(recipe: StarterRecipe, output: Path, notify: Any = lambda text: None) -> None:
    import warnings

    from harness.training import starter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        starter.build(recipe, output, device="cpu", notify=notify)


def test_the_committed_pair_is_small_and_whole(root: Path) -> None:
    adapter, base = root / "adapters" / "starter", root / "adapters" / "starter-base"
    size = sum(path.stat().st_size for folder in (adapter, base) for path in folder.iterdir())
    assert size <= 8 * 10**6
    assert {path.name for path in base.iterdir()} >= {
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    }
    assert {path.name for path in adapter.iterdir()} >= {
        "adapter_model.safetensors",
        "adapter_config.json",
        "training.json",
        "README.md",
    }
    assert not list(adapter.glob("*.bin")) + list(base.glob("*.bin"))
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "../starter-base"
    recipe = load_recipe(root / "adapters" / "recipes" / "starter.yaml")
    trained_by = json.loads((adapter / "training.json").read_text("utf-8"))["recipe"]
    assert StarterRecipe.model_validate(trained_by) == recipe
