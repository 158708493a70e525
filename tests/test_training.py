"""Training: recipes are checked, and what they say is done."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from models_tiny import tiny_base

from harness.benchmarks import Training, declared
from harness.errors import ModelError, RecipeError
from harness.training import load_recipe, rehearsal, train
from harness.training.checkpoints import SEAL, STAGE, checkpoints
from harness.training.recipe import find_recipe
from harness.training.record import read_training

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
    with pytest.raises(RecipeError, match=r"does not exist; those at hand: grpo, sql-assistant, "):
        train(tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"did you mean sql-assistant-fixed\?"):
        train(Path("sql-assistant-fixd"))


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


BAD_SETTINGS = [
    ("training.epoch=3", "'training.epoch' is unknown; did you mean 'training.epochs'?"),
    ("epochs=3", "'epochs' is unknown; did you mean 'training.epochs'?"),
    ("lora.rank=8", "(there are lora.r, lora.alpha, lora.dropout, lora.target_modules)"),
    ("lr=1", "(there are kind, output, "),
    ("training.epochs", "no key=value"),
    ("=3", "no key=value"),
    ("training.=3", "no key=value"),
    ("training.epochs.x=3", "epochs has a value and no keys"),
    ("training.epochs=many", "key 'training.epochs'"),
    ("training.epochs=.inf", "key 'training.epochs': Input should be a finite number"),
    ("training.epochs=[", "the value is no YAML"),
    ("kind=grpo", "a recipe stays of its kind"),
    ("lora.target_modules=all", "a list or all-linear, not 'all'"),
    ("lora.target_modules=[]", "names no layer"),
]


@pytest.mark.parametrize(("setting", "said"), BAD_SETTINGS, ids=[setting for setting, _ in BAD_SETTINGS])
def test_a_setting_that_cannot_be_is_told_in_one_line(setting: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("sql-assistant-fixed"), [setting])
    assert said in str(caught.value)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_the_fixed_recipe_has_the_budget_of_the_seed_s(root: Path) -> None:
    folder = root / "adapters" / "recipes"
    seed, fixed = (load_recipe(folder / f"sql-assistant{name}.yaml") for name in ("", "-fixed"))
    assert (fixed.data, fixed.model, fixed.prompt) == (seed.data, seed.model, seed.prompt)
    for name in ("epochs", "batch_size", "gradient_accumulation", "learning_rate", "optimizer", "max_length"):
        assert getattr(fixed.training, name) == getattr(seed.training, name)
    assert load_recipe(folder / "sql-assistant-full.yaml").data.name == "create-context:train"


class Told:
    """Keeps what a training says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Any]:
        self.lines.append(f"{name}: {total}")
        yield lambda done=1, note="": self.lines.append(note)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("qwen"), family="qwen2")


