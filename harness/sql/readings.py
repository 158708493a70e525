"""What a gold can be read as, and golds that cannot be read sensibly at all."""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlglot import exp

from harness.records import Rules
from harness.sql.dialect import COMMA_NUMBER, COMPARISONS, constant, strip_distinct, to_sqlite
from harness.sql.profile_reader import profile_of
from harness.sql.schema import Ref, Schema
from harness.sql.statement import Statement, statement

_COMMAS = re.compile(r"'[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?'")
_COMPARING = (*COMPARISONS, exp.Between, exp.In)
_COLUMN_FUNCTIONS = (exp.Sum, exp.Avg, exp.Min, exp.Max)


def readings_of(gold: str, schema: Schema, rules: Rules, dialect: str) -> tuple[str, ...]:
    """The gold as SQLite runs it, the literal reading first.

    Others are added, unless the rules want the literal one alone, for a string that spells a number with
    commas ("12,552" is read as 12552) and for a double-quoted word right of a comparison that also names
    a column. Beside a column of numbers such a string would make its condition always true or always false:
    there it is the number in every reading. Raises Untranspilable.
    """
    fold = rules.case == "ignore"
    texts = [to_sqlite(gold, dialect=dialect, namespaces=schema.namespaces, fold=fold)]
    if rules.readings == "all":
        if dialect == "sqlite" and '"' in gold:
            names = frozenset(c.name.lower() for t in schema.tables for c in t.columns)
            texts.append(to_sqlite(gold, namespaces=schema.namespaces, fold=fold, columns=names))
        texts = [plain_numbers(t, schema, _of_numbers(t, schema, rules)) for t in texts]
        texts += [plain_numbers(t, schema, None) for t in texts]
    if rules.distinct == "strip":
        texts = [strip_distinct(t) for t in texts]
    return tuple(dict.fromkeys(texts))


def plain_numbers(sql: str, schema: Schema, columns: Collection[Ref] | None) -> str:
    """The query with strings such as '12,552' beside these columns (None: beside any) read as numbers.

    >>> from harness.sql.schema import parse_schema
    >>> schema = parse_schema("CREATE TABLE t (a INT, b TEXT)")
    >>> plain_numbers("SELECT b FROM t WHERE a < '1,000' AND b = '1,000'", schema, {("t", "a")})
    "SELECT b FROM t WHERE a < 1000 AND b = '1,000'"
    """
    query = statement(sql, schema) if _COMMAS.search(sql) else None
    if query is None:
        return sql
    edits = []
    for node in query.tree.find_all(exp.Literal):
        beside = node.parent
        if beside is None or not isinstance(beside, _COMPARING):
            continue
        if not (node.is_string and COMMA_NUMBER.match(node.this)):
            continue
        others = [one for one in beside.iter_expressions() if isinstance(one, exp.Column)]
        refs = {found[1] for one in others if (found := query.scope(node).resolve(one))}
        if columns is None or not refs.isdisjoint(columns):
            edits.append((node, node.this.replace(",", "")))
    return query.printed.replaced(edits) if edits else sql


def _of_numbers(sql: str, schema: Schema, rules: Rules) -> set[Ref]:
    """The columns that hold numbers: as they are declared, or as the query uses them."""
    query = statement(sql, schema) if _COMMAS.search(sql) else None
    if query is None:
        return set()
    used = profile_of(query).numeric if rules.types == "inferred" else {}
    declared = {
        (table.name.lower(), column.name.lower())
        for table in schema.tables
        for column in table.columns
        if column.affinity in ("INTEGER", "REAL", "NUMERIC") and column.type
    }
    return declared | set(used)


def degenerate(query: Statement | None) -> str:
    """Why a gold is broken in form ("" where it is not): it reads a number where a column should stand.

    >>> degenerate(statement("SELECT 1949 FROM t WHERE 1945 = 'a'", Schema(())))
    'it reads the number 1949 where a column should stand'
    >>> degenerate(statement("SELECT a FROM t WHERE a > 5 OR 1 = 0", Schema(())))
    ''
    """
    if query is None:
        return ""
    tree = query.tree
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
            if {left[0], right[0]} == {0, 1}:  # never true by intent, as in "OR 1 = 0"
                continue
            return f"it compares the number {left[0]} where a column should stand"
    return ""
