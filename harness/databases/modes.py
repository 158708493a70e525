"""The ways in which databases are filled, and the orders in which suites and attacks go through them."""

from __future__ import annotations

from typing import NamedTuple

from harness.sql.dialect import words


class Mode(NamedTuple):
    """How one database is filled; shares are in percent.

    ``rows`` of the tables that the query names; a row satisfies ``all`` conditions, misses ``one``, or draws
    from the pool. ``narrow``: columns that hold few values. ``twins``: rows copied but for one column.
    ``strange``: values that are constants of another column.
    """

    name: str
    rows: tuple[int, int]
    all: int
    one: int
    narrow: int
    twins: int
    nulls: int = 0
    strange: int = 6


MODES: dict[str, Mode] = {
    m.name: m
    for m in (
        Mode("mixed", (12, 20), 35, 40, 40, 15),
        Mode("near", (12, 20), 15, 80, 25, 15, strange=20),
        Mode("narrow", (12, 20), 45, 30, 85, 30),
        Mode("wide", (10, 18), 35, 40, 0, 0),
        Mode("full", (8, 14), 100, 0, 45, 25),
        Mode("few", (3, 6), 35, 55, 20, 10, strange=12),
        Mode("tiny", (1, 3), 60, 30, 20, 0),
        Mode("scarce", (1, 4), 30, 45, 100, 10, strange=10),
        Mode("childless", (0, 3), 60, 30, 20, 0),
        Mode("twins", (10, 16), 50, 30, 40, 70),
        Mode("nulls", (12, 20), 35, 40, 30, 15, 18),
    )
}

LARGE = 30  # thresholds above this are met in "narrow" and "full" databases alone: groups that large are dear
CYCLE = words(
    "mixed near narrow twins scarce wide few childless full near "
    "scarce tiny scarce mixed few scarce near wide scarce twins"
)
AGAINST = words(
    "scarce near few scarce mixed childless scarce wide scarce few twins scarce narrow near scarce few "
    "scarce childless full scarce few mixed scarce near"
)
