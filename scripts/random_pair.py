"""A pair of Qwen2.5-1.5B's shape with random weights and prompts as long as real ones: nothing is downloaded.

28 layers, hidden 1536, 12 heads, 2 key/value heads, intermediate 8960, vocabulary 151,936, with a rank-16
adapter on q, k, v, o. A word is a token. A prompt has as many as sql-create-context's questions have in the
chat form; the first 30 are the same in all, as the chat template's frame and the system turn are.
"""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.records import Example, Prompt

LENGTHS = ((0.0, 45), (0.05, 52), (0.25, 62), (0.5, 72), (0.75, 86), (0.95, 122), (0.99, 165), (1.0, 320))
FRAME = 30  # tokens
SHAPE = {
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 32_768,
    "attention_bias": True,
}
TINY = {
    **SHAPE,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 2_000,
    "max_position_embeddings": 512,
}
PROMPT = Prompt(form="plain", user="{question}", system=None)


def make_pair(folder: Path, shape: dict[str, Any], *, ragged: bool = False) -> tuple[Path, Path]:
    """Save the base, its tokenizer (a word a token) and the adapter; what is there already stays.

    The Llama family stands for Qwen2: for the latter's name transformers puts its own pre-tokenizer in place
    of the one that is saved, and these words would come apart. ``ragged`` has every eighth word end
    an answer, an output layer of its own (tied to the embeddings a random model repeats its last word) and
    embeddings so large that the last word alone decides on the next (else all end in the same few words).
    """
    base, adapter = folder / "base", folder / "adapter"
    if (adapter / "adapter_model.safetensors").exists():
        return base, adapter
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

    words = ["<unk>", "<end>", *(f"w{number}" for number in range(shape["vocab_size"] - 2))]
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<end>", unk_token="<unk>", pad_token="<end>"
    )
    tokenizer.save_pretrained(base)
    shape = {**shape, "tie_word_embeddings": not ragged}
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", eos_token_id=1, bos_token_id=None, pad_token_id=1, **shape)
    config.dtype = torch.bfloat16
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    grain = (torch.randn(1 << 20) * 0.02).to(torch.bfloat16)  # drawn once and repeated: seconds, not minutes
    weights = {
        name: torch.ones(tensor.shape, dtype=torch.bfloat16)
        if tensor.dim() == 1 and "norm" in name
        else (grain.flip(0) if name == "lm_head.weight" else grain)
        .repeat(-(-tensor.numel() // grain.numel()))[: tensor.numel()]
        .reshape(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not (name == "lm_head.weight" and shape["tie_word_embeddings"])
    }
    if ragged:
        weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"] * 50
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(base)
    if ragged:
        ends = [1, *range(9, shape["vocab_size"], 8)]
        GenerationConfig(eos_token_id=ends, pad_token_id=1).save_pretrained(base)
    del weights
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    peft = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM")
    )
    peft.peft_config["default"].base_model_name_or_path = str(base)
    trained = {
        f"base_model.model.{name.removeprefix('base_model.model.').replace('.default', '')}": torch.randn(
            parameter.shape
        )
        * 0.02
        for name, parameter in peft.named_parameters()
        if "lora_" in name
    }
    peft.peft_config["default"].save_pretrained(adapter)
    save_file(trained, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    return base, adapter


def prompts(count: int, vocabulary: int, seed: int = 0) -> list[Example]:
    """Random words, as many as the questions have tokens."""
    dice = random.Random(seed)
    frame = [f"w{dice.randrange(vocabulary - 2)}" for _ in range(FRAME)]
    examples = []
    for number in range(count):
        share = dice.random()
        low, high = next((a, b) for a, b in pairwise(LENGTHS) if share <= b[0])
        length = round(low[1] + (high[1] - low[1]) * (share - low[0]) / (high[0] - low[0]))
        words = [*frame, *(f"w{dice.randrange(vocabulary - 2)}" for _ in range(length - FRAME))]
        examples.append(Example(id=str(number), question=" ".join(words), context=str(number), gold=""))
    return examples