@pytest.fixture(scope="module")
def tuned(root: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter for grpo to go on from."""
    output = tmp_path_factory.mktemp("tuned") / "tuned"
    return train(
        Path("sql-assistant"), output=output, model=str(tiny), data=root / ROWS, limit=16, settings=SHORT
    )


ROWS = Path("benchmarks", "starter", "train.jsonl")
SHORT = ("training.save_steps=1",)
STEPWISE = ("--set", SHORT[0])
EPOCHS = (*SHORT, "training.epochs=2", "lora.dropout=0.2")
HELD_OUT = (*EPOCHS, "training.validation=4", "training.batch_size=4")
GROUPS = (
    "training.save_steps=1",
    "training.batch_size=4",
    "training.gradient_accumulation=1",
    "training.generations=4",
    "training.max_new_tokens=8",
    "training.learning_rate=0.01",
    "reward.workers=1",
)


def begun(recipe: str, output: Path, data: Path, *rest: str, at: int = 2) -> None:
    """Begin a training in a process of its own, and kill it once a checkpoint is whole."""
    command = [sys.executable, "-m", "harness", "train", recipe, "--output", str(output), "--data", str(data)]
    with subprocess.Popen([*command, *rest], stderr=subprocess.PIPE, text=True) as process:
        state = output / f"checkpoint-{at}" / SEAL
        for _ in range(3000):
            if state.exists() or process.poll() is not None:
                break
            time.sleep(0.02)
        process.kill()
        _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said


def same_weights(one: Path, other: Path) -> bool:
    return (one / "adapter_model.safetensors").read_bytes() == (
        other / "adapter_model.safetensors"
    ).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "settings"),
    [("sql-assistant", EPOCHS), ("sql-assistant-fixed", HELD_OUT), ("sql-assistant-full", HELD_OUT)],
)
def test_a_killed_training_goes_on_to_the_weights_of_an_undisturbed_one(
    root: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    settings: tuple[str, ...],
) -> None:
    whole, killed, data = tmp_path / "whole", tmp_path / "killed", root / ROWS
    kept = {"model": str(tiny), "data": data, "limit": 24, "settings": settings}
    calm, again = Told(), Told()
    train(Path(recipe), output=whole, progress=calm, **kept)  # type: ignore[arg-type]
    options = [text for setting in settings for text in ("--set", setting)]
    begun(recipe, killed, data, "--model", str(tiny), "--limit", "24", *options)
    half = killed / "checkpoint-9"  # the trainer has written its state, and not all of its files were kept
    shutil.copytree(killed / "checkpoint-2", half)
    (half / "optimizer.pt").write_bytes(b"")
    assert half not in checkpoints(killed)
    (killed / STAGE).mkdir()  # a finished adapter that had not moved in
    (killed / STAGE / "adapter_model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(rehearsal, "_FEW", 1)  # what goes on is rehearsed as well, and the same
    train(Path(recipe), output=killed, progress=again, **kept)  # type: ignore[arg-type]
    assert same_weights(whole, killed)
    assert not list(killed.glob("checkpoint-*"))
    assert any(line.startswith("Training from step") for line in again.lines)
    assert calm.lines[-1].split(";")[0] == again.lines[-1].split(";")[0]  # the loss of the whole training
    told = read_training(killed)
    assert told
    assert (told.rows, told.recipe["quantization"], told.base) == (24, "nf4", str(tiny))
    assert told.loss == pytest.approx(read_training(whole).loss)  # type: ignore[union-attr]
    assert any("tokens/s" in line and "GiB" in line for line in calm.lines)
    assert any("paged_adamw_32bit needs a GPU" in line for line in calm.lines)
    assert any("fp16 needs a GPU" in line for line in calm.lines) == (recipe == "sql-assistant")
    config = json.loads((whole / "adapter_config.json").read_text("utf-8"))
    layers = {name.rpartition(".")[2] for name in config["target_modules"]}
    assert ({"gate_proj", "down_proj"} < layers) == (recipe != "sql-assistant")


@pytest.mark.slow
def test_grpo_goes_on_from_an_adapter_and_after_a_kill_to_the_same_weights(
    root: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole, killed, data = tmp_path / "whole", tmp_path / "killed", root / ROWS
    # random weights earn nothing: a value for what they do write gives groups something to differ in
    settings = (
        *GROUPS,
        "training.steps=6",
        "reward.values={missing: 0.5, syntax_error: 1.0}",
        "reward.form=0.2",
    )
    kept = {"adapter": str(tuned), "data": data, "limit": 4, "settings": settings}
    train(Path("grpo"), output=whole, **kept)  # type: ignore[arg-type]
    options = [text for setting in settings for text in ("--set", setting)]
    begun("grpo", killed, data, "--adapter", str(tuned), "--limit", "4", *options, at=5)
    monkeypatch.setattr(rehearsal, "_FEW", 1)  # what goes on is rehearsed as well, and the same
    train(Path("grpo"), output=killed, **kept)  # type: ignore[arg-type]
    assert same_weights(whole, killed)
    assert not same_weights(whole, tuned)
    told = read_training(whole)
    assert told
    assert told.steps == 6
    assert told.reward is not None
    assert told.after
    assert told.after["data_hash"] == read_training(tuned).data_hash  # type: ignore[union-attr]


def test_grpo_wants_an_adapter_and_the_others_none(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--adapter DIR"):
        train(Path("grpo"), output=tmp_path, data=root / ROWS)
    with pytest.raises(RecipeError, match="leave --adapter out"):
        train(Path("sql-assistant"), output=tmp_path, adapter="x")
    with pytest.raises(RecipeError, match=r"12 completions a step .* no multiple of 8 generations"):
        load_recipe(find_recipe(Path("grpo")), ["training.gradient_accumulation=3", "training.batch_size=4"])


def test_layers_that_the_base_lacks_are_named(root: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"query_key matches no layer of the base; it has .*q_proj"):
        train(
            Path("sql-assistant"),
            output=tmp_path / "out",
            model=str(tiny),
            data=root / ROWS,
            limit=8,
            settings=("lora.target_modules=[q_proj, query_key]",),
        )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.validation=8", "8 of 8 rows leave none"),
        ("training.max_length=64", "the prompts of all 8 rows have 64 tokens or more"),
    ],
)
def test_no_row_is_left_to_train_on(root: Path, tiny: Path, tmp_path: Path, setting: str, said: str) -> None:
    kept = {"model": str(tiny), "data": root / ROWS, "limit": 8}
    rest = ("training.validation=0", setting)
    with pytest.raises(RecipeError, match=said):
        train(Path("sql-assistant-fixed"), output=tmp_path, settings=rest, **kept)  # type: ignore[arg-type]


def test_a_large_base_is_not_trained_on_a_processor_by_accident(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}", "utf-8")
    size = 2 * 1536 * 1_000_000
    about = {"w": {"dtype": "BF16", "shape": [1536, 1_000_000], "data_offsets": [0, size]}}
    header = json.dumps(about).encode()
    with (base / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)  # sparse: it takes no room
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(
        ModelError, match=r"no GPU is usable here, .* 1\.5 billion parameters; .*--device cpu"
    ):
        train(Path("sql-assistant"), output=tmp_path / "out", model=str(base), data=root / ROWS)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_full_disk_at_a_checkpoint_loses_nothing(
    root: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    kept = {"model": str(tiny), "data": root / ROWS, "limit": 24, "settings": EPOCHS}
    output, saved = tmp_path / "out", torch.save

    def save(value: Any, path: Any, *rest: Any, **more: Any) -> None:
        if "checkpoint-3" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved(value, path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(RecipeError, match=r"cannot be written .*No space left.* goes on after step 2"):
            train(Path("sql-assistant"), output=output, **kept)  # type: ignore[arg-type]
    again = Told()
    train(Path("sql-assistant"), output=output, progress=again, **kept)  # type: ignore[arg-type]
    assert "Training from step 2: 4" in again.lines


@pytest.mark.slow
def test_a_full_disk_at_the_adapter_itself_loses_nothing(
    root: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"model": str(tiny), "data": root / ROWS, "limit": 8}
    output = tmp_path / "out"

    def write(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("harness.training.trainer.write_card", write)
        with pytest.raises(RecipeError, match=r"cannot be written .*No space left.* goes on after step 1"):
            train(Path("sql-assistant"), output=output, **kept)  # type: ignore[arg-type]
    assert not (output / "adapter_model.safetensors").exists()
    train(Path("sql-assistant"), output=output, **kept)  # type: ignore[arg-type]
    train(Path("sql-assistant"), output=tmp_path / "whole", **kept)  # type: ignore[arg-type]
    assert same_weights(output, tmp_path / "whole")
    assert read_training(output).steps == 1  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_folder_is_another_recipe_s_once_a_checkpoint_is_there(
    root: Path, tiny: Path, tmp_path: Path
) -> None:
    kept = {"model": str(tiny), "data": root / ROWS, "output": tmp_path / "out"}
    with pytest.raises(RecipeError, match="matches no layer"):
        train(Path("sql-assistant"), limit=8, settings=("lora.target_modules=[x]",), **kept)  # type: ignore[arg-type]
    begun("sql-assistant", tmp_path / "out", root / ROWS, "--model", str(tiny), "--limit", "64", *STEPWISE)
    with pytest.raises(RecipeError, match=r"by another recipe \(data.limit: 64 there, 9 here\)"):
        train(Path("sql-assistant"), limit=9, settings=SHORT, **kept)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("sql-assistant-fixed", r"of 8 rows\."),
        ("grpo", r"of 4 completions, now of \d+ tokens and at most of 8\."),
    ],
)
def test_a_rehearsal_says_how_long_it_takes_and_changes_nothing(
    root: Path,
    tiny: Path,
    tuned: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    told: str,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calm, rehearsed = Told(), Told()
    kept: dict[str, Any] = {"data": root / ROWS, "limit": 24}
    if recipe == "grpo":
        kept |= {"adapter": str(tuned), "settings": (*GROUPS, "training.steps=3", "reward.form=0.2")}
    else:
        kept |= {"model": str(tiny), "settings": ("training.validation=0",)}
    train(Path(recipe), output=tmp_path / "calm", progress=calm, **kept)
    monkeypatch.setattr(rehearsal, "_FEW", 1)
    monkeypatch.setattr(rehearsal, "_WORTH", 0.0)
    train(Path(recipe), output=tmp_path / "rehearsed", progress=rehearsed, **kept)
    assert not any(line.startswith("About") for line in calm.lines)
    (line,) = (line for line in rehearsed.lines if line.startswith("About"))
    assert re.fullmatch(rf"About .+ for 3 steps {told}", line)
    assert rehearsed.lines.index(line) < rehearsed.lines.index("Training: 3")
    assert same_weights(tmp_path / "calm", tmp_path / "rehearsed")


@pytest.mark.slow
def test_too_little_memory_says_what_is_the_same_budget(
    root: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from trl import SFTTrainer

    def step(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SFTTrainer, "training_step", step)
    with pytest.raises(ModelError, match=r"batch_size=2 --set training.gradient_accumulation=4 is the same"):
        train(Path("sql-assistant"), output=tmp_path / "out", model=str(tiny), data=root / ROWS, limit=8)


def test_padding_with_the_end_of_a_turn_takes_it_out_of_the_loss() -> None:
    import torch

    from harness.training.sft import deaf_to

    ids = torch.tensor([[5, 6, 2, 2], [5, 6, 7, 2]])
    batch = deaf_to(lambda rows: {"input_ids": ids, "labels": ids.clone()}, 2)([])
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
    assert declared(tuned) == (Training("starter:train", 16, 42),)
    config = json.loads((tuned / "adapter_config.json").read_text("utf-8"))
    assert Path(config["base_model_name_or_path"]).resolve() == root / "adapters" / "starter-base"
