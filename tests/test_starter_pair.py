"""The starter from nothing: sequences are what the prompts say, the base trains and goes on when killed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness import build_suite, judge
from harness.errors import RecipeError
from harness.outcomes import Outcome
from scripts.starter.batches import Sample, batches, collate, own_hand, sequence
from scripts.starter.domains import domains
from scripts.starter.invention import Inventor, plural
from scripts.starter.loop import Schedule
from scripts.starter.pair import build_pair
from scripts.starter.plan import PLAN, WITHHELD, Phase, Plan
from scripts.starter.questions import KINDS
from scripts.starter.tokens import letter_pieces, train_tokenizer


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=1000, learning_rate=1.0, rising=10, falling=0.4)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(300) == schedule.rate(599) == 1.0
    assert schedule.rate(800) == pytest.approx(0.51)
    assert 0 < schedule.rate(999) < 0.03


def test_invented_names_come_of_the_training_domains_alone() -> None:
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
    return train_tokenizer(1200, 0)


@pytest.fixture(scope="module")
def encode(tokenizer: Any) -> Callable[[str], list[int]]:
    return lambda text: list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)


def test_the_tokenizer_gives_text_back_and_shares_words(tokenizer: Any, root: Path) -> None:
    for line in (root / "benchmarks" / "starter" / "test.jsonl").read_text("utf-8").splitlines()[::25]:
        row = json.loads(line)
        text = f"{row['context']}\n-- {row['question']}\n{row['answer']}"
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.decode(tokenizer("Zoë's 1\t{}%")["input_ids"]) == "Zoë's 1\t{}%"

    def words(text: str) -> set[int]:
        return set(tokenizer(text)["input_ids"])

    assert words("shirt_number") - words("_") == words("shirt number") - words(" ")


def test_a_training_sequence_is_the_prompt_that_the_harness_will_give(tokenizer: Any, encode: Any) -> None:
    from harness.benchmarks import load_benchmark
    from harness.models.prompts import render
    from harness.records import Example

    prompt = load_benchmark("starter", limit=1).prompt
    for seed in range(30):
        made = sequence(encode, PLAN.base, Inventor(random.Random(seed)), copying=0.1)
        prefix = [token for token, part in zip(made.ids, made.parts, strict=True) if part == 0]
        context = tokenizer.decode(prefix).rsplit("<|user|>", 1)[1]
        for number in (1, 2, 3, 4):
            asked = [
                token
                for token, part, learnt in zip(made.ids, made.parts, made.learnt, strict=True)
                if part == number and not learnt
            ]
            question = tokenizer.decode(asked).split("Question: ", 1)[1].removesuffix("<|end|><|assistant|>")
            example = Example(id="", question=question, context=context, gold="")
            assert encode(render(prompt, [example], tokenizer)[0]) == prefix + asked


def test_a_question_sees_the_schema_and_itself_alone(encode: Any, tokenizer: Any) -> None:
    """Several questions in one sequence get the same logits as each alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

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
    made = sequence(encode, PLAN.base, Inventor(random.Random(3)), copying=0.0)
    second = [place for place, part in enumerate(made.parts) if part in {0, 2}]
    alone = Sample(*([field[place] for place in second] for field in made))

    def logits(sample: Sample) -> Any:
        batch = collate([sample], pad=0)
        with torch.no_grad():
            return model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions).logits[
                0
            ]

    torch.testing.assert_close(logits(made)[second], logits(alone)[: len(second)], atol=1e-4, rtol=1e-4)


def test_batches_depend_on_phase_and_step_alone(encode: Any) -> None:
    import torch

    def feed(start: int) -> Any:
        return batches(encode, replace(PLAN.base, tokens=1024), pieces=(), start=start, pad=0)

    first = feed(0)
    for _ in range(11):
        next(first)
    assert torch.equal(next(first).ids, next(feed(11)).ids)


def test_words_are_spelled_of_tokens_from_the_step_that_the_plan_says(encode: Any, tokenizer: Any) -> None:
    pieces = letter_pieces(tokenizer)
    assert {"t", "er"} <= set(pieces)

    def met(phase: Phase, start: int) -> set[int]:
        feed = batches(encode, phase, pieces=pieces, start=start, pad=0)
        return {token for _ in range(16) for token in next(feed).ids.flatten().tolist()}

    common = Phase(seed=5, steps=1, learning_rate=1.0, tokens=1024, invented=1.0)
    spelled = replace(common, spelled=0.9, spelled_from=16)
    plain = replace(common, spelled=0.0)
    assert met(spelled, 0) == met(plain, 0)
    assert len(met(spelled, 16)) > len(met(plain, 16)) + 50


