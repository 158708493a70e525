"""Spider's execution match on one database or on a test suite (Zhong et al. 2020).

Follows ``exec_eval.py`` of https://github.com/taoyds/test-suite-sql-eval, written anew from its behaviour:
results are bags of rows under one permutation of the columns, the order of rows counts where the gold
says ORDER BY, DISTINCT is stripped from both queries unless it is to be kept, every database
beside the example's own must agree. Other than there, the permutation is not searched for in
exponential time, and the timeout fires.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

from harness.databases.answers import Failure, Result, same_but_for_columns
from harness.records import Example
from harness.scoring.official.execution import ExecutionScorer, Openable
from harness.scoring.official.scorer import RIGHT, Options, Score
from harness.scoring.official.spider_exact_set import official_text
from harness.scoring.official.spider_schemas import SOURCE, Schemas

PLUGGED = 1000  # ways to plug the gold's values into a prediction that are tried at most

_STRING = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`"
_TOKEN = re.compile(rf"(?P<string>{_STRING})|\b(?P<distinct>distinct)\b|(?P<end>;)", re.I)
_LITERAL = re.compile(rf"(?P<string>{_STRING})|(?<![\w.])[+-]?\d+(?:\.\d+)?(?![\w.])")
_THIS_YEAR = re.compile(r"\byear\s*\(\s*curdate\s*\(\s*\)\s*\)", re.I)


class SpiderExecution(ExecutionScorer):
    """The gold's answer on every database of the example."""

    name = "spider_execution"
    source = SOURCE
    whole_suite = True

    def levels(self) -> dict[str, str]:
        """The official hardness of every gold that can be read, by id."""
        return Schemas(self.benchmark, self.options).levels(self.benchmark.examples)

    def _explain(self, example: Example, sql: str) -> Score:
        gold = prepared(example.gold, self.options)
        text = prepared(official_text(sql, self.options), self.options)
        databases = self.databases(example)
        if not databases:
            return Score(0.0, "no database could be populated from the schema")
        answers: dict[int, Result | Failure] = {}
        note = ""
        for candidate in [text, *(plugged(text, gold) if self.options.plug_values else ())]:
            found = self._first_difference(candidate, gold, databases, answers)
            if not found:
                return RIGHT
            note = note or found
        return Score(0.0, note)

    def _first_difference(
        self, candidate: str, gold: str, databases: tuple[Openable, ...], answers: dict[int, Result | Failure]
    ) -> str:
        ordered = "order by" in gold.lower()
        for i, database in enumerate(databases):
            where = f" on populated database {i}" if isinstance(database, bytes) else f" on {database.name}"
            if i not in answers:
                answers[i] = self.run(database, gold)
            wanted = answers[i]
            if isinstance(wanted, Failure):
                return f"the gold does not run{where}: {wanted.message}"
            found = self.run(database, candidate)
            if isinstance(found, Failure):
                return f"does not run{where}: {found.message}"
            if not same_but_for_columns(wanted.rows, found.rows, ordered=ordered):
                return f"another answer{where}"
        return ""


def prepared(sql: str, options: Options) -> str:
    """A query as it is executed: operators joined, the current year fixed, DISTINCT stripped unless kept.

    Stripping keeps the first statement only.

    >>> prepared("SELECT count(DISTINCT a) FROM t WHERE b > = 'distinct'; DROP t", Options())
    "SELECT count( a) FROM t WHERE b >= 'distinct'"
    """
    for apart in ("> =", "< =", "! ="):
        sql = sql.replace(apart, apart.replace(" ", ""))
    if not options.keep_distinct:
        parts: list[str] = []
        start = 0
        for match in _TOKEN.finditer(sql):
            if match["string"]:
                continue
            parts.append(sql[start : match.start()])
            start = match.end()
            if match["end"]:
                start = len(sql)
                break
        sql = "".join(parts) + sql[start:]
    return _THIS_YEAR.sub("2020", sql)


def plugged(sql: str, gold: str) -> Iterator[str]:
    """The query with the gold's literals in the places of its own, in every combination up to PLUGGED.

    >>> list(plugged("SELECT a FROM t1 WHERE b = 3", "SELECT a FROM t1 WHERE b = 'x' OR b = 7"))
    ["SELECT a FROM t1 WHERE b = 'x'", 'SELECT a FROM t1 WHERE b = 7']
    """
    values = list(dict.fromkeys(match[0] for match in _LITERAL.finditer(gold)))
    places = [match.span() for match in _LITERAL.finditer(sql)]
    for chosen in islice(product(values, repeat=len(places)), PLUGGED) if places else ():
        text, end = "", 0
        for (start, stop), value in zip(places, chosen, strict=True):
            text += sql[end:start] + value
            end = stop
        yield text + sql[end:]
