"""Every error that a user can meet, each with its remedy.

HarnessError            exit code 2
├── UsageError          options that do not go together, a value out of range
├── DataError           a file or a row that cannot be read (names file and line)
│   └── SchemaError     CREATE statements that do not become a database
├── BenchmarkError      a benchmark that is unknown, malformed or not downloaded
├── ModelError          a base, adapter, tokenizer or endpoint that cannot be used
├── RecipeError         a training recipe that cannot be followed
└── RunError            a run's folder that cannot be written, resumed or read
"""

from __future__ import annotations


class HarnessError(Exception):
    """What went wrong, in one line, and what the user can do about it.

    >>> str(HarnessError("benchmark 'foo' is unknown", "see: python -m harness benchmarks"))
    "benchmark 'foo' is unknown; see: python -m harness benchmarks"
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = " ".join(problem.split())
        self.remedy = " ".join(remedy.split())
        super().__init__(f"{self.problem}; {self.remedy}" if self.remedy else self.problem)

    def __reduce__(self) -> tuple[type[HarnessError], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)


class UsageError(HarnessError):
    """Options that do not go together, or a value out of range."""


class DataError(HarnessError):
    """A file or a row that cannot be read."""


class SchemaError(DataError):
    """CREATE statements that do not become a database."""


class BenchmarkError(HarnessError):
    """A benchmark that is unknown, malformed or not downloaded."""


class ModelError(HarnessError):
    """A base, adapter, tokenizer or endpoint that cannot be used."""


class RecipeError(HarnessError):
    """A training recipe that cannot be followed."""


class RunError(HarnessError):
    """A run's folder that cannot be written, resumed or read."""
