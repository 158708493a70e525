"""Which columns name things, and which queries go by a name as if it were a key.

A person writes "singers by name" and groups by the name; a schema's owner knows that two singers may share
one. Where the gold does that, a prediction that goes by the key is finer, not wrong.
"""

from __future__ import annotations

import re
from functools import cached_property

from sqlglot import exp

from harness.databases import Suite
from harness.sql.profile import Ref
from harness.sql.readings import parsed

_NAMES = re.compile(r"(?:^|_|[a-z])(?:name|title)$")
_PARTS = re.compile(r"(?:first|last|middle|given|family|fore|sur|nick|user|file|f|l)_?name$")


class Names:
    """The columns of a suite's schema that name things: text beside a key that is another column."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    @cached_property
    def columns(self) -> frozenset[Ref]:
        """Table and column, both in lower case."""
        kinds = {(table, column): kind for table, own in self._suite.kinds for column, kind in own}
        children = {child for child, _ in self._suite.links}
        keys = dict(self._suite.primary)
        return frozenset(
            (table, column)
            for (table, column), kind in kinds.items()
            if kind == "text"
            and table in keys
            and column not in keys[table]
            and (table, column) not in children
            and _NAMES.search(column)
            and not _PARTS.search(column)
        )

    def relied_on(self, sql: str) -> frozenset[str]:
        """The names that a query takes for keys: it groups, joins, intersects or looks up by them."""
        tree = parsed(sql)
        words = {column for _, column in self.columns}
        if tree is None or not words:
            return frozenset()
        found: set[str] = set()
        for node in tree.walk():
            if isinstance(node, exp.Group):
                found.update(_named(node.expressions))
            elif isinstance(node, exp.SetOperation) and node.args.get("distinct"):
                for side in (node.this, node.expression):
                    found.update(_named(side.expressions) if isinstance(side, exp.Select) else ())
            elif (isinstance(node, exp.In) and node.args.get("query") is not None) or (
                isinstance(node, exp.EQ) and isinstance(node.expression, (exp.Column, exp.Subquery))
            ):
                found.update(_named([node.this]))
            elif isinstance(node, (exp.Count, exp.Select)):
                within = node.this if isinstance(node, exp.Count) else node.args.get("distinct")
                if isinstance(within, exp.Distinct):
                    found.update(_named(within.expressions or node.expressions))
        return frozenset(found & words)

    def distinct(self, sql: str) -> int:
        """How often a query says DISTINCT."""
        tree = parsed(sql)
        return len(list(tree.find_all(exp.Distinct))) if tree is not None else 0


def _named(items: list[exp.Expr]) -> set[str]:
    bare = (item.this if isinstance(item, exp.Alias) else item for item in items)
    return {item.name.lower() for item in bare if isinstance(item, exp.Column)}
