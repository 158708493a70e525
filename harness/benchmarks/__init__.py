"""Examples: benchmarks by name, data of one's own, what was held out and what leaks."""

from harness.benchmarks.audit import Audit, audit
from harness.benchmarks.describe import Description, describe, listing_row
from harness.benchmarks.exposure import Training, declared, expose, told_leak
from harness.benchmarks.load import load_benchmark, load_file
from harness.benchmarks.rule import apply_rule
from harness.benchmarks.spec import BenchmarkSpec, get_spec, list_benchmarks

__all__ = [
    "Audit",
    "BenchmarkSpec",
    "Description",
    "Training",
    "apply_rule",
    "audit",
    "declared",
    "describe",
    "expose",
    "get_spec",
    "list_benchmarks",
    "listing_row",
    "load_benchmark",
    "load_file",
    "told_leak",
]
