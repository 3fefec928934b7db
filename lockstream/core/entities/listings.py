"""Queries and rows of lists.

A page has at most `limit` items. The next page begins after the key of the last item, which is given as `after`.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.entities.silence import NO_SILENCE, Silence
from lockstream.core.entities.state import LockerTotals, Status


class CompartmentState(StrEnum):
    """State of a compartment, as operators see it. A reserved or occupied compartment may be degraded as well."""

    AVAILABLE = "available"
    """Not degraded, and without an active reservation."""

    RESERVED = "reserved"
    """Its reservation is CREATED."""

    OCCUPIED = "occupied"
    """Its reservation is DEPOSITED."""

    DEGRADED = "degraded"
    """A fault of severity 3 or more is open."""


class ReservationOrder(StrEnum):
    """Order of a list of reservations."""

    CHANGED = "changed"
    """By the position of the event that gave the reservation its status."""

    ID = "id"
    """By id, in code point order."""


class LockerOrder(StrEnum):
    """Order of a list of lockers. Lockers with equal counts are in the order of their ids."""

    ID = "id"
    """By id, in code point order."""

    LAST_EVENT = "last_event"
    """By the position of the last event."""

    AVAILABLE = "available"
    """By the number of available compartments."""

    DEGRADED = "degraded"
    """By the number of degraded compartments."""


class CountKey(NamedTuple):
    """The key of a locker in a list that is sorted by a count."""

    number: int
    locker_id: str


type LockerKey = str | int | CountKey
"""The key of a locker in its list, as the order demands: its id, the position of its last event, or a `CountKey`."""


class LockerQuery(Struct, frozen=True):
    """Filters and order of lockers."""

    prefix: str = ""
    """Beginning of the id."""

    available: bool | None = None
    """Whether a compartment is available."""

    degraded: bool | None = None
    """Whether a compartment is degraded."""

    silent: bool | None = None
    """Whether the locker is silent by the measure `silence`."""

    gone: bool | None = None
    """Whether the locker is gone by the measure `silence`."""

    silence: Silence = NO_SILENCE
    order: LockerOrder = LockerOrder.ID
    descending: bool = False

    def key_of(self, row: LockerTotals) -> LockerKey:
        """Return the key of a locker in the order of the list."""
        match self.order:
            case LockerOrder.ID:
                return row.locker_id
            case LockerOrder.LAST_EVENT:
                return row.last_position
            case LockerOrder.AVAILABLE:
                return CountKey(row.available, row.locker_id)
            case LockerOrder.DEGRADED:
                return CountKey(row.degraded, row.locker_id)


class CompartmentQuery(Struct, frozen=True):
    """Filters of the compartments of one locker, which are listed by id."""

    locker_id: str
    state: CompartmentState | None = None
    prefix: str = ""
    """Beginning of the id."""


class ReservationQuery(Struct, frozen=True):
    """Filters and order of reservations."""

    status: Status | None = None
    locker_id: str | None = None
    changed_from: int = 0
    """Lowest position of the event that gave the reservation its status."""

    changed_through: int | None = None
    """Highest position of that event."""

    order: ReservationOrder = ReservationOrder.CHANGED
    descending: bool = False
    prefix: str = ""
    """Beginning of the id. Only together with the order `ID`."""


class Rows[RowT](NamedTuple):
    """The rows of a page, and whether more follow."""

    rows: Sequence[RowT]
    has_more: bool
    through: int | None = None
    """The key behind which the next page begins, if it is not the key of the last row."""


class PartialRows[RowT](list[RowT]):
    """Rows of a list whose search ended before the page was full. The next page begins behind the key `through`."""

    def __init__(self, rows: Iterable[RowT], through: int) -> None:
        super().__init__(rows)
        self.through = through


class FaultQuery(Struct, frozen=True):
    """Filters of faults, which are listed by the position of their report."""

    open: bool | None = None
    """Whether the fault is open. None lists open and cleared faults."""

    min_severity: int = 0
    locker_id: str | None = None
    compartment_id: str | None = None
    """Only together with `locker_id`."""

    descending: bool = False


class HistoryQuery(Struct, frozen=True):
    """Filters and order of the events of one locker, or of one of its compartments."""

    locker_id: str
    compartment_id: str | None = None
    event_type: type[Event] | None = None
    descending: bool = False


class ListedLocker(Struct, frozen=True, gc=False):
    """A locker as lists show it."""

    totals: LockerTotals
    silent: bool
    gone: bool
    usual_silence_seconds: int | None
    """Usual time between two events, or None while it is not known."""

    @classmethod
    def of(cls, totals: LockerTotals, silence: Silence) -> "ListedLocker":
        return cls(totals, silence.is_silent(totals), silence.is_gone(totals), silence.usual_seconds(totals))

    @property
    def locker_id(self) -> str:
        return self.totals.locker_id


class ListedCompartment(Struct, frozen=True, gc=False):
    """A compartment as lists and the state of its locker show it."""

    locker_id: str
    compartment_id: str
    degraded: bool
    active_reservation: str | None
    reservation_status: Status | None
    changed_position: int
    """Position of the last event that changed the compartment or the status of its active reservation."""


SUMMED = ("compartments", "available", "reserved", "occupied", "degraded", "picked_up", "expired")
"""Totals of the network that are sums over its lockers."""


class NetworkTotals(Struct, frozen=True):
    """Counts over the whole network."""

    lockers: int = 0
    compartments: int = 0
    available: int = 0
    reserved: int = 0
    occupied: int = 0
    degraded: int = 0
    picked_up: int = 0
    expired: int = 0
    open_faults: dict[int, int] = {}
    """Number of open faults of the network for each severity that occurs."""

    last_position: int | None = None
    """Position of the last event of the lockers that are counted. None: of the last event of the log."""


class Activity(NamedTuple):
    """Counts of active lockers and of parcels that nobody has picked up: see `ports.Listings.activity`."""

    active_lockers: int
    """Lockers whose last event is at the position `since` or after it."""

    old_deposits: int
    """Parcels that were deposited at the position `through` or before it, and are still there.

    Counted up to `MAX_OLD_DEPOSITS`.
    """


MAX_OLD_DEPOSITS = 10_000
"""Most old deposits that are counted, so that counting takes bounded time if parcels are never picked up."""


class Matches(Struct, frozen=True):
    """Ids that begin with a search text, sorted by id."""

    lockers: list[str]
    compartments: list[tuple[str, str]]
    """Pairs of locker id and compartment id, sorted by compartment id and then by locker id."""

    reservations: list[str]
    events: list[tuple[str, int]]
    """Pairs of event id, in lower case, and position."""
