"""The bodies of responses."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lockstream.core.entities.state import Compartment, Locker, Reservation, Status
from lockstream.core.outcomes import RefusalKind
from lockstream.core.rules import REFUSALS
from lockstream.core.state_hash import state_hash


def _codes(kind: RefusalKind) -> Any:
    codes: list[JsonValue] = list(dict.fromkeys(refusal.code for refusal in REFUSALS if refusal.kind is kind))
    return Field(description="The reason, for programs.", json_schema_extra={"enum": codes})


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


_EventId = Annotated[str, Field(description="In lower case.", json_schema_extra={"format": "uuid"})]
_Position = Annotated[int, Field(ge=1, description="Position of the event in the log.")]


class EventResponse(_Response):
    """The event is in the log: it was accepted now (202), or it is a duplicate of one accepted before (200)."""

    event_id: _EventId
    position: _Position
    outcome: Literal["accepted", "duplicate"]


class LockerSummary(_Response):
    """The state of a locker in short."""

    locker_id: str
    compartments: Annotated[int, Field(ge=0, description="Number of compartments.")]
    active_reservations: Annotated[int, Field(ge=0)]
    degraded_compartments: Annotated[int, Field(ge=0)]
    state_hash: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the locker's state: equal states, equal hashes.")
    ]

    @classmethod
    def of(cls, locker: Locker) -> "LockerSummary":
        return cls(
            locker_id=locker.locker_id,
            compartments=len(locker.compartments),
            active_reservations=locker.active_reservations,
            degraded_compartments=locker.degraded_compartments,
            state_hash=state_hash(locker),
        )


class CompartmentStatus(_Response):
    """The state of a compartment."""

    compartment_id: str
    degraded: Annotated[bool, Field(description="Whether a fault of severity 3 or more is open.")]
    active_reservation: Annotated[str | None, Field(description="The reservation that occupies the compartment.")]

    @classmethod
    def of(cls, compartment: Compartment) -> "CompartmentStatus":
        return cls(
            compartment_id=compartment.compartment_id,
            degraded=compartment.degraded,
            active_reservation=compartment.active_reservation,
        )


class ReservationStatus(_Response):
    """The status of a reservation."""

    reservation_id: str
    status: Status

    @classmethod
    def of(cls, reservation: Reservation) -> "ReservationStatus":
        return cls(reservation_id=reservation.reservation_id, status=reservation.status)


class ErrorBody(_Response):
    """Why the request could not be served."""

    detail: Annotated[str, Field(description="What happened and what to do next, for people.")]


class TooManyRequestsBody(ErrorBody):
    """A rate limit is exceeded: wait as long as `Retry-After` says."""

    code: Annotated[
        Literal["too_many_requests", "too_many_events", "too_many_failed_authentications"],
        Field(description="The limit that is exceeded, for programs."),
    ]


class HealthResponse(_Response):
    """The health of the server."""

    status: Literal["live", "ready"]


class _RefusalBody(_Response):
    detail: Annotated[str, Field(description="The reason, for people.")]


class ConflictBody(_RefusalBody):
    """The state or history of the event's subject forbids it. Nothing changed; the event may be sent again later."""

    code: Annotated[str, _codes(RefusalKind.CONFLICT)]


class UnresolvedBody(_RefusalBody):
    """The event's subject cannot be resolved. Nothing changed; the event may be sent again later."""

    code: Annotated[str, _codes(RefusalKind.UNRESOLVED)]


class ValidationErrorItem(_Response):
    """One error of a malformed body."""

    loc: Annotated[list[str | int], Field(description="Path to the error, beginning with `body`.")]
    msg: str
    type: str


class MalformedBodyErrors(_Response):
    """The body is malformed."""

    detail: Annotated[list[ValidationErrorItem], Field(min_length=1)]


class RecordedItem(_Response):
    """The event is in the log: it was accepted now (202), or it is a duplicate of one accepted before (200)."""

    event_id: _EventId
    status: Literal[202, 200]
    position: _Position


class ConflictItem(ConflictBody):
    """The state or history of the event's subject forbids it."""

    event_id: _EventId
    status: Literal[409]


class UnresolvedItem(UnresolvedBody):
    """The event's subject cannot be resolved."""

    event_id: _EventId
    status: Literal[422]


class LockerNotAllowedItem(ErrorBody):
    """The key is bound to lockers, and the event is of another one. The other items are decided all the same."""

    code: Literal["locker_not_allowed"]
    event_id: _EventId
    status: Literal[403]


class MalformedItem(MalformedBodyErrors):
    """The item is not an event. The other items of the batch are decided all the same."""

    event_id: Annotated[str | None, Field(description="The id as it was sent; null if none could be read.")]
    status: Literal[422]
    code: Literal["malformed"]


class InternalErrorItem(ErrorBody):
    """The event caused an internal error. Nothing changed; the other items of the batch are decided all the same."""

    event_id: _EventId
    status: Literal[500]


BatchResponse = list[
    RecordedItem | ConflictItem | UnresolvedItem | LockerNotAllowedItem | MalformedItem | InternalErrorItem
]
"""The outcome of each event of a batch, in order."""


class ResubmitReport(_Response):
    """The outcomes of events of the quarantine that were decided afresh."""

    accepted: Annotated[int, Field(ge=0, description="Events that were accepted, and have left the quarantine.")]
    refused: Annotated[int, Field(ge=0, description="Events that were refused again, and stay in the quarantine.")]
    remaining: Annotated[int, Field(ge=0, description="Entries that pass the filters, and were beyond `limit`.")]
    items: Annotated[BatchResponse, Field(description="In the order of occurrence, as in the response to a batch.")]
