"""SQL out of text: the cases are data in tests/cases/extract.jsonl."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.extract import extract_sql

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "extract.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_case(case):
    assert extract_sql(case["text"]) == (case["sql"], case["clean"])


@given(st.text(alphabet="SELECTFROMselectwith \n;'\"`()<>|-,ab=1", max_size=200))
def test_any_text_is_taken_apart_and_taking_apart_twice_changes_nothing(text):
    sql, clean = extract_sql(text)
    if sql is not None:
        assert sql in text
        assert sql == sql.strip()
    else:
        assert not clean


def test_real_completions_give_the_published_sql(shared_data):
    for name in ("baseline", "finetuned6000"):
        path = shared_data / "predictions" / f"wikisql-test500-qwen2.5-1.5b-{name}.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        ours = [" ".join((extract_sql(row["completion"]).sql or "").split()) for row in rows]
        theirs = [" ".join(row["sql"].split()).rstrip("; ") for row in rows]
        assert ours == theirs


def test_extraction_needs_no_torch():
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'httpx'}"
    code = f"import sys, harness.models; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


UNITS = ["(", "'", '"', "[", "`", "-", "--", "```", "<", ":", "/*", "select", "with(a("]


@pytest.mark.parametrize("unit", [*UNITS, "\n", " \n", "a\n", "- ", "with a(", ": ", "(\n", "'\n\n"])
def test_work_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "SELECT " + unit * (size // len(unit))
        start = time.process_time()
        extract_sql(text)
        return time.process_time() - start

    seconds(1_000)
    assert min(seconds(400_000) for _ in range(2)) < 2.0
