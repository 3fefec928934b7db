"""Faults in clusters: an incident breaks one door or a batch of neighbouring doors, and one visit repairs most."""

from typing import NamedTuple

from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.simulator.distribution import Distribution
from lockstream.simulator.network import Compartment, Locker
from lockstream.simulator.rhythm import DAY, HOUR, TECHNICIANS
from lockstream.simulator.world import World

KINDS = {1: "light_defect", 2: "sensor_dirty", 3: "hinge_bent", 4: "lock_failed", 5: "door_jammed"}
"""Kind of a fault by its severity."""

_UNTIL_INCIDENT = Distribution((0, 1), (0.5, 350), (0.9, 1_200), (1, 3_000))
"""Hours between two incidents of a locker with 32 compartments."""

_DOORS = Distribution((0, 1), (0.6, 2), (0.9, 5), (1, 10))
"""Doors that an incident breaks, rounded down."""

_SEVERITY = Distribution((0, 1), (0.2, 2), (0.45, 3), (0.75, 4), (0.92, 5), (1, 6))
"""Severity of an incident, rounded down."""

_UNTIL_REPORT = Distribution((0, 0), (0.8, 0.3), (1, 3))
"""Hours between an incident and the report of one of its faults."""

_UNTIL_REPAIR = Distribution((0, 2), (0.6, 30), (0.95, 120), (1, 400))
"""Average hours of technicians (see `Rhythm`) between an incident and the visit that repairs its faults."""

_SECONDS_OF_REPAIR = 8 * 60
_SECOND_VISIT = 10 * DAY
_NOT_REPAIRED = 0.07
"""Share of faults that the first visit does not repair."""
_NEVER_REPAIRED = 0.15
"""Share of the faults without degradation that are never repaired."""


class _Defect(NamedTuple):
    """A defect that will be reported, and its repair."""

    compartment: Compartment
    severity: int
    repaired: int


class _Fault(NamedTuple):
    """A fault that was reported."""

    compartment: Compartment
    fault_id: str
    is_degrading: bool


def plan_incident(world: World, locker: Locker) -> None:
    """Plan the next incident of a locker at a random time. A large or flawed locker has more incidents."""
    world.at(world.after(_UNTIL_INCIDENT, 32 / len(locker.compartments) / locker.flaws), _break_doors, locker)


def _break_doors(world: World, locker: Locker) -> None:
    """Break neighbouring doors in the same way."""
    first = int(world.chance() * len(locker.compartments))
    severity = int(_SEVERITY.at(world.chance()))
    repaired = max(world.in_rhythm(TECHNICIANS, locker, _UNTIL_REPAIR), world.now + 4 * HOUR)
    doors = int(_DOORS.at(world.chance()))
    for number, compartment in enumerate(locker.compartments[first : first + doors]):
        defect = _Defect(compartment, severity, repaired + number * _SECONDS_OF_REPAIR)
        world.at(world.after(_UNTIL_REPORT), _report_fault, defect)
    plan_incident(world, locker)


def _report_fault(world: World, defect: _Defect) -> None:
    compartment = defect.compartment
    fault_id = world.report(
        compartment,
        "FaultReported",
        f'"compartment_id":"{compartment.name}","severity":{defect.severity},"kind":"{KINDS[defect.severity]}"',
    )
    is_degrading = defect.severity >= DEGRADING_SEVERITY
    compartment.degrading_faults += is_degrading
    if not is_degrading and world.chance() < _NEVER_REPAIRED:
        return
    later = _SECOND_VISIT if world.chance() < _NOT_REPAIRED else 0
    world.at(defect.repaired + later, _clear_fault, _Fault(compartment, fault_id, is_degrading))


def _clear_fault(world: World, fault: _Fault) -> None:
    compartment = fault.compartment
    world.report(
        compartment, "FaultCleared", f'"compartment_id":"{compartment.name}","fault_event_id":"{fault.fault_id}"'
    )
    compartment.degrading_faults -= fault.is_degrading
