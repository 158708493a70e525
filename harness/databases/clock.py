"""The clock stands still, for every function that reads it, whatever text spells "now"."""

from __future__ import annotations

import sqlite3
from functools import lru_cache, partial
from typing import Any

from harness.databases.beside import beside
from harness.sql.dialect import CLOCK

_FUNCTIONS = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1}
"""SQLite's functions that read the clock, each with the place of the time among its arguments."""

_KEPT = 100
"""Most characters of an argument whose answer is remembered."""

_LOCAL = frozenset(("localtime", "utc"))  # modifiers that hang on the machine's time zone


def freeze(connection: sqlite3.Connection, longest: int) -> None:
    """Have a connection's date functions take CLOCK for now, and UTC for the local time zone.

    ``longest`` is the most bytes of an argument or an answer.

    >>> box = sqlite3.connect(":memory:")
    >>> freeze(box, 1_000)
    >>> box.execute("SELECT time(), date('n' || 'ow', 'localtime'), strftime('%Y')").fetchone()
    ('12:00:00', '2024-07-01', '2024')
    """
    for name in _FUNCTIONS:
        connection.create_function(name, -1, partial(_called, longest, name), deterministic=True)


def _called(longest: int, name: str, *given: Any) -> Any:
    short = all(len(value) <= _KEPT for value in given if isinstance(value, (str, bytes)))
    return (_remembered if short else _worked_out)(longest, name, *given)


def _worked_out(longest: int, name: str, *given: Any) -> Any:
    place = _FUNCTIONS[name]
    arguments = list(given)
    if len(arguments) == place:
        arguments.append(CLOCK)
    if len(arguments) > place and _word(arguments[place]) == "now":
        arguments[place] = CLOCK
    arguments = [a for n, a in enumerate(arguments) if n <= place or _word(a) not in _LOCAL]
    marks = ", ".join("?" * len(arguments))
    return beside(longest).execute(f"SELECT {name}({marks})", arguments).fetchone()[0]


_remembered = lru_cache(maxsize=20_000)(_worked_out)


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""
