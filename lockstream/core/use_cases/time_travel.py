"""Read a subject as it was at a position, by applying the events that still mattered then with `evolve`."""

from collections.abc import Iterable

from msgspec.structs import replace

from lockstream.core.entities.events import ParcelPickedUp, ReservationExpired
from lockstream.core.entities.listings import HistoryQuery
from lockstream.core.entities.log import Record
from lockstream.core.entities.state import Compartment, Fault, Locker, LockerState, LockerTotals, Reservation
from lockstream.core.errors import InconsistentHistory, StoreUnavailable
from lockstream.core.past import reservation_at, rows_at
from lockstream.core.ports import Listings
from lockstream.core.row_set import RowSet
from lockstream.core.views import last_change, locker_views


class PastReads:
    """Reads of one subject as it was at a position. Implements `SubjectReads`, as the reads of the present state do.

    Each method raises StoreUnavailable if the rows cannot be read, or contradict each other.
    """

    def __init__(self, listings: Listings, position: int) -> None:
        self._listings = listings
        self._position = position

    def locker(self, locker_id: str) -> Locker | None:
        state = self.locker_state(locker_id)
        return state.locker if state else None

    def locker_state(self, locker_id: str) -> LockerState | None:
        return past_locker(self._listings, locker_id, self._position)

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return past_compartment(self._listings, locker_id, compartment_id, self._position)

    def reservation(self, reservation_id: str) -> Reservation | None:
        return past_reservation(self._listings, reservation_id, self._position)

    def records(self, positions: Iterable[int]) -> list[Record]:
        return self._listings.records(positions)

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        return self._listings.times(positions)


def past_locker(listings: Listings, locker_id: str, position: int) -> LockerState | None:
    """Return a locker as it was at `position`, or None if its first event came later.

    Raises:
        StoreUnavailable: the rows cannot be read, or contradict each other.
    """
    rows = _rows_at(listings, locker_id, None, position).changed
    if not rows[LockerTotals]:
        return None
    compartments, find = rows[Compartment].values(), rows[Reservation].get
    [locker] = locker_views(compartments, rows[Fault].values(), find)
    changes = {row.compartment_id: last_change(row, find) for row in compartments}
    return LockerState(locker, _totals_at(listings, rows[LockerTotals][locker_id], position), changes)


def past_compartment(listings: Listings, locker_id: str, compartment_id: str, position: int) -> Compartment | None:
    """Return a compartment as it was at `position`, or None if it was registered later.

    Raises what `past_locker` raises.
    """
    compartments = _rows_at(listings, locker_id, compartment_id, position).changed[Compartment]
    past: Compartment | None = compartments.get((locker_id, compartment_id))
    return past


def past_reservation(listings: Listings, reservation_id: str, position: int) -> Reservation | None:
    """Return a reservation as it was at `position`, or None if it was created later.

    Raises what `past_locker` raises.
    """
    reservation = listings.reservation(reservation_id)
    try:
        return reservation_at(reservation, position) if reservation else None
    except InconsistentHistory as error:
        raise _contradictory(f"reservation {reservation_id!r}") from error


def _rows_at(listings: Listings, locker_id: str, compartment_id: str | None, position: int) -> RowSet:
    try:
        rows = rows_at(listings.lasting_rows(locker_id, compartment_id, position), position)
    except InconsistentHistory as error:
        raise _contradictory(f"locker {locker_id!r}") from error
    if rows.changed[LockerTotals].keys() - {locker_id}:  # a row has a damaged id
        raise _contradictory(f"locker {locker_id!r}")
    return rows


def _contradictory(subject: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"The projection's rows of {subject} contradict each other. The log is intact: run `lockstream rebuild`."
    )


def _totals_at(listings: Listings, lasting: LockerTotals, position: int) -> LockerTotals:
    """Return the totals of a locker at `position`, without sums of gaps: a past state has no usual gap.

    `lasting` counts only the events that still mattered at `position`, so the other counts are read.
    """
    counts = listings.event_counts(lasting.locker_id, position)
    last = listings.history(HistoryQuery(lasting.locker_id, descending=True), position + 1, 1) or [0]
    return replace(
        lasting,
        events=sum(counts.values()),
        last_position=last[0],
        picked_up=counts[ParcelPickedUp],
        expired=counts[ReservationExpired],
        gap_sum=1,
        gap_squares=1,
    )
