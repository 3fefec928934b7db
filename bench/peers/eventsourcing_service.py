"""The `eventsourcing` package behind FastAPI: `python -m bench.peers.eventsourcing_service FILE`.

The service accepts the seven events of docs/rules.md by the same rules. Its choices follow the package's documentation:

- Compartments and reservations are aggregates with `@event` methods. Their ids are made of names by UUID version 5.
- An accepted event is also an aggregate of its own, with an id made of `event_id`. All aggregates that an event
  changes are saved in one transaction. A second event with the same id violates the store's uniqueness.
- A lost race between two events is an `IntegrityError`, after which the event is decided again (`retry`).
- The application has the package's SQLite recorder on a file, with default settings. It turns the write-ahead log on,
  and SQLite flushes it at each commit.
- The route is a plain function, as in the package's example for FastAPI, so FastAPI calls it in threads.

The transaction detects a duplicate, so an event is not looked up before its decision, which saves a query.

Some features of the package are not used:

- The cache of aggregates without queries suits one thread only. The cache with queries made the service no faster.
- Snapshots help aggregates with long histories, and the benchmark makes short ones.
- Projections follow subscriptions, which the package's SQLite recorder does not support. The benchmark sends no reads.
- Cipher and compressor are off, as they are by default.

So this peer does less than Lockstream.
"""

import sys
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError
from eventsourcing.utils import retry

from bench.peers.event_api import PeerOutcome, create_app
from bench.peers.serving import serve
from lockstream.core import rules
from lockstream.core.entities.events import (
    CompartmentRegistered,
    Event,
    FaultCleared,
    FaultReported,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
)
from lockstream.core.entities.state import DEGRADING_SEVERITY, Status
from lockstream.core.outcomes import Refusal

_ATTEMPTS = 20
"""Attempts to decide one event, which may each lose a race, before the event fails with 500."""


