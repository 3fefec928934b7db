"""The state of a locker network: rows that events change, and a locker as a whole.

A row notes the positions of the events that changed it. The recorded time at a position is a `Moment` of the log.

All classes here set `gc=False`, because text and numbers cannot form reference cycles. A full garbage collection over
a million tracked objects would stop the process for 100 to 200 ms (docs/decisions/0015).
"""

from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

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


class Compartment(Struct, frozen=True, gc=False, array_like=True):
    """One door of a locker."""

    locker_id: str
    compartment_id: str
    active_reservation: str | None = None
    """Id of the reservation that occupies the compartment."""

    degrading_faults: int = 0
    """Number of open faults that degrade the compartment. A count keeps an event's cost independent of that number."""

    changed_position: int = 0
    """Position of the event that last reserved, freed or degraded the compartment, or ended its degradation."""

    registered_position: int = 0

    @property
    def key(self) -> CompartmentKey:
        return self.locker_id, self.compartment_id

    @property
    def is_available(self) -> bool:
        """Whether the compartment can be reserved."""
        return self.active_reservation is None and not self.degrading_faults

    @property
    def degraded(self) -> bool:
        return self.degrading_faults > 0


class Reservation(Struct, frozen=True, gc=False, array_like=True):
    """The claim of one parcel on one compartment."""

    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status = Status.CREATED
    created_position: int = 0
    deposited_position: int = 0
    """Position of the event that deposited the parcel, or 0."""

    changed_position: int = 0
    """Position of the event that gave the reservation its status."""

    @property
    def key(self) -> str:
        return self.reservation_id

    @property
    def positions(self) -> list[int]:
        """The positions of the reservation's events, in order."""
        return sorted({self.created_position, self.deposited_position, self.changed_position} - {0})

    @property
    def compartment_key(self) -> CompartmentKey:
        return self.locker_id, self.compartment_id


class Fault(Struct, frozen=True, gc=False, array_like=True):
    """A defect of one compartment, open until it is cleared."""

    fault_id: str
    """The `event_id` of the `FaultReported` event that opened the fault."""

    locker_id: str
    compartment_id: str
    severity: int
    reported_position: int = 0
    cleared_position: int = 0
    """Position of the event that closed the fault, or 0 while the fault is open."""

    @property
    def key(self) -> str:
        return self.fault_id

    @property
    def compartment_key(self) -> CompartmentKey:
        return self.locker_id, self.compartment_id

    @property
    def is_cleared(self) -> bool:
        return self.cleared_position > 0

    @property
    def is_degrading(self) -> bool:
        """Whether the fault degrades its compartment while it is open."""
        return self.severity >= DEGRADING_SEVERITY


class LockerTotals(Struct, frozen=True, gc=False, array_like=True):
    """Counts over the compartments and reservations of one locker, which exists while it has a compartment."""

    locker_id: str
    events: int = 0
    """Number of accepted events of the locker: the version of its state."""

    last_position: int = 0
    """Position of the locker's last event."""

    compartments: int = 0
    available: int = 0
    """Compartments that can be reserved: not degraded, and without an active reservation."""

    degraded: int = 0
    reserved: int = 0
    """Reservations that are CREATED."""

    occupied: int = 0
    """Reservations that are DEPOSITED."""

    picked_up: int = 0
    expired: int = 0
    gap_sum: Annotated[int, Meta(ge=1)] = 1
    """Sum of the gaps between the locker's events, in positions, to learn the usual gap. Past states do not have it."""

    gap_squares: Annotated[int, Meta(ge=1)] = 1
    """Sum of the squares of these gaps."""

    @property
    def key(self) -> str:
        return self.locker_id

    @property
    def usual_gap(self) -> int:
        """The average length of the gap in which an event of the network falls, in positions."""
        return self.gap_squares // self.gap_sum


type Row = Compartment | Reservation | Fault | LockerTotals
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


class LastChange(NamedTuple):
    """The positions of the last changes of a compartment."""

    compartment: int
    """Position of the event that last reserved, freed or degraded it, or ended its degradation."""

    reservation: int
    """Position of the event that gave its active reservation its status, or 0."""

    @property
    def position(self) -> int:
        return max(self)


class LockerState(Struct, frozen=True, gc=False):
    """A locker with all its compartments, its totals, and the last changes of each compartment."""

    locker: Locker
    totals: LockerTotals
    last_changes: dict[str, LastChange]
    """By compartment id."""

    @property
    def locker_id(self) -> str:
        return self.locker.locker_id