def test_withheld_kinds_are_copied_and_never_asked(encode: Any, tokenizer: Any) -> None:
    """No question of a withheld kind is answered; its SQL is met as text to copy."""
    marks = {" GROUP BY ", " ORDER BY ", " AS T1 JOIN ", "SELECT DISTINCT ", "(SELECT "}
    copied: set[str] = set()
    answered: set[str] = set()
    for seed in range(150):
        made = sequence(encode, PLAN.base, Inventor(random.Random(seed)), copying=0.5)
        for number in range(1, 5):
            places = [place for place, part in enumerate(made.parts) if part == number]
            asked = tokenizer.decode([made.ids[place] for place in places if not made.learnt[place]])
            told = tokenizer.decode([made.ids[place] for place in places if made.learnt[place]])
            met = {mark for mark in marks if mark in told}
            (copied if asked.startswith("\nQuestion: Copy: ") else answered).update(met)
    assert copied == marks
    assert not answered
    for seed in range(60):
        made = sequence(encode, PLAN.adapter, Inventor(random.Random(seed)), copying=0.0)
        answered |= {mark for mark in marks if mark in tokenizer.decode(made.ids)}
    assert answered == marks
    assert set(WITHHELD) < set(KINDS)


@pytest.mark.parametrize(
    ("gold", "written"),
    [
        ("SELECT a FROM t WHERE b <> 3", "SELECT a FROM t WHERE b != 3"),
        ("SELECT a FROM t WHERE b BETWEEN 3 AND 40", "SELECT a FROM t WHERE b >= 3 AND b <= 40"),
        ("SELECT a FROM t ORDER BY b ASC LIMIT 3", "SELECT a FROM t ORDER BY b LIMIT 3"),
    ],
)
def test_the_base_writes_the_same_meaning_in_its_own_hand(gold: str, written: str) -> None:

    suite = build_suite("CREATE TABLE t (a VARCHAR, b INTEGER)", gold)
    (verdict,) = judge(suite, [own_hand(gold)])
    assert own_hand(gold) == written
    assert verdict.outcome in {Outcome.EXACT, Outcome.EQUIVALENT}


TINY = Plan(
    vocabulary=900,
    hidden=96,
    intermediate=96,
    layers=3,
    heads=2,
    rank=4,
    base=Phase(seed=0, steps=6, learning_rate=2e-3, tokens=512, copying_first=6),
    adapter=Phase(seed=1, steps=3, learning_rate=2e-3, tokens=512, withheld=0.8),
)


@pytest.mark.slow
def test_a_killed_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    class Killed(BaseException):
        pass

    def kill(text: str) -> None:
        if "base: step 3/6" in text:
            raise Killed

    whole, broken = tmp_path / "a" / "tiny", tmp_path / "b" / "tiny"
    said: list[str] = []
    build_pair(TINY, whole, notify=said.append)
    assert any("base: step 6/6" in line for line in said)
    assert any("adapter: step 3/3" in line for line in said)
    with pytest.raises(Killed):
        build_pair(TINY, broken, notify=kill)
    with pytest.raises(RecipeError, match="begun training by another recipe"):
        build_pair(replace(TINY, rank=8), broken, notify=said.append)
    build_pair(TINY, broken, notify=said.append)
    assert "base: going on from step 3" in said
    for file in ("tiny-base/model.safetensors", "tiny/adapter_model.safetensors"):
        one, two = (load_file(path.parent / file) for path in (whole, broken))
        assert all(one[name].equal(two[name]) for name in one)
    assert not list(broken.parent.glob("checkpoint-*"))

    base = whole.with_name("tiny-base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True
    )
    assert asked == "<|user|>x<|end|><|assistant|>"
    generation = json.loads((base / "generation_config.json").read_text("utf-8"))
    assert generation["eos_token_id"] == [tokenizer.eos_token_id]
    config = json.loads((whole / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "../tiny-base"
    assert {"q_proj", "down_proj"} < set(config["target_modules"])
    for folder in (base, whole):
        assert "python -m scripts.starter" in (folder / "README.md").read_text("utf-8")


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
    trained_by = json.loads((adapter / "training.json").read_text("utf-8"))
    assert trained_by == {"data": "starter:train", "plan": json.loads(json.dumps(asdict(PLAN)))}
