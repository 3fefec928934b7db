"""The bodies of lists: one definition each, which is encoded as JSON or CSV, and described in the contract.

Each is a msgspec struct, because a page has up to 1,000 items.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import Annotated, Protocol

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from lockstream.core.entities.listings import CompartmentState, ListedCompartment, ListedLocker, Matches, NetworkTotals
from lockstream.core.entities.log import recorded_at_of
from lockstream.core.entities.state import Fault, Reservation, Status
from lockstream.core.ports import Listings


class ItemClass[RowT](Protocol):
    """The class of the items of a list."""

    __struct_fields__: tuple[str, ...]

    def of(self, row: RowT, recorded_at: "RecordedAt", /) -> Struct:
        """Return the item of a row."""

    def positions_in(self, row: RowT, /) -> Sequence[int]:
        """Return the positions in a row whose recorded times the item shows. 0 stands for none."""


type RecordedAt = Callable[[int], str]
"""Returns the recorded time at a position, as responses show it."""

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Next = Annotated[
    str | None,
    Meta(description="Value of `after` for the next page. Null on the last page.", examples=["AZ3e2QzrqmgH"]),
]

_Count = Annotated[int, Meta(ge=0)]
_Available = Annotated[_Count, Meta(description="Compartments without active reservation that are not degraded.")]
_Reserved = Annotated[_Count, Meta(description="Compartments whose reservation is CREATED.")]
_Occupied = Annotated[_Count, Meta(description="Compartments whose reservation is DEPOSITED.")]
_Degraded = Annotated[_Count, Meta(description="Compartments with an open fault of severity 3 or more.")]

_Position = Annotated[int, Meta(ge=1)]


class LockerItem(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A locker with its counts."""

    locker_id: str
    compartments: Annotated[int, Meta(ge=1, description="Number of compartments.")]
    available: _Available
    reserved: _Reserved
    occupied: _Occupied
    degraded: _Degraded
    events: Annotated[int, Meta(ge=1, description="Number of accepted events: the version of the locker's state.")]
    last_event_at: Annotated[Time, Meta(description="When the last event was accepted: RFC 3339 in UTC.")]
    last_position: Annotated[_Position, Meta(description="Position of the last event.")]
    silent: Annotated[
        bool, Meta(description="Whether it was not heard of for much longer than usual, but is not gone.")
    ]
    gone: Annotated[bool, Meta(description="Whether it has been silent for so long that nobody waits for it.")]
    usual_silence_seconds: Annotated[
        _Count | None,
        Meta(description="Usual time between two events, in seconds. Null until it has had enough events."),
    ]

    @classmethod
    def of(cls, row: ListedLocker, recorded_at: RecordedAt) -> "LockerItem":
        totals = row.totals
        return cls(
            totals.locker_id,
            totals.compartments,
            totals.available,
            totals.reserved,
            totals.occupied,
            totals.degraded,
            totals.events,
            recorded_at(totals.last_position),
            totals.last_position,
            row.silent,
            row.gone,
            row.usual_silence_seconds,
        )

    @staticmethod
    def positions_in(row: ListedLocker) -> Sequence[int]:
        """Return the positions whose recorded times the item shows. 0 stands for none."""
        return (row.totals.last_position,)


