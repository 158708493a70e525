"""What a gold can be read as, and golds that cannot be read sensibly at all."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.records import Rules
from harness.sql.dialect import COMMA_NUMBER, COMPARISONS, constant, strip_distinct, to_sqlite
from harness.sql.schema import Schema
from harness.sql.spans import Text

_COLUMN_FUNCTIONS = (exp.Sum, exp.Avg, exp.Min, exp.Max)


def parsed(sql: str) -> exp.Query | None:
    """The tree of an SQLite query; None where sqlglot cannot read it (SQLite still may)."""
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    return tree if isinstance(tree, exp.Query) else None


def readings_of(gold: str, schema: Schema, rules: Rules, dialect: str) -> tuple[str, ...]:
    """The gold as SQLite runs it, the literal reading first.

    Others are added, unless the rules want the literal one alone, for a string that spells a number with
    commas ("12,552" is read as 12552) and for a double-quoted word right of a comparison that also names
    a column. Raises Untranspilable.
    """
    fold = rules.case == "ignore"
    texts = [to_sqlite(gold, dialect=dialect, namespaces=schema.namespaces, fold=fold)]
    if rules.readings == "all":
        if dialect == "sqlite" and '"' in gold:
            names = frozenset(c.name.lower() for t in schema.tables for c in t.columns)
            texts.append(to_sqlite(gold, namespaces=schema.namespaces, fold=fold, columns=names))
        texts += [_without_commas(t) for t in list(texts) if "," in t]
    if rules.distinct == "strip":
        texts = [strip_distinct(t) for t in texts]
    return tuple(dict.fromkeys(texts))


def _without_commas(sql: str) -> str:
    if not re.search(r"'[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?'", sql):
        return sql
    tree = parsed(sql)
    if tree is None:
        return sql
    text = Text(tree)
    edits = [
        (node, node.this.replace(",", ""))
        for node in tree.find_all(exp.Literal)
        if node.args.get("is_string")
        and COMMA_NUMBER.match(node.this)
        and isinstance(node.parent, (*COMPARISONS, exp.Between, exp.In))
    ]
    return text.replaced(edits)


def degenerate(tree: exp.Query | None) -> str:
    """Why a gold is broken in form ("" where it is not): it reads a number where a column should stand.

    >>> degenerate(parsed("SELECT 1949 FROM t WHERE 1945 = 'a'"))
    'it reads the number 1949 where a column should stand'
    """
    if tree is None:
        return ""
    for select in tree.find_all(exp.Select):
        if select.args.get("from_") is None:
            continue
        top = not isinstance(select.find_ancestor(exp.Exists, exp.Select), (exp.Exists, exp.Select))
        for output in select.expressions if top else ():
            inner = output.this if isinstance(output, exp.Alias) else output
            if isinstance(inner, _COLUMN_FUNCTIONS):
                inner = inner.this
            number = constant(inner)
            if number and isinstance(number[0], (int, float)):
                return f"it reads the number {number[0]} where a column should stand"
    for comparison in tree.find_all(*COMPARISONS):
        left, right = constant(comparison.this), constant(comparison.expression)
        if left and right and left != right and isinstance(left[0], (int, float)):
            return f"it compares the number {left[0]} where a column should stand"
    return ""
