"""Which columns name things, and which queries go by a name as if it were a key.

A person writes "singers by name" and groups by the name; a schema's owner knows that two singers may share
one. Where the gold does that, a prediction that goes by the key is finer, not wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from sqlglot import exp

from harness.databases import Suite
from harness.databases.likeness import singular
from harness.sql.schema import Ref
from harness.sql.statement import statement

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
            and (_NAMES.search(column) or singular(table) in (column, singular(column)))
            and not _PARTS.search(column)
        )

    def relied_on(self, sql: str, *, counted: bool = True) -> frozenset[str]:
        """The names that a query takes for keys: it groups, joins, intersects or looks up by them.

        Not ``counted``: but for those of which it says DISTINCT, knowing that they repeat.
        """
        tree = self._tree(sql)
        if tree is None or not self._keys:
            return frozenset()
        found: set[str] = set()
        for node in tree.walk():
            for items in _taken(node, counted):
                columns = _named(items)  # a key of its table beside a name tells apart what shares it
                found.update(name for name in columns if not columns & self._keys.get(name, columns))
        return frozenset(found)

    def keyed(self, sql: str, names: frozenset[str]) -> bool:
        """Whether a query takes a key of its table where it might take each of these names."""
        tree = self._tree(sql)
        nodes = tree.walk() if tree is not None else ()
        taken = {column for node in nodes for items in _taken(node, True) for column in _named(items)}
        return all(taken & self._keys.get(name, taken) for name in names)

    def _tree(self, sql: str) -> exp.Query | None:
        found = statement(sql, self._suite.schema) if self._suite.schema else None
        return found.tree if found is not None else None

    @cached_property
    def _keys(self) -> dict[str, set[str]]:
        """For each name the columns that are a key of its table, or refer to one."""
        found: dict[str, set[str]] = {}
        keys = dict(self._suite.primary)
        for table, name in self.columns:
            own = found.setdefault(name, set())
            own.update(keys[table] if len(keys[table]) == 1 else ())
            own.update(child[1] for child, parent in self._suite.links if parent[0] == table)
        return found

    def distinct(self, sql: str) -> int:
        """How often a query says DISTINCT."""
        tree = self._tree(sql)
        return len(list(tree.find_all(exp.Distinct))) if tree is not None else 0


def _taken(node: exp.Expr, counted: bool) -> Iterator[list[exp.Expr]]:
    """What a clause treats as if it told things apart; not ``counted``: but for a DISTINCT."""
    if isinstance(node, exp.Group):
        yield node.expressions
    elif isinstance(node, exp.SetOperation) and node.args.get("distinct"):
        for side in (node.this, node.expression):
            yield side.expressions if isinstance(side, exp.Select) else []
    elif isinstance(node, exp.In) and node.args.get("query") is not None:
        yield [node.this]
        inner = node.args["query"].find(exp.Select)
        yield inner.expressions if inner is not None else []
    elif (isinstance(node, exp.EQ) and isinstance(node.expression, (exp.Column, exp.Subquery))) or (
        isinstance(node, exp.EQ) and isinstance(node.expression, exp.Literal) and _looked_up(node)
    ):
        yield [node.this]
    elif counted and isinstance(node, exp.Count) and isinstance(node.this, exp.Distinct):
        yield node.this.expressions
    elif counted and isinstance(node, exp.Select) and node.args.get("distinct") is not None:
        yield node.expressions


def _looked_up(node: exp.EQ) -> bool:
    """Whether a condition is that of a subquery that must have one row."""
    inside = node.find_ancestor(exp.Select)
    holder = inside.parent if inside is not None else None
    return isinstance(holder, exp.Subquery) and isinstance(holder.parent, exp.EQ)


def _named(items: list[exp.Expr]) -> set[str]:
    bare = (item.this if isinstance(item, exp.Alias) else item for item in items)
    return {item.name.lower() for item in bare if isinstance(item, exp.Column)}
