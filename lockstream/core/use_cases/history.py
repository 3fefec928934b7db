"""Read a subject with the times and events of its history."""

from typing import NamedTuple

from lockstream.core.entities.log import Record
from lockstream.core.entities.state import LockerState, Reservation
from lockstream.core.ports import Reads


class ReservationHistory(NamedTuple):
    """A reservation and the records of its events, from the oldest to the newest."""

    reservation: Reservation
    records: list[Record]

    @property
    def locker_id(self) -> str:
        return self.reservation.locker_id


def reservation_history(reads: Reads, reservation_id: str) -> ReservationHistory | None:
    """Return a reservation with its records. Raises StoreUnavailable if they cannot be read."""
    reservation = reads.reservation(reservation_id)
    if reservation is None:
        return None
    return ReservationHistory(reservation, reads.records(reservation.positions))


class DatedLockerState(NamedTuple):
    """The state of a locker, and the recorded times of the positions in it, in microseconds since 1970."""

    state: LockerState
    times: dict[int, int]

    @property
    def locker_id(self) -> str:
        return self.state.locker_id


def dated_locker_state(reads: Reads, locker_id: str) -> DatedLockerState | None:
    """Return the state of a locker with its times. Raises StoreUnavailable if they cannot be read."""
    state = reads.locker_state(locker_id)
    if state is None:
        return None
    positions = {change.position for change in state.last_changes.values()} | {state.totals.last_position}
    return DatedLockerState(state, reads.times(sorted(positions)))
