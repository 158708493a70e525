"""What mutation operators work on and with: the site of an edit, and the sets they are entered in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sqlglot import exp

from harness.sql.dialect import COMPARISONS, backquote, words
from harness.sql.schema import Table
from harness.sql.statement import Statement

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*\Z")


class Site:
    """Where an operator works: a query, and the texts of its nodes."""

    def __init__(self, query: Statement) -> None:
        self.query, self.text, self.schema = query, query.printed, query.schema
        self.literals = [n for n in query.tree.find_all(exp.Literal) if self.text.of(n)]

    def of(self, node: exp.Expr | None) -> str:
        """The text of a node ("" where it has none of its own)."""
        return (self.text.of(node) or "") if node is not None else ""

    def sources(self, node: exp.Expr) -> dict[str, Table]:
        """Alias and table of the SELECT around a node."""
        return {s.spelling: s.table for s in self.query.scope(node).sources if s.table is not None}

    def columns(self, node: exp.Expr, alias: str | None = None) -> list[str]:
        """Columns that could stand at a node, qualified where several tables are joined."""
        sources = self.sources(node)
        return [
            (f"{name}." if len(sources) > 1 else "") + column_name(c.name)
            for name, table in sources.items()
            if alias is None or name.lower() == alias.lower()
            for c in table.columns
        ]

    def neighbours(self, column: exp.Column) -> list[str]:
        """Other columns of the table that a column belongs to, the next one first."""
        sources = self.sources(column)
        for alias, table in sources.items():
            if column.table and alias.lower() != column.table.lower():
                continue
            names = [c.name for c in table.columns]
            low = [n.lower() for n in names]
            if column.name.lower() in low:
                at = low.index(column.name.lower())
                prefix = f"{column.table}." if column.table else ""
                return [prefix + column_name(n) for n in names[at + 1 :] + names[:at]]
        return []


Edit = tuple[exp.Expr, str]
Operator = Callable[[exp.Expr, Site], Iterator[Edit]]
BUILDING: dict[str, tuple[tuple[type[exp.Expr], ...], Operator]] = {}
HELD_OUT: dict[str, tuple[tuple[type[exp.Expr], ...], Operator]] = {}


def operator(*kinds: type[exp.Expr], held_out: bool = False) -> Callable[[Operator], Operator]:
    """Enter an operator, under its function's name, for nodes of these kinds."""

    def enter(function: Operator) -> Operator:
        (HELD_OUT if held_out else BUILDING)[function.__name__] = (kinds, function)
        return function

    return enter


def column_name(name: str) -> str:
    """A column's name as it can stand in a query."""
    return name if _PLAIN_NAME.match(name) and name.upper() not in _RESERVED else backquote(name)


_RESERVED = frozenset(
    words(
        "ABORT ACTION ADD ALL ALTER AND AS ASC BETWEEN BY CASE CHECK COLLATE COLUMN COMMIT CONSTRAINT "
        "CREATE CROSS CURRENT_DATE CURRENT_TIME DEFAULT DELETE DESC DISTINCT DROP ELSE END ESCAPE EXCEPT "
        "EXISTS FOR FOREIGN FROM FULL GROUP HAVING IF IN INDEX INNER INSERT INTERSECT INTO IS ISNULL JOIN "
        "LEFT LIKE LIMIT NATURAL NOT NOTNULL NULL OF ON OR ORDER OUTER OVER PRIMARY REFERENCES RIGHT ROW "
        "SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING VALUES VIEW WHEN WHERE WITH"
    )
)


def is_compared(node: exp.Expr) -> bool:
    """Whether a literal is what a comparison, BETWEEN or IN compares with."""
    parent = node.parent.parent if isinstance(node.parent, (exp.Neg, exp.Paren)) else node.parent
    return isinstance(parent, (*COMPARISONS, exp.Between, exp.In))
