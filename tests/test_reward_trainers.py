"""The reward inside trl's trainer, and inside verl and verifiers where they are installed: neither is in the
test extra, each pins its own versions of half of what is used here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import reward as own
from harness.benchmarks import load_benchmark
from harness.files import read_rows
from harness.models.prompts import messages
from harness.records import Outcome, Prompt

CONTEXT = "CREATE TABLE head (name TEXT, age INTEGER)"
GOLD = "SELECT name FROM head WHERE age > 56"
RIGHT = {outcome.value for outcome in Outcome if outcome.right}
SAID = {GOLD: 1.0, "SELECT name FROM head WHERE 1 = 0": 0.0, "I do not know.": 0.0}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.slow
def test_trl_s_trainer_logs_what_completions_earn_and_why(root: Path, tmp_path: Path) -> None:
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    base = root / "adapters" / "starter-base"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    prompt = Prompt(system="You are a SQL expert.", user="{context}\nQuestion: {question}")
    examples = load_benchmark("starter", split="train", limit=8).examples
    broken = replace(examples[0], gold="SELECT nothing FROM nowhere")
    rows = [
        {"prompt": messages(prompt, one), "context": one.context, "answer": one.gold}
        for one in (*examples, broken, broken)
    ]
    steps, each = 20, 4
    trainer = GRPOTrainer(
        model=PeftModel.from_pretrained(model, root / "adapters" / "starter", is_trainable=True),
        reward_funcs=[own.ExecutionReward(keep=False), own.format_reward],
        args=GRPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=steps,
            per_device_train_batch_size=each,
            num_generations=each,
            max_completion_length=48,
            temperature=1.5,
            logging_steps=1,
            log_completions=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    trainer.train()
    logged = {entry["step"]: entry for entry in trainer.state.log_history if "reward" in entry}
    assert len(logged) == steps
    seen: set[str] = set()
    for step, entry in logged.items():
        path = tmp_path / "out" / "completions" / f"completions_{step:05d}.parquet"
        table = [row.values for row in read_rows(path)]
        assert len(table) == each
        outcomes = [row["outcome"] for row in table]
        seen |= set(outcomes)
        shares = {name: value for name, value in entry.items() if name.startswith("outcome/")}
        assert sum(shares.values()) == pytest.approx(1)
        for outcome in set(outcomes):
            assert shares[f"outcome/{outcome}"] == pytest.approx(outcomes.count(outcome) / each)
        for row in table:
            earns = 1.0 if row["outcome"] in RIGHT else 0.0
            decided = not row["outcome"].startswith("gold_")
            assert row.get("execution") == (earns if decided else None)
            assert isinstance(row["cause"], str)
            assert bool(row["cause"]) == (decided and not earns)
    assert {"exact", "wrong", "gold_broken"} <= seen


class Letters:
    """A tokenizer of one token a character."""

    def decode(self, ids: Any, **_: Any) -> str:
        return "".join(chr(int(one)) for one in ids)


def verl_batch(texts: list[str]) -> Any:
    import numpy as np
    import torch
    from verl import DataProto

    longest = max(map(len, texts))
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros(len(texts), longest + 1, dtype=torch.long)
    mask[:, 0] = 1
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor([ord(letter) for letter in text])
        mask[row, 1 : len(text) + 1] = 1
    told = {
        "data_source": ["own"] * len(texts),
        "reward_model": [{"ground_truth": GOLD} for _ in texts],
        "extra_info": [{"context": CONTEXT} for _ in texts],
    }
    return DataProto.from_dict(
        tensors={
            "prompts": torch.zeros(len(texts), 1, dtype=torch.long),
            "responses": ids,
            "attention_mask": mask,
        },
        non_tensors={name: np.array(values, dtype=object) for name, values in told.items()},
    )


def test_verl_s_managers_one_by_one_and_in_batches() -> None:
    pytest.importorskip("verl")
    from omegaconf import OmegaConf
    from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.workers.reward_manager.batch import BatchRewardManager

    custom = {"path": own.__file__, "name": "compute_score", "reward_kwargs": {}}
    score = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": custom}}))
    texts = list(SAID)
    batched = BatchRewardManager(Letters(), 0, score)(verl_batch(texts), return_dict=True)
    assert batched["reward_tensor"].sum(dim=-1).tolist() == list(SAID.values())
    assert batched["reward_extra_info"]["abstained"] == [0.0] * len(texts)

    async def one_by_one() -> list[float]:
        manager = get_reward_manager_cls("naive")(OmegaConf.create({}), Letters(), score)
        batch = verl_batch(texts)
        found = await asyncio.gather(*(manager.run_single(batch[row : row + 1]) for row in range(len(texts))))
        return [one["reward_score"] for one in found]

    assert asyncio.run(one_by_one()) == list(SAID.values())


def test_a_task_of_verifiers_scores_a_trace() -> None:
    pytest.importorskip("verifiers")
    import verifiers.v1 as vf

    judged = own.ExecutionReward(keep=False)

    class Question(vf.TaskData):
        context: str
        answer: str

    class WriteSQL(vf.Task[Question]):
        @vf.reward
        async def execution(self, task: Question, trace: vf.Trace) -> float:
            return judged.judge([trace.last_reply], [task.context], [task.answer])[0].value or 0.0

    class Questions(vf.Taskset[WriteSQL]):
        def load(self) -> Any:
            yield WriteSQL(Question(prompt="Who?", context=CONTEXT, answer=GOLD), self.config.task)

    async def scored(text: str) -> float:
        task = next(iter(Questions(vf.TasksetConfig(id="sql"))))
        trace = trace_of(vf, task, text)
        await task.score(trace)
        return float(trace.reward)

    for text, value in SAID.items():
        assert asyncio.run(scored(text)) == value


def trace_of(vf: Any, task: Any, text: str) -> Any:
    """A trace whose only reply is this text."""
    told = vf.TraceTask(type=type(task).__name__, data=task.data)
    trace = vf.Trace(task=told, agent=vf.AgentInfo(config=vf.AgentConfig()))
    trace.nodes.append(vf.MessageNode(message=vf.AssistantMessage(content=text), sampled=True))
    return trace
