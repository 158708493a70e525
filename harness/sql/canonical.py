"""A query's canonical form: the same for queries that differ only in how they are written.

``Canonicaliser`` brings each SELECT through ``RULES``, in order; ``expressions`` has those of values and
conditions, ``joins`` those of keys. A rule's level says what it preserves. The *basic* form, which exact
match compares, resolves and qualifies names, drops aliases, quoting, letter case and redundant parentheses,
sorts conditions, operands and inner joins, and writes ``!=`` as ``<>``, ``COUNT(1)`` as ``COUNT(*)``. The
*strong* form also takes the rules of *meaning* (BETWEEN, IN lists, NOT, columns equal by a join, DISTINCT
and ORDER BY where they cannot matter, the order of the output columns) and of *keys*: it preserves meaning
on databases that respect them and hold no NULL in ``filled`` columns.

A query with a construct that is not modelled (windows, COLLATE, ESCAPE, NULLS LAST, IN a table, a star over
USING, …) has no form: it is equal to nothing but its own words, and nothing is proved of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import permutations
from typing import Any

from sqlglot import exp

from harness.sql.dialect import tokens, words
from harness.sql.expressions import Draft, Level, Outer, Unmodelled, column_text
from harness.sql.joins import (
    Joins,
    conditions_apart,
    equals_unified,
    fewest_groups,
    groups_held,
    left_joins_inward,
    parents_dropped,
)
from harness.sql.schema import Ref, Schema
from harness.sql.statement import Source, Statement, bare, is_star, statement
from harness.sql.terms import (
    TRUE,
    Compound,
    Condition,
    Form,
    Junction,
    Kind,
    Leaf,
    Not,
    Select,
    conjunction,
    quoted,
    render,
    show,
)

STEPS = 400
"""SELECTs read for one form, the orders of a self join among them."""

LABEL = 8_000
"""Most characters of a source's canonical text."""

_ALWAYS = {"count(*) >= 1", "count(*) > 0", "count(*) <> 0", "count(*) >= 0"}  # of a group
_CLAUSES = {
    exp.Select: frozenset(
        words("expressions from_ joins where group having order limit offset distinct with_")
    ),
    exp.SetOperation: frozenset(("this", "expression", "distinct", "order", "limit", "offset", "with_")),
    exp.Join: frozenset(("this", "on", "using", "method", "side", "kind")),
    exp.Table: frozenset(("this", "alias", "db")),
    exp.Subquery: frozenset(("this", "alias")),
    exp.Group: frozenset(("expressions",)),
    exp.Ordered: frozenset(("this", "desc", "nulls_first")),
    exp.Distinct: frozenset[str](),
    exp.Limit: frozenset(("expression",)),
    exp.With: frozenset(("expressions",)),
    exp.CTE: frozenset(("this", "alias")),
}  # fmt: skip
"""What of each clause is modelled."""


