"""The engine: a pair's completions at the speed of the hardware, with any transformers model.

Prompts are tokenised as slots come free for them and handed to the ``decoder``, which works on whatever base
is in memory; pairs of one base share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from harness.errors import ModelError
from harness.models import guard
from harness.models.cost import Cost
from harness.models.decoder import Decoder, Row, out_of_memory
from harness.models.forbidden import Forbidden
from harness.models.pair import Choose, LoadedBase, Notify, choose_here, group_key, load_base
from harness.models.pair_plan import PairPlan, Settings
from harness.models.prompts import TODAY, render, with_fixed_date
from harness.models.tokenizers import TemplateError, load_tokenizer, render_chats
from harness.records import Completion, Example, Prompt


def load(
    plans: Sequence[PairPlan],
    settings: Settings,
    notify: Notify = lambda _: None,
    choose: Choose = choose_here,
) -> Engine:
    """Load the first pairs' base with its adapters; a generator for all of them.

    ``choose(what, measure)`` gives the run's choice where ``measure`` would make one: the same in all of its
    processes and starts.

    Raises:
        ModelError: as ``load_base``.
    """
    engine = Engine(plans, settings, notify, choose)
    for note in dict.fromkeys(note for plan in plans for note in plan.notes):
        notify(note)
    engine.ready(plans[0].name)
    return engine


@dataclass(slots=True)
class _Text:
    """A pair's tokenizer, its prompt as really asked (with a fixed date), its end tokens, those forbidden."""

    tokenizer: Any
    prompt: Prompt
    stops: np.ndarray
    forbidden: Forbidden
    dated: bool


