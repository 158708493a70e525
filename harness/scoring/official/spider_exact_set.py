"""Spider's exact set match, made a scorer."""

from __future__ import annotations

from harness.records import Benchmark, Example
from harness.scoring.official.scorer import RIGHT, Options, Score, Scorer
from harness.scoring.official.spider_clauses import difference
from harness.scoring.official.spider_query import OfficialQuery, Unreadable, parse
from harness.scoring.official.spider_schemas import SOURCE, Schemas, tables_files


class SpiderExactSetMatch(Scorer):
    """Same clauses as sets. Schemas and foreign keys come from tables.json, else from the contexts."""

    name = "spider_exact_set_match"
    source = SOURCE

    def __init__(self, benchmark: Benchmark, options: Options) -> None:
        super().__init__(benchmark, options)
        self._schemas = Schemas(benchmark, options)
        self._golds: dict[tuple[str, str], OfficialQuery] = {}

    def remark(self) -> str:
        """What belongs beside the figure: whether the official foreign keys were there."""
        known = tables_files(self.benchmark, self.options)
        return "" if known else "no tables.json: foreign keys are those that the contexts declare"

    def levels(self) -> dict[str, str]:
        """The official hardness of every gold that can be read, by id."""
        return self._schemas.levels(self.benchmark.examples)

    def _explain(self, example: Example, sql: str) -> Score:
        schema = self._schemas.of(example)
        modern = self.options.edition == "test-suite"
        key = example.id, example.gold
        try:
            gold = self._golds.get(key) or parse(example.gold, schema, any_limit=modern)
        except Unreadable as error:
            return Score(0.0, f"the official parser cannot read the gold: {error}")
        self._golds[key] = gold
        try:
            query = parse(official_text(sql, self.options), schema, any_limit=modern)
        except Unreadable as error:
            return Score(0.0, f"the official parser cannot read it: {error}")
        clause = difference(query, gold, schema)
        return Score(0.0, f"differs in {clause}") if clause else RIGHT


def official_text(sql: str, options: Options) -> str:
    """A prediction as the evaluator takes it from its file: up to a tab, and in the edition in
    force with the placeholder ``value`` made 1.
    """
    sql = sql.strip().split("\t")[0]
    return sql.replace("value", "1") if options.edition == "test-suite" else sql
