"""The state of a locker network: rows that events change, and a locker as a whole.

A locker has no row of its own: it exists while it has a compartment.

All classes here set `gc=False`, because text and numbers cannot form reference cycles. A full garbage collection over
a million tracked objects would stop the process for 100 to 200 ms (docs/decisions/0015).
"""

from enum import StrEnum

from msgspec import Struct

DEGRADING_SEVERITY = 3
"""Lowest severity of an open fault that degrades its compartment (docs/rules.md, "Things")."""

type CompartmentKey = tuple[str, str]
"""Locker id and compartment id."""


class Status(StrEnum):
    """Status of a reservation."""

    CREATED = "CREATED"
    DEPOSITED = "DEPOSITED"
    PICKED_UP = "PICKED_UP"
    EXPIRED = "EXPIRED"


FINAL = frozenset((Status.PICKED_UP, Status.EXPIRED))
"""Statuses after which a reservation never changes again."""


class Compartment(Struct, frozen=True, gc=False):
    """One door of a locker."""

    locker_id: str
    compartment_id: str
    active_reservation: str | None = None
    """Id of the reservation that occupies the compartment."""

    degrading_faults: int = 0
    """Number of open faults that degrade the compartment. A count keeps an event's cost independent of that number."""

    @property
    def key(self) -> CompartmentKey:
        return self.locker_id, self.compartment_id

    @property
    def degraded(self) -> bool:
        return self.degrading_faults > 0


class Reservation(Struct, frozen=True, gc=False):
    """The claim of one parcel on one compartment."""

    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status = Status.CREATED

    @property
    def key(self) -> str:
        return self.reservation_id

    @property
    def compartment_key(self) -> CompartmentKey:
        return self.locker_id, self.compartment_id


class Fault(Struct, frozen=True, gc=False):
    """A defect of one compartment, open until it is cleared."""

    fault_id: str
    """The `event_id` of the `FaultReported` event that opened the fault."""

    locker_id: str
    compartment_id: str
    severity: int
    cleared: bool = False

    @property
    def key(self) -> str:
        return self.fault_id

    @property
    def compartment_key(self) -> CompartmentKey:
        return self.locker_id, self.compartment_id

    @property
    def is_degrading(self) -> bool:
        """Whether the fault degrades its compartment while it is open."""
        return self.severity >= DEGRADING_SEVERITY


type Row = Compartment | Reservation | Fault
type Key = str | CompartmentKey


class CompartmentView(Struct, frozen=True, gc=False):
    """A compartment with its reservation's status and its open faults, as reads show it."""

    compartment_id: str
    degraded: bool
    active_reservation: str | None
    reservation_status: Status | None
    open_faults: tuple[tuple[str, int], ...]
    """Pairs of fault id and severity, sorted by fault id."""


class Locker(Struct, frozen=True, gc=False):
    """A locker with all its compartments, as reads show it."""

    locker_id: str
    compartments: tuple[CompartmentView, ...]
    """Sorted by compartment id, in code point order."""

    @property
    def active_reservations(self) -> int:
        return sum(compartment.active_reservation is not None for compartment in self.compartments)

    @property
    def degraded_compartments(self) -> int:
        return sum(compartment.degraded for compartment in self.compartments)
