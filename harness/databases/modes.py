"""The ways in which databases are filled, and the orders in which suites and attacks go through them."""

from __future__ import annotations

from typing import NamedTuple

from harness.sql.dialect import words


class Mode(NamedTuple):
    """How one database is filled; shares are in percent.

    ``rows`` of the tables that the query names; a row satisfies ``all`` conditions, misses ``one``, or draws
    from the pool. ``narrow``: columns that hold few values. ``twins``: rows copied but for one column.
    ``strange``: values that are constants of another column. ``asked``: columns that hold few of the
    constants that they are compared with, and little else. ``bare``: tables without rows, where there
    are several. ``loose``: bare columns beside GROUP BY need not follow its columns. ``tied``: sorted columns
    hold two to four values.
    """

    name: str
    rows: tuple[int, int]
    all: int
    one: int
    narrow: int
    twins: int
    nulls: int = 0
    strange: int = 6
    asked: int = 0
    bare: int = 0
    loose: bool = False
    tied: bool = False


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
        Mode("tied", (7, 12), 70, 15, 40, 0, tied=True),
        Mode("lone", (10, 18), 35, 40, 0, 0, 1),
        Mode("pair", (1, 2), 25, 35, 100, 10, strange=8, asked=90, loose=True),
        Mode("trio", (1, 3), 25, 35, 100, 10, strange=8, asked=90, bare=12, loose=True),
        Mode("handful", (1, 6), 25, 35, 100, 15, strange=8, asked=90, loose=True),
        Mode("group", (1, 1), 60, 30, 100, 0, asked=90, loose=True),
        Mode("crowd", (5, 9), 25, 35, 100, 15, strange=8, asked=90, bare=6, loose=True),
    )
}


class Odds(NamedTuple):
    """What happens in so many of a hundred cases in any mode; tuned on near misses that were missed."""

    grouped: int = 55  # columns that are counted lie in groups around the threshold: the rest stays varied
    grouped_large: int = 90  # … around a large one, which two databases alone are large enough to meet
    few_groups: int = 70  # references so few that a group of them can pass the threshold
    parents: tuple[int, int] = (
        55,
        35,
    )  # share of parents referred to, and what is added at most: some have none
    few_parents: int = 20  # one to four parents alone are referred to: groups grow, the others have no child
    scattered: int = 50  # keys do not ascend: the order of keys is not the order of rows
    skewed: int = 50  # compared columns hold the constants more often than their neighbours
    nullable: int = 20  # NULLs in a column that is asked for NULLs: enough to be met, too few to be the rule
    met_again: int = 70  # columns met in two parts of a query hold few values, or the parts share nothing
    sorted_apart: int = 75  # sorted columns are not narrow: ties say nothing
    constants: int = 60  # a column that conditions name holds the constants also where no row is aimed
    disputed: int = 40  # a value on which the two queries' conditions disagree
    key_asked: int = 30  # a key is one that conditions ask for; the first row's always is
    outlier: int = 30  # a row that must not count is the largest or least of all: MAX and LIMIT show it
    outlier_aimed: int = 50  # … where two queries part on conditions
    aimed: int = 70  # the conditions aimed at are of a source where the two queries part
    missed_aimed: int = 60  # the one condition that a row misses is one on which they part
    loose: int = 70  # under an OR or a NOT a row meets any of the conditions,
    loose_mask: int = 60  # … mostly a mix of them, else just one
    balanced: int = 70  # sums and averages of groups are just what HAVING compares them with
    neighbours: int = 60  # a scarce column has neighbours of its constants too,
    usual: int = 40  # … and one of its usual values
    apart: int = 85  # the part of a key that is not counted is varied where groups must be large
    largest: int = 50  # an outlier is the largest, else the least


ODDS = Odds()

FEW = 3  # groups above this are not had by chance where a key of two columns holds few values
LARGE = 30  # thresholds above this are met in "narrow" and "full" databases alone: groups that large are dear
CYCLE = words(
    "mixed near narrow twins scarce wide few childless full near "
    "scarce tiny scarce mixed few scarce near wide scarce twins"
)
AGAINST = words(
    "scarce near few scarce mixed childless scarce wide scarce few twins scarce narrow near scarce few "
    "scarce childless full scarce few mixed scarce near"
)
ATTACK = words(
    "mixed pair trio handful crowd pair trio handful crowd narrow pair trio handful crowd "
    "pair trio handful crowd near pair trio handful crowd pair trio handful crowd"
)