class CompartmentItem(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A compartment with the time of its last change."""

    compartment_id: str
    status: Annotated[
        CompartmentState,
        Meta(description="With an active reservation reserved or occupied, else available or degraded."),
    ]
    degraded: Annotated[bool, Meta(description="Whether a fault of severity 3 or more is open, whatever the status.")]
    active_reservation: Annotated[str | None, Meta(description="The reservation that occupies the compartment.")]
    since: Annotated[Time, Meta(description="When the status or `degraded` last changed: RFC 3339 in UTC.")]
    since_position: Annotated[_Position, Meta(description="Position of the event that changed it.")]

    @classmethod
    def of(cls, row: ListedCompartment, recorded_at: RecordedAt) -> "CompartmentItem":
        position = row.changed_position
        return cls(
            row.compartment_id,
            _state_of(row),
            row.degraded,
            row.active_reservation,
            recorded_at(position),
            position,
        )

    @staticmethod
    def positions_in(row: ListedCompartment) -> Sequence[int]:
        """Return the positions whose recorded times the item shows. 0 stands for none."""
        return (row.changed_position,)


class ReservationItem(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A reservation with the times of its steps."""

    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status
    created_at: Annotated[Time, Meta(description="When it was created: RFC 3339 in UTC.")]
    created_position: Annotated[_Position, Meta(description="Position of its ReservationCreated event.")]
    deposited_at: Annotated[
        Time | None,
        Meta(description="When the parcel was deposited: RFC 3339 in UTC. Null if it never was."),
    ]
    deposited_position: Annotated[_Position | None, Meta(description="Position of its ParcelDeposited event.")]
    changed_at: Annotated[Time, Meta(description="When it got its status: RFC 3339 in UTC.")]
    changed_position: Annotated[_Position, Meta(description="Position of the event that gave it its status.")]

    @classmethod
    def of(cls, row: Reservation, recorded_at: RecordedAt) -> "ReservationItem":
        return cls(
            row.reservation_id,
            row.locker_id,
            row.compartment_id,
            row.status,
            recorded_at(row.created_position),
            row.created_position,
            recorded_at(row.deposited_position) if row.deposited_position else None,
            row.deposited_position or None,
            recorded_at(row.changed_position),
            row.changed_position,
        )

    @staticmethod
    def positions_in(row: Reservation) -> Sequence[int]:
        """Return the positions whose recorded times the item shows. 0 stands for none."""
        return row.created_position, row.deposited_position, row.changed_position


class FaultItem(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A fault of a compartment."""

    fault_id: Annotated[
        str,
        Meta(
            description="The `event_id` of its FaultReported event, in lower case.",
            extra_json_schema={"format": "uuid"},
        ),
    ]
    locker_id: str
    compartment_id: str
    severity: Annotated[int, Meta(ge=0, description="3 or more degrades the compartment while the fault is open.")]
    open: Annotated[bool, Meta(description="Whether the fault was not cleared yet.")]
    reported_at: Annotated[Time, Meta(description="When it was reported: RFC 3339 in UTC.")]
    reported_position: Annotated[_Position, Meta(description="Position of its FaultReported event.")]
    cleared_at: Annotated[
        Time | None,
        Meta(description="When it was cleared: RFC 3339 in UTC. Null while it is open."),
    ]
    cleared_position: Annotated[_Position | None, Meta(description="Position of its FaultCleared event.")]

    @classmethod
    def of(cls, row: Fault, recorded_at: RecordedAt) -> "FaultItem":
        return cls(
            row.fault_id,
            row.locker_id,
            row.compartment_id,
            row.severity,
            not row.is_cleared,
            recorded_at(row.reported_position),
            row.reported_position,
            recorded_at(row.cleared_position) if row.is_cleared else None,
            row.cleared_position or None,
        )

    @staticmethod
    def positions_in(row: Fault) -> Sequence[int]:
        """Return the positions whose recorded times the item shows. 0 stands for none."""
        return row.reported_position, row.cleared_position


class LockerPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Lockers, in the order of the list."""

    items: list[LockerItem]
    next: Next


class CompartmentPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Compartments of one locker, sorted by id."""

    items: list[CompartmentItem]
    next: Next


class ReservationPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Reservations, in the order of the request."""

    items: list[ReservationItem]
    next: Next


class FaultPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Faults, in the order of the request."""

    items: list[FaultItem]
    next: Next


class ReservationCounts(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of reservations by status."""

    CREATED: _Count
    DEPOSITED: _Count
    PICKED_UP: _Count
    EXPIRED: _Count


class SeverityCount(Struct, frozen=True, forbid_unknown_fields=True):
    """Number of open faults of one severity."""

    severity: _Count
    count: Annotated[int, Meta(ge=1)]


class NetworkSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """Totals of the whole network."""

    lockers: _Count
    compartments: _Count
    available: _Available
    reserved: _Reserved
    occupied: _Occupied
    degraded: _Degraded
    reservations: ReservationCounts
    open_faults: Annotated[list[SeverityCount], Meta(description="Sorted by severity, the highest first.")]
    position: Annotated[int, Meta(ge=0, description="Position of the last event, or 0 without events.")]
    last_event_at: Annotated[
        Time | None,
        Meta(description="When the last event was accepted: RFC 3339 in UTC. Null without events."),
    ]

    @classmethod
    def of(cls, totals: NetworkTotals, position: int, last_event_at: str | None) -> "NetworkSummary":
        return cls(
            lockers=totals.lockers,
            compartments=totals.compartments,
            available=totals.available,
            reserved=totals.reserved,
            occupied=totals.occupied,
            degraded=totals.degraded,
            reservations=ReservationCounts(totals.reserved, totals.occupied, totals.picked_up, totals.expired),
            open_faults=[SeverityCount(*pair) for pair in sorted(totals.open_faults.items(), reverse=True)],
            position=position,
            last_event_at=last_event_at,
        )


class CompartmentMatch(Struct, frozen=True, forbid_unknown_fields=True):
    """A compartment that was found by its id."""

    locker_id: str
    compartment_id: str


class EventMatch(Struct, frozen=True, forbid_unknown_fields=True):
    """An accepted event that was found by its id."""

    event_id: Annotated[str, Meta(description="In lower case.", extra_json_schema={"format": "uuid"})]
    position: _Position


class SearchResult(Struct, frozen=True, forbid_unknown_fields=True):
    """Subjects and events whose ids begin with the search text, sorted by id."""

    lockers: list[str]
    compartments: Annotated[
        list[CompartmentMatch], Meta(description="Sorted by compartment id, and then by locker id.")
    ]
    reservations: list[str]
    events: Annotated[list[EventMatch], Meta(description="Sorted by event id.")]

    @classmethod
    def of(cls, matches: Matches) -> "SearchResult":
        compartments = [CompartmentMatch(*key) for key in matches.compartments]
        return cls(matches.lockers, compartments, matches.reservations, [EventMatch(*one) for one in matches.events])


RESPONSES: Sequence[type[Struct]] = (
    NetworkSummary,
    LockerPage,
    CompartmentPage,
    ReservationPage,
    FaultPage,
    SearchResult,
)
"""Every body of this module."""

encode_json: Callable[[Struct], bytes] = msgspec.json.Encoder().encode

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
"""First characters of a text that a spreadsheet may run as a formula (OWASP, "CSV Injection"). Four are full-width. The
apostrophe is among them, so that no two texts become equal.
"""

_SPLIT = re.compile(r"[;\t\r\n]")
"""Characters at which a spreadsheet may split a cell. In many countries, its list separator is the semicolon."""

_BEFORE_FORMULA = re.compile(rf"(^|{_SPLIT.pattern}[ \"]*)(?=[{re.escape(''.join(_FORMULA))}])")


def recorded_at(times: Mapping[int, int]) -> RecordedAt:
    """Return a function that gives the recorded time at a position. `times` has it in microseconds since 1970."""
    texts = {position: recorded_at_of(time) for position, time in times.items()}
    return texts.__getitem__


def items_of[RowT](item_class: ItemClass[RowT], rows: Sequence[RowT], listings: Listings) -> list[Struct]:
    """Return the items of rows, with the recorded times that `listings` has."""
    positions = {position for row in rows for position in item_class.positions_in(row)} - {0}
    times = recorded_at(listings.times(sorted(positions)) if positions else {})
    return [item_class.of(row, times) for row in rows]


def encode_csv(names: Sequence[str], items: Iterable[Struct]) -> bytes:
    """Return items as CSV (RFC 4180) in UTF-8, with `names` as its header row. Null is an empty cell.

    A text that a spreadsheet could run as a formula gets an apostrophe in front, and so does one that begins with an
    apostrophe. The same is done in the middle of a text, where a spreadsheet may split it. A JSON object is its text.
    """
    return _encode_rows([names]) + encode_csv_rows(items)


def encode_csv_rows(items: Iterable[Struct]) -> bytes:
    """Return items as CSV without a header row."""
    return _encode_rows(map(_cell, msgspec.structs.astuple(item)) for item in items)


def plain_value(value: object) -> object:
    """Return a value as a cell: the text of a JSON object, the items of a list with spaces, or None if it is absent."""
    if value is UNSET:
        return None
    if isinstance(value, list):
        return " ".join(value)
    return bytes(value).decode() if isinstance(value, Raw) else value


def _state_of(row: ListedCompartment) -> CompartmentState:
    if row.reservation_status is not None:
        return CompartmentState.RESERVED if row.reservation_status is Status.CREATED else CompartmentState.OCCUPIED
    return CompartmentState.DEGRADED if row.degraded else CompartmentState.AVAILABLE


def _encode_rows(rows: Iterable[Iterable[object]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    value = plain_value(value)
    if isinstance(value, str) and (value.startswith(_FORMULA) or _SPLIT.search(value)):
        return _BEFORE_FORMULA.sub(r"\1'", value)
    return value
