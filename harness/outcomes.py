"""How a prediction can end: each outcome with what it counts, means, assumes and shows.

What grants an outcome stands in ``harness.scoring.verdict``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple, Self

Counts = Literal["right", "marked", "assumed", "wrong"]
DatabaseKind = Literal["fair", "unstable", "nulls", "ties", "keys"]


class Assumption(NamedTuple):
    """What holds of a prediction that differs on one kind of database alone.

    ``rule`` is the rule of a verdict that can withdraw it, ``where`` says what these databases show.
    """

    kind: DatabaseKind
    rule: str
    where: str


class Outcome(StrEnum):
    """How a prediction ended: its name, how it counts, and what that means.

    "marked" ones count as right under an assumption that a rule of the verdict can withdraw, "assumed" ones
    in the lenient score alone; ``assumes`` is what a kind of probe withdraws. ``shows`` is whether there is
    something that a database can show. They stand from the best to the worst: of several golds the first that
    one of them gives is the verdict.

    >>> Outcome.TIE_ONLY.right, Outcome.TIE_ONLY.marked, Outcome.SCHEMA_ERROR.words
    (True, True, 'schema error')
    """

    EXACT = "exact", "right", "the gold itself, after normalising"
    EQUIVALENT = "equivalent", "right", "another form, proved to mean the same"
    INDISTINGUISHABLE = (
        "indistinguishable",
        "right",
        "another form, same answer on every database tried, not proved",
    )
    NULL_ONLY = (
        "null_only",
        "marked",
        "differs only where a value is NULL; counted right",
        Assumption("nulls", "nulls", "where values are NULL"),
    )
    TIE_ONLY = (
        "tie_only",
        "marked",
        "differs only where several rows tie for the first place; counted right",
        Assumption("ties", "ties", "where the superlative is tied"),
    )
    KEY_ONLY = (
        "key_only",
        "marked",
        "differs only where a guessed key repeats or dangles; counted right",
        Assumption("keys", "guesses", "where a guessed key repeats or dangles"),
    )
    REPEAT_GOLD = (
        "repeat_gold",
        "marked",
        "goes by the key where the gold goes by a name, and differs only where names repeat; counted right",
    )
    REPEAT_PREDICTION = (
        "repeat_prediction",
        "assumed",
        "goes by a name where the gold goes by the key, and differs only where names repeat; counted wrong",
    )
    WRONG = "wrong", "wrong", "runs, and answers something else on some database"
    SYNTAX_ERROR = "syntax_error", "wrong", "is not SQL"
    SCHEMA_ERROR = "schema_error", "wrong", "names a table or column that does not exist"
    EXECUTION_ERROR = "execution_error", "wrong", "fails when it runs"
    TIMEOUT = "timeout", "wrong", "ran longer than allowed"
    DENIED = "denied", "wrong", "tried something that the sandbox forbids"
    UNTRANSPILABLE = "untranspilable", "wrong", "has no counterpart in SQLite's dialect", None, False
    MISSING = "missing", "wrong", "no SQL was given", None, False
    HARNESS_ERROR = "harness_error", "wrong", "the harness itself failed on it: its log says how", None, False

    counts: Counts
    meaning: str
    assumes: Assumption | None
    shows: bool

    def __new__(
        cls,
        name: str,
        counts: Counts = "wrong",
        meaning: str = "",
        assumes: Assumption | None = None,
        shows: bool = True,
    ) -> Self:
        """A member; called with a name alone it is the member of that name."""
        member = str.__new__(cls, name)
        member._value_, member.counts, member.meaning = name, counts, meaning
        member.assumes, member.shows = assumes, shows
        return member

    @property
    def right(self) -> bool:
        """Whether the prediction counts as right in execution accuracy."""
        return self.counts in ("right", "marked")

    @property
    def marked(self) -> bool:
        """Whether it counts as right under an assumption."""
        return self.counts == "marked"

    @property
    def words(self) -> str:
        """Its name as people write it; the cause of a prediction that gave no result."""
        return self.value.replace("_", " ")
