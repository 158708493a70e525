"""Questions of the starter benchmark: twenty kinds, several phrasings each, and the gold of every one.

A kind is a function that draws one question about one domain, or gives None where the domain has no
column for it. Phrasings are templates; what they leave open (how columns, conditions and orders are
put into words) is drawn too, so that a kind has hundreds of surface forms and one form of gold.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .starter_domains import Column, Domain, Table, value

_SELECT = (
    "What is the {c} of the {ts} {if}?",
    "List the {c} of all {ts} {if}.",
    "Show the {c} of every {t} {if}.",
    "Give the {c} of the {ts} {if}.",
    "Find the {c} for {ts} {if}.",
    "For {ts} {if}, what is the {c}?",
    "I need the {c} of each {t} {if}.",
    "Tell me the {c} of any {t} {if}.",
)
_ALL = (
    "What is the {c} of each {t}?",
    "List the {c} of all {ts}.",
    "Show the {c} of every {t}.",
    "Give the {c} for all {ts}.",
    "For each {t}, what is the {c}?",
    "I need the {c} of every {t}.",
)
_COUNT = (
    "How many {ts} are there {if}?",
    "Count the {ts} {if}.",
    "What is the number of {ts} {if}?",
    "Give the number of {ts} {if}.",
    "Find how many {ts} there are {if}.",
)
_AGGREGATES = {
    "AVG": ("average", "mean"),
    "SUM": ("total", "sum of the"),
    "MAX": ("highest", "maximum", "largest"),
    "MIN": ("lowest", "minimum", "smallest"),
}
_EQUAL = (
    "whose {c} is {v}",
    "with {c} {v}",
    "where the {c} is {v}",
    "that have {v} as {c}",
    "whose {c} equals {v}",
)
_CONDITIONS = {
    "<>": ("whose {c} is not {v}", "with a {c} other than {v}", "where the {c} is different from {v}"),
    ">": (
        "whose {c} is greater than {v}",
        "with a {c} above {v}",
        "where the {c} is more than {v}",
        "with a {c} of over {v}",
        "whose {c} exceeds {v}",
    ),
    "<": (
        "whose {c} is less than {v}",
        "with a {c} below {v}",
        "where the {c} is smaller than {v}",
        "with a {c} of under {v}",
        "whose {c} is lower than {v}",
    ),
}
_BETWEEN = (
    "whose {c} is between {v} and {w}",
    "with a {c} from {v} to {w}",
    "where the {c} lies between {v} and {w}",
)
_LIKE = {
    "{v}%": ("whose {c} starts with {v}", "where the {c} begins with {v}", "with a {c} starting with {v}"),
    "%{v}": ("whose {c} ends with {v}", "where the {c} ends in {v}", "with a {c} ending with {v}"),
    "%{v}%": ("whose {c} contains {v}", "where the {c} includes {v}", "with a {c} containing {v}"),
}
_IN = ("whose {c} is one of {v}", "with {c} in the list {v}", "where the {c} is any of {v}")
_NOT_IN = ("whose {c} is none of {v}", "with {c} outside the list {v}", "where the {c} is not any of {v}")


class Question(NamedTuple):
    """A question in words and its gold."""

    question: str
    answer: str


class _Condition(NamedTuple):
    words: str
    sql: str


class Draw:
    """The choices that one question makes within one domain."""

    def __init__(self, domain: Domain, rng: random.Random) -> None:
        self.domain = domain
        self.rng = rng

    def table(self) -> Table:
        """Any table."""
        return self.rng.choice(self.domain.tables)

    def column(self, table: Table, *, kind: str = "any", besides: Sequence[Column] = ()) -> Column | None:
        """A column that means something of its own: "text", "number", "choices" or any."""
        wanted: dict[str, Callable[[Column], bool]] = {
            "text": lambda column: column.text,
            "number": lambda column: column.number,
            "choices": lambda column: bool(column.choices) or column.pool in {"city", "country"},
            "any": lambda column: column.text or column.number,
        }
        found = [column for column in table.columns if wanted[kind](column) and column not in besides]
        return self.rng.choice(found) if found else None

    def literal(self, column: Column, *, inside: bool = False) -> str:
        """A value of the column, bare as a question has it; ``inside`` keeps off both ends of its range."""
        if column.text:
            return value(column, self.domain.split, self.rng)
        room = (column.high - column.low) // 5 if inside else 0
        return str(self.rng.randint(column.low + room, column.high - room))

    def literals(self, column: Column, count: int) -> list[str]:
        """``count`` different values, or fewer where the column has no more."""
        found: dict[str, None] = {}
        for _ in range(count * 6):
            found[self.literal(column)] = None
        return list(found)[:count]

    def say(self, templates: Sequence[str], **parts: str) -> str:
        """One of the templates, filled; a condition that is left empty leaves no gap."""
        text = self.rng.choice(templates)
        for name, part in parts.items():
            text = text.replace("{" + name + "}", part)
        text = re.sub(r" +(?=[?.,]| )", "", text)
        return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)

    def condition(
        self, table: Table, operator: str = "", *, besides: Sequence[Column] = ()
    ) -> _Condition | None:
        """A comparison with a literal; without an operator any of ``= <> < >`` (``=`` most often)."""
        operator = operator or self.rng.choice(("=", "=", "=", "<>", ">", "<", ">", "<"))
        column = self.column(table, kind="number" if operator in "<>" else "any", besides=besides)
        if column is None:
            return None
        literal = self.literal(column, inside=operator in "<>")
        words = self.say(_EQUAL if operator == "=" else _CONDITIONS[operator], c=column.phrase, v=literal)
        return _Condition(words, f"{column.name} {operator} {_quoted(column, literal)}")

    def select(self, table: Table, condition: _Condition) -> Question | None:
        """A question for one or two columns, or the number of rows, under a condition."""
        if self.rng.random() < 0.12:
            words = self.say(_COUNT, ts=table.plural, **{"if": condition.words})
            return Question(words, f"SELECT COUNT(*) FROM {table.name} WHERE {condition.sql}")
        used = [column for column in table.columns if column.name in condition.sql.split()]
        columns = self.columns(table, besides=used)
        words = self.say(
            _SELECT, c=_listed(columns), ts=table.plural, t=table.phrase, **{"if": condition.words}
        )
        return Question(words, f"SELECT {_names(columns)} FROM {table.name} WHERE {condition.sql}")

    def columns(self, table: Table, *, besides: Sequence[Column] = ()) -> list[Column]:
        """One column, sometimes two; ``besides`` only where there is no other."""
        meaningful = [column for column in table.columns if column.text or column.number]
        found = [column for column in meaningful if column not in besides] or meaningful
        return self.rng.sample(found, min(len(found), 2 if self.rng.random() < 0.25 else 1))


def _projection(draw: Draw) -> Question | None:
    table = draw.table()
    meaningful = [column for column in table.columns if column.text or column.number]
    columns = draw.rng.sample(meaningful, min(len(meaningful), draw.rng.choice((1, 2, 2, 3))))
    words = draw.say(_ALL, c=_listed(columns), t=table.phrase, ts=table.plural)
    return Question(words, f"SELECT {_names(columns)} FROM {table.name}")


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
    words = draw.say(_BETWEEN, c=column.phrase, v=low, w=high)
    return draw.select(table, _Condition(words, f"{column.name} BETWEEN {low} AND {high}"))


def _like(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="text")
    if column is None:
        return None
    literal = draw.literal(column)
    pattern = draw.rng.choice(tuple(_LIKE))
    if " " in literal and draw.rng.random() < 0.6:
        piece = literal.split()[0 if pattern == "{v}%" else -1]
    else:
        size = draw.rng.choice((1, 2, 3))
        piece = literal[-size:] if pattern == "%{v}" else literal[:size]
    words = draw.say(_LIKE[pattern], c=column.phrase, v=piece.strip())
    return draw.select(
        table, _Condition(words, f"{column.name} LIKE '{pattern.replace('{v}', piece.strip())}'")
    )


def _listing(templates: Sequence[str], operator: str) -> Callable[[Draw], Question | None]:
    def kind(draw: Draw) -> Question | None:
        table = draw.table()
        column = draw.column(table, kind="text" if draw.rng.random() < 0.75 else "any")
        if column is None or len(values := draw.literals(column, draw.rng.choice((2, 2, 3)))) < 2:
            return None
        words = draw.say(templates, c=column.phrase, v=", ".join(values))
        inside = ", ".join(_quoted(column, item) for item in values)
        return draw.select(table, _Condition(words, f"{column.name} {operator} ({inside})"))

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
            table, _Condition(f"{first.words} {joint} {second.words}", f"{first.sql} {operator} {second.sql}")
        )

    return kind


def _count(draw: Draw) -> Question | None:
    table = draw.table()
    condition = draw.condition(table) if draw.rng.random() < 0.75 else None
    words = draw.say(_COUNT, ts=table.plural, **{"if": condition.words if condition else ""})
    return Question(words, f"SELECT COUNT(*) FROM {table.name}{_where(condition)}")


def _aggregate(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="number")
    if column is None:
        return None
    function = draw.rng.choice([name for name in _AGGREGATES if name != "SUM" or column.low < 900])
    condition = draw.condition(table, besides=[column]) if draw.rng.random() < 0.5 else None
    words = draw.say(
        (
            "What is the {f} {c} of the {ts} {if}?",
            "Find the {f} {c} of all {ts} {if}.",
            "Give the {f} {c} among {ts} {if}.",
            "Show the {f} {c} over the {ts} {if}.",
        ),
        f=draw.rng.choice(_AGGREGATES[function]),
        c=column.phrase,
        ts=table.plural,
        **{"if": condition.words if condition else ""},
    )
    return Question(words, f"SELECT {function}({column.name}) FROM {table.name}{_where(condition)}")


def _distinct(draw: Draw) -> Question | None:
    table = draw.table()
    column = draw.column(table, kind="text")
    if column is None:
        return None
    condition = draw.condition(table, besides=[column]) if draw.rng.random() < 0.3 else None
    parts = {"c": column.phrase, "ts": table.plural, "if": condition.words if condition else ""}
    if draw.rng.random() < 0.3:
        words = draw.say(
            (
                "How many different values of {c} are there among the {ts} {if}?",
                "Count the distinct values of {c} of the {ts} {if}.",
                "What is the number of different values of {c} among {ts} {if}?",
            ),
            **parts,
        )
        return Question(words, f"SELECT COUNT(DISTINCT {column.name}) FROM {table.name}{_where(condition)}")
    words = draw.say(
        (
            "List the different values of {c} of the {ts} {if}.",
            "What are the distinct values of {c} among the {ts} {if}?",
            "Show each distinct {c} of the {ts} {if} only once.",
            "Which different values of {c} do the {ts} {if} have?",
        ),
        **parts,
    )
    return Question(words, f"SELECT DISTINCT {column.name} FROM {table.name}{_where(condition)}")


def _group(draw: Draw) -> Question | None:
    table = draw.table()
    by = draw.column(table, kind="choices")
    if by is None:
        return None
    if draw.rng.random() < 0.5:
        words = draw.say(
            (
                "Show each {c} and the number of {ts} with it.",
                "For each {c}, give the {c} and how many {ts} have it.",
                "List every {c} together with its number of {ts}.",
                "How many {ts} are there per {c}? Show the {c} and the number.",
            ),
            c=by.phrase,
            ts=table.plural,
        )
        return Question(words, f"SELECT {by.name}, COUNT(*) FROM {table.name} GROUP BY {by.name}")
    column = draw.column(table, kind="number", besides=[by])
    if column is None:
        return None
    function = draw.rng.choice(tuple(_AGGREGATES))
    words = draw.say(
        (
            "For each {c}, show the {c} and the {f} {n} of its {ts}.",
            "List every {c} together with the {f} {n} of its {ts}.",
            "What is the {f} {n} of the {ts} per {c}? Show the {c} and the {f} {n}.",
            "Give each {c} and the {f} {n} of the {ts} with it.",
        ),
        c=by.phrase,
        f=draw.rng.choice(_AGGREGATES[function]),
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
            (
                "Which {c} has {m} {v} {ts}?",
                "List every {c} that is shared by {m} {v} {ts}.",
                "Show the {c} with {m} {v} {ts}.",
                "Find each {c} that {m} {v} {ts} have.",
            ),
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
        (
            "Which {c} has {ts} with {a} {f} {n} {m} {v}?",
            "List every {c} where the {f} {n} of the {ts} is {m} {v}.",
            "Show each {c} whose {ts} have {a} {f} {n} {m} {v}.",
        ),
        a="a",
        c=by.phrase,
        f=(name := draw.rng.choice(_AGGREGATES[function])),
        n=column.phrase,
        m=draw.rng.choice(("above", "of more than") if operator == ">" else ("below", "of less than")),
        v=literal,
        ts=table.plural,
    )
    words = words.replace("is of ", "is ").replace("a sum of", "the sum of")
    return name and Question(words, f"SELECT {by.name} {head} {function}({column.name}) {operator} {literal}")


def _order(draw: Draw) -> Question | None:
    table = draw.table()
    columns = draw.columns(table)
    by = draw.column(table, kind="any", besides=columns)
    if by is None:
        return None
    down = draw.rng.random() < 0.5
    condition = draw.condition(table, besides=[by]) if draw.rng.random() < 0.15 else None
    if by.text:
        how = ("in reverse alphabetical order of {n}",) if down else ("in alphabetical order of {n}",)
    elif down:
        how = ("from the highest to the lowest {n}", "in descending order of {n}", "by {n} from high to low")
    else:
        how = ("from the lowest to the highest {n}", "in ascending order of {n}", "by {n} from low to high")
    words = draw.say(
        (
            "List the {c} of all {ts} {if} sorted {h}.",
            "Show the {c} of the {ts} {if}, ordered {h}.",
            "Sort the {ts} {if} {h} and give their {c}.",
            "What is the {c} of each {t} {if}, arranged {h}?",
        ),
        c=_listed(columns),
        ts=table.plural,
        t=table.phrase,
        h=draw.say(how, n=by.phrase),
        **{"if": condition.words if condition else ""},
    )
    end = f"ORDER BY {by.name} {'DESC' if down else 'ASC'}"
    return Question(words, f"SELECT {_names(columns)} FROM {table.name}{_where(condition)} {end}")


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
    if count == 1:
        templates = (
            "What is the {c} of the {t} with the {m} {n} {if}?",
            "Show the {c} of the {t} {if} that has the {m} {n}.",
            "Which {t} {if} has the {m} {n}? Give the {c}.",
        )
        if condition:
            templates = templates[1:]
    else:
        templates = (
            "List the {c} of the {k} {ts} {if} with the {m} {n}.",
            "What is the {c} of the {k} {ts} {if} that have the {m} {n}?",
            "Which {k} {ts} {if} have the {m} {n}? Give the {c}.",
        )
    words = draw.say(
        templates,
        c=_listed(columns),
        t=table.phrase,
        ts=table.plural,
        m=most,
        n=by.phrase,
        k=str(count),
        **{"if": condition.words if condition else ""},
    )
    end = f"ORDER BY {by.name} {'DESC' if down else 'ASC'} LIMIT {count}"
    return Question(words, f"SELECT {_names(columns)} FROM {table.name}{_where(condition)} {end}")


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
            (
                "Show the {a} of each {t} together with the {b} of its {p}.",
                "For every {t}, list the {a} and the {b} of its {p}.",
                "Give the {a} of all {ts} and the {b} of the {p} of each.",
            ),
            **parts,
        )
        return Question(words, f"SELECT T1.{mine.name}, T2.{theirs.name} {up}")
    if form == "superlative":
        by = draw.column(child, kind="number")
        if by is None:
            return None
        down = draw.rng.random() < 0.5
        words = draw.say(
            (
                "What is the {b} of the {p} of the {t} with the {m} {n}?",
                "Give the {b} of the {p} that the {t} with the {m} {n} belongs to.",
            ),
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
            (
                "How many {ts} belong to a {p} {if}?",
                "Count the {ts} that belong to {ps} {if}.",
                "What is the number of {ts} of {ps} {if}?",
            ),
            ps=parent.plural,
            **{"if": condition.words},
            **parts,
        )
        return Question(words, f"SELECT COUNT(*) {up} WHERE T2.{condition.sql}")
    words = draw.say(
        (
            "What is the {a} of the {ts} that belong to a {p} {if}?",
            "List the {a} of all {ts} of {ps} {if}.",
            "Show the {a} of every {t} that belongs to a {p} {if}.",
            "Give the {a} of the {ts} whose {p} is one {if}.",
        ),
        ps=parent.plural,
        **{"if": condition.words},
        **parts,
    )
    return Question(words, f"SELECT T1.{mine.name} {up} WHERE T2.{condition.sql}")


_NONE_LISTED = _listing(_NOT_IN, "NOT IN")


def _not_in(draw: Draw) -> Question | None:
    if not draw.domain.references or draw.rng.random() < 0.4:
        return _NONE_LISTED(draw)
    child, link, parent = draw.rng.choice(draw.domain.references)
    columns = draw.columns(parent)
    condition = draw.condition(child) if draw.rng.random() < 0.4 else None
    words = draw.say(
        (
            "List the {c} of the {ps} that have no {t} {if}.",
            "Show the {c} of every {p} without any {t} {if}.",
            "What is the {c} of the {ps} that do not have a {t} {if}?",
        ),
        c=_listed(columns),
        t=child.phrase,
        p=parent.phrase,
        ps=parent.plural,
        **{"if": condition.words if condition else ""},
    )
    inner = f"SELECT {link.name} FROM {child.name}{_where(condition)}"
    return Question(
        words, f"SELECT {_names(columns)} FROM {parent.name} WHERE {parent.key.name} NOT IN ({inner})"
    )


def _nested(draw: Draw) -> Question | None:
    if draw.domain.references and draw.rng.random() < 0.4:
        child, link, parent = draw.rng.choice(draw.domain.references)
        columns = draw.columns(parent)
        condition = draw.condition(child)
        if condition is None:
            return None
        words = draw.say(
            (
                "List the {c} of the {ps} that have at least one {t} {if}.",
                "Show the {c} of every {p} that has some {t} {if}.",
                "What is the {c} of the {ps} having at least one {t} {if}?",
            ),
            c=_listed(columns),
            t=child.phrase,
            p=parent.phrase,
            ps=parent.plural,
            **{"if": condition.words},
        )
        inner = f"SELECT {link.name} FROM {child.name} WHERE {condition.sql}"
        return Question(
            words, f"SELECT {_names(columns)} FROM {parent.name} WHERE {parent.key.name} IN ({inner})"
        )
    table = draw.table()
    by = draw.column(table, kind="number")
    if by is None:
        return None
    columns = draw.columns(table)
    operator, how = draw.rng.choice(((">", ("above", "greater than")), ("<", ("below", "less than"))))
    words = draw.say(
        (
            "List the {c} of the {ts} whose {n} is {h} the average {n}.",
            "Show the {c} of every {t} with a {n} {h} the average of all {ts}.",
            "Which {ts} have a {n} {h} the average? Give the {c}.",
        ),
        c=_listed(columns),
        t=table.phrase,
        ts=table.plural,
        n=by.phrase,
        h=draw.rng.choice(how),
    )
    inner = f"SELECT AVG({by.name}) FROM {table.name}"
    return Question(words, f"SELECT {_names(columns)} FROM {table.name} WHERE {by.name} {operator} ({inner})")


KINDS: dict[str, Callable[[Draw], Question | None]] = {
    "projection": _projection,
    "equal": _filter("="),
    "not_equal": _filter("<>"),
    "greater": _filter(">"),
    "less": _filter("<"),
    "between": _between,
    "like": _like,
    "in": _listing(_IN, "IN"),
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


def _where(condition: _Condition | None) -> str:
    return f" WHERE {condition.sql}" if condition else ""


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _listed(columns: Sequence[Column]) -> str:
    *most, last = [column.phrase for column in columns]
    return f"{', '.join(most)} and {last}" if most else last


def _quoted(column: Column, literal: str) -> str:
    return f"'{literal}'" if column.text else literal
