"""The domains of the starter benchmark: small schemas written by hand, and the values their columns hold.

They are read from ``domains.txt``, one domain a line. A table's name belongs to one domain, so
the splits share no schema. The pools of names, cities and titles are cut in two as well: what a
training question asks for never occurs in a validation or test question.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_WORDS = {
    "first": "Alma Boris Carla Dmitri Elena Felix Greta Hugo Ines Jonas Karin Liam Mona Nils Olga Pablo Rosa "
    "Stefan Tina Ursula Viktor Wanda Yusuf Zoe Amir Bianca Cedric Dora Emil Farah Gustav Hanna Igor Jelena "
    "Kofi Lucia Marek Nadia Oscar Petra Ravi Selma Tomas Una Vera Walter Ximena Yara Anton Birgit",
    "last": "Abbott Berger Castro Dalton Eklund Fischer Garner Holt Ivanov Jensen Keller Lindgren Moreno "
    "Novak Okafor Petrov Quinn Romero Sato Tanner Ulrich Vargas Weber Young Zimmer Alvarez Brandt Conway "
    "Duarte Egger Foster Grimaldi Hansen Iqbal Jovanovic Kowalski Lambert Mancini Norberg Oliveira Paulsen "
    "Rossi",
    "city": "Ashford Bergen Calder Dunmore Elwood Fairhaven Granada Halden Ipswich Jarrow Kelso Lisbon Malmo "
    "Norwich Oporto Padua Quimper Ravenna Salerno Tromso Utrecht Verona Wexford Ystad Zagreb Arlington "
    "Brighton Cordoba Dresden Exeter Florence Ghent Harwich Innsbruck Kendal Lucerne Marseille Nantes "
    "Ostrava Palermo Rostock Seville Turin Uppsala Valencia Winchester",
    "country": "Argentina Belgium Canada Denmark Ecuador Finland Germany Hungary Iceland Japan Kenya Latvia "
    "Morocco Norway Oman Portugal Romania Spain Turkey Uganda Vietnam Zambia Austria Brazil Chile Estonia "
    "France Greece India Jordan Lithuania Mexico Nepal Peru Slovenia Sweden",
    "adjective": "Amber Broken Crimson Distant Early Frozen Golden Hidden Iron Jade Kind Last Misty Northern "
    "Open Pale Quiet Rising Silver Tall Upper Violet Wild Young Ancient Bright Cold Deep Eastern Famous "
    "Gentle Hollow Little Mighty New Old Proud Rapid Stone White",
    "thing": "Anchor Bell Castle Dawn Eagle Forest Garden Harbor Island Journey Kingdom Lantern Meadow Night "
    "Orchard Palace Quarry River Summit Tower Valley Window Arrow Bridge Crown Dragon Ember Falcon Gate "
    "Horizon Lagoon Mirror Needle Ocean Path Raven Shadow Temple Voyage Willow",
    "word": "Arbelo Brinda Calico Dorset Elmira Fennel Galena Hespera Indra Juniper Kestrel Lumen Marengo "
    "Nimbus Orsino Pippin Quillon Rufus Sorrel Tansy Umbra Vesper Wicket Xanthe Yarrow Zephyr Acacia Bramble "
    "Comet Dahlia Egret Ferrum Gorse Heron Ivory Jasper Koala Linnet Myrtle Nettle Opal Poppy Rowan Sable",
    "firm": "Apex Borealis Cobalt Delta Equinox Fulcrum Gemini Helix Ionic Keystone Lumina Meridian Nova "
    "Orbit Pinnacle Quantum Radius Solstice Titan Vertex Argon Beacon Cascade Dynamo Element Fusion Granite "
    "Horizon",
    "suffix": "Group Works Motors Labs Partners Lines Trading Systems Brothers Industries Holdings Foods",
}
_POOLS = {
    "person": ("first", "last"),
    "city": ("city",),
    "country": ("country",),
    "title": ("adjective", "thing"),
    "word": ("word",),
    "firm": ("firm", "suffix"),
}
_COLUMN = re.compile(
    r"(?P<name>[a-z_]+)(?:(?P<key>\*)|>(?P<to>[a-z_]+)|#(?P<range>[\d-]+)|@(?P<pool>\w+)|=(?P<of>.+))"
)


@dataclass(frozen=True, slots=True)
class DomainColumn:
    """A column and what it holds: whole numbers from ``low`` to ``high``, a ``pool``'s or ``choices``' text.

    ``key`` marks the table's key, ``references`` names the table whose key a reference column holds.
    """

    name: str
    key: bool = False
    references: str | None = None
    low: int = 0
    high: int = 0
    pool: str = ""
    choices: tuple[str, ...] = ()

    @property
    def text(self) -> bool:
        """Whether it holds text."""
        return bool(self.pool or self.choices)

    @property
    def number(self) -> bool:
        """Whether it holds numbers that mean something, which keys and references do not."""
        return not (self.text or self.key or self.references)

    @property
    def phrase(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class DomainTable:
    """A table; ``plural`` is the phrase for several of its rows."""

    name: str
    plural: str
    columns: tuple[DomainColumn, ...]

    @property
    def phrase(self) -> str:
        """The phrase for one of its rows."""
        return self.name.replace("_", " ")

    @property
    def key(self) -> DomainColumn:
        """The key column."""
        return next(column for column in self.columns if column.key)

    def create(self) -> str:
        """The CREATE statement."""
        columns = ", ".join(
            f"{column.name} {'VARCHAR' if column.text else 'INTEGER'}" for column in self.columns
        )
        return f"CREATE TABLE {self.name} ({columns})"


@dataclass(frozen=True, slots=True)
class Domain:
    """A schema of one to three tables and the split that it belongs to."""

    name: str
    split: Split
    tables: tuple[DomainTable, ...]

    @property
    def context(self) -> str:
        """The CREATE statements, in the form of sql-create-context."""
        return "; ".join(table.create() for table in self.tables)

    @property
    def references(self) -> tuple[tuple[DomainTable, DomainColumn, DomainTable], ...]:
        """Every (table, reference column, table that it points to)."""
        tables = {table.name: table for table in self.tables}
        return tuple(
            (table, column, tables[column.references])
            for table in self.tables
            for column in table.columns
            if column.references in tables
        )


@cache
def domains() -> tuple[Domain, ...]:
    """All domains in the file's order."""
    found, split = [], SPLITS[0]
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            split = next(name for name in SPLITS if line == f"[{name}]")
        elif line and not line.startswith("#"):
            name, *tables = line.split(" | ")
            found.append(Domain(name, split, tuple(_table(text) for text in tables)))
    return tuple(found)


