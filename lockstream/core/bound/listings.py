"""Lists for a caller that is bound to lockers: a list contains the rows of these lockers alone.

The lists of up to `FEW_LOCKERS` lockers are merged, each read from an index. For more lockers, a page is searched for
among the rows of all lockers, over at most `SEARCHED_POSITIONS` positions, and may be short.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from lockstream.core.bound.locker_ranges import LockerRange, locker_ranges
from lockstream.core.bound.pages import Page, Span, all_rows, merged_page, searched_page
from lockstream.core.bound.reads import own_records
from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import Event
from lockstream.core.entities.fields import uuid_prefix
from lockstream.core.entities.listings import (
    MAX_OLD_DEPOSITS,
    SUMMED,
    Activity,
    CompartmentQuery,
    FaultQuery,
    HistoryQuery,
    ListedCompartment,
    LockerKey,
    LockerOrder,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.log import Record
from lockstream.core.entities.silence import Silence
from lockstream.core.entities.state import Fault, LockerTotals, Reservation, Status
from lockstream.core.errors import TooManyLockers
from lockstream.core.past import LastingRows
from lockstream.core.ports import Listings
from lockstream.core.use_cases.sorted_lockers import sorted_lockers

FEW_LOCKERS = 500
"""Most lockers whose lists are merged. A page reads each list at least once (docs/decisions/0028)."""

EVENT_PREFIX_LENGTH = len("0190a5e0-0000-7000")
"""Shortest beginning of an event id that a search looks for: the time and 12 random bits of a UUID of version 7."""

SEARCHED_EVENTS = 200
"""Most events of the network that one search examines, to find events of the caller's lockers."""


