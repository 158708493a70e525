"""Prints a parsed query as SQLite text and remembers where each node stands in it.

A near miss is then a cut in the text (``Text.edited``), which costs a microsecond where copying and printing
the tree costs hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlglot import exp

from harness.sql.dialect import AGGREGATES, COMPARISONS, SETS, backquote, literal

_BINARY: dict[type[exp.Expr], str] = {
    **COMPARISONS, exp.And: "AND", exp.Or: "OR", exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/",
    exp.Mod: "%", exp.DPipe: "||", exp.Like: "LIKE", exp.Glob: "GLOB", exp.Is: "IS", exp.Escape: "ESCAPE",
}  # fmt: skip


class Text:
    """A query's text, and the span of each node that was printed on its own."""

    def __init__(self, tree: exp.Expr) -> None:
        self.tree = tree
        self._parts: list[str] = []
        self._at = 0
        self._spans: dict[int, tuple[int, int]] = {}
        self._node(tree)
        self.sql = "".join(self._parts)

    def of(self, node: exp.Expr) -> str | None:
        """The text of a node, None where it was not printed on its own."""
        span = self._spans.get(id(node))
        return self.sql[span[0] : span[1]] if span else None

    def span(self, node: exp.Expr) -> tuple[int, int] | None:
        """Where a node's text begins and ends in the query's, None where it was not printed on its own."""
        return self._spans.get(id(node))

    def edited(self, node: exp.Expr, text: str) -> str | None:
        """The query with ``text`` in a node's place."""
        span = self._spans.get(id(node))
        return f"{self.sql[: span[0]]}{text}{self.sql[span[1] :]}" if span else None

    def replaced(self, edits: Iterable[tuple[exp.Expr, str]]) -> str:
        """The query with several nodes' texts replaced; the nodes must not lie in one another."""
        sql = self.sql
        for (start, end), text in sorted(((self._spans[id(n)], t) for n, t in edits), reverse=True):
            sql = sql[:start] + text + sql[end:]
        return sql

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._at += len(text)

    def _node(self, node: exp.Expr) -> None:
        start = self._at
        kind = type(node)
        printer = _PRINTERS.get(kind)
        if printer is not None:
            printer(self, node)
        elif kind in _BINARY:
            self._node(node.this)
            self._put(f" {_BINARY[kind]} ")
            self._node(node.expression)
        else:
            self._put(node.sql("sqlite"))
        self._spans[id(node)] = (start, self._at)

    def _list(self, nodes: Iterable[exp.Expr], separator: str = ", ") -> None:
        for number, node in enumerate(nodes):
            if number:
                self._put(separator)
            self._node(node)

    def _select(self, node: exp.Expr) -> None:
        args = node.args
        if args.get("with_") is not None:
            self._node(args["with_"])
            self._put(" ")
        self._put("SELECT ")
        if args.get("distinct") is not None:
            self._put("DISTINCT ")
        self._list(node.expressions)
        if args.get("from_") is not None:
            self._put(" FROM ")
            self._node(args["from_"].this)
        for join in args.get("joins") or ():
            self._node(join)
        for key, word in (("where", "WHERE"), ("group", "GROUP BY"), ("having", "HAVING")):
            clause = args.get(key)
            if clause is not None:
                start = self._at
                self._put(f" {word} ")
                if key == "group":
                    self._list(clause.expressions)
                else:
                    self._node(clause.this)
                self._spans[id(clause)] = (start, self._at)
        self._modifiers(node)

    def _modifiers(self, node: exp.Expr) -> None:
        order = node.args.get("order")
        if order is not None:
            start = self._at
            self._put(" ORDER BY ")
            self._list(order.expressions)
            self._spans[id(order)] = (start, self._at)
        for key, word in (("limit", "LIMIT"), ("offset", "OFFSET")):
            clause = node.args.get(key)
            if clause is not None and clause.args.get("expression") is None:  # FETCH FIRST n ROWS ONLY
                self._put(" " + clause.sql("sqlite"))
            elif clause is not None:
                start = self._at
                self._put(f" {word} ")
                self._node(clause.expression)
                self._spans[id(clause)] = (start, self._at)

    def _set(self, node: exp.Expr) -> None:
        if node.args.get("with_") is not None:
            self._node(node.args["with_"])
            self._put(" ")
        self._node(node.this)
        self._put(f" {SETS[type(node)]}{'' if node.args.get('distinct', True) else ' ALL'} ")
        self._node(node.expression)
        self._modifiers(node)

    def _join(self, node: exp.Expr) -> None:
        words = [str(node.args.get(k) or "") for k in ("method", "side", "kind")]
        self._put(f" {' '.join(w for w in words if w)}{' ' if any(words) else ''}JOIN ")
        self._node(node.this)
        if node.args.get("on") is not None:
            self._put(" ON ")
            self._node(node.args["on"])
        if node.args.get("using"):
            self._put(" USING (")
            self._list(node.args["using"])
            self._put(")")

    def _column(self, node: exp.Expr) -> None:
        if node.args.get("table") is not None:
            self._put(identifier(node.args["table"]) + ".")
        self._put("*" if isinstance(node.this, exp.Star) else identifier(node.this))

    def _alias(self, node: exp.Expr) -> None:
        self._node(node.this)
        self._put(f" AS {identifier(node.args['alias'])}")

    def _table(self, node: exp.Expr) -> None:
        if not isinstance(node.this, exp.Identifier):
            self._put(node.sql("sqlite"))
            return
        self._put(identifier(node.this))
        self._table_alias(node)

    def _table_alias(self, node: exp.Expr) -> None:
        alias = node.args.get("alias")
        if alias is not None:
            self._put(f" AS {identifier(alias.this)}")

    def _subquery(self, node: exp.Expr) -> None:
        self._put("(")
        self._node(node.this)
        self._put(")")
        self._table_alias(node)
        self._modifiers(node)

    def _wrapped(self, node: exp.Expr) -> None:
        self._put("EXISTS (" if isinstance(node, exp.Exists) else "(")
        self._node(node.this)
        self._put(")")

    def _not(self, node: exp.Expr) -> None:
        inner = node.this
        word = {exp.In: "IN", exp.Like: "LIKE", exp.Between: "BETWEEN", exp.Is: "IS", exp.Glob: "GLOB"}.get(
            type(inner)
        )
        if word is None:
            self._put("NOT ")
            self._node(inner)
            return
        start = self._at
        self._node(inner.this)
        self._put(" IS NOT " if word == "IS" else f" NOT {word} ")
        self._operand(inner)
        self._spans[id(inner)] = (start, self._at)

    def _predicate(self, node: exp.Expr) -> None:
        self._node(node.this)
        self._put(" IN " if isinstance(node, exp.In) else " BETWEEN ")
        self._operand(node)

    def _operand(self, node: exp.Expr) -> None:
        if isinstance(node, exp.Between):
            self._node(node.args["low"])
            self._put(" AND ")
            self._node(node.args["high"])
        elif not isinstance(node, exp.In):
            self._node(node.expression)
        elif node.args.get("query") is not None:
            self._node(node.args["query"])
        else:
            self._put("(")
            self._list(node.expressions)
            self._put(")")

    def _aggregate(self, node: exp.Expr) -> None:
        self._put(AGGREGATES[type(node)] + "(")
        if node.this is not None:
            self._node(node.this)
        if node.expressions:
            self._put(", ")
            self._list(node.expressions)
        self._put(")")

    def _distinct(self, node: exp.Expr) -> None:
        self._put("DISTINCT ")
        self._list(node.expressions)

    def _ordered(self, node: exp.Expr) -> None:
        self._node(node.this)
        descending = bool(node.args.get("desc"))
        self._put(" DESC" if descending else "")
        if node.args.get("nulls_first") is not None and bool(node.args["nulls_first"]) == descending:
            explicit = descending or isinstance(node.parent, exp.Order)
            self._put((" NULLS FIRST" if descending else " NULLS LAST") if explicit else "")

    def _literal(self, node: exp.Expr) -> None:
        self._put(literal(node.this) if node.args.get("is_string") else node.this)

    def _neg(self, node: exp.Expr) -> None:
        self._put("-")
        self._node(node.this)


def identifier(node: exp.Expr) -> str:
    """A name as it was written, in backticks where it was quoted (SQLite never takes those for a string)."""
    return backquote(node.name) if node.args.get("quoted") else node.name


_PRINTERS: dict[type[exp.Expr], Callable[[Text, exp.Expr], None]] = {
    exp.Select: Text._select, exp.Union: Text._set, exp.Intersect: Text._set, exp.Except: Text._set,
    exp.Join: Text._join, exp.Column: Text._column, exp.Alias: Text._alias, exp.Table: Text._table,
    exp.Subquery: Text._subquery, exp.Exists: Text._wrapped, exp.Paren: Text._wrapped, exp.Not: Text._not,
    exp.In: Text._predicate, exp.Between: Text._predicate, exp.Distinct: Text._distinct,
    exp.Ordered: Text._ordered, exp.Literal: Text._literal, exp.Neg: Text._neg,
    exp.Identifier: lambda text, node: text._put(identifier(node)),
    exp.Star: lambda text, _: text._put("*"), **dict.fromkeys(AGGREGATES, Text._aggregate),
}  # fmt: skip
