"""Which pairs a run evaluates, resolved and checked before anything heavy is imported.

A pair is a base with or without an adapter, the tokenizer and chat template that go with it, and a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from harness.errors import ModelError, UsageError
from harness.files import read_object, read_text
from harness.models.claims import check_adapter, check_base
from harness.models.headers import tensor_shapes
from harness.models.prompts import load_prompt
from harness.models.sources import Checkpoint, download_text, find_adapter, find_base
from harness.options import Option, check_ranges
from harness.records import Prompt, Seed

Quantization = Literal["nf4", "fp4", "int8", "none"]
_GENERATION = "Generation"
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
_PROMPT_LEARNING = frozenset({"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How pairs are loaded and completions generated; all of it goes into a run's fingerprint and record.

    quantization: of the base's linear layers; ``double_quantization`` of their scales too (4-bit only).
    compute_dtype: of products and activations; "auto" is bfloat16 where the GPU has it, else float16,
        and float32 on CPU.
    dequantize: hold the same 4-bit values expanded: in bfloat16 on a CPU that multiplies in it (AVX512-BF16)
        unless a compute dtype is given, else in the compute dtype. "auto" times both ways on the loaded
        weights, once for a run: all of its processes and starts keep the choice.
    merge: add the adapter to the dequantised weights, in the compute dtype, instead of beside them.
    batch_size: rows decoded together at most; None finds it from memory.
    max_new_tokens: at most so many for each completion; 0 stands for the benchmark's own limit.
    long_prompts: what becomes of a prompt that does not fit the context with its new tokens: "flag" (not
        generated, finish "prompt_too_long", counts as wrong) or "truncate" (its first tokens are dropped).
    temperature: 0 is greedy; else ``samples`` completions an example are drawn, each with its own
        random numbers, so that they do not depend on batches.
    """

    group: ClassVar[str] = "Weights"

    quantization: Annotated[Quantization, Option("Weights of the base.")] = "nf4"
    double_quantization: Annotated[bool, Option("Quantise the quantisation's constants too.")] = False
    compute_dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"], Option("Number format of the products.")
    ] = "auto"
    dequantize: Annotated[
        Literal["auto", "yes", "no"], Option("Hold the 4-bit values expanded: auto times both ways.")
    ] = "auto"
    device: Annotated[str, Option("auto, cpu, cuda, cuda:1, …")] = "auto"
    merge: Annotated[bool, Option("Merge the adapter into its base, in 16 bits.")] = False
    batch_size: Annotated[
        int | None, Option("Prompts a batch. [default: by memory]", group=_GENERATION), Ge(1)
    ] = None
    max_new_tokens: Annotated[int, Ge(1)] = 256
    long_prompts: Annotated[
        Literal["flag", "truncate"],
        Option("Prompts beyond the context: counted wrong, or cut.", group=_GENERATION),
    ] = "flag"
    seed: Seed = 0
    samples: Annotated[
        int, Option("Completions an example (pass@k, majority vote).", group=_GENERATION), Ge(1)
    ] = 1
    temperature: Annotated[float, Option("0 is greedy.", group=_GENERATION), Ge(0)] = 0.0
    top_p: Annotated[float, Option("Nucleus of sampling.", group=_GENERATION), Gt(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.samples > 1 and self.temperature <= 0:
            raise UsageError("several samples of a greedy model are all the same", "add --temperature 0.8")

    def replace(self, **changes: Any) -> Settings:
        """The same settings but for the changes."""
        return replace(self, **changes)

    def fingerprint(self) -> dict[str, Any]:
        """The settings that decide what is generated; those of speed alone are left out.

        ``dequantize`` is not one of them: the two ways round differently.
        """
        speed = {"batch_size", "device"}
        return {key: value for key, value in asdict(self).items() if key not in speed}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """One row of a run: where its base, adapter and tokenizer lie, and how it is asked.

    ``base`` and ``adapter`` are folders or hub ids; ``adapter`` is None for a base or a full fine-tune.
    The hashes change when weights change. ``tokenizer`` is the adapter's own where it brings one.
    ``quantized`` says that the base comes quantised already: ``--quantization`` is not asked then.
    ``download`` says what will be fetched; ``notes`` what a user should know.
    """

    name: str
    base: str
    revision: str | None
    base_hash: str
    adapter: str | None
    adapter_hash: str | None
    tokenizer: str
    prompt: Prompt
    quantized: str | None = None
    download: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as results files record it."""
        return asdict(self)

    def fingerprint(self) -> dict[str, Any]:
        """What of the pair decides its completions: weights and prompt, not where they lie."""
        asked = asdict(self.prompt)
        asked.pop("origin")
        return {
            "base": self.base_hash,
            "revision": self.revision,
            "adapter": self.adapter_hash,
            "prompt": asked,
        }


def plan_pairs(
    *,
    adapters: Sequence[str],
    model: str | None = None,
    prompts: Sequence[str] = (),
    include_base: bool = True,
    benchmark_prompt: Prompt | None = None,
    settings: Settings | None = None,
) -> tuple[PairPlan, ...]:
    """The pairs of a run: each distinct base first (where asked for), then the adapters in their order.

    ``prompts`` is empty (the benchmark's for all), one choice for all, or one an adapter; a base takes the
    choice of its first adapter, so that both are asked the same. An adapter's own tokenizer, chat template
    and prompt file win over the base's.

    Raises:
        ModelError, UsageError: whatever of it cannot work, with its remedy.
    """
    settings = settings or Settings()
    benchmark_prompt = benchmark_prompt or Prompt()
    if not adapters and model is None:
        raise UsageError("no pair to evaluate", "give --adapter or --model")
    choices = _choices(prompts, max(1, len(adapters)), "an adapter")
    rows: list[PairPlan] = []
    bases: dict[tuple[str, str | None], PairPlan] = {}
    for text, choice in zip(adapters, choices, strict=True) if adapters else ():
        found, notes = find_adapter(text)
        if "peft_type" not in found.config:
            notes.append(f"{text} is a whole model, no adapter")
            prompt = _prompt(choice, benchmark_prompt, found, found)
            rows.append(_row(_name(text), found, None, prompt, notes))
            continue
        base = _base_of(found, model)
        _check_adapter(found, base, settings)
        asked = _prompt(choice, benchmark_prompt, found, found, base_row=True)
        first = bases.setdefault((base.where, base.revision), _row("base", base, None, asked, []))
        prompt = _prompt(choice, benchmark_prompt, found, base)
        rows.append(_row(_name(text), base, found, prompt, notes, first.base_hash))
    if model is not None and not bases:
        base = find_base(model, near=None, revision=None, named_by="--model")
        asked = _prompt(choices[0], benchmark_prompt, base, base, base_row=True)
        bases[base.where, None] = _row("base", base, None, asked, [])
    chosen = [*(bases.values() if include_base or not rows else ()), *rows]
    names = unique([row.name for row in chosen])
    return tuple(replace(row, name=name) for row, name in zip(chosen, names, strict=True))


def plan_endpoint(
    url: str, models: Sequence[str], *, prompts: Sequence[str] = (), benchmark_prompt: Prompt | None = None
) -> tuple[PairPlan, ...]:
    """One row for each model name that a server answers to; what lies behind a name is the server's word.

    Raises:
        UsageError: no model named, or prompts that do not match them.
    """
    if not models:
        raise UsageError("--endpoint without a model", "name what the server serves: --model NAME")
    choices = _choices(prompts, len(models), "a model")
    names = unique([model.replace("/", "__") for model in models])
    return tuple(
        PairPlan(
            name=name,
            base=model,
            revision=None,
            base_hash=f"served {model}",  # at whatever address: a run may go on at another port
            adapter=None,
            adapter_hash=None,
            tokenizer=url,
            prompt=load_prompt(choice, benchmark_prompt or Prompt(), None),
        )
        for name, model, choice in zip(names, models, choices, strict=True)
    )


def _name(text: str) -> str:
    path = Path(text).expanduser()
    return (path.resolve().name if path.exists() else text).replace("/", "__")


def unique(names: Sequence[str]) -> list[str]:
    """The names; a second one of the same gets ``-2``.

    >>> unique(["lora", "base", "lora"])
    ['lora', 'base', 'lora-2']
    """
    taken: list[str] = []
    for name in names:
        number, new = 1, name
        while new in taken:
            number += 1
            new = f"{name}-{number}"
        taken.append(new)
    return taken


def _choices(prompts: Sequence[str], count: int, one: str) -> list[str]:
    """The choice of prompt for each of so many adapters or models."""
    if len(prompts) not in {0, 1, count}:
        raise UsageError(
            f"{len(prompts)} prompts for {count} {one.split()[1]}s", f"give one --prompt, or one {one}"
        )
    return list(prompts) if len(prompts) == count else list(prompts or ("benchmark",)) * count


def _prompt(
    choice: str, benchmark: Prompt, source: Checkpoint, base: Checkpoint, *, base_row: bool = False
) -> Prompt:
    prompt = load_prompt(choice, benchmark, source.folder)
    template = source.folder / "chat_template.jinja" if source.folder else None
    if prompt.form == "chat" and not prompt.chat_template and template and template.exists() and not base_row:
        own = read_text(template, error=ModelError)
        if own != _base_template(base):  # else the same words would pass for another prompt
            prompt = replace(prompt, chat_template=own)
    return prompt


def _base_template(base: Checkpoint) -> str | None:
    """The chat template that travels with a base's tokenizer."""
    if base.folder is None:
        return None
    file, settings = base.folder / "chat_template.jinja", base.folder / "tokenizer_config.json"
    if file.exists():
        return read_text(file, error=ModelError)
    if not settings.exists():
        return None
    told = read_object(settings, error=ModelError).get("chat_template")
    return told if isinstance(told, str) else None


def _row(
    name: str,
    base: Checkpoint,
    adapter: Checkpoint | None,
    prompt: Prompt,
    notes: Sequence[str],
    base_hash: str | None = None,
) -> PairPlan:
    if base_hash is None:
        check_base(base)
    own = adapter if adapter is not None and adapter.has(*_TOKENIZER) else base
    quantized = base.config.get("quantization_config")
    method = str(quantized.get("quant_method", "quantised")) if isinstance(quantized, dict) else None
    said = [f"the base comes quantised already ({method}) and stays so"] if method else []
    return PairPlan(
        name=name,
        base=base.where,
        revision=base.revision,
        base_hash=base_hash or base.hash,
        adapter=adapter.where if adapter else None,
        adapter_hash=adapter.hash if adapter else None,
        tokenizer=own.where,
        prompt=prompt,
        quantized=method,
        download=download_text([base, *([adapter] if adapter else [])]),
        notes=(*notes, *said),
    )


def _base_of(adapter: Checkpoint, model: str | None) -> Checkpoint:
    named = adapter.config.get("base_model_name_or_path")
    if model is not None:
        return find_base(model, near=None, revision=None, named_by="--model")
    if not named:
        raise ModelError(
            f"adapter {adapter.id} does not name its base", "say which it is: --model PATH_OR_HUB_ID"
        )
    revision = adapter.config.get("revision")
    return find_base(str(named), near=adapter.folder, revision=revision, named_by=f"adapter {adapter.id}")


def _check_adapter(adapter: Checkpoint, base: Checkpoint, settings: Settings) -> None:
    kind = str(adapter.config["peft_type"])
    if kind in _PROMPT_LEARNING:
        raise ModelError(
            f"adapter {adapter.id} is of type {kind}, which adds prompt vectors",
            "only adapters of weights (LoRA and kin) are evaluated",
        )
    check_adapter(adapter, base)
    if settings.merge and kind != "LORA":
        raise ModelError(f"--merge works for LoRA, {adapter.id} is {kind}", "leave --merge out")
    if adapter.folder is None or base.folder is None or "quantization_config" in base.config:
        return
    held, wanted = tensor_shapes(base.folder), tensor_shapes(adapter.folder)
    for name, shape in wanted.items():
        module, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
        if part not in {"A.weight", "B.weight"}:
            continue
        base_shape = held.get(f"{module}.weight", held.get(f"model.{module}.weight"))
        if base_shape is None:
            raise _misfit(adapter, base, f"it changes {module}, which the base does not have")
        inside = base_shape[::-1] if adapter.config.get("fan_in_fan_out") else base_shape
        if (part == "A.weight" and shape[1] != inside[1]) or (part == "B.weight" and shape[0] != inside[0]):
            raise _misfit(
                adapter,
                base,
                f"{module} is {inside[0]}×{inside[1]} there, lora_{part[0]} is {shape[0]}×{shape[1]}",
            )


def _misfit(adapter: Checkpoint, base: Checkpoint, detail: str) -> ModelError:
    return ModelError(
        f"adapter {adapter.id} does not fit base {base.id}: {detail}",
        "it was trained on another model: name that one with --model",
    )
