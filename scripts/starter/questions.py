"""Questions of the starter benchmark: twenty kinds, several phrasings each, and the gold of every one.

A kind is a function that draws one question about one domain, or gives None where the domain has no
column for it. Phrasings are templates; what they leave open (how columns, conditions and orders are
put into words) is drawn too, so that a kind has hundreds of surface forms and one form of gold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from . import phrases
from .domains import Domain
from .draw import Condition, Draw, Question, listed, names, quoted, where


def _projection(draw: Draw) -> Question | None:
    table = draw.table()
    meaningful = [column for column in table.columns if column.text or column.number]
    columns = draw.rng.sample(meaningful, min(len(meaningful), draw.rng.choice((1, 2, 2, 3))))
    words = draw.say(phrases.ALL, c=listed(columns), t=table.phrase, ts=table.plural)
    return Question(words, f"SELECT {names(columns)} FROM {table.name}")


def _filter(operator: str) -> Callable[[Draw], Question | None]:
    def kind(draw: Draw) -> Question | None:
        table = draw.table()
        condition = draw.condition(table, operator)
        return condition and draw.select(table, condition)

    return kind


def _between(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="number")
    if column is None or len(ends := draw.literals(column, 2)) < 2:
        return None
    low, high = sorted(ends, key=int)
    words = draw.say(phrases.BETWEEN, c=column.phrase, v=low, w=high)
    return draw.select(table, Condition(words, f"{column.name} BETWEEN {low} AND {high}"))


def _like(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="text")
    if column is None:
        return None
    literal = draw.literal(column)
    pattern = draw.rng.choice(tuple(phrases.LIKE))
    if " " in literal and draw.rng.random() < 0.6:
        piece = literal.split()[0 if pattern == "{v}%" else -1]
    else:
        size = draw.rng.choice((1, 2, 3))
        piece = literal[-size:] if pattern == "%{v}" else literal[:size]
    words = draw.say(phrases.LIKE[pattern], c=column.phrase, v=piece.strip())
    return draw.select(
        table, Condition(words, f"{column.name} LIKE '{pattern.replace('{v}', piece.strip())}'")
    )


def _listing(templates: Sequence[str], operator: str) -> Callable[[Draw], Question | None]:
    def kind(draw: Draw) -> Question | None:
        table = draw.table()
        column = draw.column(table, kind="text" if draw.rng.random() < 0.75 else "any")
        if column is None or len(values := draw.literals(column, draw.rng.choice((2, 2, 3)))) < 2:
            return None
        words = draw.say(templates, c=column.phrase, v=", ".join(values))
        inside = ", ".join(quoted(column, item) for item in values)
        return draw.select(table, Condition(words, f"{column.name} {operator} ({inside})"))

    return kind


def _both(joint: str, operator: str) -> Callable[[Draw], Question | None]:
    def kind(draw: Draw) -> Question | None:
        table = draw.table()
        first = draw.condition(table)
        if first is None:
            return None
        used = [column for column in table.columns if column.name == first.sql.split()[0]]
        second = draw.condition(table, besides=used)
        if second is None:
            return None
        return draw.select(
            table, Condition(f"{first.words} {joint} {second.words}", f"{first.sql} {operator} {second.sql}")
        )

    return kind


def _count(draw: Draw) -> Question | None:
    table = draw.table()
    condition = draw.condition(table) if draw.rng.random() < 0.75 else None
    words = draw.say(phrases.COUNT, ts=table.plural, **{"if": condition.words if condition else ""})
    return Question(words, f"SELECT COUNT(*) FROM {table.name}{where(condition)}")


def _aggregate(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="number")
    if column is None:
        return None
    function = draw.rng.choice([name for name in phrases.AGGREGATES if name != "SUM" or column.low < 900])
    condition = draw.condition(table, besides=[column]) if draw.rng.random() < 0.5 else None
    words = draw.say(
        phrases.AGGREGATE,
        f=draw.rng.choice(phrases.AGGREGATES[function]),
        c=column.phrase,
        ts=table.plural,
        **{"if": condition.words if condition else ""},
    )
    return Question(words, f"SELECT {function}({column.name}) FROM {table.name}{where(condition)}")


def _distinct(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="text")
    if column is None:
        return None
    condition = draw.condition(table, besides=[column]) if draw.rng.random() < 0.3 else None
    parts = {"c": column.phrase, "ts": table.plural, "if": condition.words if condition else ""}
    if draw.rng.random() < 0.3:
        words = draw.say(
            phrases.DISTINCT_COUNT,
            **parts,
        )
        return Question(words, f"SELECT COUNT(DISTINCT {column.name}) FROM {table.name}{where(condition)}")
    words = draw.say(
        phrases.DISTINCT,
        **parts,
    )
    return Question(words, f"SELECT DISTINCT {column.name} FROM {table.name}{where(condition)}")


def _group(draw: Draw) -> Question | None:
    table = draw.table()
    by = draw.column(table, kind="choices")
    if by is None:
        return None
    if draw.rng.random() < 0.5:
        words = draw.say(
            phrases.GROUP_COUNT,
            c=by.phrase,
            ts=table.plural,
        )
        return Question(words, f"SELECT {by.name}, COUNT(*) FROM {table.name} GROUP BY {by.name}")
    column = draw.column(table, kind="number", besides=[by])
    if column is None:
        return None
    function = draw.rng.choice(tuple(phrases.AGGREGATES))
    words = draw.say(
        phrases.GROUP,
        c=by.phrase,
        f=draw.rng.choice(phrases.AGGREGATES[function]),
        n=column.phrase,
        ts=table.plural,
    )
    return Question(
        words, f"SELECT {by.name}, {function}({column.name}) FROM {table.name} GROUP BY {by.name}"
    )


def _having(draw: Draw) -> Question | None:
    table = draw.table()
    by = draw.column(table, kind="choices")
    if by is None:
        return None
    operator, more = draw.rng.choice(((">", ("more than", "over")), ("<", ("fewer than", "less than"))))
    head = f"FROM {table.name} GROUP BY {by.name} HAVING"
    if draw.rng.random() < 0.6:
        count = str(draw.rng.randint(2, 9))
        words = draw.say(
            phrases.HAVING_COUNT,
            c=by.phrase,
            m=draw.rng.choice(more),
            v=count,
            ts=table.plural,
        )
        return Question(words, f"SELECT {by.name} {head} COUNT(*) {operator} {count}")
    column = draw.column(table, kind="number", besides=[by])
    if column is None:
        return None
    function = draw.rng.choice(("AVG", "SUM", "MAX", "MIN"))
    literal = draw.literal(column)
    words = draw.say(
        phrases.HAVING,
        c=by.phrase,
        f=draw.rng.choice(phrases.AGGREGATES[function]),
        n=column.phrase,
        m=draw.rng.choice(("above", "of more than") if operator == ">" else ("below", "of less than")),
        v=literal,
        ts=table.plural,
    )
    words = words.replace("is of ", "is ").replace("a sum of", "the sum of")
    return Question(words, f"SELECT {by.name} {head} {function}({column.name}) {operator} {literal}")


def _order(draw: Draw) -> Question | None:
    table = draw.table()
    columns = draw.columns(table)
    by = draw.column(table, kind="any", besides=columns)
    if by is None:
        return None
    down = draw.rng.random() < 0.5
    condition = draw.condition(table, besides=[by]) if draw.rng.random() < 0.15 else None
    how: Sequence[str]
    if by.text:
        how = phrases.ORDER_TEXT_DOWN if down else phrases.ORDER_TEXT_UP
    else:
        how = phrases.ORDER_DOWN if down else phrases.ORDER_UP
    words = draw.say(
        phrases.ORDER,
        c=listed(columns),
        ts=table.plural,
        t=table.phrase,
        h=draw.say(how, n=by.phrase),
        **{"if": condition.words if condition else ""},
    )
    end = f"ORDER BY {by.name} {'DESC' if down else 'ASC'}"
    return Question(words, f"SELECT {names(columns)} FROM {table.name}{where(condition)} {end}")


def _limit(draw: Draw) -> Question | None:
    table = draw.table()
    by = draw.column(table, kind="number")
    if by is None:
        return None
    columns = [column for column in draw.columns(table) if column is not by]
    if not columns:
        return None
    down = draw.rng.random() < 0.5
    most = draw.rng.choice(("highest", "largest", "greatest") if down else ("lowest", "smallest", "least"))
    count = 1 if draw.rng.random() < 0.5 else draw.rng.randint(2, 9)
    condition = draw.condition(table, besides=[by]) if draw.rng.random() < 0.2 else None
    templates: Sequence[str] = phrases.LIMIT
    if count == 1:
        templates = phrases.LIMIT_ONE[1:] if condition else phrases.LIMIT_ONE
    words = draw.say(
        templates,
        c=listed(columns),
        t=table.phrase,
        ts=table.plural,
        m=most,
        n=by.phrase,
        k=str(count),
        **{"if": condition.words if condition else ""},
    )
    end = f"ORDER BY {by.name} {'DESC' if down else 'ASC'} LIMIT {count}"
    return Question(words, f"SELECT {names(columns)} FROM {table.name}{where(condition)} {end}")


def _join(draw: Draw) -> Question | None:
    if not draw.domain.references:
        return None
    child, link, parent = draw.rng.choice(draw.domain.references)
    form = draw.rng.choice(("condition", "condition", "pair", "count", "superlative"))
    mine, theirs = draw.column(child), draw.column(parent)
    if mine is None or theirs is None:
        return None
    sides = "AS T1 JOIN {} AS T2 ON T1.{} = T2.{}"
    up = f"FROM {child.name} {sides.format(parent.name, link.name, parent.key.name)}"
    parts = {"t": child.phrase, "ts": child.plural, "p": parent.phrase, "a": mine.phrase, "b": theirs.phrase}
    if form == "pair":
        words = draw.say(
            phrases.JOIN_PAIR,
            **parts,
        )
        return Question(words, f"SELECT T1.{mine.name}, T2.{theirs.name} {up}")
    if form == "superlative":
        by = draw.column(child, kind="number")
        if by is None:
            return None
        down = draw.rng.random() < 0.5
        words = draw.say(
            phrases.JOIN_SUPERLATIVE,
            m="highest" if down else "lowest",
            n=by.phrase,
            **parts,
        )
        across = f"FROM {parent.name} {sides.format(child.name, parent.key.name, link.name)}"
        return Question(
            words,
            f"SELECT T1.{theirs.name} {across} ORDER BY T2.{by.name} {'DESC' if down else 'ASC'} LIMIT 1",
        )
    condition = draw.condition(parent, draw.rng.choice(("=", "=", "=", ">", "<")))
    if condition is None:
        return None
    if form == "count":
        words = draw.say(
            phrases.JOIN_COUNT,
            ps=parent.plural,
            **{"if": condition.words},
            **parts,
        )
        return Question(words, f"SELECT COUNT(*) {up} WHERE T2.{condition.sql}")
    words = draw.say(
        phrases.JOIN,
        ps=parent.plural,
        **{"if": condition.words},
        **parts,
    )
    return Question(words, f"SELECT T1.{mine.name} {up} WHERE T2.{condition.sql}")


_NONE_LISTED = _listing(phrases.NOT_IN, "NOT IN")


def _not_in(draw: Draw) -> Question | None:
    if not draw.domain.references or draw.rng.random() < 0.4:
        return _NONE_LISTED(draw)
    child, link, parent = draw.rng.choice(draw.domain.references)
    columns = draw.columns(parent)
    condition = draw.condition(child) if draw.rng.random() < 0.4 else None
    words = draw.say(
        phrases.WITHOUT,
        c=listed(columns),
        t=child.phrase,
        p=parent.phrase,
        ps=parent.plural,
        **{"if": condition.words if condition else ""},
    )
    inner = f"SELECT {link.name} FROM {child.name}{where(condition)}"
    return Question(
        words, f"SELECT {names(columns)} FROM {parent.name} WHERE {parent.key.name} NOT IN ({inner})"
    )


def _nested(draw: Draw) -> Question | None:
    if draw.domain.references and draw.rng.random() < 0.4:
        child, link, parent = draw.rng.choice(draw.domain.references)
        columns = draw.columns(parent)
        condition = draw.condition(child)
        if condition is None:
            return None
        words = draw.say(
            phrases.AT_LEAST_ONE,
            c=listed(columns),
            t=child.phrase,
            p=parent.phrase,
            ps=parent.plural,
            **{"if": condition.words},
        )
        inner = f"SELECT {link.name} FROM {child.name} WHERE {condition.sql}"
        return Question(
            words, f"SELECT {names(columns)} FROM {parent.name} WHERE {parent.key.name} IN ({inner})"
        )
    table = draw.table()
    by = draw.column(table, kind="number")
    if by is None:
        return None
    columns = draw.columns(table)
    operator, how = draw.rng.choice(((">", ("above", "greater than")), ("<", ("below", "less than"))))
    words = draw.say(
        phrases.AGAINST_AVERAGE,
        c=listed(columns),
        t=table.phrase,
        ts=table.plural,
        n=by.phrase,
        h=draw.rng.choice(how),
    )
    inner = f"SELECT AVG({by.name}) FROM {table.name}"
    return Question(words, f"SELECT {names(columns)} FROM {table.name} WHERE {by.name} {operator} ({inner})")


KINDS: dict[str, Callable[[Draw], Question | None]] = {
    "projection": _projection,
    "equal": _filter("="),
    "not_equal": _filter("<>"),
    "greater": _filter(">"),
    "less": _filter("<"),
    "between": _between,
    "like": _like,
    "in": _listing(phrases.IN, "IN"),
    "and": _both("and", "AND"),
    "or": _both("or", "OR"),
    "count": _count,
    "aggregate": _aggregate,
    "distinct": _distinct,
    "group": _group,
    "having": _having,
    "order": _order,
    "limit": _limit,
    "join": _join,
    "not_in": _not_in,
    "nested": _nested,
}


def ask(kind: str, domain: Domain, rng: random.Random, *, tries: int = 40) -> Question | None:
    """A question of ``kind`` about ``domain``, or None where the domain has nothing for it."""
    draw = Draw(domain, rng)
    return next((found for _ in range(tries) if (found := KINDS[kind](draw)) is not None), None)
