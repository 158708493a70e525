"""The frozen records that travel from room to room, in the order in which they come to be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Interval

from harness.options import Option, check_ranges
from harness.outcomes import Outcome

LetterCase = Literal["exact", "ignore"]
Keys = Literal["sound", "declared", "loose"]
Types = Literal["inferred", "declared"]
GoldStatus = Literal["ok", "uninformative", "unsupported", "broken"]
GOLD_MEANINGS: Mapping[GoldStatus, str] = {
    "unsupported": "are in another dialect's words, which have no counterpart in SQLite",
    "broken": "do not run or read a numeric column name as a number",
    "uninformative": "answer the same on every database",
}
"""What is wrong with the golds that a status flags; they are left out of the metrics over sound golds."""

PromptForm = Literal["chat", "plain"]
Seed = Annotated[int, Option("Seed of databases and of sampling.", group="Judging")]

LOOSEST_FIRST = "loosest first"
"""Marks a rule whose values stand from the loosest to the strictest, each taking what the next takes."""
SAME_DATABASES = "same databases"
"""Marks a rule that decides nothing about how databases are filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """How a question is put to a model.

    ``user`` is a template over ``{context}``, ``{question}`` and ``{evidence}``; braces in data are safe.
    ``form`` "chat" goes through a chat template (``chat_template`` or the tokenizer's), "plain" is the
    template's text itself; ``plain`` is the template to use where a chat prompt meets a tokenizer without a
    chat template. ``origin`` says where the prompt came from: "benchmark", "adapter" or a path.
    """

    user: Annotated[str, Option("template over `{context}`, `{question}` and `{evidence}`")] = (
        "{context}\nQuestion: {question}"
    )
    system: Annotated[str | None, Option("the system message")] = "You are a SQL expert."
    form: Annotated[PromptForm, Option("through a chat template, or the template's text itself")] = "chat"
    chat_template: Annotated[str | None, Option("in place of the tokenizer's")] = None
    plain: Annotated[str, Option("the template where a tokenizer has no chat template")] = (
        "{context}\n-- {question}\n"
    )
    origin: str = "benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The policy under which two results are held to be the same; every field is one named rule.

    case: does text differ by case alone ("exact") or not ("ignore").
    keys: "sound" databases (recognised keys unique, not NULL, not dangling), only the "declared" keys
        so, or "loose" (none).
    composites: is a single column that was declared or guessed as the key of a table which links others
        "believed", or "widened" to the columns that tell its rows apart.
    types: "inferred" reads a column that the gold uses as a number as a number, "declared" keeps
        the type that the CREATE statement states.
    nulls: is a difference that shows on NULLs alone forgiven ("forgive") or counted wrong ("count").
    ties: the same for a difference that shows on ties of a superlative alone.
    guesses: the same for a difference that shows alone where a guessed key repeats or dangles.
    names: is a prediction right that goes by the key where the gold goes by a name and differs only where
        names repeat ("gold"), or not ("count").
    columns: may the columns of a result be permuted ("any"), may there also be more of them than the gold's
        ("subset"), or neither ("exact").
    distinct: does DISTINCT count ("count") or is it stripped from both queries ("strip").
    readings: are several readings of a gold with a questionable literal accepted ("all"), or only the
        literal one ("literal").
    """

    group: ClassVar[str] = "Rules of a verdict (else the benchmark's)"

    case: Annotated[LetterCase, Option("Does text differ by case alone.")] = "ignore"
    keys: Annotated[Keys, Option("Which keys hold in the databases made."), LOOSEST_FIRST] = "sound"
    composites: Annotated[
        Literal["believed", "widened"],
        Option("A key of one column where two tell rows apart."),
        LOOSEST_FIRST,
    ] = "widened"
    types: Annotated[Types, Option("Column types: from use, or as declared.")] = "inferred"
    nulls: Annotated[
        Literal["forgive", "count"], Option("A difference on NULLs alone."), LOOSEST_FIRST, SAME_DATABASES
    ] = "forgive"
    ties: Annotated[
        Literal["forgive", "count"],
        Option("A difference on ties of a superlative alone."),
        LOOSEST_FIRST,
        SAME_DATABASES,
    ] = "forgive"
    guesses: Annotated[
        Literal["forgive", "count"],
        Option("A difference where a guessed key repeats or dangles alone."),
        LOOSEST_FIRST,
        SAME_DATABASES,
    ] = "forgive"
    names: Annotated[
        Literal["gold", "count"],
        Option("A difference where names that the gold goes by repeat."),
        LOOSEST_FIRST,
        SAME_DATABASES,
    ] = "gold"
    columns: Annotated[
        Literal["subset", "any", "exact"],
        Option("May a result's columns be permuted, or more than the gold's."),
        LOOSEST_FIRST,
        SAME_DATABASES,
    ] = "any"
    distinct: Annotated[Literal["count", "strip"], Option("Does DISTINCT count.")] = "count"
    readings: Annotated[
        Literal["all", "literal"], Option("Readings of a gold with a questionable literal.")
    ] = "all"


def _cores() -> int:
    return min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How predictions are judged, from the databases made to what is worked out beside the verdicts.

    ``databases`` is the number an example, ``workers`` that of processes, ``witnesses`` that of wrong
    predictions which get their smallest database at once (the others on demand), ``cache`` the file or folder
    of built suites (None: the user's cache). ``policy`` asks for the score with each rule flipped.
    """

    group: ClassVar[str] = "Judging"

    rules: Rules = Rules()
    dialect: str = "sqlite"
    databases: Annotated[int, Option("Databases an example."), Interval(ge=1, le=64)] = 8
    seed: Seed = 0
    workers: Annotated[int, Option("Judging processes. [default: cores, 8 at most]", unset=_cores), Ge(1)] = 1
    witnesses: Annotated[
        int, Option("How many wrong predictions get their smallest database at once."), Ge(0)
    ] = 2000
    policy: Annotated[bool, Option("Also give the score with each rule of a verdict flipped.")] = True
    cache: Path | None = None

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question with its schema and its gold.

    ``others`` are further golds: whatever equals one of them all is right. ``context`` holds CREATE
    statements. ``database`` is a real SQLite file where the benchmark has one; else databases are made from
    ``context``. ``row`` is its place, from 0, in the benchmark's data before any of them were chosen.
    ``kind`` is the benchmark's own name for the form of the question ("join", "hard", …), used for
    breakdowns. ``meta`` carries what a scorer or a report of that benchmark needs (JSON values).
    """

    id: str
    question: str
    context: str
    gold: str
    others: tuple[str, ...] = ()
    db_id: str | None = None
    database: Path | None = None
    row: int | None = None
    evidence: str | None = None
    kind: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def golds(self) -> tuple[str, ...]:
        """Every gold, ``gold`` first."""
        return (self.gold, *self.others)

    def held_to(self, number: int) -> Self:
        """The example with that gold alone."""
        return replace(self, gold=self.golds[number], others=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Examples of one split, with all that is needed to prompt for them and to score them.

    ``data_hash`` is the SHA-256 of the examples; it goes into a run's fingerprint. ``scorers`` are the
    official metrics of this benchmark (names of ``harness.scoring.official``). ``about`` is facts for
    reports and listings (source, licence, revision, variant).
    """

    name: str
    split: str
    examples: tuple[Example, ...]
    prompt: Prompt = Prompt()
    rules: Rules = Rules()
    dialect: str = "sqlite"
    scorers: tuple[str, ...] = ()
    max_new_tokens: int = 256
    data_hash: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The raw text that a pair wrote for an example, and what it cost.

    ``finish`` is "stop", "length" (cut at the token limit) or "prompt_too_long" (nothing was
    generated). ``sample`` counts from 0 where several are drawn.
    """

    id: str
    pair: str
    text: str
    prompt_tokens: int = 0
    new_tokens: int = 0
    finish: Literal["stop", "length", "prompt_too_long", "error"] = "stop"
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The SQL taken out of a completion.

    ``sql`` is None where the pair gave none (a missing line, an empty completion). ``clean`` says
    whether the completion was nothing but SQL; None where there is no completion to ask.
    """

    id: str
    pair: str
    sql: str | None
    completion: str | None = None
    clean: bool | None = None
    finish: str | None = None
    sample: int = 0


