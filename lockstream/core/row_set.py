"""The row set: the rows that one batch of events reads and changes, in memory.

`read_set_of` names the rows that a batch needs. A projection fetches them, and the rules find them in the row set.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lockstream.core.entities.events import Event, FaultClearedPayload, NewReservationPayload, ReservationPayload
from lockstream.core.entities.state import Compartment, CompartmentKey, Fault, Reservation, Row

type RowsByClass = dict[type[Row], dict[Any, Any]]
"""Rows by key, for each class of rows."""

_OF_RESERVATION = (ReservationPayload, NewReservationPayload)


class ReadSet(NamedTuple):
    """Keys of the rows that a batch needs. The compartments of its reservations are needed, too."""

    compartments: set[CompartmentKey]
    reservations: set[str]
    faults: set[str]


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
    )


def no_rows() -> RowsByClass:
    """Return an empty dict for each class of rows."""
    return {Compartment: {}, Reservation: {}, Fault: {}}


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
    ) -> None:
        """A mapping that lacks a key may raise RowsNotLoaded."""
        self.compartments, self.reservations, self.faults = compartments, reservations, faults
        self.changed = no_rows()
        """Rows that were saved, each in its newest state."""

        self._by_class: RowsByClass = {Compartment: compartments, Reservation: reservations, Fault: faults}

    def save(self, rows: Iterable[Row]) -> None:
        """Add rows, or replace those with the same keys."""
        for row in rows:
            row_class, key = row.__class__, row.key
            self._by_class[row_class][key] = self.changed[row_class][key] = row
