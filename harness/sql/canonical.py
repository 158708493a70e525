"""A query's canonical form: the same for queries that differ only in how they are written.

``Canonicaliser`` brings each SELECT through ``RULES``, in order, its values and conditions through ``VALUES``
and ``CONDITIONS``, by kind of node; the rules themselves stand in ``clauses``, ``joins`` and ``expressions``.

A rule's level says what it preserves. The *basic* form, which exact match compares, resolves and qualifies
names, drops aliases, quoting, letter case and redundant parentheses, sorts conditions, operands and inner
joins, and writes ``!=`` as ``<>``, ``COUNT(1)`` as ``COUNT(*)``. The *strong* form also takes the rules of
*meaning* (BETWEEN, IN lists, NOT, columns equal by a join, DISTINCT and ORDER BY where they cannot matter,
the order of the output columns) and of *keys*: it preserves meaning on databases that respect them and hold
no NULL in ``filled`` columns.

A query with a construct that is not modelled (windows, COLLATE, ESCAPE, NULLS LAST, IN a table, a star over
USING, …) has no form: it is equal to nothing but its own words, and nothing is proved of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import permutations
from typing import Any

from sqlglot import exp

from harness.sql import clauses, expressions, joins
from harness.sql.dialect import COMPARISONS, tokens
from harness.sql.draft import Draft, Level, Unmodelled
from harness.sql.expressions import Expressions, RulesByNode
from harness.sql.schema import Ref, Schema
from harness.sql.statement import Statement, bare, statement
from harness.sql.terms import Condition, Form, Select, render

STEPS = 400
"""SELECTs read for one form, the orders of a self join among them."""

RULES: tuple[tuple[Level, Callable[[Any, Draft], None]], ...] = (
    ("basic", clauses.sources_labelled),
    ("meaning", joins.conditions_apart),
    ("keys", joins.left_joins_inward),
    ("keys", joins.parents_dropped),
    ("meaning", joins.equals_unified),
    ("keys", joins.groups_held),
    ("meaning", expressions.filled_noted),
    ("basic", clauses.clauses_read),
    ("keys", joins.fewest_groups),
    ("meaning", clauses.full_groups),
    ("keys", clauses.distinct_keys),
    ("meaning", clauses.groups_as_distinct),
    ("meaning", clauses.distinct_groups),
    ("meaning", clauses.one_row),
    ("meaning", clauses.outputs_sorted),
)
"""What a SELECT goes through, in order, each rule with the level of what it preserves.

Before the clauses are read rules work on joins, afterwards on the clauses' texts."""

VALUES: tuple[tuple[Level, tuple[type[Any], ...], Callable[[Any, Any, Draft], str | None]], ...] = (
    ("basic", (exp.Column,), expressions.column_text),
    ("basic", (exp.Collate,), expressions.collation),
    ("basic", (exp.Literal, exp.Neg, exp.Boolean), expressions.literal_value),
    ("keys", (exp.Count,), joins.keys_counted),
    ("basic", (exp.Count,), expressions.count_function),
    ("basic", (exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery), expressions.subquery),
    ("basic", (exp.Cast, exp.TryCast), expressions.cast),
    ("basic", (exp.Add, exp.Mul), expressions.commuted),
    ("basic", (exp.Anonymous,), expressions.total),
    ("meaning", (exp.Min, exp.Max), expressions.distinct_extreme),
    ("keys", (exp.Min, exp.Max), expressions.held_extreme),
)
"""The rules of values by kind of node, each with its level: the first that answers wins."""

CONDITIONS: tuple[
    tuple[Level, tuple[type[Any], ...], Callable[[Any, Any, Draft, bool], Condition | None]], ...
] = (
    ("basic", (exp.Not,), expressions.negation),
    ("basic", (exp.And, exp.Or), expressions.junction),
    ("basic", tuple(COMPARISONS), expressions.compared),
    ("basic", (exp.Between,), expressions.between),
    ("basic", (exp.In,), expressions.membership),
    ("basic", (exp.Is,), expressions.null_test),
    ("meaning", (exp.Like,), expressions.like_without_wildcards),
    ("basic", (exp.Like,), expressions.like),
    ("basic", (exp.Glob,), expressions.glob),
    ("basic", (exp.Exists,), expressions.existence),
)
"""The same of conditions; each rule is also told whether the condition is negated."""


@cache
def _rules(*levels: Level) -> tuple[tuple[Callable[[Any, Draft], None], ...], RulesByNode, RulesByNode]:
    """The rules of these levels: those of a SELECT, of values and of conditions."""
    by_node: tuple[dict[Any, list[Any]], dict[Any, list[Any]]] = ({}, {})
    for table, rules in zip(by_node, (VALUES, CONDITIONS), strict=True):
        for level, kinds, rule in rules:
            for kind in kinds if level in levels else ():
                table.setdefault(kind, []).append(rule)
    return tuple(rule for level, rule in RULES if level in levels), *by_node


