"""A batch evaluation harness for models that write SQL."""

__version__ = "0.1.0"
