"""What can go wrong while measuring."""


class BenchFailure(Exception):
    """A figure would be wrong: an answer was not what it must be, or a process ended. The group gets no figure."""


class Skipped(Exception):
    """This machine lacks what a group needs; the text says what."""