class Canonicaliser(Expressions):
    """Reads queries over one schema; forms and texts are kept for as long as the object lives.

    ``kinds`` maps each table's columns (lower case) to what they hold ("integer", "real", "text", …; "" where
    unknown), which the strong form needs to know what a constant means. ``case`` is the rule for text.
    ``primary`` keys and foreign-key ``links`` (child, parent), in lower case, are used by the strong form, as
    are the columns that are never NULL, ``filled`` (None: no column ever is); ``stricter`` is a reader
    that differs in these alone, whose forms hold here where no NULL held it back. Nothing here raises on SQL,
    however broken.

    >>> from harness.sql.schema import parse_schema
    >>> read = Canonicaliser(parse_schema("CREATE TABLE head (name TEXT, age INT)"))
    >>> read.text("SELECT T1.Name FROM head AS T1 WHERE 56 < T1.age AND name != 'A'")
    "select head.name from head where and(head.age > 56, head.name <> 'a')"
    """

    def __init__(
        self,
        schema: Schema,
        *,
        kinds: Mapping[str, Mapping[str, str]] | None = None,
        case: str = "ignore",
        strong: bool = False,
        primary: Iterable[tuple[str, tuple[str, ...]]] = (),
        links: Iterable[tuple[Ref, Ref]] = (),
        filled: Iterable[Ref] | None = None,
        stricter: Canonicaliser | None = None,
    ) -> None:
        rules, values, conditions = _rules("basic", "meaning", "keys") if strong else _rules("basic")
        self.schema, self.rules, self.values, self.conditions = schema, rules, values, conditions
        self.fold, self.strong = case == "ignore", strong
        self.table_kinds, self.primary, self.links = kinds or {}, dict(primary), dict(links)
        self.never_null = None if filled is None else frozenset(filled)
        self.kinds, self.labelled, self.filled = {}, set(), set()
        self._forms: dict[str, Form | None] = {}
        self._texts: dict[str, str] = {}
        self._held_back: set[str] = set()
        self._stricter = stricter
        self._steps = STEPS

    def text(self, sql: str) -> str:
        """The canonical text; the query's own words, marked "~", where it has no form."""
        if (known := self._texts.get(sql)) is None:
            form = self.form(sql)
            known = self._texts[sql] = f"~ {tokens(sql)}" if form is None else render(form)
        return known

    def know(self, sql: str, text: str) -> None:
        """Take the canonical text of a query from one who has read it."""
        self._texts[sql] = text

    def form(self, sql: str) -> Form | None:
        """The query taken apart; None where it cannot be read, or says what is not modelled."""
        if sql not in self._forms:
            if self._stricter is not None and not self._stricter.held_back_by_null(sql):
                self._forms[sql] = self._stricter.form(sql)
            else:
                found = statement(sql, self.schema)
                self._forms[sql] = None if found is None else self._form(found)
        return self._forms[sql]

    def held_back_by_null(self, sql: str) -> bool:
        """Whether a query's form would be another one if no value were NULL."""
        self.form(sql)
        return sql in self._held_back

    def _form(self, of: Statement) -> Form | None:
        self.statement, self.held_back = of, False
        self.views, self._steps = {}, STEPS
        try:
            return self.query(of.tree, None, top=True)
        except (Unmodelled, RecursionError):
            return None
        finally:
            if self.held_back:
                self._held_back.add(of.text)

    def query(self, node: Any, parent: Draft | None, *, top: bool = False) -> Form:
        """The form of a query; raises Unmodelled where it has none."""
        node = bare(node)
        if not isinstance(node, (exp.Select, exp.SetOperation)):
            raise Unmodelled(f"not a query: {type(node).__name__}")
        scope = self.statement.scope(node)
        if clause := node.args.get("with_"):
            for part in (clause, *clause.expressions):
                clauses.modelled(part)
        if isinstance(node, exp.SetOperation):
            return clauses.compound(self, node, Draft(node, scope, parent, top=top))
        names = [source.name for source in scope.sources]
        twins = [place for place, name in enumerate(names) if name and names.count(name) > 1]
        several = 1 < len(twins) <= 3 and not any(source.optional for source in scope.sources)
        forms = []
        for order in permutations(range(len(twins))) if several else ((),):
            self._steps -= 1
            if self._steps < 0:
                raise Unmodelled("more steps than the budget")
            draft = Draft(node, scope, parent, top=top, numbers=dict(zip(twins, order, strict=False)))
            for rule in self.rules:
                rule(self, draft)
            forms.append(
                Select(
                    draft.distinct, draft.select, draft.sources, draft.joins, draft.where, draft.group,
                    draft.having, draft.order, draft.limit, draft.aggregated,
                )
            )  # fmt: skip
        return min(forms, key=render) if several else forms[0]
