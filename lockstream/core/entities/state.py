"""What a locker network holds: rows that events change, the slice that one event sees, and a locker as a whole.

A locker has no row of its own: it is there when it has a compartment.

These values and those of events hold nothing but text and numbers, so they can be in no cycle: with `gc=False` the
garbage collector does not even look at them (a full collection over a million objects takes 100 to 200 ms).
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


class Compartment(Struct, frozen=True, gc=False):
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


class Reservation(Struct, frozen=True, gc=False):
    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status = Status.CREATED

    @property
    def final(self) -> bool:
        return self.status is Status.PICKED_UP or self.status is Status.EXPIRED

    @property
    def key(self) -> str:
        return self.reservation_id

    @property
    def where(self) -> tuple[str, str]:
        """Its compartment's key."""
        return self.locker_id, self.compartment_id


class Fault(Struct, frozen=True, gc=False):
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


type Row = Compartment | Reservation | Fault
type Key = str | tuple[str, str]


class Slice(Struct, frozen=True, gc=False):
    """At most one of each: all that one event can see and change."""

    compartment: Compartment | None = None
    reservation: Reservation | None = None
    fault: Fault | None = None


class CompartmentView(Struct, frozen=True, gc=False):
    """A compartment with what bears on it now."""

    compartment_id: str
    degraded: bool
    active_reservation: str | None
    reservation_status: Status | None
    open_faults: tuple[tuple[str, int], ...]
    """Fault id and severity, by fault id."""


class Locker(Struct, frozen=True, gc=False):
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
