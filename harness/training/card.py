"""The model card of an adapter: base, data, recipe, figures with intervals, limits, how to repeat it.

The front matter is what the hub indexes, its ``model-index`` the metrics of the adapter's last run. Nothing
is said that the folder does not hold: without a run there are no figures, without ``training.json`` no
recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.benchmarks import list_benchmarks
from harness.measures import HEADLINE, Metric
from harness.models.prompts import messages
from harness.models.sources import is_hub_id
from harness.records import Example, Prompt
from harness.reports.exchange import card_data
from harness.reports.wording import count, label, span
from harness.runs.progress import duration
from harness.runs.results import Entry

from .record import TrainingRecord

_EXAMPLE = Example(
    id="",
    question="Which heads are older than 56?",
    context="CREATE TABLE head (name VARCHAR, age INTEGER)",
    gold="",
)
_LIMITS = (
    "It answers in SQLite's SQL to schemas given as CREATE TABLE statements, in the prompt above; other "
    "prompts and dialects were not measured.",
    "A figure holds for the questions of its benchmark, answered on databases made from the schema: what is "
    "right there can still be wrong on real rows.",
    "It writes a query for any question, also where the schema has no answer. Run what it writes with rights "
    "to read alone.",
)


KEEP = "<!-- What you write below this line stays when the card is written anew. -->"


def write_card(
    name: str,
    config: Mapping[str, Any],
    told: TrainingRecord | None,
    entries: tuple[Entry, ...] = (),
    *,
    repository: str | None = None,
    own: str = "",
) -> str:
    """README.md of the adapter ``name``, which lies or will lie in ``repository``.

    ``config`` is its adapter_config.json, ``entries`` its results of one run, a benchmark each; the base's
    stand beside them. ``own`` is what its author has added below ``KEEP``.
    """
    use = _use(config, told, repository or f"OWNER/{name}")
    parts = [f"# {name}", _what(config, told), *_figures(entries), use, *_training(told)]
    limits = "\n".join(f"- {line}" for line in _LIMITS)
    body = "\n\n".join([*parts, f"## Limits\n\n{limits}"])
    data = card_data(
        entries[0] if entries else None,
        model_name=name,
        base_model=_base(config),
        library_name="peft",
        license=_licence(told),
        language="en",
        pipeline_tag="text-generation",
        tags=["text-to-sql", "sql", "lora"],
        datasets=list(_datasets(told)) or None,
        base_model_relation="adapter",
    )
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n\n{KEEP}\n{own}"


def _base(config: Mapping[str, Any]) -> str | None:
    """The base's id on the hub; a folder of somebody's machine is none."""
    named = str(config.get("base_model_name_or_path") or "")
    return named if is_hub_id(named) else None


def _licence(told: TrainingRecord | None) -> str:
    return str((told.recipe.get("licence") if told else None) or "other")


def _datasets(told: TrainingRecord | None) -> Iterator[str]:
    """The hub's ids of all rows that the adapter has seen, those of earlier trainings too."""
    seen: set[str] = set()
    for record in chain(told):
        data = record.get("recipe", {}).get("data", {})
        named = data.get("benchmark")
        known = {spec.name: spec.source.hub for spec in list_benchmarks()}
        hub = data.get("hub") or known.get(named)
        if hub and hub not in seen:
            seen.add(hub)
            yield hub


def chain(told: TrainingRecord | None) -> Iterator[Mapping[str, Any]]:
    """The record of the last training, then those of the trainings before it."""
    record: Mapping[str, Any] | None = told.as_json() if told else None
    while record:
        yield record
        record = record.get("after")


def _what(config: Mapping[str, Any], told: TrainingRecord | None) -> str:
    named = _base(config) or Path(str(config.get("base_model_name_or_path") or "an unnamed base")).name
    layers = config.get("target_modules")
    parts = (
        sorted({str(layer).rpartition(".")[2] for layer in layers})
        if isinstance(layers, list)
        else [str(layers)]
    )
    kind = "LoRA adapter" if config.get("peft_type") == "LORA" else f"{config.get('peft_type')} adapter"
    shape = f"r {config.get('r')}, alpha {config.get('lora_alpha')}, on {', '.join(parts)}"
    how = ""
    if told:
        with_reward = told.recipe.get("kind") == "grpo"
        how = (
            " It was trained on with the reward that its own queries earned on databases."
            if with_reward
            else " It was fine-tuned on questions with their answers."
        )
    task = "writes a SQL query for CREATE TABLE statements and a question"
    return f"A {kind} ({shape}) for `{named}` that {task}.{how}"


