"""SQLite databases from CREATE statements: population, suites that discriminate, and a sandbox."""

from harness.databases.answers import Failure, Result, same
from harness.databases.builder import build_suite
from harness.databases.modes import MODES
from harness.databases.populate import populate
from harness.databases.sandbox import Sandbox
from harness.databases.store import SuiteStore, suites
from harness.databases.suite import Database, Suite

__all__ = [
    "MODES",
    "Database",
    "Failure",
    "Result",
    "Sandbox",
    "Suite",
    "SuiteStore",
    "build_suite",
    "populate",
    "same",
    "suites",
]
