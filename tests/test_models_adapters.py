"""Kinds of adapters beside the base's row and a plain LoRA: each row is what PEFT alone gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from models_tiny import tiny_adapter, tiny_base
from safetensors.torch import save_file
from test_models_engine import SETTINGS, examples, reference, texts
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import ModelError
from harness.models import load, plan_pairs
from harness.models.claims import check_adapter, check_base
from harness.models.sources import Checkpoint

PLAIN = SETTINGS.replace(quantization="none", batch_size=5)
ROWS = examples(10)
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}


def trained(folder: Path, base: Path, kind: str, **options: Any) -> Path:
    """Save an adapter of any kind whose every tensor has moved."""
    import peft

    torch.manual_seed(3)
    config = getattr(peft, kind)(task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(folder)
    return folder


def alone(base: Path, adapter: Path | None = None) -> dict[str, str]:
    """Texts of a base, or of PEFT with one adapter, by transformers' ``generate``."""
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    return reference(model.eval(), AutoTokenizer.from_pretrained(base), ROWS, [0, 2])


ROWS_OF_TOKENS = list(range(100, 108))
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "lora_token_rows_on_tied_embeddings": (
        {"tie_word_embeddings": True},
        "LoraConfig",
        {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": ROWS_OF_TOKENS}},
    ),
    "token_rows_on_tied_embeddings": (
        {"tie_word_embeddings": True},
        "TrainableTokensConfig",
        {"token_indices": ROWS_OF_TOKENS, "target_modules": ["embed_tokens"]},
    ),
    "ia3": ({}, "IA3Config", {"target_modules": ["k_proj", "v_proj"], "feedforward_modules": []}),
    "loha": ({}, "LoHaConfig", {"r": 4, "target_modules": ["q_proj", "v_proj"]}),
    "experts": (
        {"family": "qwen3_moe", **MIXTURE},
        "LoraConfig",
        {"r": 4, "target_modules": [], "target_parameters": ["mlp.experts.gate_up_proj"]},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_row_is_what_peft_alone_gives(tmp_path: Path, name: str) -> None:
    shape, kind, options = CASES[name]
    base = tiny_base(tmp_path / "base", **shape)
    plain = tiny_adapter(tmp_path / "plain", base)
    adapter = trained(tmp_path / name, base, kind, **options)
    engine = load(plan_pairs(adapters=[str(adapter), str(plain)], model=str(base)), PLAIN)
    got = {pair: {k: c.text for k, c in texts(engine, pair, ROWS).items()} for pair in engine._plans}
    assert got == {"base": alone(base), name: alone(base, adapter), "plain": alone(base, plain)}
    assert len({tuple(sorted(row.items())) for row in got.values()}) == 3, "three rows, three models"


def test_a_lora_that_begins_at_tokens_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    adapter = tiny_adapter(tmp_path / "activated", base, alora_invocation_tokens=[5, 6])
    with pytest.raises(ModelError, match="activated LoRA"):
        plan_pairs(adapters=[str(adapter)], model=str(base))


def checkpoint(
    folder: Path, file: str, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> Checkpoint:
    """A folder with tensors of these shapes and this config."""
    folder.mkdir()
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, folder / f"{file}.safetensors")
    return Checkpoint(id=folder.name, folder=folder, config=config, hash="")


LAYER = {"model.embed_tokens.weight": (64, 16), "model.layers.0.mlp.up_proj.weight": (32, 16)}


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        ({"intermediate_size": [32, 24], "num_hidden_layers": 2}, LAYER),  # Gemma 3n: a size a layer
        ({"text_config": {"intermediate_size": [32, 32], "hidden_size": 16}}, LAYER),
        ({"num_hidden_layers": 12, "hidden_size": 16}, LAYER),  # the same layer again and again
        ({"n_positions": 2048, "n_embd": 16}, LAYER),  # rotary: no tensor of positions
        ({"intermediate_size": 256, "quantization_config": {}}, LAYER),  # eight values in one
    ],
    ids=["size_a_layer", "nested", "reused_layers", "rotary_positions", "packed"],
)
def test_sizes_that_tensors_do_not_speak_against_are_let_in(
    tmp_path: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    check_base(checkpoint(tmp_path / "base", "model", config, shapes))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"intermediate_size": [32, 4096]}, "intermediate_size is 4,096"),
        ({"num_hidden_layers": 17}, "num_hidden_layers is 17"),
        ({"n_positions": 1 << 20}, "n_positions is 1,048,576"),
        ({"text_config": {"hidden_size": -1}}, "hidden_size is '-1', no size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sizes_that_no_tensor_has_are_refused(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        check_base(checkpoint(tmp_path / "base", "model", config, LAYER))


def test_an_adapter_that_goes_by_the_size_of_its_blocks_has_no_rank(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", "model", {}, LAYER)
    blocks = {"base_model.model.model.layers.0.mlp.up_proj.oft_R.weight": (4, 6)}
    config: dict[str, Any] = {"peft_type": "OFT", "r": 0, "oft_block_size": 4, "target_modules": ["up_proj"]}
    check_adapter(checkpoint(tmp_path / "oft", "adapter_model", config, blocks), base)
    with pytest.raises(ModelError, match="r is '0', no rank"):
        check_adapter(
            checkpoint(tmp_path / "none", "adapter_model", config | {"oft_block_size": 0}, blocks), base
        )