class Engine:
    """A ``Generator`` over transformers models. One base is in memory at a time."""

    def __init__(
        self, plans: Sequence[PairPlan], settings: Settings, notify: Notify, choose: Choose = choose_here
    ) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._settings, self._notify, self._choose = settings, notify, choose
        self._chosen: dict[str, Any] = {}
        self._apart: set[str] = set()
        self._guarded: dict[str, frozenset[int]] = {}
        self._costs = {plan.name: Cost() for plan in plans}
        self._texts: dict[str, _Text] = {}
        self._base: LoadedBase | None = None
        self._key: tuple[Any, ...] | None = None
        self._decoder: Decoder | None = None
        self._facts: dict[str, Any] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Device, dtype, what was proved of each adapter, how each pair is really asked."""
        return self._facts

    def cost(self, pair: str) -> Cost:
        """What the pair has cost so far."""
        return self._costs[pair]

    def close(self) -> None:
        """Free the model's memory."""
        self._base = self._decoder = self._key = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def ready(self, pair: str) -> None:
        """Have the pair's base in memory and its adapter on."""
        plan = self._plans[pair]
        with self._costs[pair].stage("load"):
            while (key := self._place(plan)) != self._key:
                self.close()
                group = [other for other in self._plans.values() if self._place(other) == key]
                self._base = load_base(group, self._settings, self._notify, self._choice)
                self._key = key
                self._apart |= set(self._base.apart)
                try:
                    self._decoder = Decoder(self._base, self._settings, self._notify)
                except torch.OutOfMemoryError as error:
                    raise out_of_memory(self._base.device) from error
                except Exception as error:
                    raise guard.refusal(
                        self._base, f"its forward pass takes no cache ({type(error).__name__})"
                    ) from error
                self._facts |= {
                    "device": self._base.device,
                    "dtype": str(self._base.dtype).removeprefix("torch."),
                    "dequantized": self._base.dequantized,
                    "products": str(self._base.products).removeprefix("torch."),
                    "timing": self._base.timing,
                    "attention": self._base.model.config._attn_implementation,
                    "adapters": {**self._facts.get("adapters", {}), **self._base.facts},
                }
            assert self._base is not None
            self._facts.setdefault("four_bit_share", {})[pair] = round(self._base.four_bit, 4)
            self._base.activate(plan.name if plan.adapter else None)
            if pair not in self._guarded:
                self._guarded[pair] = frozenset()
                self._facts.setdefault("guard", {})[pair] = guard.check(self._base, self._settings)
            if pair not in self._texts:
                self._texts[pair] = _text(plan, self._base, self._notify)
                self._facts.setdefault("asked", {})[pair] = self._asked(self._texts[pair])

    def _place(self, plan: PairPlan) -> tuple[Any, ...]:
        """What the pair's base is loaded for: a group of pairs, or the pair alone."""
        return (*group_key(plan, self._settings), plan.name if plan.name in self._apart else None)

    def _choice(self, what: str, measure: Callable[[], Any]) -> Any:
        if what not in self._chosen:
            self._chosen[what] = self._choose(what, measure)
        return self._chosen[what]

    def _asked(self, text: _Text) -> dict[str, Any]:
        """How a pair is really asked, for the record."""
        asked, forbidden = text.prompt, text.forbidden
        return {
            "form": asked.form,
            "origin": asked.origin,
            **({"date": str(TODAY)} if text.dated else {}),
            **({"generation_config_applied": forbidden.applied} if forbidden.applied else {}),
            **({"generation_config_ignored": forbidden.ignored} if forbidden.ignored else {}),
        }

    def _guard(self, pair: str, rows: Sequence[Row]) -> None:
        """Have the slots checked again where prompts pass a window or a limit of the rope."""
        assert self._base is not None
        if not rows:
            return
        reach = max(len(row.ids) for row in rows) + self._settings.max_new_tokens
        limits = guard.limits_within(self._base.model.config.get_text_config(decoder=True), reach)
        if not limits <= self._guarded[pair]:
            self._facts.setdefault("guard", {})[pair] = guard.check(self._base, self._settings, limits, reach)
            self._guarded[pair] = limits

    def generate(self, pair: str, examples: Iterable[Example]) -> Iterator[Completion]:
        """Completions as they finish; examples are drawn from the iterable as room for them comes free.

        Raises:
            ModelError: out of memory with one row, a chat template that fails.
        """
        self.ready(pair)
        decoder, cost, text = self._decoder, self._costs[pair], self._texts[pair]
        assert decoder is not None
        source = iter(examples)
        decoder.begin(cost, text.stops, text.forbidden)
        while True:
            with cost.stage("tokenise"):
                wanted = -(-decoder.wanted // self._settings.samples)
                drawn = list(islice(source, wanted))
                rows, flagged = self._rows(drawn, text, decoder.context)
            with cost.stage("load"):
                self._guard(pair, rows)
            yield from (replace(completion, pair=pair) for completion in flagged)
            cost.examples += len(flagged)
            decoder.add(rows)
            for row, tokens, stopped in decoder.run(drain=len(drawn) < wanted):
                with cost.stage("finish"):
                    words = text.tokenizer.decode(tokens, skip_special_tokens=True)
                    cost.prompt_tokens += len(row.ids)
                    cost.new_tokens += len(tokens) + stopped
                    cost.examples += row.sample == 0
                yield Completion(
                    id=row.example,
                    pair=pair,
                    text=words,
                    prompt_tokens=len(row.ids),
                    new_tokens=len(tokens) + stopped,
                    finish="stop" if stopped else "length",
                    sample=row.sample,
                )
            if len(drawn) < wanted:
                return

    def _rows(
        self, examples: Sequence[Example], text: _Text, context: int
    ) -> tuple[list[Row], list[Completion]]:
        settings, plain = self._settings, text.prompt.form == "plain"
        rows: list[Row] = []
        flagged: list[Completion] = []
        if not examples:
            return rows, flagged
        prompts = render(text.prompt, examples, text.tokenizer)
        options = {
            "return_attention_mask": False,
            "return_token_type_ids": False,
            "add_special_tokens": plain,
        }
        room = context - settings.max_new_tokens
        for example, ids in zip(examples, text.tokenizer(prompts, **options)["input_ids"], strict=True):
            tokens = np.asarray(ids, dtype=np.int32)
            if plain and len(tokens) > 1 and tokens[-1] in text.stops:
                tokens = tokens[:-1]  # some tokenizers end every text
            if len(tokens) > room and settings.long_prompts == "truncate" and room > 0:
                tokens = tokens[-room:]
            if not len(tokens):
                raise ModelError(
                    f"the prompt of example {example.id} has no tokens", "check the tokenizer and --prompt"
                )
            for sample in range(settings.samples):
                if len(tokens) > room:
                    flagged.append(
                        Completion(
                            id=example.id,
                            pair="",
                            text="",
                            prompt_tokens=len(tokens),
                            finish="prompt_too_long",
                            sample=sample,
                        )
                    )
                    continue
                seed = f"{settings.seed} {example.id} {sample}" if settings.temperature else ""
                rows.append(Row(example.id, sample, tokens, example.context, seed))
        return rows, flagged


def _text(plan: PairPlan, base: LoadedBase, notify: Notify) -> _Text:
    prompt = plan.prompt
    revision = plan.revision if plan.tokenizer == plan.base else None
    tokenizer = load_tokenizer(plan.tokenizer, revision=revision)
    if prompt.form == "chat" and not (prompt.chat_template or tokenizer.chat_template):
        if plan.tokenizer != plan.base:
            tokenizer.chat_template = load_tokenizer(plan.base, revision=plan.revision).chat_template
        if not tokenizer.chat_template:
            prompt = replace(prompt, form="plain", user=prompt.plain)
            notify(f"{plan.name}: the tokenizer has no chat template, so it is asked in the plain form.")
    ends = {tokenizer.eos_token_id, *_as_list(base.model.generation_config.eos_token_id)}
    if prompt.form == "chat":
        ends |= _turn_end(tokenizer, prompt)
    stops = np.array(sorted(end for end in ends if end is not None), dtype=np.int64)
    forbidden = Forbidden(base.model.generation_config, stops.tolist(), base.device)
    template = prompt.chat_template or tokenizer.chat_template if prompt.form == "chat" else None
    if dated := isinstance(template, str) and "strftime_now(" in template:
        prompt = replace(prompt, chat_template=with_fixed_date(template))
    return _Text(tokenizer, prompt, stops, forbidden, dated)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _turn_end(tokenizer: Any, prompt: Prompt) -> set[int]:
    """The special token that the chat template puts after an answer: models stop there."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "SELECT 1"}]
    (text,) = render_chats(tokenizer, [turns], template=prompt.chat_template)
    if isinstance(text, TemplateError):  # it may refuse these turns; the tokenizer's own end token stands
        return set()
    after = tokenizer(text.rpartition("SELECT 1")[2].lstrip(), add_special_tokens=False)["input_ids"]
    return {after[0]} if after and after[0] in tokenizer.all_special_ids else set()