class BoundListings:
    """Implements `ports.Listings` for one query, by filtering the lists of a store. Errors of the store are raised."""

    def __init__(self, listings: Listings, lockers: Lockers) -> None:
        """`lockers` are the lockers that the caller may see."""
        self._listings, self._lockers = listings, lockers
        self._ranges = locker_ranges(lockers)
        self._few: list[str] | None = None

    @property
    def position(self) -> int:
        return self._listings.position

    def network(self) -> NetworkTotals:
        """Return the sums over the caller's lockers, and the position of their last event."""
        own = list(self._all_lockers())
        sums = {name: sum(map(attrgetter(name), own)) for name in SUMMED}
        last_position = max((row.last_position for row in own), default=0)
        severities = Counter(fault.severity for fault in self._open_faults(own))
        return NetworkTotals(len(own), **sums, open_faults=dict(severities), last_position=last_position)

    def activity(self, since: int, through: int) -> Activity:
        active = sum(row.last_position >= since for row in self._all_lockers())
        query = ReservationQuery(Status.DEPOSITED, changed_through=through)
        deposits = all_rows(partial(self._listings.reservations, query), attrgetter("changed_position"))
        own = filter(self._is_own, deposits)
        return Activity(active, sum(1 for _ in islice(own, MAX_OLD_DEPOSITS)))

    def lockers(self, query: LockerQuery, after: LockerKey | None, limit: int) -> list[LockerTotals]:
        """Return up to `limit` lockers behind `after`, in the order of the query.

        Raises:
            TooManyToSort: the order is not by id, and the caller has too many lockers that pass the filters.
        """
        ranges = [part for one in self._ranges if (part := one.within(query.prefix))]
        if query.order is not LockerOrder.ID and not (len(ranges) == 1 and ranges[0].is_prefix):
            return sorted_lockers(self.lockers, query, after, limit, FEW_LOCKERS)
        found: list[LockerTotals] = []
        for part in reversed(ranges) if query.descending else ranges:
            if part.has_ids_behind(after, descending=query.descending) and len(found) < limit:
                found += self._in_range(part, query, after, limit - len(found))
        return found

    def recent_position(self, rank: int, highest: int) -> int:
        """Return the last position of a locker of the whole network. A position tells nothing of its locker."""
        return self._listings.recent_position(rank, highest)

    def silent_counts(self, silence: Silence) -> tuple[int, int]:
        own = list(self._all_lockers())
        return sum(map(silence.is_silent, own)), sum(map(silence.is_gone, own))

    def compartments(self, query: CompartmentQuery, after: str | None, limit: int) -> list[ListedCompartment] | None:
        return self._listings.compartments(query, after, limit) if self._lockers.allow(query.locker_id) else None

    def reservations(self, query: ReservationQuery, after: int | str | None, limit: int) -> list[Reservation]:
        """Return up to `limit` reservations behind `after`, as `PartialRows` if the search ended early.

        Raises:
            TooManyLockers: the order is by id, and the caller has too many lockers for it.
        """
        if query.locker_id is None and query.order is ReservationOrder.ID and self._few_lockers() is None:
            raise TooManyLockers(FEW_LOCKERS)
        last = self.position if query.changed_through is None else min(query.changed_through, self.position)
        span = Span(max(query.changed_from, 1), last, query.descending)
        key_of = attrgetter("changed_position" if query.order is ReservationOrder.CHANGED else "reservation_id")
        return self._own_rows(self._listings.reservations, query, key_of, span, after, limit)

    def faults(self, query: FaultQuery, after: int | None, limit: int) -> list[Fault]:
        """Return up to `limit` faults behind `after`, as `PartialRows` if the search ended early."""
        span = Span(1, self.position, query.descending)
        return self._own_rows(self._listings.faults, query, attrgetter("reported_position"), span, after, limit)

    def history(self, query: HistoryQuery, after: int | None, limit: int) -> list[int] | None:
        return self._listings.history(query, after, limit) if self._lockers.allow(query.locker_id) else None

    def reservation(self, reservation_id: str) -> Reservation | None:
        row = self._listings.reservation(reservation_id)
        return row if row and self._lockers.allow(row.locker_id) else None

    def lasting_rows(self, locker_id: str, compartment_id: str | None, position: int) -> LastingRows:
        if not self._lockers.allow(locker_id):
            return LastingRows([], [], [])
        return self._listings.lasting_rows(locker_id, compartment_id, position)

    def event_counts(self, locker_id: str, position: int) -> dict[type[Event], int]:
        return self._listings.event_counts(locker_id, position) if self._lockers.allow(locker_id) else Counter()

    def records(self, positions: Iterable[int]) -> list[Record]:
        return own_records(self._listings.records(positions), self._lockers)

    def search(self, prefix: str, limit: int) -> Matches:
        """Return up to `limit` ids of each kind of the caller's lockers.

        If the caller has more than `FEW_LOCKERS` lockers, only the first of them are searched for compartments, and a
        reservation is found by its whole id alone. Events need a prefix of `EVENT_PREFIX_LENGTH` characters, and are
        found among the first `SEARCHED_EVENTS` events of the network with this prefix.
        """
        return Matches(
            [row.locker_id for row in self.lockers(LockerQuery(prefix), None, limit)],
            self._compartments_with(prefix, limit),
            self._reservations_with(prefix, limit),
            self._events_with(prefix, limit),
        )

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        return self._listings.times(positions)

    def position_at(self, time: int) -> int:
        return self._listings.position_at(time)

    def positions_at(self, times: Sequence[int]) -> list[int]:
        return self._listings.positions_at(times)

    def _in_range(
        self, part: LockerRange, query: LockerQuery, after: LockerKey | None, limit: int
    ) -> list[LockerTotals]:
        """Return up to `limit` lockers of a range behind the id `after`."""
        of_range = replace(query, prefix=part.start)
        if part.is_prefix:
            return self._listings.lockers(of_range, after, limit)
        first = self._listings.lockers(replace(of_range, descending=False), None, 1)
        return [row for row in first if row.locker_id == part.start]

    def _all_lockers(self) -> Iterator[LockerTotals]:
        return all_rows(partial(self.lockers, LockerQuery()), attrgetter("locker_id"))

    def _few_lockers(self) -> list[str] | None:
        """Return the ids of the caller's lockers, or None if it has more than `FEW_LOCKERS`."""
        if self._few is None:
            self._few = [row.locker_id for row in self.lockers(LockerQuery(), None, FEW_LOCKERS + 1)]
        return self._few if len(self._few) <= FEW_LOCKERS else None

    def _own_rows[QueryT: (ReservationQuery, FaultQuery), RowT: (Reservation, Fault)](
        self,
        rows: Callable[[QueryT, Any, int], list[RowT]],
        query: QueryT,
        key_of: Callable[[RowT], Any],
        span: Span,
        after: Any,
        limit: int,
    ) -> list[RowT]:
        """Return up to `limit` rows of the caller's lockers from a list, behind the key `after`."""
        if query.locker_id is not None:
            return rows(query, after, limit) if self._lockers.allow(query.locker_id) else []
        few = self._few_lockers()
        if few is None:
            return searched_page(partial(rows, query), key_of, self._is_own, span, after, limit)
        lists: list[Page[RowT]] = [partial(rows, replace(query, locker_id=locker_id)) for locker_id in few]
        return merged_page(lists, key_of, after, limit, descending=query.descending)

    def _is_own(self, row: Reservation | Fault) -> bool:
        return self._lockers.allow(row.locker_id)

    def _open_faults(self, own: list[LockerTotals]) -> Iterator[Fault]:
        """Yield the open faults of the caller's lockers, which are `own`."""
        key_of = attrgetter("reported_position")
        if len(own) > FEW_LOCKERS:
            return filter(self._is_own, all_rows(partial(self._listings.faults, FaultQuery(open=True)), key_of))
        queries = (FaultQuery(open=True, locker_id=row.locker_id) for row in own)
        return (fault for query in queries for fault in all_rows(partial(self._listings.faults, query), key_of))

    def _compartments_with(self, prefix: str, limit: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for locker in islice(self._all_lockers(), FEW_LOCKERS):
            query = CompartmentQuery(locker.locker_id, prefix=prefix)
            rows = self._listings.compartments(query, None, limit) or ()
            found += [(row.compartment_id, row.locker_id) for row in rows]
        return [(locker_id, compartment_id) for compartment_id, locker_id in sorted(found)[:limit]]

    def _reservations_with(self, prefix: str, limit: int) -> list[str]:
        if self._few_lockers() is None:
            return [prefix] if self.reservation(prefix) else []
        query = ReservationQuery(order=ReservationOrder.ID, prefix=prefix)
        return [row.reservation_id for row in self.reservations(query, None, limit)]

    def _events_with(self, prefix: str, limit: int) -> list[tuple[str, int]]:
        if uuid_prefix(prefix) is None or len(prefix) < EVENT_PREFIX_LENGTH:
            return []
        events = self._listings.search(prefix, SEARCHED_EVENTS).events
        records = self._listings.records(position for _, position in events)
        found = zip(events, records, strict=True)
        return [event for event, record in found if self._lockers.allow(record.locker_id)][:limit]
