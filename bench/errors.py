"""The exception of a failed measurement."""


class BenchFailure(Exception):
    """Raised when a figure would be wrong: a response was unexpected, a process ended, or a program is missing."""
