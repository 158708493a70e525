"""SQLite's own form of a text: rewriting a query for it, and operators, names and literals, each once.

Rewriting works on the text: fast, without a parse, the same for golds and predictions. A double-quoted word
on the right side of a comparison is a string, elsewhere an identifier, whatever columns exist (SQLite itself
decides by the columns, silently). The clock stands still, so that answers can be kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from harness.sql.parse import parse

Value = int | float | str | None

COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""Each comparison with its sides exchanged."""
NEGATED = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
"""Each comparison's opposite, where nothing is NULL."""
AGGREGATES: dict[type[exp.Expr], str] = {
    exp.Count: "COUNT", exp.Sum: "SUM", exp.Avg: "AVG", exp.Min: "MIN", exp.Max: "MAX",
}  # fmt: skip
SETS: dict[type[exp.Expr], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}

NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
COMMA_NUMBER = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\Z")
LARGEST = 2**63 - 1
"""SQLite's largest integer; what is larger is a real there."""
_Item = TypeVar("_Item")


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def quote(name: str) -> str:
    """A name as SQLite always takes it.

    >>> quote("first name")
    '"first name"'
    """
    return '"' + name.replace('"', '""') + '"'


def backquote(name: str) -> str:
    """A name in backticks, which SQLite never takes for a string."""
    return f"`{name.replace('`', '``')}`"


def literal(value: Any) -> str:
    """An SQLite value (None, number, text or bytes) as SQL text.

    >>> literal("it's"), literal(None), literal(b"A"), literal(2.5)
    ("'it''s'", 'NULL', "X'41'", '2.5')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def number_of(text: str) -> int | float | None:
    """The number that a text spells, commas between thousands allowed.

    >>> number_of("12,552"), number_of("3.5"), number_of("May 5")
    (12552, 3.5, None)
    """
    if COMMA_NUMBER.match(text):
        text = text.replace(",", "")
    elif not NUMBER.match(text):
        return None
    return plain_number(text)


def plain_number(text: str) -> int | float | None:
    """The number that SQLite reads in a text: a whole one beyond 64 bits is a real, one beyond that infinite.

    >>> plain_number("9223372036854775808"), plain_number("1e400"), plain_number("nan")
    (9.223372036854776e+18, inf, None)
    """
    if not NUMBER.match(text):
        return None
    real = float(text)
    return real if abs(real) > 2 * LARGEST or any(c in text for c in ".eE") else stored(int(text))


def stored(value: int | float) -> int | float:
    """A number as SQLite keeps it: whole ones beyond 64 bits are reals."""
    return value if isinstance(value, float) or -LARGEST - 1 <= value <= LARGEST else float(value)


def is_whole(value: object) -> bool:
    """Whether a number is a whole one that SQLite keeps in 64 bits.

    >>> is_whole(3), is_whole(3.0), is_whole(3.5), is_whole(1e300), is_whole(float("inf"))
    (True, True, False, False, False)
    """
    return isinstance(value, int) or (
        isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST
    )


def converted(value: int | float | str, kind: str) -> int | float | str:
    """The constant as SQLite's affinity rules read it beside a column of this kind."""
    if kind in {"integer", "real"}:
        number = plain_number(value.strip()) if isinstance(value, str) else value
        if number is None:
            return value
        return int(number) if isinstance(number, float) and is_whole(number) else number
    if kind == "text" and isinstance(value, int):
        return str(value)
    return value


def lowered(text: str) -> str:
    """The letters of ASCII in lower case, as NOCASE and LIKE see them.

    >>> lowered("ÄB")
    'Äb'
    """
    return text.lower() if text.isascii() else "".join(c.lower() if c < "\x80" else c for c in text)


