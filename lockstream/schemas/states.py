"""The body that shows a locker with each of its compartments."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from lockstream.core.entities.listings import ListedCompartment
from lockstream.core.entities.state import LockerState
from lockstream.core.state_hash import state_hash
from lockstream.schemas.listings import CompartmentItem, RecordedAt, Time


class OpenFault(Struct, frozen=True, forbid_unknown_fields=True):
    """A fault that was not cleared yet."""

    fault_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    severity: Annotated[int, Meta(ge=0)]


class CompartmentDetail(CompartmentItem, frozen=True, gc=False, forbid_unknown_fields=True):
    """A compartment with its open faults and the time of its last change."""

    open_faults: Annotated[list[OpenFault], Meta(description="Sorted by fault id.")]


class LockerDetail(Struct, frozen=True, forbid_unknown_fields=True):
    """The state of a locker, with each of its compartments."""

    locker_id: str
    version: Annotated[int, Meta(ge=1, description="Number of accepted events of the locker.")]
    position: Annotated[int, Meta(ge=1, description="Position of the last event of the locker.")]
    last_event_at: Annotated[Time, Meta(description="When the last event was accepted: RFC 3339 in UTC.")]
    state_hash: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the locker's state: equal states, equal hashes.")
    ]
    compartments: Annotated[list[CompartmentDetail], Meta(description="Sorted by id.")]

    @classmethod
    def of(cls, state: LockerState, recorded_at: RecordedAt) -> "LockerDetail":
        return cls(
            state.locker_id,
            state.totals.events,
            state.totals.last_position,
            recorded_at(state.totals.last_position),
            state_hash(state.locker),
            [_detail(listed, recorded_at, faults) for listed, faults in _compartments(state)],
        )


RESPONSES = (LockerDetail,)
"""Every body of this module."""


def _compartments(state: LockerState) -> Iterable[tuple[ListedCompartment, Sequence[tuple[str, int]]]]:
    """Yield each compartment as lists show it, and its open faults."""
    for view in state.locker.compartments:
        listed = ListedCompartment(
            state.locker_id,
            view.compartment_id,
            view.degraded,
            view.active_reservation,
            view.reservation_status,
            state.last_changes[view.compartment_id].position,
        )
        yield listed, view.open_faults


def _detail(listed: ListedCompartment, recorded_at: RecordedAt, faults: Sequence[tuple[str, int]]) -> CompartmentDetail:
    item = CompartmentItem.of(listed, recorded_at)
    return CompartmentDetail(**asdict(item), open_faults=[OpenFault(*fault) for fault in faults])
