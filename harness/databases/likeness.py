"""How much names of columns and tables look like one another."""

from __future__ import annotations

import re
from functools import lru_cache

SUFFIX = re.compile(r"(?:id|ids|code|number|num|no|key|nr)\Z")
"""What the names of keys end with."""


@lru_cache(maxsize=20_000)
def norm(name: str) -> str:
    """Its letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=20_000)
def singular(name: str) -> str:
    """The same of one of what it names.

    >>> singular("Countries"), singular("Ref_Classes")
    ('country', 'refclass')
    """
    low = norm(name)
    if low.endswith("ies"):
        return low[:-3] + "y"
    if low.endswith(("sses", "xes", "ches", "shes")):
        return low[:-2]
    return low[:-1] if low.endswith("s") and not low.endswith("ss") else low


@lru_cache(maxsize=20_000)
def likeness(table: str, column: str) -> int:
    """How much a column looks like its table's key, 0 to 100."""
    low = norm(column)
    one, plural = singular(table), norm(table)
    if low == "id":
        return 100
    if low in (one + "id", plural + "id"):
        return 95
    if low in (*(one + s for s in ("code", "no", "number", "key")), plural + "code", "code", "uid"):
        return 85
    base = SUFFIX.sub("", low)
    if base and base != low and len(base) > 2 and (one.endswith(base) or one.startswith(base)):
        return 75
    return 0


def common(table: str, column: str) -> int:
    """How many words a table's and a column's names have in common."""
    words = [{singular(w) for w in re.split(r"[^a-z0-9]+", n.lower()) if w} for n in (table, column)]
    return len(words[0] & words[1])
