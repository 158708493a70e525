"""Every causal family that transformers can build small, and every kind of adapter, against the references.

    OMP_NUM_THREADS=1 python scripts/pair_matrix.py --write          # docs/pairs.md; about 15 minutes
    OMP_NUM_THREADS=1 python scripts/pair_matrix.py --only llama lora-bias

A family is a random base of two layers; its texts through the slots are compared with ``generate`` one by
one.
A kind of adapter stands with the base's row and a second adapter (plain LoRA); the three rows are compared
with PEFT itself, each loaded alone. "equal" is text for text; "refused" is the harness's one line. What is
neither is a defect, and the exit code is 1. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from models_tiny import tiny_adapter, tiny_base

from harness.errors import HarnessError
from harness.log import hush_libraries, versions
from harness.models import Settings, load, plan_pairs
from harness.models.prompts import render
from harness.records import Example, Prompt

ROOT = Path(__file__).resolve().parents[1]
NEW = 10
LIMIT = 60  # seconds of processor time for a family or a kind of adapter
SETTINGS = Settings(max_new_tokens=NEW, batch_size=5, quantization="none")
SHAPES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "word_embed_proj_dim", "embedding_size"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 2),
    **dict.fromkeys(("encoder_layers", "num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "d_ff"), 128),
    **dict.fromkeys(("ffn_hidden_size", "n_inner", "dim_ff", "shared_expert_intermediate_size"), 128),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size", "mlp_hidden_size"), 32),
    **dict.fromkeys(("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_top_k", "moe_k", "moe_topk", "num_experts_per_token"), 2),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "num_key_value_groups"), 1),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("head_dim", "v_head_dim", "kv_lora_rank", "q_lora_rank", "dim_head"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim", "mamba_d_state"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 2048),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"), 0),
    **dict.fromkeys(("sliding_window", "attention_window"), 24),
    "num_key_value_heads": 2,
    "query_pre_attn_scalar": 16,
    "initializer_range": 0.3,
    "init_std": 0.3,
    "hidden_size_per_layer_input": 8,
}
CHANGES: tuple[dict[str, Any], ...] = (  # to the shape, until a family can be built and generates
    {},
    {"num_hidden_layers": 4},
    {"without": ("num_hidden_layers", "num_attention_heads")},
    {"without": ("head_dim",)},
    {"num_hidden_layers": 8, "without": ("head_dim",)},
)
OTHER: dict[str, dict[str, Any]] = {  # what a family needs to be small, beyond the common shape
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 24},
    "phi3 (longrope)": {
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 8,
            "long_factor": [4.0] * 8,
            "original_max_position_embeddings": 80,
        },
        "original_max_position_embeddings": 80,
    },
    "deepseek_v2": {"num_key_value_heads": 4},
    "deepseek_v3": {"num_key_value_heads": 4},
}


def questions(count: int = 8) -> list[Example]:
    """Prompts of 40 to 120 tokens (letters) on two schemas."""
    tables = ("CREATE TABLE t (a INT)", "CREATE TABLE club (name VARCHAR, year INT)")
    asked = ["how many " + "abc?"[i % 4] * (i * 11 % 50) for i in range(count)]
    return [Example(id=str(i), question=q, context=tables[i % 2], gold="") for i, q in enumerate(asked)]


def ours(plans: Sequence[Any]) -> dict[str, dict[str, str]]:
    engine = load(plans, SETTINGS)
    return {
        plan.name: {done.id: done.text for done in engine.generate(plan.name, questions())} for plan in plans
    }


def theirs(model: Any, folder: Path) -> dict[str, str]:
    """transformers' own ``generate``, one prompt a time."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = {}
    examples = questions()
    for example, text in zip(examples, render(Prompt(), examples, tokenizer), strict=True):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW,
                do_sample=False,
                eos_token_id=[0, 2],
                pad_token_id=0,
            )
        said[example.id] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return said


