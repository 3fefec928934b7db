"""How those who bring a projection up to its log tell how far they have come."""

from collections.abc import Callable

from lockstream.core.entities.log import Cursor

type Watch = Callable[[Cursor, Cursor], object]
"""Is told how far catching up has come, and the end of the log."""


def unwatched(reached: Cursor, end: Cursor) -> None:
    """Watch nothing."""
