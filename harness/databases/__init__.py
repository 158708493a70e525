"""SQLite databases from CREATE statements: schema, population, suites that discriminate, and a sandbox."""

from harness.databases.modes import MODES
from harness.databases.populate import populate
from harness.databases.profile import Profile, profile_of
from harness.databases.results import Failure, Result, same
from harness.databases.sandbox import Sandbox
from harness.databases.schema import Column, ForeignKey, Schema, Table, parse_schema
from harness.databases.sqltext import Untranspilable, to_sqlite
from harness.databases.store import SuiteStore, suites
from harness.databases.suite import Database, Suite, attack, build_suite
from harness.databases.workers import WorkerLost, WorkerPool

__all__ = [
    "MODES",
    "Column",
    "Database",
    "Failure",
    "ForeignKey",
    "Profile",
    "Result",
    "Sandbox",
    "Schema",
    "Suite",
    "SuiteStore",
    "Table",
    "Untranspilable",
    "WorkerLost",
    "WorkerPool",
    "attack",
    "build_suite",
    "parse_schema",
    "populate",
    "profile_of",
    "same",
    "suites",
    "to_sqlite",
]
