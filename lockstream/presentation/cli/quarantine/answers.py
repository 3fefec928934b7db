"""The bodies of a server's responses about its quarantine, as the command line reads them.

A server of another version may add members and kinds. The command line ignores or prints them, so its classes are more
lenient than those of `schemas`, which the server uses.
"""

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace


class Entry(Struct, frozen=True):
    """An event in the quarantine."""

    event_id: str
    kind: str
    status: str
    code: str
    detail: str
    locker_id: str
    type: str
    occurred_at: str
    first_at: str
    last_at: str
    count: int
    address: str | None
    discarded_at: str | None
    discard_reason: str | None
    body: Raw


class Totals(Struct, frozen=True):
    """Counts over the whole quarantine."""

    open: dict[str, int]
    discarded: int
    dropped: int
    unchecked_duplicates: int
    malformed: dict[str, int]


class Page(Struct, frozen=True):
    """A page of entries."""

    items: list[Entry]
    next: str | None
    totals: Totals


class MalformedBody(Struct, frozen=True):
    """A body that was not an event."""

    reason: str
    detail: str
    first_at: str
    last_at: str
    count: int
    address: str | None
    body: str


class MalformedPage(Struct, frozen=True):
    """A page of malformed bodies."""

    items: list[MalformedBody]
    next: str | None


class Recorded(Struct, frozen=True):
    """The response to an event that is in the log."""

    position: int
    outcome: str


class ErrorItem(Struct, frozen=True):
    """One of several errors in a body."""

    msg: str


class Refused(Struct, frozen=True):
    """The response to a request that was refused. Only a refused event has a code."""

    detail: str | list[ErrorItem]
    code: str | None = None

    @property
    def text(self) -> str:
        """The reason for people."""
        return _sentences(self.detail)


class OutcomeRow(Struct, frozen=True):
    """The outcome of one event that was decided afresh, as a table shows it."""

    event_id: str | None
    outcome: str
    position: int | None
    code: str | None
    detail: str


class ReportItem(Struct, frozen=True):
    """The outcome of one event that was decided afresh."""

    event_id: str | None
    status: int
    position: int | None = None
    code: str | None = None
    detail: str | list[ErrorItem] = ""

    @property
    def row(self) -> OutcomeRow:
        """The row of a table. An event has failed if it caused an internal error of the server."""
        outcome = {202: "accepted", 200: "duplicate", 500: "failed"}.get(self.status, "refused")
        return OutcomeRow(self.event_id, outcome, self.position, self.code, _sentences(self.detail))


class Report(Struct, frozen=True):
    """The outcomes of events that were decided afresh."""

    accepted: int
    remaining: int
    items: list[ReportItem] = field(default_factory=list)


def on_one_line(entry: Entry) -> Entry:
    """Return an entry whose body has no line breaks. The locker may have sent some."""
    return replace(entry, body=formatted(entry.body, -1))


def formatted(body: Raw, indent: int) -> Raw:
    """Return a JSON text with so many blanks of indentation, or on one line without blanks for -1."""
    try:
        return Raw(msgspec.json.format(bytes(body), indent=indent))
    except (msgspec.MsgspecError, RecursionError):
        return body


def _sentences(detail: str | list[ErrorItem]) -> str:
    return detail if isinstance(detail, str) else " ".join(error.msg for error in detail)
