"""Where a working set gets its rows from, and hands on what has changed."""

from collections.abc import Collection, Iterable
from typing import Protocol

from msgspec import Struct

from lockstream.core.entities.log import Cursor
from lockstream.core.entities.state import Key, Row
from lockstream.infrastructure.known_keys import Recent


class Changes(Struct, frozen=True):
    """What a backing does not hold yet."""

    rows: dict[type[Row], list[Row]]
    recent: Recent
    reached: Cursor
    """How far along the log all of this brings it."""


class Backing(Protocol):
    """Where rows are kept for good."""

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        """Those of the rows that are there.

        Raises:
            StoreUnavailable: they cannot be read.
        """

    def write(self, changes: Changes) -> None:
        """Keep all of `changes`, or nothing. It may be called on another thread than `fetch`, at the same time.

        Raises:
            StoreUnavailable: nothing is kept.
        """


class Nothing:
    """A backing that holds nothing: what is not in memory is nowhere."""

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        return ()

    def write(self, changes: Changes) -> None:
        return