class Canonicaliser(Joins):
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
        kinds: Mapping[str, Mapping[str, Kind]] | None = None,
        case: str = "ignore",
        strong: bool = False,
        primary: Iterable[tuple[str, tuple[str, ...]]] = (),
        links: Iterable[tuple[Ref, Ref]] = (),
        filled: Iterable[Ref] | None = None,
        stricter: Canonicaliser | None = None,
    ) -> None:
        levels: frozenset[Level] = frozenset(("basic", "meaning", "keys") if strong else ("basic",))
        super().__init__(fold=case == "ignore", levels=levels, primary=dict(primary), links=dict(links))
        self.schema = schema
        self.rules = _rules(levels)
        self.never_null = None if filled is None else frozenset(filled)
        self.table_kinds = kinds or {}
        self._forms: dict[str, Form | None] = {}
        self._texts: dict[str, str] = {}
        self._views: dict[int, str] = {}
        self._labelled: set[str] = set()
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
        self._views, self._steps = {}, STEPS
        try:
            return self.query(of.tree, None, top=True)
        except (Unmodelled, RecursionError):
            return None
        finally:
            if self.held_back:
                self._held_back.add(of.text)

    # queries

    def query(self, node: Any, parent: Draft | None, *, top: bool = False) -> Form:
        """The form of a query; raises Unmodelled where it has none."""
        node = bare(node)
        if clause := node.args.get("with_"):
            modelled(clause)
            for view in clause.expressions:
                modelled(view)
        if isinstance(node, exp.SetOperation):
            return self._compound(node, parent, top=top)
        if not isinstance(node, exp.Select):
            raise Unmodelled(f"not a query: {type(node).__name__}")
        modelled(node)
        sources = self.statement.scope(node).sources
        names = [source.name for source in sources]
        repeated = (
            [n for n, name in enumerate(names) if name and names.count(name) > 1] if len(names) > 1 else []
        )
        if not 1 < len(repeated) <= 3 or any(source.optional for source in sources):
            return self._select(node, parent, {}, top)
        forms = (
            self._select(node, parent, dict(zip(repeated, order, strict=True)), top)
            for order in permutations(range(len(repeated)))
        )
        return min(forms, key=render)

    def _compound(self, node: exp.SetOperation, parent: Draft | None, *, top: bool) -> Compound:
        modelled(node, exp.SetOperation)
        if isinstance(node.expression, exp.SetOperation):
            raise Unmodelled("set operations not taken from left to right")
        left, right = self.query(node.this, parent), self.query(node.expression, parent)
        operator = node.key + ("" if node.args.get("distinct") else " all")
        if self.strong and operator != "union all":
            left, right = (
                one._replace(distinct=False, order=()) if isinstance(one, Select) and not one.limit else one
                for one in (left, right)
            )
        if not operator.startswith("except") and render(right) < render(left):
            left, right = right, left
        draft = Draft(node, self.statement.scope(node), parent, top=top)
        outputs = self.statement.outputs(node) or ()
        draft.aliases = {output.name: f"#{n + 1}" for n, output in enumerate(outputs)}
        order, limit = self._order(draft), self._limit(draft)
        return Compound(operator, left, right, order, limit)

    def _select(self, node: exp.Select, parent: Draft | None, numbers: dict[int, int], top: bool) -> Select:
        self._steps -= 1
        if self._steps < 0:
            raise Unmodelled("more steps than the budget")
        draft = Draft(node, self.statement.scope(node), parent, top=top)
        self._sources(draft, numbers)
        for rule in self.rules:
            rule(self, draft)
        return draft.form()

    # sources

    def _sources(self, draft: Draft, numbers: dict[int, int]) -> None:
        """Label the sources, and sort what joins them into conditions and outer joins."""
        node, sources = draft.node, draft.scope.sources
        joins = node.args.get("joins") or []
        start = node.args.get("from_")
        tables = ([] if start is None else [(start.this, None)]) + [(join.this, join) for join in joins]
        merged = [join for join in joins if join.args.get("using") or join.method]
        if merged and any(is_star(item) for item in node.expressions):
            raise Unmodelled("a star over USING")
        for n, ((table, join), source) in enumerate(zip(tables, sources, strict=True)):
            draft.labels.append(self._label(table, source, draft, numbers.get(n)))
            if join is None:
                continue
            modelled(join)
            if join.side in ("RIGHT", "FULL") and (merged or len(tables) > 2):
                raise Unmodelled(f"{join.side} JOIN among several")
            on = list(self._shared(join, source, sources[:n]))
            if join.args.get("on") is not None:
                on.append(join.args["on"])
            if join.side or draft.outer:
                draft.outer.append(Outer(f"{join.side.lower() or 'inner'} join", draft.labels[n], on))
            else:
                draft.conditions += on
        if (where := node.args.get("where")) is not None:
            draft.conditions.append(where.this)

    def _shared(self, join: exp.Join, source: Source, before: tuple[Source, ...]) -> Iterator[exp.Expr]:
        """The equalities that USING or NATURAL stands for."""
        names = [one.name.lower() for one in join.args.get("using") or ()]
        if join.method not in ("", "NATURAL"):
            raise Unmodelled(f"{join.method} JOIN")
        if join.method:
            if any(one.columns is None for one in (source, *before)):
                raise Unmodelled("NATURAL JOIN of what is not known")
            names = [c for c in source.columns or () if any(c in (one.columns or ()) for one in before)]
        for name in names:
            left = next((one for one in before if one.columns is None or name in one.columns), None)
            if left is None:
                raise Unmodelled("USING a column that is not there")
            yield exp.EQ(
                this=exp.column(name, left.alias, quoted=True),
                expression=exp.column(name, source.alias, quoted=True),
            )

    def _label(self, table: Any, source: Source, draft: Draft, number: int | None) -> str:
        modelled(table)
        if source.query is None:
            if not (isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)):
                raise Unmodelled("a source that is neither table nor query")
            label = _fresh(quoted(source.name), draft, number)
            if not self.strong or label in self._labelled:
                return label
            self._labelled.add(label)
            kinds = self.table_kinds.get(source.name, {})
            for name in source.columns or ():
                text = f"{label}.{quoted(name)}"
                self.kinds[text] = kinds.get(name, "")
                if self.never_null is None or (source.name, name) in self.never_null:
                    self.filled.add(text)
            return label
        if id(source.query) not in self._views:
            body = source.query.this if isinstance(source.query, exp.CTE) else source.query
            text = f"({render(self.query(body, None))})"
            if len(text) > LABEL:
                raise Unmodelled("a source whose text is longer than the budget")
            self._views[id(source.query)] = text
        return _fresh(self._views[id(source.query)], draft, number)

    # clauses

    def outputs(self, draft: Draft) -> Iterator[tuple[str, str]]:
        """The canonical text of each output, stars written out, and its alias ("" for none)."""
        for item in draft.node.expressions:
            if is_star(item):
                qualifier = item.table.lower() if isinstance(item, exp.Column) else ""
                for place, source in enumerate(draft.scope.sources):
                    if qualifier and source.alias != qualifier:
                        continue
                    if source.columns is None:
                        yield f"{draft.labels[place]}.*", ""
                    for name in source.columns or ():
                        text = column_text(draft, place, name)
                        yield draft.same.get(text, text), ""
            else:
                alias = item.alias.lower() if isinstance(item, (exp.Alias, exp.Subquery)) else ""
                yield self.value(item.this if alias else item, draft), alias

    def read_clauses(self, draft: Draft) -> None:
        """The texts of all clauses, sorted where order says nothing."""
        node = draft.node
        draft.joins = tuple(
            f"{kind} {label} on {show(conjunction(self.condition(one, draft) for one in on))}"
            for kind, label, on in draft.outer
        )
        draft.counts = False
        columns = list(self.outputs(draft))
        draft.shows_aggregates = draft.counts
        draft.select = tuple(text for text, _ in columns)
        draft.aliases = {name: text for text, name in columns if name}
        filters = [self.condition(one, draft) for one in draft.conditions]
        draft.where = conjunction([*_classes(draft.same), *filters])
        draft.counts = draft.shows_aggregates
        grouping = node.args.get("group")
        if grouping is not None:
            modelled(grouping)
            texts = [self._position(one, draft) for one in grouping.expressions]
            draft.group = tuple(sorted(dict.fromkeys(texts)))
        having = node.args.get("having")
        draft.having = self.condition(having.this, draft) if having is not None else TRUE
        draft.order, draft.limit = self._order(draft), self._limit(draft)
        draft.aggregated = draft.counts
        if (distinct := node.args.get("distinct")) is not None:
            modelled(distinct)
            draft.distinct = True
        absent = draft.dropped | {label for _, label, _ in draft.outer}
        draft.sources = tuple(sorted(label for label in draft.labels if label not in absent))

    def _order(self, draft: Draft) -> tuple[str, ...]:
        clause = draft.node.args.get("order")
        keys: dict[str, str] = {}
        for item in clause.expressions if clause is not None else ():
            modelled(item)
            descending = bool(item.args.get("desc"))
            if (first := item.args.get("nulls_first")) is not None and bool(first) == descending:
                raise Unmodelled("NULLS FIRST or LAST")
            inner = bare(item.this)
            named = isinstance(inner, exp.Column) and not inner.table
            alias = draft.aliases.get(inner.name.lower()) if named else None
            key = alias or self._position(inner, draft)
            keys.setdefault(key, f"{key} desc" if descending else key)
        return tuple(keys.values())

    def _position(self, node: Any, draft: Draft) -> str:
        node = bare(node)
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            place = int(node.name) - 1
            if not draft.labels:
                return f"#{place + 1}"
            return draft.select[place] if 0 <= place < len(draft.select) else node.name
        return self.value(node, draft)

    def _limit(self, draft: Draft) -> str:
        limit, offset = draft.node.args.get("limit"), draft.node.args.get("offset")
        if limit is not None:
            modelled(limit)
        text = self.value(limit.expression, draft) if limit is not None else ""
        skip = self.value(offset.expression, draft) if offset is not None else "0"
        return text if skip == "0" else f"{text}, {skip}"


