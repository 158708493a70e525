"""Make the index that splits sql-create-context: which WikiSQL table or Spider database a row came from.

    python scripts/split_index.py --data ../shared/data [--check]

DATA holds ``create-context/origins.csv.gz`` (columns key, table_id, header: longer hashes of the same texts,
see ``harness/benchmarks/origins.py``) and Spider's ``tables.json.gz``, ``train_gold.sql.gz`` and
``dev_gold.sql`` in ``spider/``. The index holds hashes only: no question, no query, no name but those of
tables and databases. Writes ``benchmarks/create-context/origins.txt.gz``; with ``--check`` it says whether
that is as it would be made, and exits with 1 where not. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from harness.benchmarks import origins
from harness.benchmarks.origins import DIGITS, Facts
from harness.benchmarks.spider_schema import read_tables
from harness.files import asset, read_text

ABOUT = (
    "Origins of the rows of sql-create-context, as hashes: ORIGIN HEADER KEY …",
    "Facts of WikiSQL (github.com/salesforce/WikiSQL, BSD-3-Clause) and Spider (yale-lily.github.io/spider, "
    "CC-BY-SA-4.0), the two sets that sql-create-context (CC-BY-4.0) was built from.",
    "Made by scripts/split_index.py; harness/benchmarks/origins.py says how a key is made.",
)


def tables_of_wikisql(path: Path) -> Iterator[Facts]:
    """A line for every WikiSQL table, in the order of their ids."""
    keys: dict[str, list[str]] = defaultdict(list)
    headers: dict[str, str] = {}
    for row in csv.DictReader(io.StringIO(read_text(path), newline="")):
        headers[row["table_id"]] = row["header"][:DIGITS]
        keys[row["table_id"]].append(row["key"][:DIGITS])
    for table in sorted(keys, key=lambda table: tuple(map(int, table.split("-")))):
        yield Facts(table, headers[table], keys[table])


def databases_of_spider(folder: Path) -> Iterator[Facts]:
    """A line for every Spider database."""
    golds: dict[str, list[str]] = defaultdict(list)
    for name in ("train_gold.sql.gz", "dev_gold.sql"):
        for line in read_text(folder / name).splitlines():
            sql, tab, database = line.rpartition("\t")
            if tab:
                golds[database.strip()].append(origins.query_key(sql))
    for name, schema in sorted(read_tables(folder / "tables.json.gz").schemas.items()):
        named = {
            table.lower(): [column.name.lower() for column in columns]
            for table, columns in schema.tables.items()
        }
        keys = [key for table, columns in named.items() for key in origins.schema_keys(table, columns)]
        keys += [origins.column_key(column) for columns in named.values() for column in columns]
        header = origins.header_hash(
            f"{table} {column}" for table, columns in named.items() for column in columns
        )
        yield Facts(f"spider:{name}", header, [*keys, *golds[name]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    tables = list(tables_of_wikisql(options.data / "create-context" / "origins.csv.gz"))
    databases = list(databases_of_spider(options.data / "spider"))
    target = asset("benchmarks", "create-context", "origins.txt.gz")
    with tempfile.TemporaryDirectory() as folder:
        made = target if not options.check else Path(folder) / target.name
        origins.write(made, [*tables, *databases], ABOUT)
        same = read_text(made) == read_text(target)
        print(
            json.dumps(
                {
                    "bytes": target.stat().st_size,
                    "tables": len(tables),
                    "table_keys": sum(len(set(facts.keys)) for facts in tables),
                    "databases": len(databases),
                    "database_keys": sum(len(set(facts.keys)) for facts in databases),
                    "headers": len({facts.header for facts in [*tables, *databases]}),
                    "as_committed": same,
                }
            )
        )
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
