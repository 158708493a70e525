"""What keys say about a SELECT's joins, for the strong canonical form.

Along a foreign key that neither dangles nor is NULL a LEFT JOIN to the parent is an inner join, and a parent
that nothing else is asked of can go. Columns that determine the rest make further GROUP BY columns, DISTINCT
and COUNT(DISTINCT) superfluous. Without keys only LEFT JOINs whose missing rows WHERE refuses are folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlglot import exp

from harness.sql.dialect import COMPARISONS
from harness.sql.draft import Draft, Outer
from harness.sql.expressions import Expressions, column_text
from harness.sql.statement import Source, bare, is_star
from harness.sql.terms import Condition, Leaf, quoted

_TESTS = (exp.Between, exp.In, exp.Like, exp.Glob)


class JoinSide(NamedTuple):
    """One side of a join along a foreign key: its source, that one's label, and the column."""

    source: Source
    label: str
    column: str


def conditions_apart(read: Expressions, draft: Draft) -> None:
    """Each part that AND joins is a condition of its own."""
    draft.conditions = [one for condition in draft.conditions for one in _conjuncts(condition)]


def left_joins_inward(read: Expressions, draft: Draft) -> None:
    """A LEFT JOIN of which every row that is kept finds its partner is an inner join."""
    if not draft.outer or not all(kind in {"left join", "inner join"} for kind, _, _ in draft.outer):
        return
    rest = [one for one in draft.outer if one.kind == "left join"]
    inner = [one for one in draft.outer if one.kind != "left join"]
    draft.conditions += [c for one in inner for node in one.on for c in _conjuncts(node)]
    found: Outer | None = rest[0]
    while found is not None:
        missing = {one.label for one in rest}
        found = next((one for one in rest if _matches(read, one, missing, draft)), None)
        if found is not None:
            rest.remove(found)
            draft.conditions += [c for node in found.on for c in _conjuncts(node)]
    draft.outer = rest


def _matches(read: Expressions, join: Outer, missing: set[str], draft: Draft) -> bool:
    """Whether every row that is kept finds a partner in an outer join's table."""
    if any(_refuses(read, one, join.label, draft) for one in draft.conditions):
        return True
    pairs = [c for one in join.on for c in _conjuncts(one)]
    if len(pairs) != 1:
        return False
    return any(
        parent.label == join.label and child.label not in missing
        for child, parent in _link(read, pairs[0], draft)
    )


def _refuses(read: Expressions, condition: Any, label: str, draft: Draft) -> bool:
    """Whether a condition cannot hold where the table's columns are NULL."""

    def of(node: Any) -> bool:
        side = _side(node, draft)
        return side is not None and side.label == label

    node = bare(condition)
    if isinstance(node, exp.Not):
        node = bare(node.this)
        if isinstance(node, exp.Is) and isinstance(bare(node.expression), exp.Null):
            return of(node.this)
        if isinstance(node, exp.In) and not node.expressions:
            return False  # NULL NOT IN (nothing) holds
    if isinstance(node, _TESTS):
        return of(node.this)
    return type(node) in COMPARISONS and (of(node.this) or of(node.expression))


def parents_dropped(read: Expressions, draft: Draft) -> None:
    """A parent of which nothing but its key is asked can go."""
    if draft.outer or any(is_star(item) for item in draft.node.expressions):
        return
    found = True
    while found:
        found = False
        for condition in draft.conditions:
            for child, parent in _link(read, condition, draft):
                gone = {child.label, parent.label} & draft.dropped
                if gone or read.primary.get(parent.source.name) != (parent.column,):
                    continue
                texts = [f"{side.label}.{quoted(side.column)}" for side in (child, parent)]
                kinds = {read.kinds.get(text, "") for text in texts}
                if len(kinds) == 1 and "" not in kinds and not _asked(draft, parent):
                    draft.conditions.remove(condition)
                    draft.renamed[texts[1]] = texts[0]
                    draft.dropped.add(parent.label)
                    found = True
                    break
            if found:
                break


def _asked(draft: Draft, parent: JoinSide) -> bool:
    """Whether a column of the parent other than its key stands anywhere in the SELECT."""
    for column in draft.node.find_all(exp.Column):
        name, table = column.name.lower(), column.table.lower()
        mine = table == parent.source.alias if table else name in (parent.source.columns or ())
        if name != parent.column and mine:
            return True
    return False


