"""Tiny pairs with random weights for tests: a Llama or Qwen2 of 40 k parameters and adapters of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.log import hush_libraries

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_base(
    folder: Path,
    *,
    family: str = "llama",
    chat: bool = True,
    seed: int = 0,
    bare: bool = False,
    **config: Any,
) -> Path:
    """Save a base with a byte-level tokenizer; weights large enough that greedy texts differ.

    ``bare`` leaves the shape to ``config`` alone.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters]
    raw = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    if chat:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    shape = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    torch.manual_seed(seed)
    hush_libraries()
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **{**({} if bare else shape), **config})
    )
    model.save_pretrained(folder)
    return folder


def tiny_adapter(
    folder: Path, base: Path, *, seed: int = 1, zero: bool = False, named: str | None = None, **lora: Any
) -> Path:
    """Save a LoRA adapter whose B is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    options = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"], **lora}
    hush_libraries()
    model = AutoModelForCausalLM.from_pretrained(base)
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    for name, parameter in peft.named_parameters():
        moved = "lora_B" in name or "trainable_tokens" in name or name.endswith("bias")
        if moved and parameter.requires_grad and not zero:
            torch.nn.init.normal_(parameter, std=0.2)
    peft.peft_config["default"].base_model_name_or_path = named or str(base)
    peft.save_pretrained(folder)
    return folder


def tiny_pair(folder: Path) -> Path:
    """Save a base and an adapter that names it by a path beside its own: ``base`` and ``adapter``."""
    tiny_base(folder / "base")
    tiny_adapter(folder / "adapter", folder / "base", named="../base")
    return folder
