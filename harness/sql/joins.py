"""What keys say about a SELECT's joins, for the strong canonical form.

Along a foreign key that neither dangles nor is NULL a LEFT JOIN to the parent is an inner join, and a parent
that nothing else is asked of can go. Columns that determine the rest make further GROUP BY columns, DISTINCT
and COUNT(DISTINCT) superfluous. Without keys only LEFT JOINs whose missing rows WHERE refuses are folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlglot import exp

from harness.sql.conditions import Expressions, Scope, Source, bare
from harness.sql.dialect import COMPARISONS
from harness.sql.terms import quoted

Ref = tuple[str, str]
Outer = tuple[str, str, list[Any]]
_TESTS = (exp.Between, exp.In, exp.Like, exp.Glob)


class Joins(Expressions):
    """Folds joins; ``primary`` has the key of each table, ``links`` the parent column of each foreign key."""

    def __init__(
        self,
        *,
        fold: bool,
        strong: bool,
        primary: Mapping[str, tuple[str, ...]],
        links: Mapping[Ref, Ref],
    ) -> None:
        super().__init__(fold=fold, strong=strong)
        self.primary, self.links = primary, links

    def fold_joins(
        self, node: exp.Select, conditions: list[Any], outer: list[Outer], scope: Scope
    ) -> list[Outer]:
        """Move what can be moved from ``outer`` to ``conditions``; the outer joins that are left."""
        conditions[:] = [one for condition in conditions for one in conjuncts(condition)]
        if all(kind in {"left join", "inner join"} for kind, _, _ in outer):
            outer = self._inward(conditions, outer, scope)
        scope.outer = bool(outer)
        if not outer:
            self._drop(node, conditions, scope)
            self._unify(conditions, scope)
            self._hold(node, scope)
        return outer

    # outer joins

    def _inward(self, conditions: list[Any], outer: list[Outer], scope: Scope) -> list[Outer]:
        rest = [one for one in outer if one[0] == "left join"]
        conditions += [
            c for kind, _, on in outer if kind != "left join" for one in on for c in conjuncts(one)
        ]
        found: Outer | None = rest[0] if rest else None
        while found is not None:
            missing = {label for _, label, _ in rest}
            found = next((one for one in rest if self._matches(one, missing, conditions, scope)), None)
            if found is not None:
                rest.remove(found)
                conditions += [c for one in found[2] for c in conjuncts(one)]
        return rest

    def _matches(self, join: Outer, missing: set[str], conditions: list[Any], scope: Scope) -> bool:
        """Whether every row that is kept finds a partner in an outer join's table."""
        _, label, on = join
        if any(self._refuses(one, label, scope) for one in conditions):
            return True
        pairs = [c for one in on for c in conjuncts(one)]
        if len(pairs) != 1:
            return False
        return any(
            parent.label == label and child.label not in missing
            for child, _, parent, _ in self._link(pairs[0], scope)
        )

    def _refuses(self, condition: Any, label: str, scope: Scope) -> bool:
        """Whether a condition cannot hold where the table's columns are NULL."""
        node = bare(condition)
        if isinstance(node, exp.Not):
            node = bare(node.this)
            if isinstance(node, exp.Is) and isinstance(bare(node.expression), exp.Null):
                return self._is_of(node.this, label, scope)
            if isinstance(node, exp.In) and node.args.get("query") is not None:
                return False  # NULL NOT IN (nothing) holds
        if isinstance(node, _TESTS):
            return self._is_of(node.this, label, scope)
        if type(node) in COMPARISONS:
            return self._is_of(node.this, label, scope) or self._is_of(node.expression, label, scope)
        return False

    def _is_of(self, node: Any, label: str, scope: Scope) -> bool:
        source = self._owner(bare(node), scope)
        return source is not None and source.label == label

    def _owner(self, node: Any, scope: Scope) -> Source | None:
        """The source of this SELECT that a column belongs to."""
        if not isinstance(node, exp.Column):
            return None
        name, table = node.name.lower(), node.table.lower()
        return next(
            (s for s in scope.sources if (table == s.alias if table else True) and name in (s.columns or ())),
            None,
        )

    def _link(self, condition: Any, scope: Scope) -> Iterator[tuple[Source, str, Source, str]]:
        """(child, its column, parent, its column) where a condition joins along a foreign key."""
        node = bare(condition)
        if not isinstance(node, exp.EQ):
            return
        for one, other in ((node.this, node.expression), (node.expression, node.this)):
            child, parent = self._owner(bare(one), scope), self._owner(bare(other), scope)
            if child is None or parent is None or child.label == parent.label:
                continue
            column, target = bare(one).name.lower(), bare(other).name.lower()
            if self.links.get((child.table, column)) == (parent.table, target):
                yield child, column, parent, target

    # inner joins

    def _drop(self, node: exp.Select, conditions: list[Any], scope: Scope) -> None:
        """Leave out parents of which nothing but their key is asked."""
        if any(
            isinstance(e, exp.Star) or (isinstance(e, exp.Column) and e.is_star) for e in node.expressions
        ):
            return
        found = True
        while found:
            found = False
            for condition in conditions:
                for child, column, parent, target in self._link(condition, scope):
                    if self.primary.get(parent.table) != (target,) or child.label in scope.dropped:
                        continue
                    texts = [f"{s.label}.{quoted(c)}" for s, c in ((child, column), (parent, target))]
                    kinds = {self.kinds.get(text, "") for text in texts}
                    if len(kinds) == 1 and "" not in kinds and not self._asked(node, parent, target):
                        conditions.remove(condition)
                        scope.renamed[texts[1]] = texts[0]
                        scope.dropped.add(parent.label)
                        found = True
                        break
                if found:
                    break

    def _asked(self, node: exp.Select, source: Source, key: str) -> bool:
        for column in node.find_all(exp.Column):
            name, table = column.name.lower(), column.table.lower()
            if name != key and (table == source.alias if table else name in (source.columns or ())):
                return True
        return False

    def _unify(self, conditions: list[Any], scope: Scope) -> None:
        """Take equal columns of inner joins for one column, where they are of one kind."""
        own = {source.label for source in scope.sources}
        for condition in conditions:
            node = bare(condition)
            if not (
                isinstance(node, exp.EQ)
                and isinstance(node.this, exp.Column)
                and isinstance(node.expression, exp.Column)
            ):
                continue
            left, right = self.column(node.this, scope), self.column(node.expression, scope)
            inside = all(scope.owner.get(one) in own for one in (left, right))
            if inside and self.kinds.get(left) and self.kinds.get(left) == self.kinds.get(right):
                members = {c for c, root in scope.same.items() if root in {left, right}} | {left, right}
                scope.same.update(dict.fromkeys(members, min(members)))

    # what determines what

    def _hold(self, node: exp.Select, scope: Scope) -> None:
        grouping = node.args.get("group")
        columns = [bare(one) for one in grouping.expressions] if grouping else []
        known = {self.column(one, scope) for one in columns if isinstance(one, exp.Column)}
        if known:
            scope.held = (known, self.determined(known, scope))

    def determined(self, columns: Iterable[str], scope: Scope) -> set[str]:
        """The sources whose row is fixed by the values of some columns."""
        known, fixed = set(columns), set[str]()
        keyed = {s.label: self.primary.get(s.table, ()) for s in scope.sources if s.table}
        grown = True
        while grown:
            grown = False
            for label, key in keyed.items():
                texts = [f"{label}.{quoted(column)}" for column in key]
                if key and label not in fixed and all(fixes(text, known, fixed, scope) for text in texts):
                    fixed.add(label)
                    grown = True
        return fixed

    def covers(self, columns: Iterable[str], scope: Scope) -> bool:
        """Whether some columns fix the row of every source, so that no two rows agree in them."""
        everything = {source.label for source in scope.sources} - scope.dropped
        return bool(everything) and not scope.outer and everything <= self.determined(columns, scope)

    def fewest(self, group: tuple[str, ...], scope: Scope) -> tuple[str, ...]:
        """GROUP BY columns without those that the others determine."""
        kept = list(group)
        for column in sorted(group, reverse=True):
            rest = [one for one in kept if one != column]
            if (
                rest
                and column in scope.owner
                and fixes(column, set(rest), self.determined(rest, scope), scope)
            ):
                kept = rest
        return tuple(kept)


def fixes(column: str, known: set[str], fixed: set[str], scope: Scope) -> bool:
    """Whether a column's value follows from known columns and fixed sources, itself or by its equals."""
    column = scope.renamed.get(column, column)
    root = scope.same.get(column, column)
    equals = {c for c, other in scope.same.items() if other == root} | {column}
    return root in known or bool(equals & known) or any(scope.owner.get(one) in fixed for one in equals)


def conjuncts(condition: Any) -> Iterator[Any]:
    """The parts of a condition that AND joins."""
    node = bare(condition)
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    else:
        yield condition
