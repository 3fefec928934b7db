"""The row set: the rows that one batch of events reads and changes, in memory.

`read_set_of` names the rows that a batch needs. A projection fetches them, and the rules find them in the row set.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from lockstream.core.entities.events import Event, FaultClearedPayload, NewReservationPayload, ReservationPayload
from lockstream.core.entities.state import Compartment, CompartmentKey, Fault, LockerTotals, Reservation, Row

type RowsByClass = dict[type[Row], dict[Any, Any]]
"""Rows by key, for each class of rows."""

_OF_RESERVATION = (ReservationPayload, NewReservationPayload)


class ReadSet(NamedTuple):
    """Keys of the rows that a batch needs. A projection also fetches the compartments of the reservations."""

    compartments: set[CompartmentKey]
    reservations: set[str]
    faults: set[str]
    lockers: set[str]


def read_set_of(events: Sequence[Event]) -> ReadSet:
    """Return the keys of the rows that `events` need."""
    payloads = [event.payload for event in events]
    return ReadSet(
        {
            (event.locker_id, payload.compartment_id)
            for event, payload in zip(events, payloads, strict=True)
            if payload.compartment_id is not None
        },
        {payload.reservation_id for payload in payloads if isinstance(payload, _OF_RESERVATION)},
        {payload.fault_event_id for payload in payloads if isinstance(payload, FaultClearedPayload)},
        {event.locker_id for event in events},
    )


def no_rows() -> RowsByClass:
    """Return an empty dict for each class of rows."""
    return {Compartment: {}, Reservation: {}, Fault: {}, LockerTotals: {}}


def with_absent[KeyT](keys: Iterable[KeyT], found: Iterable[Any]) -> dict[KeyT, Any]:
    """Return the rows that were found, by key, and None for each of `keys` that no row has."""
    return dict.fromkeys(keys) | {row.key: row for row in found}


class RowsNotLoaded(LookupError):
    """Raised when a row set does not know whether a row exists: the rows of the batch must be loaded first."""


class RowSet:
    """Rows by key. None means that no row has this key."""

    def __init__(
        self,
        compartments: dict[CompartmentKey, Compartment | None],
        reservations: dict[str, Reservation | None],
        faults: dict[str, Fault | None],
        lockers: dict[str, LockerTotals | None],
    ) -> None:
        """A mapping that lacks a key may raise RowsNotLoaded."""
        self.compartments, self.reservations, self.faults, self.lockers = compartments, reservations, faults, lockers
        self.changed = no_rows()
        """Rows that were saved, each in its newest state."""

        tables: RowsByClass = {
            Compartment: compartments,
            Reservation: reservations,
            Fault: faults,
            LockerTotals: lockers,
        }
        self._tables = {
            row_class: (rows, self.changed[row_class], _KEY_OF[row_class]) for row_class, rows in tables.items()
        }

    def save(self, rows: Iterable[Row]) -> None:
        """Add rows, or replace those with the same keys."""
        for row in rows:
            known, changed, key_of = self._tables[row.__class__]
            key = key_of(row)
            known[key] = changed[key] = row


_KEY_OF: dict[type[Row], Callable[[Any], Any]] = {
    Compartment: attrgetter("locker_id", "compartment_id"),
    Reservation: attrgetter("reservation_id"),
    Fault: attrgetter("fault_id"),
    LockerTotals: attrgetter("locker_id"),
}
"""Functions that return the key of a row, in half the time of its property."""