def spread(items: Sequence[_Item], most: int) -> Sequence[_Item]:
    """So many of the items, from the first to the last at even distances; all where they are fewer."""
    if len(items) <= most:
        return items
    return [items[n * (len(items) - 1) // (most - 1)] for n in range(most)]


def constant(node: exp.Expr | None) -> tuple[Value] | None:
    """The value of a literal, wrapped in a tuple; None where the node is not one."""
    if isinstance(node, exp.Paren):
        return constant(node.this)
    if isinstance(node, exp.Neg):
        inner = constant(node.this)
        if not inner or not isinstance(inner[0], (int, float)):
            return None
        return (-LARGEST - 1,) if inner[0] == LARGEST + 1 else (-inner[0],)
    if isinstance(node, exp.Null):
        return (None,)
    if isinstance(node, exp.Boolean):
        return (int(node.this),)
    if isinstance(node, exp.Literal):
        if node.is_string:
            return (node.this,)
        number = number_of(node.this)
        return None if number is None else (number,)
    return None


CLOCK = "2024-07-01 12:00:00"

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<string>'(?:[^']|'')*')|(?P<double>"(?:[^"]|"")*")"""
    r"""|(?P<name>`(?:[^`]|``)*`|\[[^\]]*\])|(?P<word>[^\W\d][\w$]*)|(?P<number>[\d.]+(?:[eE][+-]?\d+)?)"""
    r"""|(?P<op><=|>=|<>|!=|==|\|\||.)""",
    re.S,
)
_COMPARE = frozenset(words("= == != <> < > <= >= LIKE GLOB BETWEEN ESCAPE IS"))
_JOINERS = frozenset(("||", "+", "-", "*", "/"))
_TEXT_FUNCTIONS = frozenset(words("LOWER UPPER TRIM LTRIM RTRIM DATE TIME DATETIME JULIANDAY"))
_FROZEN = re.compile(r"\bnow\b|\bcurrent_(?:date|time|timestamp)\b", re.I)
_CLOCK_WORDS = {"CURRENT_DATE": CLOCK[:10], "CURRENT_TIME": CLOCK[11:], "CURRENT_TIMESTAMP": CLOCK}


class Untranspilable(ValueError):
    """A query in another dialect that cannot be said in SQLite's; the message says why."""


def to_sqlite(
    sql: str,
    *,
    dialect: str = "sqlite",
    namespaces: Sequence[str] = (),
    fold: bool = False,
    columns: frozenset[str] = frozenset(),
) -> str:
    """The query as SQLite is to run it.

    ``namespaces`` are qualifiers that are dropped (``public.users``); ``fold`` lower-cases letters beyond
    ASCII, which SQLite's NOCASE leaves alone; ``columns`` (lower case) stay identifiers even right
    of a comparison. Raises Untranspilable for another dialect's constructs.

    >>> to_sqlite('SELECT "name" FROM t WHERE "city" = "Rome" AND n IN ("a", "b");')
    "SELECT `name` FROM t WHERE `city` = 'Rome' AND n IN ('a', 'b')"
    """
    if dialect not in ("sqlite", ""):
        sql = _transpiled(sql, dialect)
    sql = sql.strip().rstrip("; \n\t")
    if fold and not sql.isascii():
        sql = fold_text(sql)
    if '"' in sql or (namespaces and "." in sql) or _FROZEN.search(sql):
        return _rewritten(sql, frozenset(n.lower() for n in namespaces), columns)
    return sql


def fold_text(text: str) -> str:
    """Letters beyond ASCII in lower case; the others stay.

    >>> fold_text("Ünal OY")
    'ünal OY'
    """
    return text if text.isascii() else "".join(c if c < "\x80" else c.lower() for c in text)


_PARTS = {"YEAR": "%Y", "MONTH": "%m", "DAY": "%d", "HOUR": "%H", "MINUTE": "%M", "SECOND": "%S"}


def _date_part(node: exp.Expr) -> exp.Expr:
    """YEAR(x) and EXTRACT(YEAR FROM x) by way of STRFTIME, which is all that SQLite has."""
    part, value = "", node
    if isinstance(node, exp.Extract):
        part, value = node.name.upper(), node.expression
    elif isinstance(node, (exp.Year, exp.Month, exp.Day)):
        part, value = type(node).__name__.upper(), node.this
    while isinstance(value, (exp.TsOrDsToDate, exp.Date)):
        value = value.this
    if part not in _PARTS:
        return node
    text = exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string(_PARTS[part]), value])
    return exp.cast(text, "INT")


