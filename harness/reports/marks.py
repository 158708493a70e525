"""Which examples each pair has right, read from results files, and two pairs held side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from harness.errors import DataError
from harness.measures import BOUNDS
from harness.runs.results import Entry

from .statistics import Bounded, PairedDifference, paired_difference


class Paired(NamedTuple):
    """Of ``n`` examples that both count, those right ``before`` and ``after``, and those that flipped."""

    n: int
    before: int
    after: int
    fixed: int
    broken: int


@dataclass(frozen=True, slots=True)
class Marks:
    """A metric's digits by example: "1" right, "0" wrong, "x" not counted."""

    ids: tuple[str, ...]
    digits: str

    def against(self, before: Marks) -> Paired:
        """These, after, held against others, before, over the examples that both count."""
        known = before
        if before.ids != self.ids:
            by_id = dict(zip(before.ids, before.digits, strict=True))
            known = Marks(self.ids, "".join(by_id.get(id_, "x") for id_ in self.ids))
        both = self._bits("01") & known._bits("01")
        now, was = self._bits("1") & both, known._bits("1") & both
        return Paired(
            both.bit_count(),
            was.bit_count(),
            now.bit_count(),
            (now & ~was).bit_count(),
            (was & ~now).bit_count(),
        )

    def flips(self, before: Marks) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The ids of those that are right after alone, and before alone."""
        known = dict(zip(before.ids, before.digits, strict=True))
        changed = {"01": [], "10": []}  # type: dict[str, list[str]]
        for id_, digit in zip(self.ids, self.digits, strict=True):
            changed.get(known.get(id_, "x") + digit, []).append(id_)
        return tuple(changed["01"]), tuple(changed["10"])

    def _bits(self, digits: str) -> int:
        table = str.maketrans({digit: str(int(digit in digits)) for digit in "01x"})
        return int(self.digits.translate(table) or "0", 2)


def bounded(before: dict[str, Marks], after: dict[str, Marks]) -> Bounded | None:
    """The paired difference in execution accuracy with its bounds; None where a side keeps no mark of it."""

    def difference(metric: str) -> PairedDifference | None:
        if metric not in before or metric not in after:
            return None
        table = after[metric].against(before[metric])
        return paired_difference(table.fixed, table.broken, table.n)

    counted = difference("execution_accuracy")
    return counted and Bounded(counted, *map(difference, BOUNDS))


def read_marks(entry: Entry) -> dict[str, Marks]:
    """The pair's marks by metric; empty where its file keeps none."""
    kept = entry.results.marks.get(entry.benchmark.name)
    if kept is None:
        return {}
    try:
        ids = tuple(map(str, kept["ids"]))
        read = {metric: Marks(ids, digits) for metric, digits in kept[entry.pair.pair].items()}
        if all(len(one.digits) == len(ids) and set(one.digits) <= set("01x") for one in read.values()):
            return read
    except (KeyError, AttributeError, TypeError):
        pass
    raise DataError(f"the marks in {entry.results.path} are malformed", "write that file again")
