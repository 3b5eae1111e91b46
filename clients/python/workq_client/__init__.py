"""The Python client of workq."""

__version__ = "0.1.0"
