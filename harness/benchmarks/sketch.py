"""WikiSQL's form of a query: one column, an aggregate or none, conditions joined by AND."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, NamedTuple

from harness.benchmarks.spider_schema import quote

AGGREGATES = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
OPERATORS = ("=", ">", "<")

SketchValue = str | int | float
SketchCondition = tuple[int, int, SketchValue]


class Sketch(NamedTuple):
    """``SELECT aggregate(column) WHERE …``, all by number: columns of the header, AGGREGATES, OPERATORS."""

    sel: int
    agg: int
    conds: tuple[SketchCondition, ...] = ()

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> Sketch:
        """From the release's own form ``{"sel", "agg", "conds"}``.

        Raises KeyError, TypeError or ValueError where it is not of that form.
        """
        conds = tuple((index(column), index(operator), value) for column, operator, value in form["conds"])
        return cls(index(form["sel"]), index(form["agg"]), conds)

    @property
    def form(self) -> dict[str, Any]:
        """The release's own form, of JSON values."""
        return {"sel": self.sel, "agg": self.agg, "conds": [list(condition) for condition in self.conds]}

    @property
    def used(self) -> list[int]:
        """The columns that it names, each once: the selected one first."""
        return list(dict.fromkeys([self.sel, *(column for column, _, _ in self.conds)]))

    def to_sql(self, table: str, columns: Sequence[str]) -> str | None:
        """SQL text over the table's real names, or None where it names what is not there.

        Values stay as the release has them, a number bare and a string in quotes, so that a sketch can be
        read back from the text as it was.

        >>> Sketch(0, 3, ((1, 1, 5), (2, 0, "A"))).to_sql("t", ["No", "Year", "Team"])
        "SELECT COUNT(No) FROM t WHERE Year > 5 AND Team = 'A'"
        """
        places = [self.sel, self.agg, *(number for condition in self.conds for number in condition[:2])]
        if min(places) < 0:
            return None
        try:
            selected, aggregate = quote(columns[self.sel]), AGGREGATES[self.agg]
            conditions = [
                f"{quote(columns[column])} {OPERATORS[operator]} {_literal(value)}"
                for column, operator, value in self.conds
            ]
        except IndexError:
            return None
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {f'{aggregate}({selected})' if aggregate else selected} FROM {table}{where}"


def _literal(value: SketchValue) -> str:
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"
