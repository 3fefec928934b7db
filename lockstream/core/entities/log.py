"""The log as the core sees it: records in order of acceptance, and cursors between them."""

from msgspec import Struct

from lockstream.core.entities.events import Event


class Cursor(Struct, frozen=True, gc=False):
    """A place in the log: the end of the record at `position`, or the start of the log."""

    position: int = 0
    """Position of the record that ends here. The first record has position 1."""

    offset: int = 0
    """Offset of the next record, in bytes, if the log is a file."""

    chain: str = "0" * 64
    """Chain value of the record, in hexadecimal. Logs with equal chain values have equal records up to here."""


START = Cursor()
"""The start of every log."""


class Record(Struct, frozen=True, gc=False):
    """An accepted event as the log holds it."""

    event: Event
    recorded_at: str
    """Time of acceptance by this machine's clock: RFC 3339 in UTC."""

    end: Cursor
    """The end of this record."""
