"""Strangers' text (ids, questions, SQL, paths) as a terminal or a browser may show it."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2061-\u206f\ufeff\ud800-\udfff]"
    "|\r(?!\n)"
)
"""Control and direction characters, which a terminal or a browser would obey or hide, and half characters;
not the word joiner, which our tables hold and which does nothing but keep a line together."""


def visible(value: object) -> str:
    """Text with its control characters written out; line feeds and tabs stay.

    >>> visible("a" + chr(0) + "b" + chr(0x202E))
    'a\\\\x00b\\\\u202e'
    """
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], str(value))


def visible_json(text: str) -> str:
    """A JSON document of the same value with none of these characters in it.

    >>> visible_json('["' + chr(0x202E) + '"]')
    '["\\\\u202e"]'
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
