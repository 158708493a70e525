"""A split of sql-create-context that holds out tables, not rows.

A context holds only the columns that its query uses, so neither a random split nor one by contexts holds
anything out. Here rows belong together when they may come from the same WikiSQL table or Spider database, or
from tables with the same full header; such a group goes to one side as a whole. To training go groups
with a row of unknown origin, groups with one of the seed recipe's rows, and groups of more than
``LARGE`` rows; the others are dealt by the hash of their first origin's name, which knows nothing of
row order or machine. A row that may come from tables on different sides is dropped. Last, a held-out row is
dropped whose question, or whose question with literals masked together with the used columns, has
occurred on the other side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, NamedTuple

from harness.benchmarks import surface
from harness.benchmarks.origins import Origin

Side = Literal["train", "validation", "test", "dropped"]
LARGE = 100
TEST, VALIDATION = 0.13, 0.03
SEED_ROWS = 1000


class Record(NamedTuple):
    """A row with what splitting and exposure need to know of it.

    ``used`` are the columns that its gold uses (those of the published context), as headers are compared.
    """

    id: str
    question: str
    context: str
    gold: str
    tables: tuple[surface.ContextTable, ...]
    used: frozenset[str]
    origins: tuple[Origin, ...]
    full_context: str | None = None


@dataclass(frozen=True)
class Split:
    """The side of each record, the groups that it may belong to, and how it came about.

    ``counts`` are rows by reason ("eligible", "unknown origin", "seed group", "large group", "ambiguous
    origin", "dropped from test", …), and the number of "groups" and the rows of the "largest group".
    """

    sides: tuple[Side, ...]
    groups: tuple[tuple[int, ...], ...]
    counts: Counter[str] = field(default_factory=Counter)

    def rows(self, side: Side) -> list[int]:
        """The numbers of the records on one side."""
        return [row for row, own in enumerate(self.sides) if own == side]


def seed_rows(total: int, count: int | None = SEED_ROWS, seed: int = 42) -> list[int]:
    """The rows that ``shuffle(seed).select(range(count))`` of ``datasets`` takes out of ``total``."""
    from numpy.random import default_rng

    return [int(row) for row in default_rng(seed).permutation(total)[:count]]


def split(records: Sequence[Record]) -> Split:
    """Deal the records to train, validation and test; the same on every machine."""
    groups, names = group([record.origins for record in records])
    sizes = Counter(own[0] for own in groups if len(own) == 1)
    seeds = {number for row in seed_rows(len(records)) for number in groups[row]}
    kept = {number for number in names if number not in seeds and sizes[number] <= LARGE}
    dealt: dict[int, Side] = {number: _deal(names[number]) if number in kept else "train" for number in names}
    counts: Counter[str] = Counter()
    sides: list[Side] = []
    for own in groups:
        reason = "eligible"
        if not own:
            reason = "unknown origin"
        elif not kept.issuperset(own):
            reason = "large group" if seeds.isdisjoint(own) else "seed group"
        counts[reason] += 1
        possible = {dealt[number] for number in own} or {"train"}
        counts["ambiguous origin"] += len(own) > 1
        counts["dropped as ambiguous"] += len(possible) > 1
        sides.append(possible.pop() if len(possible) == 1 else "dropped")
    counts["groups"] = len(names)
    counts["largest group"] = max(sizes.values(), default=0)
    _drop(records, sides, counts)
    return Split(tuple(sides), tuple(groups), counts)


def group(origins: Sequence[tuple[Origin, ...]]) -> tuple[list[tuple[int, ...]], dict[int, str]]:
    """Connected components over origin and full header: the numbers of the groups that a row may belong
    to (several where its origin is ambiguous, none where it is unknown), and a name for each number."""
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for origin in {origin for own in origins for origin in own}:
        parents[root(f"header {origin.header}")] = root(origin.origin)
    smallest: dict[str, str] = {}
    for node in parents:
        if not node.startswith("header "):
            top = root(node)
            smallest[top] = min(smallest.get(top, node), node)
    numbers = {top: number for number, top in enumerate(sorted(smallest, key=smallest.__getitem__))}
    own_groups = [tuple(sorted({numbers[root(origin.origin)] for origin in own})) for own in origins]
    return own_groups, {number: smallest[top] for top, number in numbers.items()}


def _deal(name: str) -> Side:
    share = int(sha256(f"sql-create-context:{name}".encode()).hexdigest()[:12], 16) / 16**12
    if share < TEST:
        return "test"
    return "validation" if share < TEST + VALIDATION else "train"


def _drop(records: Sequence[Record], sides: list[Side], counts: Counter[str]) -> None:
    """Drop held-out rows that ask what training (for test rows: or validation) has asked."""
    seen: set[object] = set()
    for side in ("train", "validation", "test"):
        own = [row for row, there in enumerate(sides) if there == side]
        marks = [(surface.words(records[row].question), template(records[row])) for row in own]
        if side != "train":
            for row, both in zip(own, marks, strict=True):
                if not seen.isdisjoint(both):
                    sides[row] = "dropped"
                    counts[f"dropped from {side}"] += 1
        seen.update(mark for row, both in zip(own, marks, strict=True) if sides[row] == side for mark in both)


def template(record: Record) -> tuple[str, frozenset[str]]:
    """The question with its literals masked, together with the used columns."""
    return surface.masked(record.question, record.gold), record.used


def stratified(rows: Sequence[int], records: Sequence[Record], count: int) -> list[int]:
    """``count`` of these rows, every query form in its share (largest remainders), in the rows' order.

    Within a form the hash of question and gold decides.
    """
    if count >= len(rows):
        return list(rows)
    strata: dict[str, list[int]] = {}
    for row in rows:
        strata.setdefault(surface.form(records[row].gold), []).append(row)
    exact = {name: count * len(own) / len(rows) for name, own in strata.items()}
    shares = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: count - sum(shares.values())]:
        shares[name] += 1
    chosen: set[int] = set()
    for name, own in strata.items():
        chosen.update(sorted(own, key=lambda row: _draw(records[row]))[: shares[name]])
    return [row for row in rows if row in chosen]


def _draw(record: Record) -> str:
    return sha256(f"{record.question}\n{record.gold}".encode()).hexdigest()
