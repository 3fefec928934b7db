"""Lists in memory: each filters and sorts all rows. They are the reference for the lists of the other stores."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter

from lockstream.core.entities.events import Event
from lockstream.core.entities.fields import uuid_prefix
from lockstream.core.entities.listings import (
    MAX_OLD_DEPOSITS,
    SUMMED,
    Activity,
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    ListedCompartment,
    LockerKey,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.log import Record
from lockstream.core.entities.silence import Silence
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Status
from lockstream.core.past import LastingRows, Positioned, events_of
from lockstream.core.use_cases.sorted_lockers import is_indexed, require_few, sorted_page
from lockstream.infrastructure.id_index.index import is_event_id
from lockstream.infrastructure.sqlite.row_cache import RowCache


class MemoryListings:
    """Lists of a row cache that was never checkpointed, and so holds everything."""

    def __init__(self, cache: RowCache, read_records: Callable[[Iterable[int]], list[Record]]) -> None:
        """`read_records` returns the records at some positions."""
        self._cache = cache
        self._read_records = read_records

    @property
    def position(self) -> int:
        return self._cache.reached.position

    def network(self) -> NetworkTotals:
        lockers = list(self._cache.changed_rows(LockerTotals))
        sums = {name: sum(map(attrgetter(name), lockers)) for name in SUMMED}
        open_faults = Counter(fault.severity for fault in self._cache.changed_rows(Fault) if not fault.is_cleared)
        return NetworkTotals(len(lockers), **sums, open_faults=dict(open_faults))

    def activity(self, since: int, through: int) -> Activity:
        active = sum(row.last_position >= since for row in self._cache.changed_rows(LockerTotals))
        query = ReservationQuery(Status.DEPOSITED, changed_through=through)
        return Activity(active, len(self.reservations(query, None, MAX_OLD_DEPOSITS)))

    def lockers(self, query: LockerQuery, after: LockerKey | None, limit: int) -> list[LockerTotals]:
        """Return up to `limit` lockers behind `after`, in the order of the query.

        Raises:
            TooManyToSort: the other stores have no index for the query, and too many lockers pass its filters.
        """
        found = [
            row
            for row in self._cache.changed_rows(LockerTotals)
            if row.locker_id.startswith(query.prefix)
            and query.available in (None, row.available > 0)
            and query.degraded in (None, row.degraded > 0)
            and query.silent in (None, query.silence.is_silent(row))
            and query.gone in (None, query.silence.is_gone(row))
        ]
        if not is_indexed(query):
            require_few(len(found), query)
        return sorted_page(found, query.key_of, after, limit, descending=query.descending)

    def recent_position(self, rank: int, highest: int) -> int:
        """Return the last position of the locker with the `rank`-th latest event, and at most `highest`."""
        positions = sorted((row.last_position for row in self._cache.changed_rows(LockerTotals)), reverse=True)
        return min(positions[rank - 1], highest)

    def silent_counts(self, silence: Silence) -> tuple[int, int]:
        """Return the number of silent and of gone lockers."""
        lockers = list(self._cache.changed_rows(LockerTotals))
        return sum(map(silence.is_silent, lockers)), sum(map(silence.is_gone, lockers))

    def compartments(self, query: CompartmentQuery, after: str | None, limit: int) -> list[ListedCompartment] | None:
        """Return up to `limit` compartments whose ids follow `after`, or None if the locker is unknown."""
        rows = [row for row in self._cache.changed_rows(Compartment) if row.locker_id == query.locker_id]
        found = [
            listed
            for listed in map(self._listed, rows)
            if _is_in_state(listed, query.state) and listed.compartment_id.startswith(query.prefix)
        ]
        return sorted_page(found, attrgetter("compartment_id"), after, limit) if rows else None

    def reservations(self, query: ReservationQuery, after: int | str | None, limit: int) -> list[Reservation]:
        """Return up to `limit` reservations behind `after`, in the order of the query."""
        found = [
            row
            for row in self._cache.changed_rows(Reservation)
            if query.status in (None, row.status)
            and query.locker_id in (None, row.locker_id)
            and row.changed_position >= query.changed_from
            and (query.changed_through is None or row.changed_position <= query.changed_through)
            and row.reservation_id.startswith(query.prefix)
        ]
        key = "changed_position" if query.order is ReservationOrder.CHANGED else "reservation_id"
        return sorted_page(found, attrgetter(key), after, limit, descending=query.descending)

    def faults(self, query: FaultQuery, after: int | None, limit: int) -> list[Fault]:
        """Return up to `limit` faults behind the fault reported at position `after`, in the order of the query."""
        found = [
            row
            for row in self._cache.changed_rows(Fault)
            if query.open in (None, not row.is_cleared)
            and row.severity >= query.min_severity
            and query.locker_id in (None, row.locker_id)
            and query.compartment_id in (None, row.compartment_id)
        ]
        return sorted_page(found, attrgetter("reported_position"), after, limit, descending=query.descending)

    def history(self, query: HistoryQuery, after: int | None, limit: int) -> list[int] | None:
        """Return the positions of up to `limit` events behind position `after`, in the order of the query."""
        subject = query.locker_id, query.compartment_id
        if not self._rows_of(Compartment, *subject):
            return None
        found = [position for position, event in self._events_of(*subject) if query.event_type in (None, type(event))]
        return sorted_page(found, int, after, limit, descending=query.descending)

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._cache.get(Reservation, reservation_id)

    def lasting_rows(self, locker_id: str, compartment_id: str | None, position: int) -> LastingRows:
        """Return the rows of a locker, or of one of its compartments, whose events still mattered at `position`."""
        subject = locker_id, compartment_id
        created = sorted(self._rows_of(Reservation, *subject), key=attrgetter("created_position"))
        last = {row.compartment_id: row for row in created if row.created_position <= position}
        return LastingRows(
            [row for row in self._rows_of(Compartment, *subject) if row.registered_position <= position],
            list(last.values()),
            [
                row
                for row in self._rows_of(Fault, *subject)
                if row.reported_position <= position and (not 0 < row.cleared_position <= position or row.is_degrading)
            ],
        )

    def event_counts(self, locker_id: str, position: int) -> dict[type[Event], int]:
        """Return the number of a locker's events of each type up to `position`."""
        return Counter(type(event) for at, event in self._events_of(locker_id, None) if at <= position)

    def records(self, positions: Iterable[int]) -> list[Record]:
        return self._read_records(positions)

    def search(self, prefix: str, limit: int) -> Matches:
        """Return up to `limit` ids of each kind that begin with `prefix`."""
        lockers = sorted(row.locker_id for row in self._cache.changed_rows(LockerTotals))
        compartments = sorted(
            self._cache.changed_rows(Compartment), key=lambda row: (row.compartment_id, row.locker_id)
        )
        reservations = sorted(row.reservation_id for row in self._cache.changed_rows(Reservation))
        event_prefix = uuid_prefix(prefix)
        events = sorted((used, position) for used, position in self._cache.ids.memtable.items() if is_event_id(used))
        return Matches(
            [locker_id for locker_id in lockers if locker_id.startswith(prefix)][:limit],
            [row.key for row in compartments if row.compartment_id.startswith(prefix)][:limit],
            [reservation_id for reservation_id in reservations if reservation_id.startswith(prefix)][:limit],
            [event for event in events if event_prefix is not None and event[0].startswith(event_prefix)][:limit],
        )

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        """Return the recorded times at these positions, in microseconds since 1970. Position 0 has none."""
        moments = self._cache.changed_moments
        following = {position: bisect_right(moments, position, key=attrgetter("position")) for position in positions}
        return {position: moments[index - 1].time for position, index in following.items() if index}

    def position_at(self, time: int) -> int:
        """Return the position of the last event that was recorded at `time` or before, or 0.

        `Listings.position_at` defines the result if a clock was set back.
        """
        moments, last = self._cache.changed_moments, self._cache.reached.position
        if all(moment.time <= time for moment in moments):
            return last
        ends = [*(moment.position - 1 for moment in moments[1:]), last]
        earlier = [(moment.time, end) for moment, end in zip(moments, ends, strict=True) if moment.time <= time]
        return max(earlier, default=(0, 0))[1]

    def positions_at(self, times: Sequence[int]) -> list[int]:
        """Return the results of `position_at` for `times`, in the same order."""
        return [self.position_at(time) for time in times]

    def _events_of(self, locker_id: str, compartment_id: str | None) -> Iterator[Positioned]:
        """Return the positions and events of a locker, or of one of its compartments."""
        rows: list[Compartment | Reservation | Fault] = [
            *self._rows_of(Compartment, locker_id, compartment_id),
            *self._rows_of(Reservation, locker_id, compartment_id),
            *self._rows_of(Fault, locker_id, compartment_id),
        ]
        return chain.from_iterable(map(events_of, rows))

    def _rows_of[RowT: (Compartment, Reservation, Fault)](
        self, row_class: type[RowT], locker_id: str, compartment_id: str | None
    ) -> list[RowT]:
        """Return the rows of a locker, or of one of its compartments."""
        return [
            row
            for row in self._cache.changed_rows(row_class)
            if row.locker_id == locker_id and compartment_id in (None, row.compartment_id)
        ]

    def _listed(self, row: Compartment) -> ListedCompartment:
        reservation = self._cache.get(Reservation, row.active_reservation) if row.active_reservation else None
        return ListedCompartment(
            row.locker_id,
            row.compartment_id,
            degraded=row.degraded,
            active_reservation=row.active_reservation,
            reservation_status=reservation.status if reservation else None,
            changed_position=max(row.changed_position, reservation.changed_position if reservation else 0),
        )


def _is_in_state(listed: ListedCompartment, state: CompartmentState | None) -> bool:
    match state:
        case None:
            return True
        case CompartmentState.AVAILABLE:
            return not listed.degraded and listed.active_reservation is None
        case CompartmentState.RESERVED:
            return listed.reservation_status is Status.CREATED
        case CompartmentState.OCCUPIED:
            return listed.reservation_status is Status.DEPOSITED
        case CompartmentState.DEGRADED:
            return listed.degraded