def _transpiled(sql: str, dialect: str) -> str:
    try:
        trees = parse(sql, dialect)
        if len(trees) != 1:
            raise Untranspilable("not one statement")
        return trees[0].transform(_date_part).sql("sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except (SqlglotError, RecursionError, ValueError) as error:
        if isinstance(error, Untranspilable):
            raise
        raise Untranspilable(" ".join(str(error).split())[:200]) from None


def tokens(sql: str) -> str:
    """A query's words, in lower case but for its strings: what is compared of a query that has no form.

    >>> tokens("SELECT  `Name` FROM t -- all\\n WHERE x = 'A  b';")
    "select name from t where x = 'A  b'"
    """
    found = []
    for match in _TOKEN.finditer(sql.strip().rstrip("; \n\t")):
        kind, text = match.lastgroup, match.group()
        if kind in ("double", "name"):
            name = text[1:-1].lower()
            found.append(name if name.isidentifier() else f"[{name}]")
        elif kind != "space":
            found.append(text if kind == "string" else text.lower())
    return " ".join(found)


def strip_distinct(sql: str) -> str:
    """The query without any DISTINCT.

    >>> strip_distinct("SELECT DISTINCT a, COUNT(DISTINCT b) FROM t WHERE c = 'distinct'")
    "SELECT a, COUNT(b) FROM t WHERE c = 'distinct'"
    """
    tokens = [(m.lastgroup, m.group()) for m in _TOKEN.finditer(sql)]
    kept = [i for i, (kind, text) in enumerate(tokens) if not (kind == "word" and text.upper() == "DISTINCT")]
    gone = set(range(len(tokens))) - set(kept)
    return "".join(
        text
        for i, (kind, text) in enumerate(tokens)
        if i not in gone and not (kind == "space" and i - 1 in gone)
    )


def _rewritten(sql: str, namespaces: frozenset[str], columns: frozenset[str]) -> str:
    tokens = [(m.lastgroup or "op", m.group()) for m in _TOKEN.finditer(sql)]
    places = [i for i, (kind, _) in enumerate(tokens) if kind != "space"]
    out = [text for _, text in tokens]
    right = False  # does the next operand stand on the right side of a comparison
    between = [0]  # BETWEENs of each open parenthesis that wait for their AND
    parens: list[bool] = []  # are the operands in this parenthesis on a right side
    previous = ""
    for at, i in enumerate(places):
        kind, text = tokens[i]
        following = tokens[places[at + 1]][1] if at + 1 < len(places) else ""
        word = text.upper() if kind in ("word", "op") else ""
        if kind == "double":
            if right and following != "." and previous != "." and text[1:-1].lower() not in columns:
                out[i] = literal(text[1:-1].replace('""', '"'))
            else:
                out[i] = backquote(text[1:-1].replace('""', '"'))
        if namespaces and following == "." and previous != "." and text.strip('"`[]').lower() in namespaces:
            out[i] = out[places[at + 1]] = ""
        if kind == "string" and text.lower() == "'now'" and previous in ("(", ","):
            out[i] = f"'{CLOCK}'"
        elif word in _CLOCK_WORDS and previous != "." and following not in (".", "("):
            out[i] = f"'{_CLOCK_WORDS[word]}'"
        if word in _COMPARE:
            right = True
            between[-1] += word == "BETWEEN"
        elif word == "(":
            inherits = previous == "IN" or (right and previous in _COMPARE | _TEXT_FUNCTIONS | {"(", "NOT"})
            parens.append(inherits)
            between.append(0)
            right = inherits
        elif word == ")":
            if parens:
                parens.pop()
                between.pop()
            right = False
        elif word == ",":
            right = bool(parens and parens[-1])
        elif word == "AND" and between[-1]:
            between[-1] -= 1
            right = True
        elif word in ("SELECT", "WITH", "VALUES") and previous == "(":
            parens[-1:] = [False]
            right = False
        elif not (right and (word in _JOINERS or word == "NOT" or word in _TEXT_FUNCTIONS)):
            right = right and following in _JOINERS
        previous = word or text
    return "".join(out)
