"""Reads out of a query what it asks about: clause by clause, condition by condition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from harness.sql.dialect import (
    COMPARISONS,
    FLIPPED,
    LARGEST,
    NEGATED,
    Value,
    constant,
    is_whole,
    number_of,
    spread,
)
from harness.sql.profile import CONDITIONS, SCOPE, VALUES, Atom, Conditions, Profile, Tally, Total
from harness.sql.schema import Ref
from harness.sql.solving import PART, Solution, columns_of, solutions, told
from harness.sql.statement import Output, Scope, Statement, bare, is_star

_OPS: dict[type[exp.Expr], str] = {
    **COMPARISONS, exp.Is: "is", exp.Like: "like", exp.ILike: "like", exp.Glob: "glob", exp.In: "in",
    exp.Between: "between",
}  # fmt: skip
_OPPOSITE = {**NEGATED, "like": "not like", "in": "not in", "between": "not between", "is": "is not",
             "near": "near", PART: PART, "glob": "not like"}  # fmt: skip

_DATE_FUNCTIONS = frozenset(("date", "time", "datetime", "julianday", "unixepoch", "strftime"))
_ALIKE = ("Marion", "Marina", "Mark", "Nark")
"""Texts that begin or end alike: what only a part of them is asked for is not told by the whole."""

MOST_ROWS = 250
"""Largest number of rows that LIMIT or HAVING can have a database show."""


def profile_of(query: Statement) -> Profile:
    """The profile of a query (names as ``to_sqlite`` leaves them)."""
    reader = _Reader(query)
    reader.query(query.tree)
    profile = reader.profile
    profile.atoms = [_brief(atom) for atom in spread(profile.atoms, CONDITIONS)]
    profile.scopes = [
        scope._replace(atoms=tuple(map(_brief, spread(scope.atoms, SCOPE)))) for scope in profile.scopes
    ]
    return profile


def _brief(atom: Atom) -> Atom:
    return atom._replace(values=tuple(spread(atom.values, VALUES))) if len(atom.values) > VALUES else atom


def _said(node: exp.Expr, select: exp.Query, scope: Scope) -> exp.Expr:
    """What a position in the select list, or a name that is given there, stands for."""
    outputs: list[exp.Expr] = select.expressions
    place = constant(node)
    if place and isinstance(place[0], int) and 0 < place[0] <= len(outputs):
        return outputs[place[0] - 1].unalias()
    if isinstance(node, exp.Column) and not node.table and scope.find(node) is None:
        return next((o.this for o in outputs if o.alias.lower() == node.name.lower()), node)
    return node


class _Reader:
    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.profile = Profile()

    def query(self, node: exp.Expr) -> tuple[Output, ...]:
        """Read a query; the columns of its result."""
        with_ = node.args.get("with_")
        for cte in with_.expressions if with_ else ():
            self.query(cte.this)
        if isinstance(node, exp.SetOperation):
            left, right = self.query(node.this), self.query(node.expression)
            if isinstance(node, exp.Intersect):
                self.profile.shared.update(output.ref for output in (*left, *right) if output.ref)
            for one, other in zip(left, right, strict=False):
                if one.ref and other.ref and one.ref != other.ref:
                    self.profile.peers.append((one.ref, other.ref))
            self._limit(node)
            return left
        if isinstance(node, exp.Subquery):
            return self.query(node.this)
        return self._select(node) if isinstance(node, exp.Select) else ()

    def _select(self, node: exp.Select) -> tuple[Output, ...]:
        profile, scope = self.profile, self.statement.scope(node)
        joins: list[exp.Join] = node.args.get("joins") or []
        for source in scope.sources:
            if source.table is not None:
                profile.tables.add(source.name)
            elif isinstance(source.query, exp.Query):
                self.query(source.query)
        atoms: list[tuple[str, Atom]] = []
        for join in joins:
            self._condition(join.args.get("on"), scope, atoms, joining=True)
            for name in join.args.get("using") or ():
                refs = [r for s in scope.sources if (r := (s.columns or {}).get(name.name.lower()))]
                profile.links.extend((refs[0], r) for r in refs[1:])
        where = node.args.get("where")
        self._condition(where.this if where else None, scope, atoms, joining=True)
        by_alias: dict[str, list[Atom]] = {}
        for alias, atom in atoms:
            by_alias.setdefault(alias, []).append(atom)
        loose = where is not None and where.find(exp.Or, exp.Not) is not None
        profile.scopes.extend(Conditions(found[0].ref[0], tuple(found), loose) for found in by_alias.values())
        profile.atoms.extend(atom for _, atom in atoms)
        having = node.args.get("having")
        if having is not None:
            self._having(having.this, scope, node.args.get("group"))
        for item in node.expressions:
            self._output(item, scope)
        self._counts(node, scope)
        self._grouping(node, scope)
        self._limit(node)
        order = node.args.get("order")
        for item in order.expressions if order else ():
            key = _said(item.this, node, scope)
            self._ordered(key, scope, node)
            self._walk(key, scope)
        return self.statement.outputs(node) or ()

    def _output(self, node: exp.Expr, scope: Scope) -> None:
        inner = node.this if isinstance(node, exp.Alias) else node
        self._walk(inner, scope)
        for column in columns_of(inner):
            found = scope.resolve(column)
            if found:
                self.profile.outputs.add(found[1])

    def _counts(self, node: exp.Select, scope: Scope) -> None:
        """Where rows and a column's values are counted side by side, its NULLs are what is asked for."""
        counts = [count.this for item in node.expressions for count in item.find_all(exp.Count)]
        if any(isinstance(counted, (exp.Star, exp.Literal)) for counted in counts):
            for counted in counts:
                if isinstance(counted, exp.Column):
                    self._null(counted, scope)

    def _limit(self, node: exp.Expr) -> None:
        for key in ("limit", "offset"):
            clause = node.args.get(key)
            value = constant(clause.expression) if clause is not None else None
            if value and isinstance(value[0], int) and 0 <= value[0] <= MOST_ROWS:
                self.profile.thresholds.add(value[0])

    def _grouping(self, node: exp.Select, scope: Scope) -> None:
        group = node.args.get("group")
        if group is None:
            return
        said = [_said(e, node, scope) for e in group.expressions]
        keys = [f[1] for e in said for c in columns_of(e) if (f := scope.resolve(c))]
        self.profile.grouped.update(keys)
        order, having = node.args.get("order"), node.args.get("having")
        if keys and any(e.find(exp.AggFunc) for e in (*node.expressions, order, having) if e is not None):
            tables = frozenset(source.name for source in scope.sources if source.table is not None)
            self.profile.tallies.append(Tally(tables, frozenset(keys)))
        bare = [
            f[1]
            for e in [*node.expressions, *(order.expressions if order else ())]
            for c in columns_of(e, inside_aggregates=False)
            if (f := scope.resolve(c)) and f[1] not in keys
        ]
        if bare and keys:
            self.profile.dependencies.append((tuple(keys), tuple(dict.fromkeys(bare))))

    def _ordered(self, node: exp.Expr, scope: Scope, select: exp.Select) -> None:
        for column in columns_of(node):
            found = scope.resolve(column)
            if found:
                self.profile.ordered.add(found[1])
                if select.args.get("limit"):
                    self.profile.extremes.add(found[1])

    def _numeric(self, node: exp.Expr, scope: Scope, decimals: bool = False) -> None:
        for column in columns_of(node):
            found = scope.resolve(column)
            if found:
                self.profile.numeric[found[1]] = self.profile.numeric.get(found[1], False) or decimals

    def _walk(self, node: exp.Expr | None, scope: Scope) -> None:
        """Aggregates, arithmetic and subqueries wherever they stand."""
        if node is None or isinstance(node, (exp.Literal, exp.Column, exp.Star)):
            return
        if isinstance(node, (exp.Select, exp.SetOperation)):
            self.query(node)
            return
        if isinstance(node, (exp.Sum, exp.Avg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg)):
            self._numeric(node, scope)
        elif isinstance(node, (exp.Max, exp.Min)) and isinstance(node.this, exp.Column):
            found = scope.resolve(node.this)
            if found:
                self.profile.extremes.add(found[1])
        elif isinstance(node, (exp.Coalesce,)):
            self._null(node, scope)
        elif _of_dates(node):
            self.profile.dated.update(_refs(node, scope))
        elif isinstance(node, (exp.Abs, exp.Mod, exp.Sign)):
            self.profile.signed.update(_refs(node, scope))
        elif isinstance(node, exp.Cast) and node.to.is_type(*exp.DataType.REAL_TYPES):
            self.profile.cast.update(_refs(node, scope))
        elif isinstance(node, (exp.Nullif, exp.Substring)):
            self._held(node, scope)
        elif type(node) in _OPS:
            ignored: list[tuple[str, Atom]] = []
            self._condition(node, scope, ignored, joining=False)
            self.profile.atoms.extend(a for _, a in ignored)
            return
        for child in node.iter_expressions():
            self._walk(child, scope)

    def _held(self, node: exp.Expr, scope: Scope) -> None:
        """What a column must hold for a function to make a difference, whatever it is compared with."""
        other = told(node.args.get("expression"))
        if isinstance(node, exp.Substring):
            held = [Solution(column, PART, _ALIKE) for column in columns_of(node.this)]
        else:
            held = [Solution(column, "near", other) for column in columns_of(node.this)] if other else []
        found: list[tuple[str, Atom]] = []
        self._solved(held, scope, found)
        self.profile.atoms.extend(atom for _, atom in found)

    def _null(self, node: exp.Expr, scope: Scope) -> None:
        for column in columns_of(node):
            found = scope.find(column)
            if found and found.ref and not found.source.optional:  # there IS NULL asks if a row was found
                self.profile.nullable.add(found.ref)

    def _having(self, node: exp.Expr, scope: Scope, group: exp.Group | None) -> None:
        keys = [_said(e, scope.node, scope) for e in (group.expressions if group else ())]
        groups = tuple(ref for key in keys for ref in _refs(key, scope))
        for comparison in node.find_all(*_OPS):
            sides = [comparison.this, comparison.expression]
            if isinstance(comparison, exp.Between):
                sides = [comparison.this, comparison.args["low"], comparison.args["high"]]
            values = [v[0] for s in sides if s is not None and (v := told(s))]
            if any(s is not None and s.find(exp.Count) for s in sides):
                self.profile.thresholds.update(
                    int(v) for v in values if isinstance(v, (int, float)) and 0 <= v <= MOST_ROWS
                )
            for total in (s for s in sides if isinstance(s, (exp.Sum, exp.Avg))):
                self.profile.totals += [
                    Total(ref, groups, isinstance(total, exp.Avg), value)
                    for ref in _refs(total, scope)
                    for value in values
                    if isinstance(value, (int, float)) and abs(value) < LARGEST // MOST_ROWS
                ]
        found: list[tuple[str, Atom]] = []
        self._condition(node, scope, found, joining=False)
        self.profile.atoms.extend(a for _, a in found)

    def _condition(
        self,
        node: exp.Expr | None,
        scope: Scope,
        atoms: list[tuple[str, Atom]],
        *,
        joining: bool,
        negated: bool = False,
    ) -> None:
        if node is None:
            return
        if isinstance(node, exp.Paren):
            self._condition(node.this, scope, atoms, joining=joining, negated=negated)
        elif isinstance(node, exp.Not):
            self._condition(node.this, scope, atoms, joining=joining, negated=not negated)
        elif isinstance(node, (exp.And, exp.Or)):
            self._condition(node.this, scope, atoms, joining=joining, negated=negated)
            self._condition(node.expression, scope, atoms, joining=joining, negated=negated)
        elif type(node) not in _OPS:
            self._walk(node, scope)
        elif (meant := self._written_out(node, scope)) is None:
            self._comparison(node, scope, atoms, joining, negated)
        elif meant[1] is scope and not meant[0].find(exp.AggFunc):
            self._comparison(meant[0], scope, atoms, joining, negated)
        else:
            inner = exp.Not(this=exp.Paren(this=meant[0])) if negated else meant[0]
            self._having(inner, meant[1], meant[1].node.args.get("group"))

    def _written_out(self, node: exp.Expr, scope: Scope) -> tuple[exp.Expr, Scope] | None:
        """A comparison with what names of the select list or of a derived table stand for in their place.

        With it the scope in which it then stands; None where no name is such a one, or several scopes meet.
        """
        if node.find(exp.Query):
            return None
        given = [self._definition(column, scope) for column in columns_of(node)]
        scopes = [where for _, where in given]
        if not any(said for said, _ in given) or any(where is not scopes[0] for where in scopes):
            return None
        copy = node.copy()
        for column, (said, _) in zip(list(columns_of(copy)), given, strict=True):
            if said is not None:
                column.replace(said.copy())
        return copy, scopes[0]

    def _comparison(
        self, node: exp.Expr, scope: Scope, atoms: list[tuple[str, Atom]], joining: bool, negated: bool
    ) -> None:
        op = _OPS[type(node)]
        left, right = node.this, node.args.get("expression")
        values: list[Value] = []
        if op == "in":
            values = [v[0] for e in node.expressions if (v := told(e))]
            if isinstance(left, exp.Tuple):
                self._tuples(left, node, scope, atoms)
            self._looked_up(left, node.args.get("query"), scope)
        elif op == "between":
            values = [v[0] for k in ("low", "high") if (v := told(node.args[k]))]
        else:
            value = told(right)
            if value is None and (swapped := told(left)) is not None:
                left, right, value, op = right, left, swapped, FLIPPED.get(op, op)
                if op in ("like", "glob"):  # the column holds the pattern
                    self._patterns(left, str(swapped[0]), scope, atoms)
            if value is not None:
                values = [value[0]]
        if op == "is" and values == [None]:
            self._null(left, scope)
        if not values:
            self._columns_beside(op, left, right, scope, joining)
            return
        self._walk(left, scope)
        if negated:
            op = _OPPOSITE[op]
        plain = isinstance(left, exp.Column) or (
            isinstance(left, (exp.Max, exp.Min)) and isinstance(left.this, exp.Column)
        )
        numbers = [v for v in values if isinstance(v, (int, float))]
        if op in ("<", "<=", ">", ">=", "between", "not between"):
            numbers += [n for v in values if isinstance(v, str) and (n := number_of(v)) is not None]
        aggregate = left is not None and left.find(exp.Count, exp.Length, exp.AggFunc) if not plain else None
        measured = isinstance(aggregate, (exp.Count, exp.Length)) or _reshaped(left)
        if numbers and len(numbers) == len(values) and not measured:
            self._numeric(left, scope, any(not is_whole(n) for n in numbers))
        if left is None or isinstance(aggregate, exp.Count):
            return
        inner = left.this if plain and isinstance(left, exp.AggFunc) else left
        self._solved(solutions(inner, op, values), scope, atoms)

    def _definition(self, column: exp.Column, scope: Scope) -> tuple[exp.Expr | None, Scope]:
        """The expression that a column's name stands for, if it is none of the schema's, and its scope."""
        found = scope.find(column)
        if found is None:
            said = _said(column, scope.node, scope)
            known = said is not column and all(scope.find(c) is not None for c in columns_of(said))
            return (said if known and not said.find(exp.Query) else None), scope
        if found.ref is not None:
            return None, scope
        query = found.source.query
        query = bare(query.this if isinstance(query, exp.CTE) else query)
        names = list(found.source.columns or ())
        if not isinstance(query, exp.Select) or len(names) != len(query.expressions):
            return None, scope
        said = query.expressions[names.index(column.name.lower())].unalias()
        return (None if is_star(said) or said.find(exp.Query) else said), self.statement.scope(query)

    def _solved(self, found: Iterable[Solution], scope: Scope, atoms: list[tuple[str, Atom]]) -> None:
        for one in found:
            if (place := scope.resolve(one.column)) is not None:
                atoms.append((place[0], Atom(place[1], one.op, one.values)))

    def _patterns(
        self, node: exp.Expr | None, text: str, scope: Scope, atoms: list[tuple[str, Atom]]
    ) -> None:
        for column in columns_of(node):
            self._solved([Solution(column, PART, ("%", f"{text[:1]}%", f"_{text[1:]}"))], scope, atoms)

    def _looked_up(self, left: exp.Expr, query: exp.Expr | None, scope: Scope) -> None:
        """``a IN (SELECT …)``: a column joined with what the query inside shows."""
        if query is None:
            return
        outputs = self.query(query.this if isinstance(query, exp.Subquery) else query)
        found = scope.resolve(left) if isinstance(left, exp.Column) else None
        self.profile.shared.update(output.ref for output in outputs if output.ref)
        if found and outputs and outputs[0].ref and outputs[0].ref != found[1]:
            self.profile.links.append((found[1], outputs[0].ref))

    def _tuples(self, left: exp.Tuple, node: exp.Expr, scope: Scope, atoms: list[tuple[str, Atom]]) -> None:
        """``(a, b) IN (VALUES (1, 2), …)``: what each of the columns is compared with."""
        rows = [
            row for e in node.expressions for row in (e.expressions if isinstance(e, exp.Values) else [e])
        ]
        for place, column in enumerate(left.expressions):
            cells = (r.expressions[place] for r in rows if len(r.expressions) > place)
            values = tuple(v[0] for cell in cells if (v := told(cell)))
            if values:
                self._solved(solutions(column, "in", values), scope, atoms)

    def _columns_beside(
        self, op: str, left: exp.Expr | None, right: exp.Expr | None, scope: Scope, joining: bool
    ) -> None:
        a = scope.resolve(left) if isinstance(left, exp.Column) else None
        b = scope.resolve(right) if isinstance(right, exp.Column) else None
        if a and b and a != b:
            same_source = a[0] == b[0]
            links = self.profile.links if op == "=" and joining and not same_source else self.profile.peers
            links.append((a[1], b[1]))
        for side, other in ((left, a), (right, b)):
            inner = side.find(exp.Select) if side is not None else None
            if inner is not None:
                mine = [
                    f[1]
                    for s in (left, right)
                    if s is not side and s
                    for c in columns_of(s)
                    if (f := scope.resolve(c))
                ]
                outputs = self.query(inner)
                aggregate = inner.expressions[0].find(exp.AggFunc) if inner.expressions else None
                if isinstance(aggregate, (exp.Avg, exp.Sum)):
                    for ref in mine:
                        self.profile.numeric.setdefault(ref, False)
                if mine and outputs and outputs[0].ref and outputs[0].ref != mine[0]:
                    self.profile.peers.append((mine[0], outputs[0].ref))
            elif other is None:
                self._walk(side, scope)


def _of_dates(node: exp.Expr) -> bool:
    """Whether a function takes its argument for a date or a time."""
    named = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    return isinstance(node, (exp.TimeToStr, exp.Date, exp.TsOrDsToDate)) or named in _DATE_FUNCTIONS


def _refs(node: exp.Expr, scope: Scope) -> Iterator[Ref]:
    for column in columns_of(node):
        if (found := scope.resolve(column)) is not None:
            yield found[1]


def _reshaped(node: exp.Expr | None) -> bool:
    """Whether a function makes something else of a column, as a year of a date: it need be no number."""
    functions = node.find_all(exp.Func) if node is not None else ()
    return any(
        not isinstance(f, (exp.AggFunc, exp.Cast, exp.Abs, exp.Round, exp.Coalesce)) for f in functions
    )
