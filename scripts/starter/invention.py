"""Invented schemas: what keeps the starter model from learning the training domains by heart.

Names are made of words drawn from a letter model of the training domains' own words, so that nothing
of the other splits can leak in. Some share a first word or a beginning (``claim``, ``claimant``),
which is where a small model copies wrongly.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from .domains import Domain, DomainColumn, DomainTable, domains, pool_words

_VARIED = ("person", "city", "country", "title", "word", "firm")


class Inventor:
    """Draws words, values and schemas from ``rng``.

    ``spelled`` is the share of made-up words that are two to four of ``pieces`` (a tokenizer's tokens of
    small letters) in a row, so that the model meets every token; the others come of the letter model.
    """

    def __init__(self, rng: random.Random, *, pieces: Sequence[str] = (), spelled: float = 0.0) -> None:
        self.rng = rng
        self.pieces = pieces
        self.spelled = spelled

    def schema(self, invented: float) -> Domain:
        """A schema for one example: invented with that probability, else a varied training domain."""
        return self._invented() if self.rng.random() < invented else self._varied()

    def word(self) -> str:
        """A made-up lower-case word of three to twelve letters."""
        letters = _letters()
        while True:
            if self.spelled and self.rng.random() < self.spelled:
                made = "".join(self.rng.choice(self.pieces) for _ in range(self.rng.choice((2, 2, 3, 3, 4))))
            else:
                text = "^^"
                while not text.endswith("$") and len(text) < 13:
                    text += self.rng.choice(letters[text[-2:]])
                made = text[2:-1] if text.endswith("$") else ""
            if 3 <= len(made) <= 12 and made not in _SQL:
                return made

    def _varied(self) -> Domain:
        """A training domain; half the time with columns left out, in another order, and other values."""
        domain = self.rng.choice([domain for domain in domains() if domain.split == "train"])
        if self.rng.random() < 0.4:
            return domain
        return replace(domain, tables=tuple(self._thinned(table) for table in domain.tables))

    def _thinned(self, table: DomainTable) -> DomainTable:
        links = [column for column in table.columns if column.key or column.references]
        own = [column for column in table.columns if column not in links]
        kept = self.rng.sample(own, self.rng.randint(min(3, len(own)), len(own)))
        columns = [self._revalued(column) if self.rng.random() < 0.4 else column for column in links + kept]
        self.rng.shuffle(columns)
        return replace(table, columns=tuple(columns))

    def _revalued(self, column: DomainColumn) -> DomainColumn:
        if not column.text:
            return column
        made = tuple(self._values() for _ in range(5))
        return replace(column, pool="", choices=tuple(dict.fromkeys(made)))

    def _values(self) -> str:
        """One invented text: mostly capitalised, one to three words."""
        parts = [
            self.word() if self.rng.random() < 0.8 else self._known()
            for _ in range(self.rng.choice((1, 1, 2, 2, 3)))
        ]
        return " ".join(parts) if self.rng.random() < 0.3 else " ".join(part.capitalize() for part in parts)

    def _invented(self) -> Domain:
        names = self._fresh(self.rng.choice((1, 2, 2, 2, 3)))
        tables: list[DomainTable] = []
        for number, name in enumerate(names):
            links = [other for other in names[:number] if self.rng.random() < (0.85 if number == 1 else 0.6)]
            columns = [DomainColumn(f"{name}_id", key=True)]
            columns += [DomainColumn(f"{other}_id", references=other) for other in links]
            columns += self._columns(name)
            if self.rng.random() < 0.5:
                head, rest = columns[:1], columns[1:]
                self.rng.shuffle(rest)
                columns = head + rest
            tables.append(DomainTable(name, plural(name.replace("_", " ")), tuple(columns)))
        return Domain("invented", "train", tuple(tables))

    def _columns(self, table: str) -> list[DomainColumn]:
        found: dict[str, DomainColumn] = {}
        last = table
        for _ in range(self.rng.choice((3, 4, 4, 5, 5, 6))):
            own, other = self._part(), self._part()
            draw = self.rng.random()
            if draw < 0.35:
                name = f"{table}_{own}"
            elif draw < 0.72:
                name = f"{own}_{other}"
            elif draw < 0.82:
                name = f"{last}_{own}"
            elif draw < 0.90:
                name = (
                    own
                    + self.rng.choice(("er", "ant", "ing", "ist", "al", "ed"))
                    + self.rng.choice(("", f"_{other}"))
                )
            else:
                name = own
            if name.count("_") < 3 and name not in found and name not in _SQL and not name.endswith("_id"):
                found[name] = self._typed(name)
                last = own
        return list(found.values())

    def _typed(self, name: str) -> DomainColumn:
        if self.rng.random() < 0.5:
            low, high = self.rng.choice(((0, 9), (1, 60), (5, 400), (100, 9000), (1000, 90000), (1900, 2024)))
            return DomainColumn(name, low=low, high=high)
        if self.rng.random() < 0.5:
            return DomainColumn(name, pool=self.rng.choice(_VARIED))
        return DomainColumn(name, choices=tuple(dict.fromkeys(self._values() for _ in range(4))))

    def _part(self) -> str:
        return self.word() if self.rng.random() < 0.55 else self._known()

    def _known(self) -> str:
        return self.rng.choice(_vocabulary())

    def _fresh(self, count: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            name = self._part() if self.rng.random() < 0.9 else f"{self._part()}_{self._part()}"
            if name not in _SQL:
                found[name] = None
        return list(found)


def plural(phrase: str) -> str:
    """The phrase for several: ``party`` to ``parties``, ``dish`` to ``dishes``."""
    if re.search(r"[^aeiou]y$", phrase):
        return phrase[:-1] + "ies"
    return phrase + ("es" if re.search(r"(s|x|ch|sh)$", phrase) else "s")


@cache
def _vocabulary() -> tuple[str, ...]:
    """Every word of the training domains' names and values, without SQL's own."""
    found: dict[str, None] = {}
    for domain in domains():
        if domain.split == "train":
            for table in domain.tables:
                for column in table.columns:
                    for part in column.name.split("_") + [
                        part.lower() for choice in column.choices for part in choice.split()
                    ]:
                        found[part] = None
    for text in pool_words("train"):
        found[text.lower()] = None
    return tuple(part for part in found if part.isalpha() and len(part) > 2 and part not in _SQL)


@cache
def _letters() -> dict[str, tuple[str, ...]]:
    """For every two letters, what may follow, as often as it does in the vocabulary."""
    found: dict[str, list[str]] = defaultdict(list)
    for text in _vocabulary():
        spelled = f"^^{text}$"
        for n in range(2, len(spelled)):
            found[spelled[n - 2 : n]].append(spelled[n])
    return {pair: tuple(after) for pair, after in found.items()}


_RESERVED = (
    "select from where and or not in like between group by order having limit join on as distinct count "
    "sum avg min max asc desc create table integer varchar null is all any each every case cast check "
    "column default index add alter drop set values union with when then else end exists for to of the "
    "a an it its no key primary foreign references unique using natural left right full outer inner "
    "cross into delete update insert if transaction commit rollback trigger view begin collate "
    "constraint except escape glob match regexp intersect isnull notnull offset over window returning "
    "nothing do filter partition "
)
_SQL = frozenset(_RESERVED.split())
