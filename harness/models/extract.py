"""SQL out of a model's text, by one rule.

    1. Reasoning goes: ``<think>…</think>`` and everything before a lone ``</think>``; a ``<think>`` that
       never closes leaves nothing.
    2. The text ends at the first chat mark (``<|im_end|>``, ``</s>``, ``<end_of_turn>``, …) after its start.
    3. If there are fenced blocks, the first one tagged as SQL counts, else the first that holds a query;
       a fence that never closes runs to the end. The rest of the text is dropped.
    4. The statement begins at the best SELECT or ``WITH name AS (``: at the start of a line, or after a
       label or a quoting mark (``SQL:``, a backtick), before anywhere else; written in one case before
       ``Select``; the earliest of equals. Without any, a line that begins with another SQL verb (INSERT,
       DROP, …) counts.
    5. It ends at the first ``;`` or backtick mark that is not quoted, or before the first line that does not
       go on: outside quotes and brackets, a line goes on when it starts with a clause, an operator or a
       comma, or when the line before it ends open (a comma, an operator, a keyword that wants more).
    6. A quote that never closes is no quote to rule 5; the SQL stays as the model wrote it, unrepaired.

The rule never looks at the schema or the gold. ``clean`` says whether the text was nothing but the SQL: white
space, one final ``;`` and a final chat mark apart.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Extracted(NamedTuple):
    """The SQL of a text (None where there is none) and whether the text was nothing else."""

    sql: str | None
    clean: bool


_THINK = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)|\A.*</think(?:ing)?>", re.S | re.I)
_MARK = re.compile(
    r"<\|[\w▁ ]{1,40}\|>|<｜[^｜]{1,40}｜>|</?s>|<eos>|<(?:start|end)_of_turn>|\[/?INST\]|"
    r"<\|im_end\|?|<\|eot_id\|?|\[EOS\]",
    re.I,
)
_FENCE = re.compile(r"(?:```|~~~)[ \t]*([\w+-]*)[^\S\n]*\n?(.*?)(?:```|~~~|\Z)", re.S)
_SQL_TAGS = frozenset({"sql", "sqlite", "sqlite3", "mysql", "postgres", "postgresql", "psql", "tsql"})
_START = re.compile(
    r"(?P<line>(?:^|(?<=\n))[ \t]*(?:(?:[-*>]|\d+[.)])[ \t]+)?"
    r"(?:[*_]*(?:sql|answer|query|output|result)(?:[ \t]+(?:query|statement))?[*_]*[ \t]*[:=][*_ \t]*)?"
    r"|[`:]\s*)?[`(\"']*"
    r"(?P<word>\bselect\b|\bwith\b(?=\s+(?:recursive\s+)?[\w\"`\[\]]+\s*(?:\([^()]*\)\s*)?as\s*\())",
    re.I,
)
_OTHER = re.compile(
    r"(?:^|(?<=\n))[ \t]*(?:insert\s+into|replace\s+into|update\s+\S+\s+set|delete\s+from|"
    r"create\s+(?:table|view|index)|drop\s+(?:table|view|index|trigger)\b|alter\s+table|pragma\s+\w+\s*(?:[;(=]|\Z)|"
    r"attach\s+(?:database\s+)?['\"]|vacuum\s*(?:;|\Z)|values\s*\(|explain\s+(?:query\s+plan\s+)?(?:select|with)\b)",
    re.I,
)
_GOES_ON = re.compile(
    r"\s*(?:(?:from|where|and|or|on|using|group|order|having|limit|offset|union|intersect|except|join|inner|left|right|full|"
    r"cross|natural|outer|as|in|not|between|like|glob|is|asc|desc|when|then|else|end|case|exists|select|set|values|"
    r"collate|window|over|partition|distinct|all)\b|[,()=<>!+*/%|\-])",
    re.I,
)
_ENDS_OPEN = re.compile(
    r"(?:[,(=<>+*/%|\-]|\b(?:select|distinct|all|from|where|and|or|not|on|by|having|limit|offset|join|union|intersect|"
    r"except|in|like|between|as|is|case|when|then|else|set|values|using|with))\s*$",
    re.I,
)
_CLOSERS = {"'": "'", '"': '"', "`": "`", "[": "]"}


def extract_sql(text: str) -> Extracted:
    """The SQL of a completion, by the rule at the top of this module.

    >>> extract_sql("Here it is:\\n```sql\\nSELECT a FROM t;\\n```")
    Extracted(sql='SELECT a FROM t', clean=False)
    >>> extract_sql("SELECT a FROM t;")
    Extracted(sql='SELECT a FROM t', clean=True)
    """
    body = _THINK.sub("", text).strip()
    while mark := _MARK.match(body):
        body = body[mark.end() :].lstrip()
    if mark := _MARK.search(body):
        body = body[: mark.start()].rstrip()
    if fences := _FENCE.findall(body):
        tagged = [code for tag, code in fences if tag.lower() in _SQL_TAGS and code.strip()]
        holding = [code for _, code in fences if _START.search(code) or _OTHER.search(code)]
        body = next(iter(tagged or holding), body)
    start = _statement_start(body)
    if start is None:
        return Extracted(None, False)
    sql = body[start : _statement_end(body, start)].strip()
    if (
        start
        and body[start - 1] in "\"'"
        and sql.endswith(body[start - 1])
        and sql.count(body[start - 1]) % 2
    ):
        sql = sql[:-1].rstrip()
    whole = text.strip()
    if (last := [*_MARK.finditer(whole)][-1:]) and last[0].end() == len(whole):
        whole = whole[: last[0].start()].rstrip()
    return Extracted(sql or None, bool(sql) and whole.removesuffix(";").rstrip() == sql)


def _statement_start(text: str) -> int | None:
    best: tuple[tuple[int, int], int] | None = None
    for found in _START.finditer(text):
        word = found["word"]
        rank = (found["line"] is None and found.start() != 0, not (word.isupper() or word.islower()))
        key = ((int(rank[0]), int(rank[1])), found.start("word"))
        if best is None or key < best:
            best = key
    if best is not None:
        start = best[1]
        opened = re.search(r"\(\s*$", text[:start])
        return (
            opened.start()
            if opened and text.count("(") <= text.count(")") and not text[: opened.start()].strip()
            else start
        )
    other = _OTHER.search(text)
    return other.start() + len(other[0]) - len(other[0].lstrip()) if other else None


def _statement_end(text: str, start: int) -> int:
    at, depth, ticked = start, 0, text[start - 1 : start] == "`"
    while at < len(text):
        char = text[at]
        if char == ";" or (ticked and char == "`"):
            return at
        if char in _CLOSERS:
            closing = text.find(_CLOSERS[char], at + 1)
            line_end = text.find("\n\n", at)
            if closing >= 0 and not (0 <= line_end < closing):
                at = closing
        elif text.startswith("--", at):
            line = text.find("\n", at)
            at = (line if line >= 0 else len(text)) - 1
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "\n" and depth <= 0:
            following = text[at:].lstrip()
            blank = text[at : len(text) - len(following)].count("\n") > 1
            before = re.sub(r"--[^\n]*$", "", text[start:at])
            if (
                following
                and not following.startswith("--")
                and not _GOES_ON.match(following)
                and (blank or not _ENDS_OPEN.search(before))
            ):
                return at
        elif char == "\n" and text[at : at + 2] == "\n\n" and not _GOES_ON.match(text[at:].lstrip()):
            return at
        at += 1
    return len(text)
