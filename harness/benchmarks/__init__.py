"""Examples: benchmarks by name, data of one's own, what was held out and what leaks."""

from harness.benchmarks.load import load_benchmark, load_file
from harness.benchmarks.rule import apply_rule
from harness.benchmarks.spec import BenchmarkSpec, get_spec, list_benchmarks

__all__ = ["BenchmarkSpec", "apply_rule", "get_spec", "list_benchmarks", "load_benchmark", "load_file"]