# rules: before the clauses are read they work on joins, afterwards on the clauses' texts


def filled_noted(read: Canonicaliser, draft: Draft) -> None:
    """What WHERE compares is not NULL in the rows that it lets pass."""
    if read.never_null is not None and not draft.outer and draft.node.find(exp.Count):
        passed = conjunction(read.condition(one, draft) for one in draft.conditions)
        draft.filled = {*_filled(passed), *draft.same.values()}


def full_groups(read: Canonicaliser, draft: Draft) -> None:
    """No group is empty."""
    if draft.group and isinstance(draft.having, Leaf) and draft.having.text in _ALWAYS:
        draft.having, draft.aggregated = TRUE, draft.shows_aggregates


def distinct_keys(read: Canonicaliser, draft: Draft) -> None:
    """No two rows agree in what fixes the row of every source."""
    plain = draft.distinct and not draft.group and not draft.aggregated
    if plain and read.covers(draft.select, draft):
        draft.distinct = False


def groups_as_distinct(read: Canonicaliser, draft: Draft) -> None:
    """A group a combination of outputs, and nothing else asked of it, is DISTINCT."""
    if (
        draft.group
        and not draft.aggregated
        and draft.having == TRUE
        and set(draft.group) == set(draft.select)
    ):
        draft.distinct, draft.group = True, ()


