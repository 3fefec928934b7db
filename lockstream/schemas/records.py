"""Accepted events as responses show them: each is its line of the log."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Raw, Struct

from lockstream.core.entities.events import (
    EVENT_TYPES,
    Event,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
)
from lockstream.core.entities.log import Record
from lockstream.core.entities.state import Status
from lockstream.core.use_cases.history import ReservationHistory
from lockstream.schemas.listings import Next, RecordedAt, Time

_STATUS_AFTER: dict[type[Event], Status] = {
    ReservationCreated: Status.CREATED,
    ParcelDeposited: Status.DEPOSITED,
    ParcelPickedUp: Status.PICKED_UP,
    ReservationExpired: Status.EXPIRED,
}

_Position = Annotated[int, Meta(ge=1, description="Position of the event in the log.")]
_EventId = Annotated[str, Meta(description="In lower case.", extra_json_schema={"format": "uuid"})]


class RecordedEvent(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An accepted event, as it was sent, with its place in the log. As JSON, it is its line of the log."""

    position: _Position
    recorded_at: Annotated[Time, Meta(description="Time of acceptance: RFC 3339 in UTC.")]
    event_id: _EventId
    occurred_at: Annotated[Time, Meta(description="Time by the locker's clock, as it was sent.")]
    locker_id: str
    type: Annotated[str, Meta(extra_json_schema={"enum": list(EVENT_TYPES)})]
    payload: Annotated[
        Raw,
        Meta(
            description="As it was sent, without white space between tokens.",
            extra_json_schema={"type": "object", "additionalProperties": True},
        ),
    ]
    chain: Annotated[
        str,
        Meta(
            pattern="^[0-9a-f]{64}$",
            description="SHA-256 of the chain value before it and of this line of the log, up to this member.",
        ),
    ]

    @classmethod
    def of(cls, record: Record, recorded_at: RecordedAt | None = None) -> "RecordedEvent":  # noqa: ARG003  # of a protocol
        event = record.event
        return cls(
            record.end.position,
            record.recorded_at,
            event.event_id,
            event.occurred_at,
            event.locker_id,
            type(event).__name__,
            Raw(event.payload_text),
            record.end.chain,
        )

    @staticmethod
    def positions_in(record: Record) -> Sequence[int]:  # noqa: ARG004  # of a protocol
        """Return no position, because a record has its own time."""
        return ()


class EventPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Accepted events of one subject, in the order of the request."""

    items: list[RecordedEvent]
    next: Next


class ReservationStep(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a reservation."""

    status: Annotated[Status, Meta(description="Status that the step has led to.")]
    position: _Position
    recorded_at: Annotated[Time, Meta(description="Time of acceptance of the event: RFC 3339 in UTC.")]
    occurred_at: Annotated[Time, Meta(description="Time of the event by the locker's clock, as it was sent.")]
    event_id: _EventId


class ReservationState(Struct, frozen=True, forbid_unknown_fields=True):
    """A reservation with its compartment and its steps."""

    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status
    steps: Annotated[list[ReservationStep], Meta(description="From the oldest to the newest.")]

    @classmethod
    def of(cls, history: ReservationHistory) -> "ReservationState":
        reservation, records = history
        return cls(
            reservation.reservation_id,
            reservation.locker_id,
            reservation.compartment_id,
            reservation.status,
            [
                ReservationStep(
                    _STATUS_AFTER[type(record.event)],
                    record.end.position,
                    record.recorded_at,
                    record.event.occurred_at,
                    record.event.event_id,
                )
                for record in records
            ],
        )


RESPONSES: Sequence[type[Struct]] = (RecordedEvent, EventPage, ReservationState)
"""Every body of this module."""