VERDICT_VERSION = 4
"""Rises with each change that makes other verdicts: figures of two versions are not compared in silence."""


SAME = "="
"""What the signature of a query begins with that finds the same on every database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the harness holds of one prediction.

    ``exact_match`` compares canonical forms, ``raw_match`` the strings. ``valid_sql``: it parses and
    SQLite prepares it, apart from unknown names; ``schema_adherence``: it names only tables and columns
    that exist.
    ``cause`` names the clause that makes it wrong (None where it is right), ``clauses`` says in how many the
    two texts are seen to differ. ``detail`` is one line for people (an error message, the proof's name).
    ``reading`` is the number of the gold's reading that it equals (0: the literal one), ``gold_number`` that
    of the gold, of several, which it is held against: one that it equals, else the sound one that it differs
    from in the fewest clauses. ``suite_strength`` is the share of near misses, 0 to 1, that
    the example's databases tell from the gold. ``signature`` is equal for predictions whose results are equal
    on all databases of the first gold ("" where it was not asked for). ``widened`` are the tables with a key
    of several columns where one was declared or guessed, as "flights (Airline, FlightNo)". ``official`` holds
    the official metrics, 0 to 1.
    """

    id: str
    pair: str
    outcome: Outcome
    exact_match: bool = False
    raw_match: bool = False
    valid_sql: bool = False
    schema_adherence: bool = False
    format_compliance: bool | None = None
    gold_status: GoldStatus = "ok"
    gold_reason: str = ""
    suite_strength: float | None = None
    cause: str | None = None
    clauses: int = 0
    detail: str = ""
    reading: int = 0
    gold_number: int = 0
    sample: int = 0
    signature: str = ""
    widened: tuple[str, ...] = ()
    official: Mapping[str, float] = field(default_factory=dict)
    official_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def execution_match(self) -> bool:
        """Whether the prediction counts as right."""
        return self.outcome.right

    @property
    def counted(self) -> bool:
        """Whether the metrics over sound golds count it."""
        return self.gold_status == "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """The smallest database found on which gold and prediction differ, and both results.

    ``script`` is SQL text (CREATE and INSERT statements) that rebuilds it; ``image`` the bytes of the
    .sqlite file (none where it was read back from a samples file). Rows are tuples of SQLite values; None
    for a result where the query failed, with the message in ``prediction_error``. ``cut`` says what of long
    results is left out ("" for nothing).
    """

    script: str
    image: bytes = b""
    gold_columns: tuple[str, ...]
    gold_rows: tuple[tuple[Any, ...], ...]
    prediction_columns: tuple[str, ...] | None = None
    prediction_rows: tuple[tuple[Any, ...], ...] | None = None
    prediction_error: str | None = None
    cut: str = ""


_ASKED = ("question", "context", "db_id", "database", "kind", "meta")
"""What a sample takes over from its example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Verdict):
    """A verdict with what was asked and answered: one line of ``samples_<benchmark>_<time>.jsonl``.

    The fields that example, prediction and verdict have of their own are described there.
    """

    question: str
    context: str = ""
    gold: str
    db_id: str | None = None
    database: Path | None = None
    kind: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    prediction: str | None = None
    completion: str | None = None
    finish: str | None = None
    witness: Witness | None = None

    @classmethod
    def of(cls, example: Example, prediction: Prediction, verdict: Verdict) -> Self:
        """The sample that the three make."""
        return cls(
            **{one.name: getattr(verdict, one.name) for one in fields(verdict)},
            **{name: getattr(example, name) for name in _ASKED},
            gold=example.golds[verdict.gold_number],
            prediction=prediction.sql,
            completion=prediction.completion,
            finish=prediction.finish,
        )

    @property
    def example(self) -> Example:
        """What was asked, as far as a sample holds it."""
        return Example(id=self.id, gold=self.gold, **{name: getattr(self, name) for name in _ASKED})

    @property
    def notable(self) -> bool:
        """Whether somebody may want to look at it: wrong, forgiven, or judged otherwise by a scorer."""
        return not self.execution_match or self.outcome.marked or any(map(self.apart, self.official))

    @property
    def exposure(self) -> list[str]:
        """What training has seen of it ("table", "skeleton", … or "none"); empty where nobody knows."""
        seen = self.meta.get("exposure") or []
        return [seen] if isinstance(seen, str) else list(seen)

    def apart(self, scorer: str) -> bool:
        """Whether an official scorer judges otherwise than the harness."""
        return scorer in self.official and (self.official[scorer] >= 0.5) != self.execution_match