def _figures(entries: tuple[Entry, ...]) -> Iterator[str]:
    if not entries:
        yield "## Results\n\nNo run of these weights is reported yet: `python -m harness run --adapter .`"
        return
    for entry in entries:
        base = next((pair for pair in entry.benchmark.pairs if pair.pair == "base"), None)
        rows = [
            f"| {label(name)} | {_cell(entry.pair.metrics.get(name))} |"
            + (f" {_cell(base.metrics.get(name))} |" if base else "")
            for name in (*HEADLINE, *sorted(set(entry.pair.metrics) - set(HEADLINE)))
            if name in entry.pair.metrics
        ]
        part = f", {entry.benchmark.part}" if entry.benchmark.part else ""
        head = "| % (95 % interval) | this adapter |" + (" its base |" if base else "")
        rule = "| :-- | --: |" + (" --: |" if base else "")
        results = entry.results
        data = str(entry.benchmark.config.get("data_hash"))[:12]
        leak = f"\n\n**It was trained on the test: {entry.pair.leak}.**" if entry.pair.leak else ""
        yield (
            f"## Results on {entry.benchmark.title}{part}\n\n"
            + "\n".join([head, rule, *rows])
            + leak
            + f"\n\n{count(entry.pair.accuracy.n)} questions count; weights of the base "
            f"{entry.quantization or 'as they are'}; data `{data}`; "
            f"SQL harness {results.harness}, {results.time[:10]}, by\n\n"
            f"    {results.command or 'python -m harness run'}"
        )


def _cell(metric: Metric | None) -> str:
    if metric is None or not metric.n:
        return "–"
    return f"{100 * metric.value:.1f} ({span(metric.low, metric.high)})"


def _use(config: Mapping[str, Any], told: TrainingRecord | None, repository: str) -> str:
    words = (told.recipe.get("prompt") if told else None) or {}
    prompt = Prompt(**{key: words[key] for key in ("system", "user") if key in words})
    base = _base(config) or "BASE"
    asked = messages(prompt, _EXAMPLE)
    return (
        "## Use\n\n```python\nfrom peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
        f'model = PeftModel.from_pretrained(base, "{repository}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{base}")\n'
        f"turns = {json.dumps(asked, ensure_ascii=False, indent=4)}\n"
        "asked = tokenizer.apply_chat_template(\n"
        '    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True\n)\n'
        "told = model.generate(**asked, max_new_tokens=128, do_sample=False)\n"
        'print(tokenizer.decode(told[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))\n'
        "```\n\n"
        "The prompt, in chat form:\n\n```yaml\n"
        + yaml.safe_dump({"system": prompt.system, "user": prompt.user}, sort_keys=False, allow_unicode=True)
        + "```"
    )


def _rows(record: Mapping[str, Any]) -> str:
    """How many rows taught, and what became of the others that were taken."""
    taken = int(record.get("rows", 0))
    others = {
        "held out to choose the step by": int(record.get("held_out", 0)),
        "too long and left out": int(record.get("left_out", 0)),
    }
    apart = [f"{count(number)} {what}" for what, number in others.items() if number]
    return ", ".join([count(taken - sum(others.values())), *apart])


def _training(told: TrainingRecord | None) -> Iterator[str]:
    for number, record in enumerate(chain(told)):
        figures = [
            f"{record.get(name):.4f} mean {name}"
            for name in ("loss", "reward")
            if record.get(name) is not None
        ]
        if record.get("validation_loss") is not None:
            figures.append(
                f"weights of step {count(record['kept_step'])}, whose loss on the rows held out was "
                f"{record['validation_loss']:.4f}"
            )
        licence = f", {record['licence']}" if record.get("licence") else ""
        facts = [
            f"Rows of `{Path(str(record['data'])).name}`{licence}: {_rows(record)}; SHA-256 of all of them "
            f"`{record.get('data_hash')}`.",
            f"Base: `{Path(str(record.get('base'))).name}`, hash `{str(record.get('base_hash'))[:12]}`.",
            f"{count(record.get('steps', 0))} steps, {', '.join(figures)}, "
            f"{count(record.get('tokens', 0))} tokens in {duration(record.get('seconds', 0.0))} "
            f"on {record.get('device')}.",
            "Versions: "
            + ", ".join(f"{name} {text}" for name, text in record.get("versions", {}).items())
            + ".",
        ]
        recipe = {
            key: value for key, value in record.get("recipe", {}).items() if key not in {"output", "adapter"}
        }
        written = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
        yield (
            ("## Training\n\n" if number == 0 else "## The training before it\n\n")
            + "\n".join(f"- {fact}" for fact in facts)
            + f"\n\nRepeat it:\n\n    {record.get('command') or 'python -m harness train RECIPE'}\n\n"
            + f"with this recipe:\n\n```yaml\n{written}```"
        )
