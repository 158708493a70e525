"""Invented schemas: what keeps the starter model from learning the training domains by heart.

Names are made of words drawn from a letter model of the training domains' own words, so that nothing
of the other splits can leak in. Some share a first word or a beginning (``claim``, ``claimant``),
which is where a small model copies wrongly.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache

from harness.benchmarks.starter_domains import Column, Domain, Table, domains, pool_words

_VARIED = ("person", "city", "country", "title", "word", "firm")


def invent(rng: random.Random, invented: float) -> Domain:
    """A schema for one training example: invented with that probability, else a varied training domain."""
    return _invented(rng) if rng.random() < invented else _varied(rng)


def word(rng: random.Random) -> str:
    """A made-up lower-case word of three to ten letters."""
    letters = _letters()
    while True:
        text = "^^"
        while not text.endswith("$") and len(text) < 13:
            text += rng.choice(letters[text[-2:]])
        if text.endswith("$") and len(text) >= 6 and text[2:-1] not in _SQL:
            return text[2:-1]


def _varied(rng: random.Random) -> Domain:
    """A training domain; half the time with columns left out, in another order, and other values."""
    domain = rng.choice([domain for domain in domains() if domain.split == "train"])
    if rng.random() < 0.4:
        return domain
    return replace(domain, tables=tuple(_thinned(table, rng) for table in domain.tables))


def _thinned(table: Table, rng: random.Random) -> Table:
    links = [column for column in table.columns if column.key or column.references]
    own = [column for column in table.columns if column not in links]
    kept = rng.sample(own, rng.randint(min(3, len(own)), len(own)))
    columns = [_revalued(column, rng) if rng.random() < 0.4 else column for column in links + kept]
    rng.shuffle(columns)
    return replace(table, columns=tuple(columns))


def _revalued(column: Column, rng: random.Random) -> Column:
    if not column.text:
        return column
    made = tuple(_values(rng) for _ in range(5))
    return replace(column, pool="", choices=tuple(dict.fromkeys(made)))


def _values(rng: random.Random) -> str:
    """One invented text: mostly capitalised, one to three words."""
    parts = [word(rng) if rng.random() < 0.8 else _known(rng) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    return " ".join(parts) if rng.random() < 0.3 else " ".join(part.capitalize() for part in parts)


def _invented(rng: random.Random) -> Domain:
    names = _fresh(rng, rng.choice((1, 2, 2, 2, 3)))
    tables: list[Table] = []
    for number, name in enumerate(names):
        links = [other for other in names[:number] if rng.random() < (0.85 if number == 1 else 0.6)]
        columns = [Column(f"{name}_id", key=True)]
        columns += [Column(f"{other}_id", references=other) for other in links]
        columns += _columns(name, rng)
        if rng.random() < 0.5:
            head, rest = columns[:1], columns[1:]
            rng.shuffle(rest)
            columns = head + rest
        tables.append(Table(name, plural(name.replace("_", " ")), tuple(columns)))
    return Domain("invented", "train", tuple(tables))


def _columns(table: str, rng: random.Random) -> list[Column]:
    found: dict[str, Column] = {}
    last = table
    for _ in range(rng.choice((3, 4, 4, 5, 5, 6))):
        own, other = _part(rng), _part(rng)
        draw = rng.random()
        if draw < 0.35:
            name = f"{table}_{own}"
        elif draw < 0.72:
            name = f"{own}_{other}"
        elif draw < 0.82:
            name = f"{last}_{own}"
        elif draw < 0.90:
            name = own + rng.choice(("er", "ant", "ing", "ist", "al", "ed")) + rng.choice(("", f"_{other}"))
        else:
            name = own
        if name.count("_") < 3 and name not in found and name not in _SQL and not name.endswith("_id"):
            found[name] = _typed(name, rng)
            last = own
    return list(found.values())


def _typed(name: str, rng: random.Random) -> Column:
    if rng.random() < 0.5:
        low, high = rng.choice(((0, 9), (1, 60), (5, 400), (100, 9000), (1000, 90000), (1900, 2024)))
        return Column(name, low=low, high=high)
    if rng.random() < 0.5:
        return Column(name, pool=rng.choice(_VARIED))
    return Column(name, choices=tuple(dict.fromkeys(_values(rng) for _ in range(4))))


def _part(rng: random.Random) -> str:
    return word(rng) if rng.random() < 0.55 else _known(rng)


def _known(rng: random.Random) -> str:
    return rng.choice(_vocabulary())


def _fresh(rng: random.Random, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        name = _part(rng) if rng.random() < 0.9 else f"{_part(rng)}_{_part(rng)}"
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
