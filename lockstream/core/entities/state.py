"""What a locker network holds: rows that events change, the slice that one event sees, and a locker as a whole.

A locker has no row of its own: it is there when it has a compartment.
"""

from enum import StrEnum

from msgspec import Struct

DEGRADING_SEVERITY = 3
"""An open fault of this severity or more degrades its compartment (RULES: Things)."""


class Status(StrEnum):
    """How far a reservation has come. `PICKED_UP` and `EXPIRED` are final."""

    CREATED = "CREATED"
    DEPOSITED = "DEPOSITED"
    PICKED_UP = "PICKED_UP"
    EXPIRED = "EXPIRED"


class Compartment(Struct, frozen=True):
    locker_id: str
    compartment_id: str
    active_reservation: str | None = None
    degrading_faults: int = 0
    """How many open faults degrade it; a count, so that an event costs the same however many are open."""

    @property
    def key(self) -> tuple[str, str]:
        return self.locker_id, self.compartment_id

    @property
    def degraded(self) -> bool:
        return self.degrading_faults > 0


class Reservation(Struct, frozen=True):
    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status = Status.CREATED

    @property
    def key(self) -> str:
        return self.reservation_id

    @property
    def where(self) -> tuple[str, str]:
        """Its compartment's key."""
        return self.locker_id, self.compartment_id


class Fault(Struct, frozen=True):
    fault_id: str
    """The `event_id` of the `FaultReported` that opened it."""

    locker_id: str
    compartment_id: str
    severity: int
    cleared: bool = False

    @property
    def key(self) -> str:
        return self.fault_id

    @property
    def where(self) -> tuple[str, str]:
        """Its compartment's key."""
        return self.locker_id, self.compartment_id

    @property
    def degrading(self) -> bool:
        return self.severity >= DEGRADING_SEVERITY


class Receipt(Struct, frozen=True):
    """That an event was accepted, and where it stands in the log. Kept for ever: the same event counts once."""

    event_id: str
    position: int

    @property
    def key(self) -> str:
        return self.event_id


type Row = Compartment | Reservation | Fault | Receipt
type Key = str | tuple[str, str]


class Slice(Struct, frozen=True):
    """At most one of each: all that one event can see and change."""

    compartment: Compartment | None = None
    reservation: Reservation | None = None
    fault: Fault | None = None


class CompartmentView(Struct, frozen=True):
    """A compartment with what bears on it now."""

    compartment_id: str
    degraded: bool
    active_reservation: str | None
    reservation_status: Status | None
    open_faults: tuple[tuple[str, int], ...]
    """Fault id and severity, by fault id."""


class Locker(Struct, frozen=True):
    """A locker as a whole, as reads show it."""

    locker_id: str
    compartments: tuple[CompartmentView, ...]
    """By compartment id, in code point order."""

    @property
    def active_reservations(self) -> int:
        return sum(compartment.active_reservation is not None for compartment in self.compartments)

    @property
    def degraded_compartments(self) -> int:
        return sum(compartment.degraded for compartment in self.compartments)