def equals_unified(read: Expressions, draft: Draft) -> None:
    """Columns that an inner join makes equal are one column, where they are of one kind."""
    for condition in draft.conditions if not draft.outer else ():
        node = bare(condition)
        if not (
            isinstance(node, exp.EQ)
            and isinstance(node.this, exp.Column)
            and isinstance(node.expression, exp.Column)
        ):
            continue
        left, right = column_text(read, node.this, draft), column_text(read, node.expression, draft)
        inside = draft.owner(left) is not None and draft.owner(right) is not None
        if inside and read.kinds.get(left) and read.kinds.get(left) == read.kinds.get(right):
            members = {c for c, root in draft.same.items() if root in {left, right}} | {left, right}
            draft.same.update(dict.fromkeys(members, min(members)))


def groups_held(read: Expressions, draft: Draft) -> None:
    """What GROUP BY fixes: its columns, and the sources whose keys they are."""
    grouping = draft.node.args.get("group")
    columns = [bare(one) for one in grouping.expressions] if grouping and not draft.outer else []
    known = {column_text(read, one, draft) for one in columns if isinstance(one, exp.Column)}
    if known:
        draft.held = (known, _determined(read, known, draft))


def fewest_groups(read: Expressions, draft: Draft) -> None:
    """GROUP BY without the columns that the others determine."""
    kept = list(draft.group)
    for column in sorted(draft.group, reverse=True) if not draft.outer else ():
        rest = [one for one in kept if one != column]
        if (
            rest
            and draft.owner(column) is not None
            and _fixes(column, set(rest), _determined(read, rest, draft), draft)
        ):
            kept = rest
    draft.group = tuple(sorted(kept))


def keys_counted(read: Expressions, node: Any, draft: Draft) -> str | None:
    """Distinct keys are as many as rows."""
    inner = node.this
    if not (isinstance(inner, exp.Distinct) and len(inner.expressions) == 1) or node.expressions:
        return None
    draft.counts = True
    only = inner.expressions[0]
    keys = isinstance(only, exp.Column) and covers(read, [column_text(read, only, draft)], draft)
    return "count(*)" if keys else None


def classes(draft: Draft) -> Iterator[Condition]:
    """A condition for each set of columns that were made one."""
    for root in sorted(set(draft.same.values())):
        yield Leaf(" = ".join(sorted(name for name, other in draft.same.items() if other == root)))


# keys


def _side(node: Any, draft: Draft) -> JoinSide | None:
    """The source of this SELECT that a column belongs to."""
    node = bare(node)
    found = draft.scope.here(node) if isinstance(node, exp.Column) else None
    if found is None or node.name.lower() not in (found.source.columns or ()):
        return None
    return JoinSide(found.source, draft.labels[found.place], node.name.lower())


def _link(read: Expressions, condition: Any, draft: Draft) -> Iterator[tuple[JoinSide, JoinSide]]:
    """(child, parent) where a condition joins along a foreign key."""
    node = bare(condition)
    if not isinstance(node, exp.EQ):
        return
    for one, other in ((node.this, node.expression), (node.expression, node.this)):
        child, parent = _side(one, draft), _side(other, draft)
        if child is None or parent is None or child.label == parent.label:
            continue
        if read.links.get((child.source.name, child.column)) == (parent.source.name, parent.column):
            yield child, parent


def _determined(read: Expressions, columns: Iterable[str], draft: Draft) -> set[str]:
    """The sources whose row is fixed by the values of some columns."""
    known, fixed = set(columns), set[str]()
    keyed = {
        label: read.primary.get(source.name, ())
        for source, label in zip(draft.scope.sources, draft.labels, strict=True)
        if source.table is not None
    }
    grown = True
    while grown:
        grown = False
        for label, key in keyed.items():
            texts = [f"{label}.{quoted(column)}" for column in key]
            if key and label not in fixed and all(_fixes(text, known, fixed, draft) for text in texts):
                fixed.add(label)
                grown = True
    return fixed


def covers(read: Expressions, columns: Iterable[str], draft: Draft) -> bool:
    """Whether some columns fix the row of every source, so that no two rows agree in them."""
    everything = set(draft.labels) - draft.dropped
    return bool(everything) and not draft.outer and everything <= _determined(read, columns, draft)


def _fixes(column: str, known: set[str], fixed: set[str], draft: Draft) -> bool:
    """Whether a column's value follows from known columns and fixed sources, itself or by its equals."""
    column = draft.renamed.get(column, column)
    root = draft.same.get(column, column)
    equals = {c for c, other in draft.same.items() if other == root} | {column}
    return root in known or bool(equals & known) or any(draft.owner(one) in fixed for one in equals)


def _conjuncts(condition: Any) -> Iterator[Any]:
    """The parts of a condition that AND joins."""
    node = bare(condition)
    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    else:
        yield condition
