"""The lines of the quarantine's file: one JSON object each, whose member `line` names its kind.

A line gives the new state of an entry, of a malformed body or of the totals. A later line about the same event id,
number or totals replaces an earlier one.
"""

import json
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
    """A malformed body. A later line with the same number replaces it, because the body has arrived again."""

    body: MalformedBody


class TotalsLine(Struct, frozen=True, tag_field="line", tag="totals", forbid_unknown_fields=True):
    """The totals that do not follow from the other lines."""

    dropped: int
    unchecked_duplicates: int
    malformed: dict[str, int]
    last_number: int
    """Number of the newest entry, even if it has left."""

    @classmethod
    def of(cls, totals: QuarantineTotals, last_number: int) -> "TotalsLine":
        return cls(totals.dropped, totals.unchecked_duplicates, totals.malformed, last_number)


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
        if isinstance(line, EntryLine):
            _require_json(line.entry.body)
    except RecursionError as error:
        raise ValueError("The line is nested too deep.") from error
    return line


def _require_json(body: str) -> None:
    """Require that responses can show the body of an entry. Its numbers may be larger than a decoder accepts."""
    if not isinstance(json.loads(body, parse_int=str, parse_float=str, parse_constant=_refuse_constant), dict):
        raise ValueError("The body of the entry is not a JSON object.")  # noqa: TRY004  # as for any other invalid line


def _refuse_constant(name: str) -> None:
    """Refuse `NaN` and infinite numbers, which Python reads and JSON does not have."""
    raise ValueError(f"The body of the entry contains {name}, which is not JSON.")
