"""Accepted events as responses show them: each is its line of the log."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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
from lockstream.infrastructure.codec.log_line import encode_record

_STATUS_AFTER: dict[type[Event], Status] = {
    ReservationCreated: Status.CREATED,
    ParcelDeposited: Status.DEPOSITED,
    ParcelPickedUp: Status.PICKED_UP,
    ReservationExpired: Status.EXPIRED,
}

_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class RecordedEvent(BaseModel):
    """An accepted event, as it was sent, with its place in the log."""

    model_config = ConfigDict(extra="forbid")

    position: Annotated[int, Field(ge=1, description="Position of the event in the log.")]
    recorded_at: Annotated[_Time, Field(description="Time of acceptance, in UTC.")]
    event_id: Annotated[str, Field(description="In lower case.", json_schema_extra={"format": "uuid"})]
    occurred_at: Annotated[_Time, Field(description="Time by the locker's clock, as it was sent.")]
    locker_id: str
    type: Annotated[str, Field(json_schema_extra={"enum": list(EVENT_TYPES)})]
    payload: Annotated[dict[str, Any], Field(description="As it was sent.")]
    chain: Annotated[
        str,
        Field(
            pattern="^[0-9a-f]{64}$",
            description="SHA-256 of the chain value before it and of this line of the log, up to this member.",
        ),
    ]


class RecordedEvents(BaseModel):
    """Accepted events of one subject."""

    model_config = ConfigDict(extra="forbid")

    items: list[RecordedEvent]
    next: Annotated[None, Field(description="Always null: a reservation has at most three events.")]


class ReservationStep(BaseModel):
    """One step of a reservation."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[Status, Field(description="Status that the step has led to.")]
    position: Annotated[int, Field(ge=1, description="Position of the event in the log.")]
    recorded_at: Annotated[_Time, Field(description="Time of acceptance of the event, in UTC.")]
    occurred_at: Annotated[_Time, Field(description="Time of the event by the locker's clock, as it was sent.")]
    event_id: str


class ReservationState(BaseModel):
    """A reservation with its compartment and its steps."""

    model_config = ConfigDict(extra="forbid")

    reservation_id: str
    locker_id: str
    compartment_id: str
    status: Status
    steps: Annotated[list[ReservationStep], Field(description="From the oldest to the newest.")]


def reservation_state(history: ReservationHistory) -> ReservationState:
    """Return the state of a reservation, with a step for each of its events."""
    reservation, records = history
    return ReservationState(
        reservation_id=reservation.reservation_id,
        locker_id=reservation.locker_id,
        compartment_id=reservation.compartment_id,
        status=reservation.status,
        steps=[
            ReservationStep(
                status=_STATUS_AFTER[type(record.event)],
                position=record.end.position,
                recorded_at=record.recorded_at,
                occurred_at=record.event.occurred_at,
                event_id=record.event.event_id,
            )
            for record in records
        ],
    )


def record_json(record: Record) -> bytes:
    """Return a record as JSON: its line of the log, without the line end."""
    return encode_record(record)[:-1]


def records_json(records: Iterable[Record]) -> bytes:
    """Return records as the JSON of `RecordedEvents`."""
    return b'{"items":[%b],"next":null}' % b",".join(map(record_json, records))
