"""An independent reference for lists: it filters and sorts everything that the model knows, for each page."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

from lockstream.core.entities.listings import (
    Activity,
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    ListedCompartment,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationQuery,
)
from lockstream.core.entities.silence import Silence
from lockstream.core.entities.state import (
    CompartmentView,
    Fault,
    LastChange,
    Locker,
    LockerState,
    LockerTotals,
    Reservation,
    Status,
)
from lockstream.tests.infrastructure.stores.model import Model, Place
from lockstream.tests.support.gaps import gap_sums

LOCKER_KEYS: dict[str, Callable[[LockerTotals], Any]] = {
    "id": attrgetter("locker_id"),
    "last_event": attrgetter("last_position"),
    "available": attrgetter("available", "locker_id"),
    "degraded": attrgetter("degraded", "locker_id"),
}
"""The key of a locker in a list, by the order of the list."""


@dataclass(frozen=True)
class NaiveListings:
    """Lists of a model. `recorded_at` holds the recorded time of each accepted event, as its line contains it."""

    model: Model
    recorded_at: list[str]

    @property
    def position(self) -> int:
        return len(self.model.accepted)

    def network(self) -> NetworkTotals:
        rows = self._totals()
        names = ("compartments", "available", "reserved", "occupied", "degraded", "picked_up", "expired")
        sums = {name: sum(map(attrgetter(name), rows)) for name in names}
        severities = Counter(fault["severity"] for fault in self.model.faults.values() if not fault["cleared"])
        return NetworkTotals(len(rows), **sums, open_faults=dict(severities))

    def activity(self, since: int, through: int) -> Activity:
        deposits = [row for row in map(self._reservation, self.model.reservations) if row.status == "DEPOSITED"]
        return Activity(
            sum(row.last_position >= since for row in self._totals()),
            sum(row.changed_position <= through for row in deposits),
        )

    def lockers(self, query: LockerQuery, after: Any, limit: int) -> list[LockerTotals]:
        rows = [row for row in self._totals() if row.locker_id.startswith(query.prefix)]
        if query.available is not None:
            rows = [row for row in rows if (row.available > 0) == query.available]
        if query.degraded is not None:
            rows = [row for row in rows if (row.degraded > 0) == query.degraded]
        for wanted, of_gone in ((query.silent, False), (query.gone, True)):
            if wanted is not None:
                rows = [row for row in rows if _is_overdue(row, query.silence, of_gone) == wanted]
        return _page(rows, LOCKER_KEYS[query.order], after, limit, query.descending)

    def recent_position(self, rank: int, highest: int) -> int:
        return min(highest, sorted(row.last_position for row in self._totals())[-rank])

    def silent_counts(self, silence: Silence) -> tuple[int, int]:
        rows = self._totals()
        silent, gone = ([row for row in rows if _is_overdue(row, silence, of_gone)] for of_gone in (False, True))
        return len(silent), len(gone)

    def compartments(self, query: CompartmentQuery, after: str | None, limit: int) -> list[ListedCompartment] | None:
        if query.locker_id not in self.model.lockers():
            return None
        rows = [
            self._compartment((query.locker_id, compartment_id))
            for compartment_id in self.model.compartments_of(query.locker_id)
        ]
        states: dict[CompartmentState | None, Callable[[ListedCompartment], bool]] = {
            None: lambda row: True,
            CompartmentState.AVAILABLE: lambda row: row.active_reservation is None and not row.degraded,
            CompartmentState.RESERVED: lambda row: row.reservation_status == "CREATED",
            CompartmentState.OCCUPIED: lambda row: row.reservation_status == "DEPOSITED",
            CompartmentState.DEGRADED: lambda row: row.degraded,
        }
        return _page(filter(states[query.state], rows), attrgetter("compartment_id"), after, limit)

    def reservations(self, query: ReservationQuery, after: int | str | None, limit: int) -> list[Reservation]:
        rows = [self._reservation(reservation_id) for reservation_id in self.model.reservations]
        if query.status is not None:
            rows = [row for row in rows if row.status == query.status]
        if query.locker_id is not None:
            rows = [row for row in rows if row.locker_id == query.locker_id]
        if query.changed_through is not None:
            rows = [row for row in rows if row.changed_position <= query.changed_through]
        rows = [row for row in rows if row.changed_position >= query.changed_from]
        key = {"changed": "changed_position", "id": "reservation_id"}[query.order]
        return _page(rows, attrgetter(key), after, limit, query.descending)

    def faults(self, query: FaultQuery, after: int | None, limit: int) -> list[Fault]:
        rows = [
            Fault(
                str(fault_id),
                locker_id=fault["place"][0],
                compartment_id=fault["place"][1],
                severity=fault["severity"],
                reported_position=fault["reported"],
                cleared_position=fault["cleared"],
            )
            for fault_id, fault in self.model.faults.items()
        ]
        if query.open is not None:
            rows = [row for row in rows if (row.cleared_position == 0) == query.open]
        if query.locker_id is not None:
            rows = [row for row in rows if row.locker_id == query.locker_id]
        if query.compartment_id is not None:
            rows = [row for row in rows if row.compartment_id == query.compartment_id]
        rows = [row for row in rows if row.severity >= query.min_severity]
        return _page(rows, attrgetter("reported_position"), after, limit, query.descending)

    def history(self, query: HistoryQuery, after: int | None, limit: int) -> list[int] | None:
        subjects = [
            place
            for place in self.model.compartments
            if place[0] == query.locker_id and query.compartment_id in (None, place[1])
        ]
        if not subjects:
            return None
        found = [
            position
            for position, body in enumerate(self.model.accepted, 1)
            if self.model.place(body) in subjects
            and (query.event_type is None or query.event_type.__name__ == body["type"])
        ]
        return _page(found, int, after, limit, query.descending)

    def search(self, prefix: str, limit: int) -> Matches:
        places = sorted(self.model.compartments, key=lambda place: (place[1], place[0]))
        events = sorted(one for one in self.model.positions if str(one).startswith(prefix.lower()))
        return Matches(
            [locker_id for locker_id in self.model.lockers() if locker_id.startswith(prefix)][:limit],
            [place for place in places if place[1].startswith(prefix)][:limit],
            sorted(one for one in self.model.reservations if one.startswith(prefix))[:limit],
            [(str(one), self.model.positions[one]) for one in events][:limit],
        )

    def locker_state(self, locker_id: str) -> LockerState | None:
        """Return the state of a locker, which is not a list, or None if the locker is unknown."""
        if locker_id not in self.model.lockers():
            return None
        places = [(locker_id, compartment_id) for compartment_id in self.model.compartments_of(locker_id)]
        steps = [max(self._steps(place).values(), default=0) for place in places]
        changes = {
            place[1]: LastChange(self.model.since[place], step) for place, step in zip(places, steps, strict=True)
        }
        [totals] = [row for row in self._totals() if row.locker_id == locker_id]
        return LockerState(Locker(locker_id, tuple(map(self._view, places))), totals, changes)

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        return {position: _microseconds(self.recorded_at[position - 1]) for position in positions if position > 0}

    def position_at(self, time: int) -> int:
        times = [_microseconds(one) for one in self.recorded_at]
        if all(one <= time for one in times):
            return len(times)
        return max(((one, position) for position, one in enumerate(times, 1) if one <= time), default=(0, 0))[1]

    def positions_at(self, times: Sequence[int]) -> list[int]:
        return [self.position_at(time) for time in times]

    def _totals(self) -> list[LockerTotals]:
        """Return the totals of all lockers, sorted by id. One pass over the events serves all lockers."""
        places, positions = defaultdict[str, list[Place]](list), defaultdict[str, list[int]](list)
        gaps = defaultdict[str, list[tuple[int, bool]]](list)
        for place in self.model.compartments:
            places[place[0]].append(place)
        for position, body in enumerate(self.model.accepted, 1):
            positions[body["locker_id"]].append(position)
            gaps[body["locker_id"]].append((position, body["type"] == "CompartmentRegistered"))
        statuses = Counter((row["place"][0], row["status"]) for row in self.model.reservations.values())
        return [
            LockerTotals(
                locker_id,
                events=len(positions[locker_id]),
                last_position=positions[locker_id][-1],
                compartments=len(places[locker_id]),
                available=sum(
                    not self.model.active_reservation(place) and not self.model.degraded(place)
                    for place in places[locker_id]
                ),
                degraded=sum(map(self.model.degraded, places[locker_id])),
                reserved=statuses[locker_id, "CREATED"],
                occupied=statuses[locker_id, "DEPOSITED"],
                picked_up=statuses[locker_id, "PICKED_UP"],
                expired=statuses[locker_id, "EXPIRED"],
                **gap_sums(gaps[locker_id]),
            )
            for locker_id in self.model.lockers()
        ]

    def _compartment(self, place: Place) -> ListedCompartment:
        active = self.model.active_reservation(place)
        return ListedCompartment(
            *place,
            degraded=self.model.degraded(place),
            active_reservation=active,
            reservation_status=Status(self.model.status(active)) if active else None,
            changed_position=max(self.model.since[place], *self._steps(place).values(), 0),
        )

    def _view(self, place: Place) -> CompartmentView:
        row = self._compartment(place)
        open_faults = tuple(self.model.open_faults(place))
        return CompartmentView(
            row.compartment_id, row.degraded, row.active_reservation, row.reservation_status, open_faults
        )

    def _steps(self, place: Place) -> dict[str, int]:
        """Return the positions of the steps of a compartment's active reservation, by status."""
        active = self.model.active_reservation(place)
        return self.model.reservations[active]["steps"] if active else {}

    def _reservation(self, reservation_id: str) -> Reservation:
        row = self.model.reservations[reservation_id]
        steps, status = row["steps"], Status(row["status"])
        return Reservation(
            reservation_id,
            locker_id=row["place"][0],
            compartment_id=row["place"][1],
            status=status,
            created_position=steps["CREATED"],
            deposited_position=steps.get("DEPOSITED", 0),
            changed_position=steps[status],
        )


def _is_overdue(row: LockerTotals, silence: Silence, of_gone: bool) -> bool:
    """Return whether a locker was not heard of for long, and whether it is gone as `of_gone` demands."""
    if (row.last_position <= silence.gone_through) != of_gone or row.last_position > silence.quiet_through:
        return False
    if row.events < row.compartments + 50:
        return row.last_position <= silence.young_through
    return row.last_position + 6 * (row.gap_squares // row.gap_sum) <= silence.position


@cache
def _microseconds(recorded_at: str) -> int:
    """Return a recorded time in microseconds since 1970. All events of a batch have the same one."""
    age = datetime.fromisoformat(recorded_at) - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return (age.days * 86_400 + age.seconds) * 1_000_000 + age.microseconds


def _page[RowT](
    rows: Iterable[RowT], key: Callable[[RowT], Any], after: Any, limit: int, descending: bool = False
) -> list[RowT]:
    ordered = sorted(rows, key=key, reverse=descending)
    if after is not None:
        ordered = [row for row in ordered if (key(row) < after if descending else key(row) > after)]
    return ordered[:limit]
