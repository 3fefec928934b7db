"""The error of a measurement."""


class BenchFailure(Exception):
    """A figure would be wrong: a response was unexpected, a process ended, or a program is missing."""
