"""Believable values: what a column holds, from its name, its type and what queries compare it with."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal

from harness.sql.dialect import Value, is_whole, number_of, stored, words
from harness.sql.profile import Atom
from harness.sql.solving import PART

Kind = Literal["integer", "real", "text", "date", "time", "datetime"]


def _phrases(text: str) -> list[str]:
    return text.split(",")


_FIRST = words(
    "Anna Boris Clara Daniel Elena Farid Grace Hugo Ines Jonas Keiko Liam Maria Nadia Oscar Priya "
    "Quentin Rosa Samuel Tara"
)
_LAST = words(
    "Novak Okafor Silva Tanaka Meyer Rossi Haddad Larsen Dubois Kowalski Nguyen Costa Ivanov Brown "
    "Garcia Singh Weber Ali Moreau Lind"
)
_CITIES = words(
    "Rome Oslo Lima Cairo Kyoto Porto Quito Dakar Hanoi Perth Turin Bergen Ghent Malaga Austin Leeds"
)
_COUNTRIES = words(
    "Norway Peru Egypt Japan Portugal Ecuador Senegal Vietnam Australia Italy Belgium Spain Kenya "
    "Brazil Canada France"
)
_STATES = words("Texas Ohio Bavaria Tuscany Ontario Victoria Kerala Oregon Jalisco Utah Nevada Saxony")
_TEAMS = _phrases(
    "River Hawks,North Stars,City Lions,Iron Bears,Red Foxes,Harbor Kings,Blue Wolves,Green Rovers,"
    "Royal Eagles,Sun Devils,Union FC,Athletic Club"
)
_ORGS = _phrases(
    "Acme Corp,Globex,Initech,Umbra Labs,Northwind,Contoso,Stark Media,Blue Ocean,Redwood Bank,"
    "Summit Air,Vertex,Orion Press"
)
_TITLES = _phrases(
    "Silent River,Golden Hour,The Last Train,Winter Light,Paper Moon,Second Sun,Open Water,"
    "Distant Fires,Blue Garden,Night Market,Long Road,First Snow"
)
_COLORS = words("red blue green black white yellow silver orange purple brown")
_STATUS = words("active closed pending open approved cancelled draft completed")
_WORDS = words(
    "alpha bravo cedar delta ember falcon garnet harbor indigo juniper karma lotus maple nectar opal "
    "pearl quartz raven sierra topaz"
)
_STREETS = _phrases("Oak Street,Mill Lane,Park Avenue,High Street,Lake Road,Hill Drive,Elm Court,River Walk")
_PEOPLE = [f"{_FIRST[i % 20]} {_LAST[(i * 7 + i // 20) % 20]}" for i in range(60)]
_RESULTS = _phrases("W 3-1,L 0-2,D 1-1,W 24-17,L 10-14,W 5-4,L 2-6,D 0-0")
_LISTS: tuple[tuple[re.Pattern[str], list[str]], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"first_?name|given|forename|fname", _FIRST),
        (r"last_?name|surname|family_?name|lname|middle_?name", _LAST),
        (r"e?mail", [f"{a.lower()}@example.org" for a in _FIRST]),
        (r"phone|mobile|fax|cell", [f"555-01{i:02d}" for i in range(10, 60)]),
        (r"address|street|line_?\d", [f"{12 + 7 * i} {s}" for i, s in enumerate(_STREETS)]),
        (r"country|nation|origin", _COUNTRIES),
        (r"city|town|location|venue|place|capital|hometown|headquarter|stadium|airport|destination", _CITIES),
        (r"state|province|county|region|district|territory", _STATES),
        (r"team|club|opponent|visitor|home|away|winner|loser|school|college|champion|runner", _TEAMS),
        (r"company|manufacturer|maker|network|publisher|airline|label|sponsor|bank|organi|brand", _ORGS),
        (r"title|song|album|film|movie|book|episode|theme|show|track|play\b|paper|work|product", _TITLES),
        (r"colou?r", _COLORS),
        (r"status|outcome|stage|phase", _STATUS),
        (r"result|score|record", _RESULTS),
        (r"gender|sex", ["F", "M"]),
        (r"is_|has_|flag|_yn$", ["T", "F"]),
        (r"name|player|person|author|artist|director|actor|singer|coach|captain|driver|student|teacher|owner"
         r"|candidate|incumbent|rider|writer|manager|host|leader|president|employee|customer|member|pilot|ted_by",
         _PEOPLE),
        (r"code|abbr|symbol|initial", [a + b + c for a in "ABCD" for b in "KLM" for c in "XYZ"]),
    )
)  # fmt: skip
_QUANTITY = re.compile(
    r"(?:^|_)(?:age|year|years|count|number|num|no|amount|price|cost|salary|population|total|sum|score|points?|pts|rank(?:ing)?"
    r"|weight|height|length|width|size|area|capacity|attendance|crowd|quantity|qty|goals?|wins?|won|loss(?:es)?|lost|draws?|drawn|played"
    r"|matches|games?|laps?|grid|gold|silver|bronze|round|week|day|month|pick|overall|speed|distance|duration|budget|gross|revenue|profit|sales|income"
    r"|percent(?:age)?|rate|rating|level|grade|credits?|hours?|minutes?|seconds?|votes?|seats?|floors?|stars?|position_number|horsepower|mpg"
    r"|cylinders?|displacement|acceleration|accelerate|elevation|depth|latitude|longitude|balance|share|shares|tonnage|against|diff|byes|tries|id|order"
    r"|money|fee|earnings|value|gdp|worth|tours|killed|injured|bonus|assists|rebounds|tackles|yards|carries|avg|average|episode_number|viewers"
    r")(?:$|_)|(?:_id|id|count|number|year|age)$"
)  # fmt: skip
_DECIMAL = re.compile(
    r"price|cost|amount|rate|rating|percent|average|avg|gpa|salary|latitude|longitude|balance|share|acceler|speed|fee|bonus"
)
_DATETIME = re.compile(r"datetime|timestamp|_at$")
_DATE = re.compile(
    r"(?:^|_)(?:date|dob|birthday|day_of|aired|released)(?:$|_)|date$|^date|(?:^|_)date_|birth_?date"
)


@lru_cache(maxsize=20_000)
def quantity_like(name: str) -> bool:
    """Whether a column of that name counts or measures something (age, year, points, …)."""
    return _QUANTITY.search(name.lower()) is not None


@lru_cache(maxsize=20_000)
def kind_of(name: str, affinity: str, declared: str, numeric: bool | None) -> Kind:
    """What a column holds. ``numeric``: the gold uses it as a number (True: with decimals), or None."""
    low, up = name.lower(), declared.upper()
    if numeric is not None:
        return "real" if numeric or (affinity == "REAL" and not quantity_like(low)) else "integer"
    if "TIMESTAMP" in up or "DATETIME" in up or (_DATETIME.search(low) and affinity != "INTEGER"):
        return "datetime"
    if up == "DATE" or (_DATE.search(low) and affinity != "INTEGER"):
        return "date"
    if up == "TIME":
        return "time"
    if affinity == "INTEGER" or "BOOL" in up:
        return "integer"
    if affinity == "REAL":
        return "real" if _DECIMAL.search(low) else "integer"
    if affinity == "NUMERIC" and declared and "JSON" not in up and "UUID" not in up:
        return "real" if _DECIMAL.search(low) else "integer"
    if affinity in ("BLOB", "NUMERIC") and quantity_like(low):
        return "integer"
    return "text"


@lru_cache(maxsize=20_000)
def sequence(name: str, kind: Kind) -> Callable[[int], Value]:
    """A function from 0, 1, 2, … to believable values of a column, all different."""
    low = name.lower()
    if kind == "integer":
        if "year" in low or "season" in low:
            return lambda i: 1990 + (i * 7) % 34 + 40 * (i // 34)
        if low.endswith("age") or low == "age":
            return lambda i: 18 + (i * 5) % 47 + 50 * (i // 47)
        return lambda i: 3 + (i * 11) % 89 + 97 * (i // 89)
    if kind == "real":
        return lambda i: ((i * 37) % 400) / 4 + 1.5 + 101 * (i // 400)
    if kind == "date":
        return lambda i: (dt.date(2019, 3, 14) + dt.timedelta(days=i * 67 % 1900 + i // 1900)).isoformat()
    if kind == "datetime":
        start = dt.datetime(2019, 3, 14, 8, 30)
        return lambda i: str(start + dt.timedelta(hours=i * 1609 % 46000, minutes=i * 17, seconds=i * 41))
    if kind == "time":
        return lambda i: f"{(i * 7) % 24:02d}:{(i * 13) % 60:02d}:00"
    words = next((words for pattern, words in _LISTS if pattern.search(low)), _WORDS)
    size = len(words)
    return lambda i: words[i % size] if i < size else f"{words[i % size]} {i // size + 1}"


def near(value: Value, kind: Kind, *, exact_case: bool = False) -> Iterator[Value]:
    """Near misses of a constant: what a slightly wrong condition would take for it, or leave out."""
    if isinstance(value, str):
        number = number_of(value)
        if kind in ("integer", "real") and number is not None:
            yield from near(number, kind)
            return
        yield from _near_text(value, exact_case)
    elif isinstance(value, (int, float)) and math.isfinite(value):
        moved: list[int | float] = [value + 1, value - 1]
        if kind == "real":
            step = 0.5 if is_whole(value) else 0.1
            moved += [round(value + step, 6), round(value - step, 6)]
        moved += [value + 2, value - 2, value + 5, value - 9, -value if value else 2]
        moved.append(value * 10 if value < 10**6 else value // 10)
        yield from map(stored, moved)


def dates_with(part: str) -> list[Value]:
    """Moments that a part of a date, as strftime gives it, is found in, and some near misses.

    >>> dates_with("03")[:2], dates_with("2021-03-05")[:1], dates_with("Rome")
    (['2021-03-15 10:20:30', '2021-04-15 10:20:30'], ['2021-03-05 10:20:30'], [])
    """
    found: list[Value] = []
    if re.match(r"\d{4}-\d\d-\d\d", part):
        found = [part if len(part) > 10 else f"{part} 10:20:30"]
        found += [f"{day[:10]} 10:20:30" for day in _moved_date(part)]
    elif re.fullmatch(r"\d{4}-\d\d", part):
        found = [f"{part}-15 10:20:30", f"{int(part[:4]) + 1}{part[4:]}-15 10:20:30", f"{part}-01 00:00:00"]
    elif re.fullmatch(r"\d\d", part):
        number = int(part)
        if 0 < number < 13:
            found += [f"2021-{number:02d}-15 10:20:30", f"2021-{number % 12 + 1:02d}-15 10:20:30"]
        if 0 < number < 29:
            found += [f"2021-07-{number:02d} 10:20:30", f"2020-08-{number:02d} 23:59:59"]
        if number < 24:
            found.append(f"2020-08-09 {number:02d}:10:11")
        if number < 60:
            found.append(f"2020-08-09 10:{number:02d}:11")
    elif re.fullmatch(r"\d\d:\d\d(:\d\d)?", part):
        found = [f"2021-07-15 {part if len(part) > 5 else part + ':30'}", "2021-07-15 23:59:59"]
    return found


def _near_text(value: str, exact_case: bool) -> Iterator[Value]:
    if COMMA.match(value):
        yield value.replace(",", "")
    moved = _moved_date(value)
    if moved:
        yield from moved
    yield f"{value} {_WORDS[len(value) % 20]}"
    yield f"{_WORDS[len(value) % 17]} {value}"
    number = number_of(value)
    if isinstance(number, int):
        yield str(number + 1)
        yield str(number - 1)
        yield str(number + 2)
    found = re.search(r"[0-9]", value)
    if found:
        at = found.start()
        yield value[:at] + str((int(value[at]) + 1) % 10) + value[at + 1 :]
        yield value[:at] + str((int(value[at]) + 9) % 10) + value[at + 1 :]
    if len(value) > 1 and value[0] != "%":
        yield ("b" if value[0] in "aA" else "a" if value[0].islower() else "A") + value[1:]
    if len(value) > 3:
        yield value[:-1].rstrip()
        yield value[1:].lstrip()
    elif value[:1].isalnum() and value.isascii():  # one that comes before it
        yield value[:-1].rstrip() or chr(ord(value) - 1)
    if " " in value:
        yield value.split(" ", 1)[0]
        yield value.rsplit(" ", 1)[1]
    if exact_case and value.swapcase() != value:
        yield value.lower() if value.lower() != value else value.upper()
        yield value.title() if value.title() != value else value.upper()


COMMA = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")


def _moved_date(value: str) -> list[str]:
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)(.*)", value)
    if not found:
        return []
    try:
        day = dt.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return []
    return [
        (day + dt.timedelta(days=d)).isoformat() + found[4] for d in (1, -1, 40, -400) if 2 < day.year < 9990
    ]


_NO_WILDCARDS = str.maketrans("", "", "%_.-")


def like_samples(pattern: str) -> tuple[list[str], list[str]]:
    """Texts that a LIKE pattern takes, and texts that it just does not.

    >>> like_samples("%Hey%")[0][0], like_samples("A%")[1][0], like_samples("_07")[0]
    ('Hey', 'opalA', ['107', '407'])
    """
    digits = pattern.translate(_NO_WILDCARDS).isdigit()  # a column of numbers may be asked
    core = pattern.replace("_", "1" if digits else "a").strip("%")
    middle = core.replace("%", "1" if digits else " and ")
    hits = [middle]
    if digits:
        starts = "4" if pattern.startswith("%") else ""
        ends = "4" if pattern.endswith("%") else ""
        other = pattern.replace("_", "4").strip("%").replace("%", "45")
        hits.append(f"{starts}{other}{ends}")
    if pattern.startswith("%"):
        hits.append("opal " + middle)
    if pattern.endswith("%"):
        hits.append(middle + " delta")
    if pattern.startswith("%") and pattern.endswith("%"):
        hits.append("in " + middle + " hall")
    misses = [
        "opal" + middle,
        middle + "delta",
        middle[:-1] + "#" if middle else "x",
        middle[1:] or "y",
        "lotus",
    ]
    return hits, misses


@lru_cache(maxsize=5_000)
def _like(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern as an expression that matches in time proportional to text times pattern.

    What stands between two ``%`` is taken where it first fits and never tried again.
    """
    parts = ["".join("." if c == "_" else re.escape(c) for c in part) for part in pattern.split("%")]
    if len(parts) == 1:
        return re.compile(parts[0] + r"\Z", re.I | re.S)
    middle = "".join(f"(?>.*?{part})" for part in parts[1:-1] if part)
    return re.compile(rf"{parts[0]}{middle}.*{parts[-1]}\Z", re.I | re.S)


