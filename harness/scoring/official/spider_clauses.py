"""Spider's exact set match: are two queries, as its parser reads them, the same clause by clause.

Follows ``evaluation.py`` of https://github.com/taoyds/test-suite-sql-eval (Yu et al. 2018, "Spider"),
written anew from its behaviour. Values and DISTINCT do not count, a column of a foreign key counts as
the one that stands for its group, LIMIT counts by being there. What surprises, and is kept:

* Foreign keys are followed only for columns of the query's outermost FROM, there and in what a set
  operation adds; not inside subqueries, which must be equal to the letter but for their values, and
  subqueries of FROM even with those.
* Conditions of ON are not compared, except that AND/OR, NOT, IN and LIKE in them count as keywords.
* HAVING is compared only where both queries group; AND and OR of WHERE as the set of those used.
* In the hardness of a query every connective in HAVING and every negated condition is an aggregate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from harness.scoring.official.spider_query import (
    OfficialColumn,
    OfficialCondition,
    OfficialConditions,
    OfficialExpression,
    OfficialQuery,
    OfficialSchema,
)

Hardness = Literal["easy", "medium", "hard", "extra"]


def difference(prediction: OfficialQuery, gold: OfficialQuery, schema: OfficialSchema) -> str:
    """The first clause in which the two differ by the official rules; "" where they match."""
    return _difference(_comparable(prediction, schema), _comparable(gold, schema))


def hardness_of(query: OfficialQuery) -> Hardness:
    """The official difficulty of a gold, by the number of its parts.

    Counts clauses and joins (with OR and LIKE), nested queries and set operations, and of several
    aggregates, selected columns, conditions and group columns how many kinds there are.
    """
    parts = sum(map(bool, (query.where.units, query.group, query.order, query.limit is not None)))
    parts += max(len(query.tables) - 1, 0) + sum(c.operator == "like" for c in _units(query))
    parts += sum(part.connectors.count("or") for part in (query.on, query.where, query.having))
    nested = sum(isinstance(v, OfficialQuery) for c in _units(query) for v in (c.first, c.second))
    nested += query.compound is not None
    aggregates = sum(aggregate != "none" for aggregate, _ in query.select)
    aggregates += sum(column.aggregate != "none" for column in (*query.group, *_columns(query.order)))
    aggregates += sum(c.negated for c in query.where.units + query.having.units) + len(
        query.having.connectors
    )
    several = sum((aggregates > 1, len(query.select) > 1, bool(query.where.connectors), len(query.group) > 1))
    if nested == 0 and parts <= 1 and several == 0:
        return "easy"
    if nested == 0 and ((several <= 2 and parts <= 1) or (several < 2 and parts <= 2)):
        return "medium"
    if nested == 0 and ((several > 2 and parts <= 2) or (several <= 2 and parts == 3)):
        return "hard"
    return "hard" if nested == 1 and parts <= 1 and several == 0 else "extra"


def _difference(prediction: OfficialQuery, gold: OfficialQuery) -> str:
    for clause, same in _CLAUSES.items():
        if not same(prediction, gold):
            return clause
    return ""


def _same_group(prediction: OfficialQuery, gold: OfficialQuery) -> bool:
    if not prediction.group or not gold.group:
        return not prediction.group and not gold.group
    names = [[column.name for column in query.group] for query in (prediction, gold)]
    return names[0] == names[1] and prediction.having == gold.having


def _same_order(prediction: OfficialQuery, gold: OfficialQuery) -> bool:
    if not gold.order:
        return not prediction.order
    same = (prediction.direction, prediction.order) == (gold.direction, gold.order)
    return same and (prediction.limit is None) == (gold.limit is None)


def _same_compound(prediction: OfficialQuery, gold: OfficialQuery) -> bool:
    if prediction.compound is None or gold.compound is None:
        return prediction.compound is gold.compound
    (operation, query), (wanted, other) = prediction.compound, gold.compound
    return operation == wanted and not _difference(query, other)


_CLAUSES: dict[str, Callable[[OfficialQuery, OfficialQuery], bool]] = {
    "select": lambda p, g: Counter(p.select) == Counter(g.select),
    "where": lambda p, g: Counter(p.where.units) == Counter(g.where.units),
    "and/or": lambda p, g: set(p.where.connectors) == set(g.where.connectors),
    "group by": _same_group,
    "order by": _same_order,
    "set operation": _same_compound,
    "keywords": lambda p, g: _keywords(p) == _keywords(g),
    "tables": lambda p, g: Counter(p.tables) == Counter(g.tables),
}


def _keywords(query: OfficialQuery) -> set[str]:
    found = {c.operator for c in _units(query)} & {"in", "like"}
    found |= {"not" for c in _units(query) if c.negated}
    found |= {"or" for conditions in (query.on, query.where, query.having) if "or" in conditions.connectors}
    found |= {query.direction} | ({query.compound[0]} if query.compound else set())
    present = {"where": query.where.units, "group": query.group}
    present |= {"having": query.having.units, "order": query.order}
    found |= {word for word, part in present.items() if part}
    return found | ({"limit"} if query.limit is not None else set())


def _units(query: OfficialQuery) -> tuple[OfficialCondition, ...]:
    return query.on.units + query.where.units + query.having.units


def _columns(expressions: tuple[OfficialExpression, ...]) -> Iterator[OfficialColumn]:
    for expression in expressions:
        yield expression.left
        if expression.right is not None:
            yield expression.right


def _comparable(query: OfficialQuery, schema: OfficialSchema) -> OfficialQuery:
    """The query without values and DISTINCT, columns of foreign keys replaced by their group's."""
    outer = {table for table in query.tables if isinstance(table, str)}
    keys = {name: key for name, key in schema.keys.items() if name.split(".")[0] in outer}
    return _with_keys(_without_values(query), keys)


def _without_values(query: OfficialQuery) -> OfficialQuery:
    return replace(
        query,
        on=_valueless(query.on),
        where=_valueless(query.where),
        having=_valueless(query.having),
        compound=query.compound and (query.compound[0], _without_values(query.compound[1])),
    )


def _valueless(conditions: OfficialConditions) -> OfficialConditions:
    units = (c._replace(first=_nested(c.first), second=_nested(c.second)) for c in conditions.units)
    return conditions._replace(units=tuple(units))


def _nested(value: object) -> OfficialQuery | None:
    return _without_values(value) if isinstance(value, OfficialQuery) else None


def _with_keys(query: OfficialQuery, keys: dict[str, str]) -> OfficialQuery:
    def column(found: OfficialColumn) -> OfficialColumn:
        return OfficialColumn(found.aggregate, keys.get(found.name, found.name), None)

    def expression(found: OfficialExpression) -> OfficialExpression:
        return OfficialExpression(found.operator, column(found.left), found.right and column(found.right))

    def conditions(found: OfficialConditions) -> OfficialConditions:
        return found._replace(units=tuple(c._replace(left=expression(c.left)) for c in found.units))

    return replace(
        query,
        distinct=None,
        select=tuple((aggregate, expression(item)) for aggregate, item in query.select),
        on=conditions(query.on),
        where=conditions(query.where),
        group=tuple(map(column, query.group)),
        having=conditions(query.having),
        order=tuple(map(expression, query.order)),
        compound=query.compound and (query.compound[0], _with_keys(query.compound[1], keys)),
    )
