"""Is a query's answer its own on a database, or an accident of row order and ties?

Right variants of a query may break ties otherwise and read rows in another order, so a database on which that
shows is not fair to them.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sqlglot import exp

from harness.databases.answers import Expected, Failure, Result, ResultRow, Ways
from harness.databases.sandbox import Sandbox
from harness.sql.dialect import constant
from harness.sql.spans import Text
from harness.sql.statement import Statement

Soundness = Literal["fair", "ties", "unstable"]


class _Order(NamedTuple):
    """Rows of a query with its sort keys at ``keys``: do equal keys stand beside different outputs."""

    sql: str
    outputs: int
    keys: tuple[int, ...]
    limit: int | None
    offset: int
    outermost: bool


class _Extreme(NamedTuple):
    """The values whose MAX or MIN another query is compared with: is the extreme met once."""

    sql: str
    largest: bool


class Fairness:
    """The checks of one query; made once, asked for each of its databases."""

    def __init__(self, query: Statement | None) -> None:
        self.sensitive = query is None or _sensitive(query.tree)
        self._probes: list[_Order | _Extreme] = []
        for node in query.tree.walk() if query is not None else ():
            if query is not None and isinstance(node, exp.Query):
                self._probes += _probes(query.printed, node)

    def check(self, box: Sandbox, sql: str, answer: Expected) -> Soundness:
        """What the database that is loaded in ``box`` is to the query with this answer."""
        for probe in self._probes:
            result = box.query(probe.sql)
            if isinstance(result, Result) and _tied(probe, result.rows):
                return "ties"
        if self.sensitive:
            backwards = box.query(sql, backwards=True)
            if isinstance(backwards, Failure) or not answer.same(backwards):
                return "unstable"
        return "fair"

    def ways(self, box: Sandbox, sql: str) -> Ways | None:
        """What the query may show on the loaded database, its ties broken otherwise.

        None where anything but the last place of its own LIMIT is tied or hangs on the order of rows.
        """
        ways = None
        for probe in self._probes:
            result = box.query(probe.sql)
            rows = result.rows if isinstance(result, Result) else []
            if not _tied(probe, rows):
                continue
            if isinstance(probe, _Extreme) or not probe.outermost or probe.limit is None or probe.offset:
                return None
            last = min(len(rows), probe.limit) - 1
            edge = _fold(rows[last], probe.keys)
            shown = [row[: probe.outputs] if probe.outputs >= 0 else row[len(probe.keys) :] for row in rows]
            tied = [_fold(row, probe.keys) == edge for row in rows]
            sure = [row for row, ties in zip(shown[: last + 1], tied, strict=False) if not ties]
            choice = [row for row, ties in zip(shown, tied, strict=True) if ties]
            ways = Ways(sure, choice, last + 1 - len(sure))
        if ways is not None:
            for backwards in (False, True):
                answer = box.query(sql, backwards=backwards)
                if isinstance(answer, Failure) or not ways.admit(answer):
                    return None
        return ways


def _sensitive(tree: exp.Expr) -> bool:
    for node in tree.walk():
        if isinstance(node, (exp.Limit, exp.Order, exp.Group, exp.GroupConcat, exp.Window)):
            return True
        if isinstance(node, exp.Select):
            aggregates = [e for e in node.expressions if e.find(exp.AggFunc)]
            if aggregates and len(aggregates) < len(node.expressions):
                return True
            if (
                isinstance(node.parent, exp.Subquery)
                and isinstance(node.parent.parent, exp.Binary)
                and not aggregates
            ):
                return True
    return False


def _probes(text: Text, node: exp.Query) -> list[_Order | _Extreme]:
    found: list[_Order | _Extreme] = []
    order = node.args.get("order")
    outermost = node.parent is None
    if order is not None and (outermost or node.args.get("limit") is not None):
        probe = _order_probe(text, node, order, outermost)
        found += [probe] if probe else []
    holder = node.parent
    if (
        isinstance(node, exp.Select)
        and isinstance(holder, exp.Subquery)
        and isinstance(holder.parent, (exp.EQ, exp.In))
    ):
        only = node.expressions[0] if len(node.expressions) == 1 else None
        if isinstance(only, (exp.Max, exp.Min)) and not node.args.get("group"):
            whole, asked, inner = text.span(node), text.span(only), text.of(only.this)
            if whole and asked and inner:
                sql = text.sql[whole[0] : asked[0]] + inner + text.sql[asked[1] : whole[1]]
                found.append(_Extreme(sql, isinstance(only, exp.Max)))
    return found


def _order_probe(text: Text, node: exp.Query, order: exp.Expr, outermost: bool) -> _Order | None:
    whole, ordering = text.span(node), text.span(order)
    if whole is None or ordering is None:
        return None
    start, end = whole[0], ordering[1]
    limit, offset = (
        constant(c.expression) if (c := node.args.get(k)) is not None else None for k in ("limit", "offset")
    )
    first = node
    while isinstance(first, exp.SetOperation):
        first = first.this
    outputs = first.expressions if isinstance(first, exp.Select) else []
    names = [e.alias_or_name.lower() for e in outputs]
    places: list[int] = []
    extra: list[str] = []
    for item in order.expressions:
        key = item.this
        place = constant(key)
        name = key.name.lower() if isinstance(key, exp.Column) and not key.table else ""
        if place and isinstance(place[0], int) and 0 < place[0] <= len(outputs):
            places.append(place[0] - 1)
        elif name in names:
            places.append(names.index(name))
        elif isinstance(node, exp.Select) and (key_text := text.of(key)):
            places.append(len(outputs) + len(extra))
            extra.append(key_text)
        else:
            return None
    rest = (_int(limit), _int(offset) or 0, outermost)
    starred = any(
        isinstance(e, exp.Star) or (e.find(exp.Star) and isinstance(e, exp.Column)) for e in outputs
    )
    if not (starred or extra):
        return _Order(text.sql[start:end], len(outputs), tuple(places), *rest)
    first_output, last_output = text.span(outputs[0]), text.span(outputs[-1])
    if not isinstance(node, exp.Select) or first_output is None or last_output is None:
        return None
    select, after = text.sql[start : first_output[0]], text.sql[last_output[1] : end]
    listing = text.sql[first_output[0] : last_output[1]]
    if starred:  # who knows how many columns a star is: keys go first
        keys = [text.of(item.this) or "" for item in order.expressions]
        return _Order(f"{select}{', '.join(keys)}, {listing}{after}", -1, tuple(range(len(keys))), *rest)
    if node.args.get("distinct") is not None:
        select = select.removesuffix("DISTINCT ")
    return _Order(f"{select}{listing}, {', '.join(extra)}{after}", len(outputs), tuple(places), *rest)


def _int(value: tuple[Any] | None) -> int | None:
    return value[0] if value and isinstance(value[0], int) else None


def _fold(row: ResultRow, places: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(row[p].lower() if isinstance(row[p], str) else row[p] for p in places)


def _tied(probe: _Order | _Extreme, rows: list[ResultRow]) -> bool:
    if isinstance(probe, _Extreme):
        values = [row[0] for row in rows if row[0] is not None and not isinstance(row[0], bytes)]
        if len({type(v) is str for v in values}) > 1:
            return False
        return bool(values) and values.count(max(values) if probe.largest else min(values)) > 1
    end = len(rows) if probe.limit is None else min(len(rows), probe.offset + probe.limit)
    edges = {probe.offset - 1, end - 1 if probe.limit is not None else -1}
    for at in range(max(0, probe.offset - 1), min(end, len(rows) - 1)):
        if not probe.outermost and at not in edges:
            continue
        one, two = rows[at], rows[at + 1]
        if _fold(one, probe.keys) == _fold(two, probe.keys):
            if at in edges:  # even twins: a rewrite without LIMIT gives both
                return True
            shown = tuple(range(probe.outputs)) if probe.outputs >= 0 else tuple(range(len(one)))
            if _fold(one, shown) != _fold(two, shown):
                return True
    return False