def holds(atom: Atom, value: Value) -> bool:
    """Whether a condition takes a value, near enough to SQLite for choosing rows."""
    op, values = atom.op, atom.values
    if op in ("is", "is not"):
        return (value is None if values == (None,) else _same(value, values[0])) == (op == "is")
    if value is None:
        return False
    if op.startswith("not "):
        return not holds(Atom(atom.ref, op[4:], values), value)
    if op == "=":
        return _same(value, values[0])
    if op == "<>":
        return not _same(value, values[0])
    if op == "in":
        return any(_same(value, v) for v in values)
    if op == "like":
        return isinstance(values[0], str) and _like(values[0]).match(str(value)) is not None
    if op in ("near", PART, "glob") or (op == "between" and len(values) < 2):
        return True
    if None in values:
        return False
    bounds = [_order(v, value) for v in values]
    if op == "between":
        return bounds[0] >= 0 >= bounds[1]
    return {">": bounds[0] > 0, ">=": bounds[0] >= 0, "<": bounds[0] < 0, "<=": bounds[0] <= 0}[op]


def _same(value: Value, other: Value) -> bool:
    if isinstance(value, str) and isinstance(other, str):
        return value.lower() == other.lower()
    return value == other or str(value).lower() == str(other).lower()


def _order(bound: Value, value: int | float | str) -> int:
    """Positive where the value is above the bound, 0 where equal."""
    if isinstance(bound, str) and not isinstance(value, str):
        number = number_of(bound)
        bound = number if number is not None else bound
    if isinstance(value, str) and not isinstance(bound, str):
        return 1
    if isinstance(bound, str) and not isinstance(value, str):
        return -1
    if isinstance(value, str) and isinstance(bound, str):
        value, bound = value.lower(), bound.lower()
    return (value > bound) - (value < bound)  # type: ignore[operator]