class Refused(Exception):
    """Raised when the rules forbid an event."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Compartment(Aggregate):
    @event("Registered")
    def __init__(self, locker_id: str, compartment_id: str) -> None:
        self.locker_id = locker_id
        self.compartment_id = compartment_id
        self.active_reservation: str | None = None
        self.open_faults: dict[str, int] = {}
        """Severities by fault id."""
        self.cleared_faults: set[str] = set()

    @staticmethod
    def create_id(locker_id: str, compartment_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/lockers/{locker_id}/compartments/{compartment_id}")

    def reserve(self, reservation_id: str) -> None:
        if any(severity >= DEGRADING_SEVERITY for severity in self.open_faults.values()):
            raise Refused(rules.COMPARTMENT_DEGRADED)
        if self.active_reservation is not None:
            raise Refused(rules.COMPARTMENT_RESERVED)
        self._occupy(reservation_id)

    @event("Occupied")
    def _occupy(self, reservation_id: str) -> None:
        self.active_reservation = reservation_id

    @event("Freed")
    def free(self) -> None:
        self.active_reservation = None

    @event("FaultReported")
    def report_fault(self, fault_id: str, severity: int) -> None:
        self.open_faults[fault_id] = severity

    def clear_fault(self, fault_id: str) -> None:
        if fault_id in self.cleared_faults:
            raise Refused(rules.FAULT_ALREADY_CLEARED)
        self._clear_fault(fault_id)

    @event("FaultCleared")
    def _clear_fault(self, fault_id: str) -> None:
        del self.open_faults[fault_id]
        self.cleared_faults.add(fault_id)


class Reservation(Aggregate):
    @event("Created")
    def __init__(self, reservation_id: str, locker_id: str, compartment_id: str) -> None:
        self.reservation_id = reservation_id
        self.locker_id = locker_id
        self.compartment_id = compartment_id
        self.status = Status.CREATED

    @staticmethod
    def create_id(reservation_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/reservations/{reservation_id}")

    def deposit(self) -> None:
        if self.status is not Status.CREATED:
            raise Refused(rules.RESERVATION_NOT_AWAITING_DEPOSIT)
        self._deposit()

    @event("Deposited")
    def _deposit(self) -> None:
        self.status = Status.DEPOSITED

    def pick_up(self) -> None:
        if self.status is Status.EXPIRED:
            raise Refused(rules.RESERVATION_EXPIRED)
        if self.status is not Status.DEPOSITED:
            raise Refused(rules.RESERVATION_NOT_AWAITING_PICKUP)
        self._pick_up()

    @event("PickedUp")
    def _pick_up(self) -> None:
        self.status = Status.PICKED_UP

    def expire(self) -> None:
        if self.status in (Status.PICKED_UP, Status.EXPIRED):
            raise Refused(rules.RESERVATION_FINAL)
        self._expire()

    @event("Expired")
    def _expire(self) -> None:
        self.status = Status.EXPIRED


class AcceptedEvent(Aggregate):
    """An event as it was sent."""

    @event("Accepted")
    def __init__(self, event_id: str, event_type: str, locker_id: str, occurred_at: str, payload: str) -> None:
        self.event_id = event_id
        self.event_type = event_type
        self.locker_id = locker_id
        self.occurred_at = occurred_at
        self.payload = payload

    @staticmethod
    def create_id(event_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/events/{event_id}")


class Lockers(Application[UUID]):
    """A locker network. Methods that handle an event return the aggregates that it changes."""

    @retry(IntegrityError, max_attempts=_ATTEMPTS)
    def ingest(self, event: Event) -> PeerOutcome:
        try:
            changed = self._handle(event)
        except Refused as refused:
            return "duplicate" if self._accepted(event.event_id) else refused.refusal
        accepted = AcceptedEvent(
            event_id=event.event_id,
            event_type=type(event).__name__,
            locker_id=event.locker_id,
            occurred_at=event.occurred_at,
            payload=event.payload_text.decode(),
        )
        try:
            self.save(*changed, accepted)
        except IntegrityError:
            if self._accepted(event.event_id):
                return "duplicate"
            raise
        return "accepted"

    def _handle(self, event: Event) -> tuple[Aggregate, ...]:
        """Decide `event`, and return the aggregates that it changes.

        Raises:
            Refused: the rules forbid the event.
        """
        match event:
            case CompartmentRegistered():
                return self._register_compartment(event)
            case ReservationCreated():
                return self._create_reservation(event)
            case ParcelDeposited():
                reservation = self._reservation(event)
                reservation.deposit()
                return (reservation,)
            case ParcelPickedUp():
                reservation = self._reservation(event)
                reservation.pick_up()
                return reservation, self._freed_compartment(reservation)
            case ReservationExpired():
                reservation = self._reservation(event)
                reservation.expire()
                return reservation, self._freed_compartment(reservation)
            case FaultReported():
                compartment = self._compartment(event)
                compartment.report_fault(event.event_id, event.payload.severity)
                return (compartment,)
            case FaultCleared():
                return self._clear_fault(event)

    def _register_compartment(self, event: CompartmentRegistered) -> tuple[Aggregate, ...]:
        if Compartment.create_id(event.locker_id, event.payload.compartment_id) in self.repository:
            raise Refused(rules.COMPARTMENT_ALREADY_REGISTERED)
        return (Compartment(locker_id=event.locker_id, compartment_id=event.payload.compartment_id),)

    def _create_reservation(self, event: ReservationCreated) -> tuple[Aggregate, ...]:
        compartment = self._compartment(event)
        if Reservation.create_id(event.payload.reservation_id) in self.repository:
            raise Refused(rules.RESERVATION_ALREADY_EXISTS)
        compartment.reserve(event.payload.reservation_id)
        created = Reservation(
            reservation_id=event.payload.reservation_id,
            locker_id=event.locker_id,
            compartment_id=event.payload.compartment_id,
        )
        return compartment, created

    def _clear_fault(self, event: FaultCleared) -> tuple[Aggregate, ...]:
        compartment, fault_id = self._compartment(event), event.payload.fault_event_id
        if fault_id not in compartment.open_faults and fault_id not in compartment.cleared_faults:
            accepted = self._accepted(fault_id)
            is_fault = accepted is not None and accepted.event_type == FaultReported.__name__
            raise Refused(rules.FAULT_OF_ANOTHER_COMPARTMENT if is_fault else rules.UNKNOWN_FAULT)
        compartment.clear_fault(fault_id)
        return (compartment,)

    def _compartment(self, event: ReservationCreated | FaultReported | FaultCleared) -> Compartment:
        try:
            compartment: Compartment = self.repository.get(
                Compartment.create_id(event.locker_id, event.payload.compartment_id)
            )
        except AggregateNotFoundError:
            raise Refused(rules.UNKNOWN_COMPARTMENT) from None
        return compartment

    def _freed_compartment(self, reservation: Reservation) -> Compartment:
        compartment: Compartment = self.repository.get(
            Compartment.create_id(reservation.locker_id, reservation.compartment_id)
        )
        compartment.free()
        return compartment

    def _reservation(self, event: ParcelDeposited | ParcelPickedUp | ReservationExpired) -> Reservation:
        try:
            reservation: Reservation = self.repository.get(Reservation.create_id(event.payload.reservation_id))
        except AggregateNotFoundError:
            raise Refused(rules.UNKNOWN_RESERVATION) from None
        if event.locker_id != reservation.locker_id:
            raise Refused(rules.RESERVATION_OF_ANOTHER_LOCKER)
        if event.payload.compartment_id not in (None, reservation.compartment_id):
            raise Refused(rules.RESERVATION_OF_ANOTHER_COMPARTMENT)
        return reservation

    def _accepted(self, event_id: str) -> AcceptedEvent | None:
        try:
            accepted: AcceptedEvent = self.repository.get(AcceptedEvent.create_id(event_id))
        except AggregateNotFoundError:
            return None
        return accepted


if __name__ == "__main__":
    application = Lockers(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": sys.argv[1]})
    serve(create_app(application.ingest))
