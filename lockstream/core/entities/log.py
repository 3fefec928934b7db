"""The log as the core sees it: records in the order of acceptance, and how far one has come in it."""

from msgspec import Struct

from lockstream.core.entities.events import Event


class Cursor(Struct, frozen=True, gc=False):
    """How far one has come in a log: just behind the record at `position`."""

    position: int = 0
    """Of the last record that lies behind; the first record has 1."""

    offset: int = 0
    """In bytes, where the next record begins."""

    chain: str = "0" * 64
    """The chain value of that record, in hexadecimal. Two logs that agree here agree in all that lies behind."""


START = Cursor()


class Record(Struct, frozen=True, gc=False):
    """An accepted event as the log holds it."""

    event: Event
    recorded_at: str
    """When it was accepted, by this machine's clock: RFC 3339 in UTC."""

    end: Cursor
    """Just behind this record."""