def distinct_groups(read: Canonicaliser, draft: Draft) -> None:
    """Groups that show all that they are grouped by are distinct."""
    if draft.distinct and draft.group and set(draft.group) <= set(draft.select):
        draft.distinct = False


def one_row(read: Canonicaliser, draft: Draft) -> None:
    """A single row is distinct and in order; a limit leaves it."""
    if draft.aggregated and not draft.group:
        draft.distinct, draft.order = False, ()
        if draft.limit.isdigit() and draft.limit != "0":
            draft.limit = ""


def outputs_sorted(read: Canonicaliser, draft: Draft) -> None:
    """The columns of a result may stand in any order."""
    if draft.top:
        draft.select = tuple(sorted(draft.select))


RULES: tuple[tuple[Level, Callable[[Any, Draft], None]], ...] = (
    ("meaning", conditions_apart),
    ("keys", left_joins_inward),
    ("keys", parents_dropped),
    ("meaning", equals_unified),
    ("keys", groups_held),
    ("meaning", filled_noted),
    ("basic", Canonicaliser.read_clauses),
    ("keys", fewest_groups),
    ("meaning", full_groups),
    ("keys", distinct_keys),
    ("meaning", groups_as_distinct),
    ("meaning", distinct_groups),
    ("meaning", one_row),
    ("meaning", outputs_sorted),
)
"""What a SELECT goes through, in order, each rule with the level of what it preserves."""


@cache
def _rules(levels: frozenset[Level]) -> tuple[Callable[[Any, Draft], None], ...]:
    return tuple(rule for level, rule in RULES if level in levels)


def modelled(node: Any, kind: type[Any] | None = None) -> None:
    """Raise Unmodelled where a clause says more than the form knows of."""
    known = _CLAUSES.get(kind or type(node))
    if known is None:
        raise Unmodelled(type(node).__name__)
    for name, value in node.args.items():
        if value and name not in known:
            raise Unmodelled(f"{type(node).__name__} with {name}")


def _fresh(label: str, draft: Draft, number: int | None) -> str:
    if number is not None:
        return f"{label}:{number}"
    taken = set(draft.names())
    if label not in taken:
        return label
    return next(name for n in range(1, 99) if (name := f"{label}~{n}") not in taken)


def _filled(item: Condition) -> Iterator[str]:
    """What is not NULL where a condition holds."""
    if isinstance(item, Leaf) and item.left and item.operator != "is null":
        yield item.left
    elif isinstance(item, Not) and isinstance(item.item, Leaf) and item.item.operator == "is null":
        yield item.item.left
    elif isinstance(item, Junction) and item.operator == "and":
        for one in item.items:
            yield from _filled(one)


def _classes(same: Mapping[str, str]) -> Iterator[Condition]:
    for root in sorted(set(same.values())):
        yield Leaf(" = ".join(sorted(name for name, other in same.items() if other == root)))