def small(kind: str, without: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """The overrides that make a family's default config small, without some of them and with others."""
    from transformers import CONFIG_MAPPING, PretrainedConfig

    family = kind.partition(" ")[0]
    default = CONFIG_MAPPING[family]()
    text = default.get_text_config(decoder=True)
    held = {**text.to_dict(), **dict.fromkeys(text.attribute_map)}
    shape = {key: value for key, value in SHAPES.items() if key in held}
    if "qk_rope_head_dim" in held:  # latent attention: the head's size is the sum of its parts
        shape = {**shape, "num_key_value_heads": 4}
        shape.pop("head_dim", None)
    shape = {key: value for key, value in shape.items() if key not in without}
    shape |= {"vocab_size": 259, **more, **OTHER.get(kind, {})}
    nested = [name for name, part in vars(default).items() if isinstance(part, PretrainedConfig)]
    if text is not default and "text_config" in nested:
        return {"text_config": {**shape, "model_type": text.model_type}}
    return shape


def family(kind: str) -> str:
    """What became of a family: equal, refused (and why), not built (and why), or WRONG."""
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as place:
        failed = ""
        for number, change in enumerate(CHANGES):
            folder = Path(place) / str(number)
            try:
                tiny_base(folder, family=kind.partition(" ")[0], bare=True, **small(kind, **change))
                model = AutoModelForCausalLM.from_pretrained(folder).eval()
                expected = theirs(model, folder)
                break
            except TimeoutError as error:
                return f"not built: {first_line(error)}"
            except Exception as error:
                failed = failed or f"not built: {type(error).__name__}: {first_line(error)}"
        else:
            return failed
        return compared(lambda: ours(plan_pairs(adapters=[], model=str(folder))), {"base": expected})


def compared(work: Callable[[], dict[str, dict[str, str]]], expected: dict[str, dict[str, str]]) -> str:
    try:
        got = work()
    except HarnessError as error:
        return f"refused: {first_line(error)}"
    except Exception as error:
        return f"WRONG: {type(error).__name__}: {first_line(error)}"
    wrong = [
        f"{pair} {sum(got[pair][key] != text for key, text in texts.items())} of {len(texts)}"
        for pair, texts in expected.items()
        if got[pair] != texts
    ]
    return f"WRONG: {', '.join(wrong)}" if wrong else "equal"


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].replace("|", "/")[:150]


def kinds() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Every kind of adapter: PEFT's config class and its options."""
    import peft

    on = ["q_proj", "v_proj"]
    lora: dict[str, dict[str, Any]] = {
        "lora": {},
        "lora-rslora": {"use_rslora": True},
        "lora-dora": {"use_dora": True},
        "lora-bias": {"bias": "lora_only"},
        "lora-bias-all": {"bias": "all"},
        "lora-pissa": {"init_lora_weights": "pissa"},
        "lora-olora": {"init_lora_weights": "olora"},
        "lora-modules-to-save": {"modules_to_save": ["lm_head"]},
        "lora-token-rows": {"trainable_token_indices": {"embed_tokens": [10, 20, 30]}},
        "lora-target-parameters": {"target_modules": [], "target_parameters": ["mlp.gate_proj.weight"]},
        "lora-activated": {"alora_invocation_tokens": [1]},
    }
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        name: (peft.LoraConfig, {"r": 4, "lora_alpha": 8, "target_modules": on, **options})
        for name, options in lora.items()
    }
    other: dict[str, tuple[str, dict[str, Any]]] = {
        "ia3": ("IA3Config", {"feedforward_modules": []}),
        "loha": ("LoHaConfig", {"r": 4}),
        "lokr": ("LoKrConfig", {"r": 4}),
        "adalora": ("AdaLoraConfig", {"init_r": 4, "target_r": 2, "total_step": 10}),
        "oft": ("OFTConfig", {"r": 0, "oft_block_size": 4}),
        "boft": ("BOFTConfig", {"boft_block_size": 4}),
        "vera": ("VeraConfig", {"r": 4}),
        "randlora": ("RandLoraConfig", {"r": 4}),
        "fourierft": ("FourierFTConfig", {"n_frequency": 50}),
        "hra": ("HRAConfig", {"r": 4}),
        "bone": ("BoneConfig", {"r": 4}),
        "miss": ("MissConfig", {"r": 4}),
        "vblora": ("VBLoRAConfig", {"r": 4, "num_vectors": 8, "vector_length": 16, "topk": 2}),
        "shira": ("ShiraConfig", {"r": 4}),
        "c3a": ("C3AConfig", {"block_size": 16}),
        "layernorm": ("LNTuningConfig", {"target_modules": ["input_layernorm"]}),
        "token-rows": (
            "TrainableTokensConfig",
            {"token_indices": [10, 20], "target_modules": ["embed_tokens"]},
        ),
        "adaption-prompt": (
            "AdaptionPromptConfig",
            {"adapter_len": 4, "adapter_layers": 1, "target_modules": None},
        ),
        "prompt-tuning": ("PromptTuningConfig", {"num_virtual_tokens": 4, "target_modules": None}),
        "prefix-tuning": ("PrefixTuningConfig", {"num_virtual_tokens": 4, "target_modules": None}),
    }
    for name, (config, options) in other.items():
        if hasattr(peft, config):
            asked = {"target_modules": on, **options}
            found[name] = (getattr(peft, config), {k: v for k, v in asked.items() if v is not None})
    return found


