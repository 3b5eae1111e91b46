"""workq: a job server one can talk to with netcat."""

__version__ = "0.1.0"