def value(column: DomainColumn, split: Split, rng: random.Random) -> str:
    """A text that ``column`` may hold, out of the split's part of its pool."""
    if column.choices:
        return rng.choice(column.choices)
    return " ".join(rng.choice(_part(words, split)) for words in _POOLS[column.pool])


def pool_words(split: Split) -> tuple[str, ...]:
    """Every word of the split's part of the pools."""
    return tuple(dict.fromkeys(word for name in _WORDS for word in _part(name, split)))


@cache
def _part(words: str, split: Split) -> tuple[str, ...]:
    everything = _WORDS[words].split()
    if words == "suffix":
        return tuple(everything)
    return tuple(word for n, word in enumerate(everything) if (n % 3 == 2) != (split == "train"))


def _table(text: str) -> DomainTable:
    head, _, columns = text.partition(": ")
    name, _, plural = head.partition("+")
    return DomainTable(
        name, (plural or f"{name}s").replace("_", " "), tuple(_column(part) for part in columns.split(", "))
    )


def _column(text: str) -> DomainColumn:
    match = _COLUMN.fullmatch(text.strip())
    assert match is not None, text
    low, _, high = (match["range"] or "0-0").partition("-")
    return DomainColumn(
        match["name"],
        key=match["key"] is not None,
        references=match["to"],
        low=int(low),
        high=int(high),
        pool=match["pool"] or "",
        choices=tuple((match["of"] or "").split("/")) if match["of"] else (),
    )
