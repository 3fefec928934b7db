"""The lines of the quarantine's file: one JSON object each, whose member `line` names its kind.

A line says how something is now. A later line about the same event id takes the place of an earlier one.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from lockstream.core.entities.quarantine import Entry, MalformedBody, QuarantineTotals


class EntryLine(Struct, frozen=True, tag_field="line", tag="entry", forbid_unknown_fields=True):
    """An entry."""

    entry: Entry


class LeftLine(Struct, frozen=True, tag_field="line", tag="left", forbid_unknown_fields=True):
    """An entry has left the quarantine."""

    event_id: str


class MalformedLine(Struct, frozen=True, tag_field="line", tag="malformed", forbid_unknown_fields=True):
    """A malformed body, or further arrivals of the one in the line with the same number."""

    body: MalformedBody


class TotalsLine(Struct, frozen=True, tag_field="line", tag="totals", forbid_unknown_fields=True):
    """The counts that cannot be counted in the other lines."""

    dropped: int
    unchecked_duplicates: int
    malformed: dict[str, int]

    @classmethod
    def of(cls, totals: QuarantineTotals) -> "TotalsLine":
        return cls(totals.dropped, totals.unchecked_duplicates, totals.malformed)


type Line = EntryLine | LeftLine | MalformedLine | TotalsLine

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line.__value__).decode


def encode_lines(lines: Iterable[Line]) -> bytes:
    """Return lines as the file holds them, each with its line end."""
    return b"".join([_encode(line) + b"\n" for line in lines])


def decode_line(text: bytes) -> Line:
    """Return the line with this text, with or without a line end.

    Raises:
        ValueError: the text is not a line of a quarantine.
    """
    try:
        line: Line = _decode(text)
    except RecursionError as error:
        raise ValueError("It is nested too deep.") from error
    return line
