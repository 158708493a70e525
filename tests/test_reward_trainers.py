"""The reward inside verl and verifiers, where they are installed (neither is in the test extra: each pins its
own versions of half of what is used here)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness import reward as own

CONTEXT = "CREATE TABLE head (name TEXT, age INTEGER)"
GOLD = "SELECT name FROM head WHERE age > 56"
SAID = {GOLD: 1.0, "SELECT name FROM head WHERE 1 = 0": 0.0, "I do not know.": 0.0}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


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
