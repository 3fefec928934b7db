"""What is answered."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lockstream.core.decide import REFUSALS
from lockstream.core.entities.state import Compartment, Locker, Reservation, Status
from lockstream.core.outcomes import Ground
from lockstream.core.state_hash import state_hash


def _codes(ground: Ground) -> Any:
    codes: list[JsonValue] = [refusal.code for refusal in REFUSALS if refusal.ground is ground]
    return Field(description="Why, for programs.", json_schema_extra={"enum": codes})


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventAnswer(_Answer):
    """The event is in the log: it was accepted now (202), or it is a duplicate of one accepted before (200)."""

    event_id: Annotated[str, Field(description="In lower case.", json_schema_extra={"format": "uuid"})]
    position: Annotated[int, Field(ge=1, description="Where it stands in the log.")]
    outcome: Literal["accepted", "duplicate"]


class LockerAnswer(_Answer):
    """What a locker holds now."""

    locker_id: str
    compartments: Annotated[int, Field(ge=0, description="How many it has.")]
    active_reservations: Annotated[int, Field(ge=0)]
    degraded_compartments: Annotated[int, Field(ge=0)]
    state_hash: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the locker's state: equal states, equal hashes.")
    ]

    @classmethod
    def of(cls, locker: Locker) -> "LockerAnswer":
        return cls(
            locker_id=locker.locker_id,
            compartments=len(locker.compartments),
            active_reservations=locker.active_reservations,
            degraded_compartments=locker.degraded_compartments,
            state_hash=state_hash(locker),
        )


class CompartmentAnswer(_Answer):
    """What a compartment holds now."""

    compartment_id: str
    degraded: Annotated[bool, Field(description="Whether a fault of severity 3 or more is open.")]
    active_reservation: Annotated[str | None, Field(description="The reservation that occupies it.")]

    @classmethod
    def of(cls, compartment: Compartment) -> "CompartmentAnswer":
        return cls(
            compartment_id=compartment.compartment_id,
            degraded=compartment.degraded,
            active_reservation=compartment.active_reservation,
        )


class ReservationAnswer(_Answer):
    """How far a reservation has come."""

    reservation_id: str
    status: Status

    @classmethod
    def of(cls, reservation: Reservation) -> "ReservationAnswer":
        return cls(reservation_id=reservation.reservation_id, status=reservation.status)


class Problem(_Answer):
    """Why the request could not be served."""

    detail: Annotated[str, Field(description="What is wrong and what to do about it, for people.")]


class HealthAnswer(_Answer):
    """How the server is."""

    status: Literal["live", "ready"]


class _RefusalAnswer(_Answer):
    detail: Annotated[str, Field(description="Why, for people.")]


class ConflictAnswer(_RefusalAnswer):
    """The state or history of what the event names forbids it. Nothing changed; it may be sent again later."""

    code: Annotated[str, _codes(Ground.CONFLICT)]


class UnresolvedAnswer(_RefusalAnswer):
    """What the event names cannot be resolved. Nothing changed; it may be sent again later."""

    code: Annotated[str, _codes(Ground.UNRESOLVED)]


class ValidationErrorItem(_Answer):
    loc: Annotated[list[str | int], Field(description="Where, from `body` on.")]
    msg: str
    type: str


class MalformedAnswer(_Answer):
    """The body is no event."""

    detail: Annotated[list[ValidationErrorItem], Field(min_length=1)]


_EventId = Annotated[str, Field(description="In lower case.", json_schema_extra={"format": "uuid"})]


class RecordedItem(_Answer):
    """The event is in the log: it was accepted now (202), or it is a duplicate of one accepted before (200)."""

    event_id: _EventId
    status: Literal[202, 200]
    position: Annotated[int, Field(ge=1, description="Where it stands in the log.")]


class ConflictItem(ConflictAnswer):
    """The state or history of what the event names forbids it."""

    event_id: _EventId
    status: Literal[409]


class UnresolvedItem(UnresolvedAnswer):
    """What the event names cannot be resolved."""

    event_id: _EventId
    status: Literal[422]


class MalformedItemAnswer(MalformedAnswer):
    """It is no event; the others of the batch are decided all the same."""

    event_id: Annotated[str | None, Field(description="As it came; null if none could be read.")]
    status: Literal[422]
    code: Literal["malformed"]


class FaultItem(Problem):
    """It set off a fault of Lockstream's own. Nothing changed; the others of the batch are decided all the same."""

    event_id: _EventId
    status: Literal[500]


BatchAnswer = list[RecordedItem | ConflictItem | UnresolvedItem | MalformedItemAnswer | FaultItem]
"""What became of each event of a batch, in order."""
