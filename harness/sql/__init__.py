"""What a query and a schema say: parsed once, read by many. Nothing here runs SQL."""

from harness.sql.dialect import Untranspilable, to_sqlite
from harness.sql.profile import Profile
from harness.sql.profile_reader import profile_of
from harness.sql.schema import Column, ForeignKey, Schema, Table, parse_schema

__all__ = [
    "Column",
    "ForeignKey",
    "Profile",
    "Schema",
    "Table",
    "Untranspilable",
    "parse_schema",
    "profile_of",
    "to_sqlite",
]
