"""The frozen records that travel from room to room, in the order in which they come to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple

Case = Literal["exact", "ignore"]
Keys = Literal["sound", "declared", "loose"]
Types = Literal["inferred", "declared"]
GoldStatus = Literal["ok", "uninformative", "broken"]
Form = Literal["chat", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """How a question is put to a model.

    ``user`` is a template over ``{context}``, ``{question}`` and ``{evidence}``; braces in data are safe.
    ``form`` "chat" goes through a chat template (``chat_template`` or the tokenizer's), "plain" is the
    template's text itself; ``plain`` is the template to use where a chat prompt meets a tokenizer without a
    chat template. ``origin`` says where the prompt came from: "benchmark", "adapter" or a path.
    """

    user: str = "{context}\nQuestion: {question}"
    system: str | None = "You are a SQL expert."
    form: Form = "chat"
    chat_template: str | None = None
    plain: str = "{context}\n-- {question}\n"
    origin: str = "benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The policy under which two results are held to be the same; every field is one named rule.

    case: does text differ by case alone ("exact") or not ("ignore").
    keys: "sound" databases (recognised keys unique, not NULL, not dangling), only the "declared" keys
        so, or "loose" (none).
    types: "inferred" reads a column that the gold uses as a number as a number, "declared" keeps
        the type that the CREATE statement states.
    nulls: is a difference that shows on NULLs alone forgiven ("forgive") or counted wrong ("count").
    ties: the same for a difference that shows on ties of a superlative alone.
    columns: may the columns of a result be permuted ("any") or not ("exact").
    distinct: does DISTINCT count ("count") or is it stripped from both queries ("strip").
    readings: are several readings of a gold with a questionable literal accepted ("all"), or only the
        literal one ("literal").
    """

    case: Case = "ignore"
    keys: Keys = "sound"
    types: Types = "inferred"
    nulls: Literal["forgive", "count"] = "forgive"
    ties: Literal["forgive", "count"] = "forgive"
    columns: Literal["any", "exact"] = "any"
    distinct: Literal["count", "strip"] = "count"
    readings: Literal["all", "literal"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question with its schema and its gold.

    ``context`` holds CREATE statements. ``database`` is a real SQLite file where the benchmark has
    one; else databases are made from ``context``. ``row`` is its place, from 0, in the benchmark's data
    before any of them were chosen. ``kind`` is the benchmark's own name for the form of the question
    ("join", "hard", …), used for breakdowns. ``meta`` carries what a scorer or a report
    of that benchmark needs (JSON values).
    """

    id: str
    question: str
    context: str
    gold: str
    db_id: str | None = None
    database: Path | None = None
    row: int | None = None
    evidence: str | None = None
    kind: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


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


class Outcome(StrEnum):
    """How a prediction ended. The first five count as right."""

    EXACT = "exact"
    EQUIVALENT = "equivalent"
    INDISTINGUISHABLE = "indistinguishable"
    NULL_ONLY = "null_only"
    TIE_ONLY = "tie_only"
    WRONG = "wrong"
    SYNTAX_ERROR = "syntax_error"
    SCHEMA_ERROR = "schema_error"
    EXECUTION_ERROR = "execution_error"
    TIMEOUT = "timeout"
    DENIED = "denied"
    UNTRANSPILABLE = "untranspilable"
    MISSING = "missing"

    @property
    def right(self) -> bool:
        """Whether the prediction counts as right in execution accuracy."""
        return self in _RIGHT


_RIGHT = frozenset(
    {Outcome.EXACT, Outcome.EQUIVALENT, Outcome.INDISTINGUISHABLE, Outcome.NULL_ONLY, Outcome.TIE_ONLY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the harness holds of one prediction.

    ``exact_match`` compares canonical forms, ``raw_match`` the strings. ``valid_sql``: it parses and
    SQLite prepares it, apart from unknown names; ``schema_adherence``: it names only tables and columns
    that exist.
    ``cause`` names the clause that makes it wrong (None where it is right). ``detail`` is one line for
    people (an error message, the proof's name). ``reading`` is the number of the gold's reading that
    it equals (0 is the literal one). ``suite_strength`` is the share of near misses, 0 to 1, that
    the example's databases tell from the gold. ``signature`` is equal for predictions whose results are
    equal on all of them ("" where it was not asked for). ``official`` holds the official metrics, 0 to 1.
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
    detail: str = ""
    reading: int = 0
    sample: int = 0
    signature: str = ""
    official: Mapping[str, float] = field(default_factory=dict)
    official_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def execution_match(self) -> bool:
        """Whether the prediction counts as right."""
        return self.outcome.right


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """The smallest database found on which gold and prediction differ, and both results.

    ``script`` is SQL text (CREATE and INSERT statements) that rebuilds it; ``image`` the bytes of the
    .sqlite file. Rows are tuples of SQLite values; None for a result where the query failed, with
    the message in ``prediction_error``.
    """

    script: str
    image: bytes
    gold_columns: tuple[str, ...]
    gold_rows: tuple[tuple[Any, ...], ...]
    prediction_columns: tuple[str, ...] | None
    prediction_rows: tuple[tuple[Any, ...], ...] | None
    prediction_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One line of ``samples_<benchmark>_<time>.jsonl``: an example, a pair's prediction and its verdict."""

    example: Example
    prediction: Prediction
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object; the names are those that scripts rely on."""
        verdict = asdict(self.verdict)
        official = verdict.pop("official")
        return {
            "id": self.example.id,
            "pair": self.verdict.pair,
            "sample": verdict.pop("sample"),
            "question": self.example.question,
            "context": self.example.context,
            "gold": self.example.gold,
            "db_id": self.example.db_id,
            "database": str(self.example.database) if self.example.database else None,
            "kind": self.example.kind,
            "meta": dict(self.example.meta),
            "prediction": self.prediction.sql,
            "completion": self.prediction.completion,
            "finish": self.prediction.finish,
            "execution_match": self.verdict.execution_match,
            **{key: value for key, value in verdict.items() if key not in {"id", "pair"}},
            "outcome": self.verdict.outcome.value,
            **official,
        }


class Metric(NamedTuple):
    """A share with its interval: ``n`` examples counted, ``excluded`` left out (flagged golds)."""

    value: float
    low: float
    high: float
    n: int
    excluded: int = 0