def adapter(name: str, base: Path, plain: Path, *, tied: bool = False) -> str:
    """What became of a kind of adapter beside the base's row and a plain LoRA."""
    import torch
    from peft import PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    config, options = kinds()[name]

    def bare() -> Any:
        return AutoModelForCausalLM.from_pretrained(base).eval()

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / name
        try:
            torch.manual_seed(3)
            trained = get_peft_model(bare(), config(task_type="CAUSAL_LM", **options))
            for parameter in trained.parameters():
                if parameter.requires_grad and parameter.is_floating_point():
                    parameter.data += 0.1 * torch.randn_like(parameter)
            trained.peft_config["default"].base_model_name_or_path = str(base)
            trained.save_pretrained(folder)
            expected = {
                "base": theirs(bare(), base),
                name: theirs(PeftModel.from_pretrained(bare(), folder).eval(), base),
                "plain": theirs(PeftModel.from_pretrained(bare(), plain).eval(), base),
            }
        except Exception as error:
            return f"not built: {type(error).__name__}: {first_line(error)}"
        if expected[name] == expected["base"]:
            return "not built: the adapter changes no text"
        adapters = [str(folder), str(plain)]
        return compared(lambda: ours(plan_pairs(adapters=adapters, model=str(base))), expected)


def stop(*_: object) -> None:
    raise TimeoutError(f"not done in {LIMIT} s")


def table(found: dict[str, str], title: str) -> str:
    lines = [f"| {title} | outcome |", "|---|---|"]
    found = {name: re.sub(r"/\S*/(?=[\w-]+/?)", "", said).replace("|", "/") for name, said in found.items()}
    return "\n".join([*lines, *(f"| {name} | {said} |" for name, said in found.items())])


def summary(counts: dict[str, Counter[str]]) -> str:
    parts = [
        f"{what}: " + ", ".join(f"{n} {said}" for said, n in found.items()) for what, found in counts.items()
    ]
    return "; ".join(parts).capitalize() + "."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="families and kinds of adapter, by name")
    parser.add_argument("--write", action="store_true", help="write docs/pairs.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    hush_libraries()
    families, adapters = {}, {}
    signal.signal(signal.SIGPROF, stop)
    for kind in sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *OTHER}):
        if not arguments.only or kind in arguments.only:
            signal.setitimer(signal.ITIMER_PROF, LIMIT)
            families[kind] = family(kind)
            signal.setitimer(signal.ITIMER_PROF, 0)
            print(f"{kind}: {families[kind]}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as place:
        base = tiny_base(Path(place) / "base", attention_bias=True, mlp_bias=True)
        plain = tiny_adapter(Path(place) / "plain", base)
        for name in kinds():
            if not arguments.only or name in arguments.only:
                signal.setitimer(signal.ITIMER_PROF, LIMIT)
                adapters[name] = adapter(name, base, plain)
                signal.setitimer(signal.ITIMER_PROF, 0)
                print(f"{name}: {adapters[name]}", file=sys.stderr, flush=True)
    counts = {
        part: Counter(sorted(said.partition(":")[0] for said in found.values()))
        for part, found in (("families", families), ("adapters", adapters))
    }
    if arguments.write:
        said = ", ".join(versions("torch", "transformers", "peft"))
        (ROOT / "docs" / "pairs.md").write_text(
            "# Which pairs are generated here\n\n"
            f"Made by `python scripts/pair_matrix.py --write` with {said}. Random bases of two layers and "
            "random adapters, float32, 8 prompts of 40 to 120 tokens, 10 new tokens, five slots. **equal**: "
            "text for text what `generate` gives one by one (for an adapter: what PEFT gives, for its own "
            "row, the base's and that of a plain LoRA beside it). **refused**: the harness ends with that "
            "line. **not built**: transformers or PEFT could not make it this small.\n\n"
            f"{summary(counts)}\n\n"
            f"{table(families, 'family')}\n\n{table(adapters, 'adapter')}\n",
            "utf-8",
        )
    print(json.dumps({part: dict(count) for part, count in counts.items()}))
    sys.exit(any(count["WRONG"] for count in counts.values()))


if __name__ == "__main__":
    main()
