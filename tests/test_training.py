"""Training: recipes are checked, and what they say is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.benchmarks import Training, declared
from harness.errors import ModelError, RecipeError
from harness.training import load_recipe, train

BAD_RECIPES = [
    ("kind: sft\noutput: x\nmodel: m\n", "key 'data': Field required"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {}\n", "give one of hub"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nlora: {r: 0}\n", "lora.r"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nlearning_rate: 1\n", "key 'learning_rate' is unknown"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nprompt: {user: hi}\n", "user has no {question}"),
    ("kind: sft\noutput: x\nmodel: m\ndata: {hub: h}\nquantization: int3\n", "quantization"),
    (
        "kind: sft\noutput: x\nmodel: m\ndata: {hub: h, benchmark: starter}\n",
        "give one of hub, file and benchmark",
    ),
    ("kind: rlhf\n", "kind"),
    ("- a list\n", "no mapping of keys"),
    ("a: [\n", "not YAML"),
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
    with pytest.raises(RecipeError, match=r"does not exist; those at hand: .*sql-assistant\.yaml"):
        train(tmp_path / "recipe.yaml")


def test_the_seed_recipe_value_for_value(root: Path) -> None:
    recipe = load_recipe(root / "adapters" / "recipes" / "sql-assistant.yaml")
    assert (recipe.model, recipe.quantization) == ("Qwen/Qwen2.5-1.5B-Instruct", "nf4")
    assert (recipe.compute_dtype, recipe.training.precision) == ("float16", "fp16")
    assert (recipe.training.loss, recipe.training.pad) == ("all", "eos")
    assert (recipe.training.schedule, recipe.training.warmup, recipe.training.validation) == ("linear", 0, 0)
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


def test_settings_stand_in_for_a_recipe_s(root: Path) -> None:
    path = root / "adapters" / "recipes" / "sql-assistant-fixed.yaml"
    recipe = load_recipe(path, ["training.epochs=3", "lora.target_modules=[q_proj]", "data.limit=null"])
    assert (recipe.training.epochs, recipe.lora.target_modules, recipe.data.limit) == (3, ("q_proj",), None)
    with pytest.raises(RecipeError, match=r"'training.epoch' is unknown; did you mean 'epochs'"):
        load_recipe(path, ["training.epoch=3"])
    with pytest.raises(RecipeError, match="no key=value"):
        load_recipe(path, ["training.epochs"])
    with pytest.raises(RecipeError, match=r"key 'training\.epochs'"):
        load_recipe(path, ["training.epochs=many"])


def test_the_fixed_recipe_has_the_budget_of_the_seed_s(root: Path) -> None:
    folder = root / "adapters" / "recipes"
    seed, fixed = (load_recipe(folder / f"sql-assistant{name}.yaml") for name in ("", "-fixed"))
    assert (fixed.data, fixed.model, fixed.prompt) == (seed.data, seed.model, seed.prompt)
    for name in ("epochs", "batch_size", "gradient_accumulation", "learning_rate", "optimizer", "max_length"):
        assert getattr(fixed.training, name) == getattr(seed.training, name)
    assert load_recipe(folder / "sql-assistant-full.yaml").data.name == "create-context:train"


def tuned_by(root: Path, name: str, output: Path, *settings: str) -> tuple[Path, list[str]]:
    said: list[str] = []
    folder = train(
        root / "adapters" / "recipes" / f"{name}.yaml",
        model=str(root / "adapters" / "starter-base"),
        data=root / "benchmarks" / "starter" / "train.jsonl",
        limit=24,
        settings=settings,
        output=output,
        device="cpu",
        notify=said.append,
    )
    return folder, said


@pytest.mark.slow
def test_the_recipe_of_the_seed_project_on_a_tiny_base(root: Path, tmp_path: Path) -> None:
    tuned, said = tuned_by(root, "sql-assistant", tmp_path / "tuned")
    assert (tuned / "adapter_model.safetensors").is_file()
    assert json.loads((tuned / "training.json").read_text("utf-8"))["recipe"]["data"]["limit"] == 24
    assert not list(tuned.glob("checkpoint-*"))
    assert any("paged_adamw_32bit needs a GPU" in line for line in said)
    assert any("fp16 needs a GPU" in line for line in said)


@pytest.mark.slow
def test_the_fixed_recipe_on_a_tiny_base(root: Path, tmp_path: Path) -> None:
    settings = ("training.validation=8", "training.save_steps=1")
    tuned, _ = tuned_by(root, "sql-assistant-fixed", tmp_path / "tuned", *settings)
    config = json.loads((tuned / "adapter_config.json").read_text("utf-8"))
    assert {"q_proj", "gate_proj", "down_proj"} < set(config["target_modules"])
    assert not list(tuned.glob("checkpoint-*"))
    with pytest.raises(RecipeError, match="24 of 24 rows leave none"):
        tuned_by(root, "sql-assistant-fixed", tmp_path / "none", "training.validation=24")


def test_padding_with_the_end_of_a_turn_takes_it_out_of_the_loss() -> None:
    import torch

    from harness.training.sft import _deaf_to

    ids = torch.tensor([[5, 6, 2, 2], [5, 6, 7, 2]])
    batch = _deaf_to(lambda rows: {"input_ids": ids, "labels": ids.clone()}, 2)([])
    assert batch["labels"].tolist() == [[5, 6, -100, -100], [5, 6, 7, -100]]


@pytest.mark.slow
def test_a_benchmark_s_split_to_train_on_and_a_base_beside_the_recipe(root: Path, tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(root / "adapters" / "starter-base")
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        "kind: sft\noutput: x\nmodel: base\nquantization: none\n"
        "data: {benchmark: starter, split: train, limit: 16}\n",
        "utf-8",
    )
    tuned = train(recipe, output=tmp_path / "tuned", device="cpu")
    told = json.loads((tuned / "training.json").read_text("utf-8"))
    assert told["data"] == "starter:train"
    assert Training("starter:train", 16, 42) == declared(tuned)
    config = json.loads((tuned / "adapter_config.json").read_text("utf-8"))
    assert Path(config["base_model_name_or_path"]).resolve() == root / "adapters" / "starter-base"
