"""A base with its adapters in memory: quantised as stated, each proved to be on and to leave others alone.

Adapters of one base share it as long as none of them touches what the others stand on: after each that goes
on, the base's own tensors must be what they were, and the bare base and every earlier adapter must give the
logits that they gave before. One that does not pass (LoRA with biases, PiSSA, full embeddings, kinds that
PEFT does not mix) gets a base to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import ModelError
from harness.files import read_object
from harness.log import hush_libraries
from harness.models.headers import tensor_shapes
from harness.models.pair_plan import PairPlan, Settings
from harness.models.weights import (
    ENOUGH_IN_4_BIT,
    four_bit_layers,
    four_bit_share,
    load_weights,
    pack_for_cpu,
    pick_device,
    pick_dtype,
    prefers_dequantized,
)

Notify = Callable[[str], None]
Choose = Callable[[str, Callable[[], Any]], Any]
_SAME = 1e-3  # relative difference of logits that the same computation may show on a GPU


def choose_here(_: str, measure: Callable[[], Any]) -> Any:
    """The choice of a process on its own: what it measures."""
    return measure()


@dataclass(slots=True)
class LoadedBase:
    """A base with some adapters. ``model`` is the transformers model, adapters injected; ``peft`` wraps it.
    ``dtype`` is that of activations and cache, ``products`` that in which quantised layers multiply.

    ``facts`` has one entry an adapter: how many layers it changes and by how much it moves the logits.
    ``apart`` names the pairs that must have a base to themselves and are not in here; ``four_bit`` is the
    share of weights that really are in 4-bit, ``timing`` what was seen when a way was chosen.
    """

    model: Any
    peft: Any
    device: str
    dtype: Any
    products: Any
    dequantized: bool
    four_bit: float = 0.0
    timing: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    apart: tuple[str, ...] = ()
    _sums: list[Any] = field(default_factory=list)
    _seen: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # adapter: ids, logits

    def activate(self, adapter: str | None) -> None:
        """Put one adapter on, or none."""
        if self.peft is None:
            return
        if adapter is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.set_adapter(_inner(adapter))


class _Clash(Exception):
    """An adapter that cannot stand beside the others."""

    def __init__(self, plan: PairPlan, error: ModelError) -> None:
        super().__init__(plan.name)
        self.plan, self.error = plan, error


def _inner(name: str) -> str:
    """The adapter's name inside peft, where a dot or a module's own name would break it."""
    return "pair_" + sha256(name.encode()).hexdigest()[:12]


def group_key(plan: PairPlan, settings: Settings) -> tuple[Any, ...]:
    """What pairs must share to stand on one loaded base.

    An adapter that brings embeddings of another size, that is merged, or whose config already says that it
    writes into the base, has its base to itself; others may turn out to need that (``LoadedBase.apart``).
    """
    rows = _embedding_rows(plan)
    own = plan.adapter is not None and (settings.merge or _writes_into_base(plan))
    return (plan.base, plan.revision, rows, plan.name if own else None)


def _writes_into_base(plan: PairPlan) -> bool:
    folder = Path(plan.adapter or "")
    if not (folder / "adapter_config.json").is_file():
        return False
    config = read_object(folder / "adapter_config.json", error=ModelError)
    start = config.get("init_lora_weights", True)
    return config.get("bias", "none") != "none" or str(start).lower().startswith(("pissa", "olora", "corda"))


def _embedding_rows(plan: PairPlan) -> int | None:
    folder = Path(plan.adapter) if plan.adapter else None
    if folder is None or not folder.is_dir():
        return None
    shapes = tensor_shapes(folder)
    rows = [
        shape[0]
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(("embed_tokens.weight", "wte.weight", "lm_head.weight"))
    ]
    held = tensor_shapes(Path(plan.base)) if Path(plan.base).is_dir() else {}
    base_rows = {
        shape[0] for name, shape in held.items() if name.endswith(("embed_tokens.weight", "wte.weight"))
    }
    config = read_object(folder / "adapter_config.json", error=ModelError)
    beside = config.get("modules_to_save")  # those stand beside the base's
    return max(rows) if rows and (set(rows) != base_rows or not beside) else None


def load_base(
    plans: Sequence[PairPlan], settings: Settings, notify: Notify, choose: Choose = choose_here
) -> LoadedBase:
    """Load the base that the plans share (same ``group_key``) and every adapter that can stand on it.

    ``choose(what, measure)`` gives the choice of the whole run where ``measure`` makes one (``--dequantize
    auto``).

    Raises:
        ModelError: not to be had, not a causal language model, too large, an adapter that does not fit or
            that changes nothing.
    """
    hush_libraries()
    apart: list[str] = []
    while True:
        staying = [plan for plan in plans if plan.name not in apart]
        loaded = _load_bare(staying[0], settings, notify, choose)
        try:
            for plan in staying:
                if plan.adapter is not None:
                    _put_on(loaded, plan)
                    if len(staying) > 1:
                        _check_others(loaded, plan)
        except _Clash as clash:
            if len(staying) == 1:
                raise clash.error from clash
            notify(f"{clash.plan.name} writes into what others stand on: it gets a base to itself.")
            apart.append(clash.plan.name)
            del loaded
            continue
        loaded.apart = tuple(apart)
        pack_for_cpu(four_bit_layers(loaded.model), allowed=True)
        if settings.merge and loaded.peft is not None:
            loaded.model, loaded.peft = loaded.peft.merge_and_unload(), None
        return loaded


def _load_bare(plan: PairPlan, settings: Settings, notify: Notify, choose: Choose) -> LoadedBase:
    from harness.models.products import expand, product_dtype

    device = pick_device(settings.device)
    dtype = pick_dtype(settings.compute_dtype, device)
    model = load_weights(
        plan.base,
        revision=plan.revision,
        device=device,
        dtype=dtype,
        quantization="none" if plan.quantized else settings.quantization,
        double=settings.double_quantization,
    )
    if (rows := group_key(plan, settings)[2]) is not None:
        model.resize_token_embeddings(rows, mean_resizing=False)
    share = four_bit_share(model)
    if 0 < share < ENOUGH_IN_4_BIT:
        notify(
            f"Only {share:.0%} of the weights of {plan.base} are in 4-bit (experts of a mixture are not); "
            "the results say so."
        )
    pack_for_cpu(four_bit_layers(model), allowed=False)
    timing: dict[str, Any] = {}
    products = dtype if settings.merge or not share else product_dtype(settings.compute_dtype, device, dtype)
    dequantized = settings.merge or settings.dequantize == "yes"
    if not share:
        if settings.dequantize == "yes":
            notify("Nothing to dequantise: the base's layers are not in 4-bit.")
        dequantized = False
    elif settings.dequantize == "auto" and not settings.merge:
        said = choose(
            f"dequantize {plan.base_hash}", lambda: list(prefers_dequantized(model, dtype, products, device))
        )
        dequantized, timing = bool(said[0]), dict(said[1])
    if dequantized:
        model = expand(model, products)
    model.eval()
    sums = [(tensor, _sum(tensor)) for tensor in (*model.parameters(), *model.buffers())]
    return LoadedBase(model, None, device, dtype, products, dequantized, share, timing, _sums=sums)


def _put_on(loaded: LoadedBase, plan: PairPlan) -> None:
    from peft import PeftConfig, PeftModelForCausalLM

    assert plan.adapter is not None
    inner, first = _inner(plan.name), loaded.peft is None
    try:
        config = PeftConfig.from_pretrained(plan.adapter)
        config.inference_mode = True
        ids = _probe(loaded, config)
        loaded.activate(None)
        bare = _logits(loaded, ids)
        if first:
            loaded.peft = PeftModelForCausalLM(loaded.model, config, inner, autocast_adapter_dtype=True)
        result = loaded.peft.load_adapter(
            plan.adapter, inner, torch_device=loaded.device, autocast_adapter_dtype=True
        )
        for name, parameter in loaded.peft.named_parameters():
            if f".{inner}." in name and parameter.is_floating_point():
                parameter.data = parameter.data.to(loaded.dtype)
        loaded.peft.eval()
        loaded.activate(plan.name)
        active = _logits(loaded, ids)
        loaded.facts[plan.name] = _prove(loaded, plan, result, bare, active)
        loaded._seen[plan.name] = (ids, active)
        loaded.activate(None)
        loaded._seen.setdefault("", (ids, bare))
    except ModelError:
        raise
    except Exception as error:  # whatever a kind of adapter raises on a base that it is not for
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        line = lines[1] if len(lines) > 1 and "size mismatch" in lines[1] else lines[0]
        told = ModelError(
            f"adapter {plan.adapter} does not go on base {plan.base}: {line[:200]}",
            "if it was trained on another base, name that one with --model",
        )
        if first:
            raise told from error
        raise _Clash(plan, told) from error  # PEFT does not mix all kinds


def _check_others(loaded: LoadedBase, plan: PairPlan) -> None:
    """See that the newest adapter has left alone what was there before it."""
    held = {id(tensor) for tensor in (*loaded.model.parameters(), *loaded.model.buffers())}
    clean = all(id(tensor) in held and _sum(tensor) == before for tensor, before in loaded._sums)
    for name, (ids, before) in loaded._seen.items() if clean else ():
        if name != plan.name:
            loaded.activate(name or None)
            clean = clean and _difference(_logits(loaded, ids), before) < _SAME
    loaded.activate(None)
    if not clean:
        raise _Clash(
            plan, ModelError(f"adapter {plan.adapter} changes the base that others stand on", "run it alone")
        )


def _sum(tensor: Any) -> int:
    """A number that changes with any bit of the tensor, nearly surely."""
    import torch

    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = tensor.detach().contiguous().view(whole[tensor.element_size()]).reshape(-1)
    return sum(int(piece.sum(dtype=torch.int64)) for piece in bits.split(1 << 20))  # a sum copies into int64


def _difference(one: Any, other: Any) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-30))


def _probe(loaded: LoadedBase, config: Any) -> Any:
    """Token ids ``[1, n]`` that an adapter can act on: some from all over, and those that it has rows for."""
    import torch

    size = loaded.model.config.get_text_config().vocab_size
    ids = torch.linspace(1, size - 1, 8).long().tolist()
    rows = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", None) or []
    for some in rows.values() if isinstance(rows, dict) else [rows]:
        ids += list(some)[:8]
    return torch.tensor([[id_ % size for id_ in ids]], device=loaded.device)


def _logits(loaded: LoadedBase, ids: Any) -> Any:
    import torch

    with torch.inference_mode():
        return loaded.model(ids, use_cache=False).logits.float()


def _refuse(plan: PairPlan, what: str, remedy: str) -> NoReturn:
    raise ModelError(f"adapter {plan.adapter} {what}", remedy)


def _prove(loaded: LoadedBase, plan: PairPlan, result: Any, bare: Any, active: Any) -> dict[str, Any]:
    """Show that the adapter is on: all of its tensors found a place and it moves the logits."""
    inner = _inner(plan.name)
    missing = [key for key in result.missing_keys if f".{inner}." in key or "modules_to_save" in key]
    # peft itself saves the halves of its wrapper beside the embedding that it restores
    twice = (".modules_to_save.", ".original_module.")
    homeless = [key for key in result.unexpected_keys if not any(mark in key for mark in twice)]
    if missing or homeless:
        which = (
            f"{missing[0].replace(f'.{inner}', '')} is missing" if missing else f"{homeless[0]} has no place"
        )
        _refuse(
            plan,
            f"is not whole on base {plan.base}: {which}",
            "it was trained on another base or saved by halves: name the base with --model, or save it again",
        )
    layers = [m for m in loaded.peft.modules() if inner in getattr(m, "lora_B", ())]
    saved = [m for m in loaded.peft.modules() if inner in (getattr(m, "modules_to_save", None) or ())]
    dead = [m for m in layers if not m.lora_B[inner].weight.any()]
    moved = float((active - bare).abs().max())
    if layers and len(dead) == len(layers) and not saved and not moved > 0:
        _refuse(
            plan,
            "changes nothing: its LoRA B is all zero",
            "it was saved before training, or its weights were lost: save it again",
        )
    if not moved > 0:
        _refuse(
            plan,
            "leaves the base's logits as they are",
            "its weights are zero or not a number, or this kind of adapter is not supported: save it again",
        )
    return {"layers": len(layers) or len(saved), "dead_layers": len(dead), "logits_moved_by": moved}
