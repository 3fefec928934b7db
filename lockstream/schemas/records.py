"""Accepted events as responses show them: each is its line of the log."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.json import Decoder

from lockstream.core.entities.events import (
    EVENT_TYPES,
    Event,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
)
from lockstream.core.entities.feed import LOG_ID_LENGTH, FeedPage
from lockstream.core.entities.fields import KEY_ID
from lockstream.core.entities.log import Record
from lockstream.core.entities.state import Status
from lockstream.core.use_cases.history import ReservationHistory
from lockstream.infrastructure.codec.log_line import claimed_position
from lockstream.schemas.listings import Next, RecordedAt, Time, encode_csv

_STATUS_AFTER: dict[type[Event], Status] = {
    ReservationCreated: Status.CREATED,
    ParcelDeposited: Status.DEPOSITED,
    ParcelPickedUp: Status.PICKED_UP,
    ReservationExpired: Status.EXPIRED,
}

LogId = Annotated[
    str,
    Meta(
        pattern=f"^[0-9a-f]{{{LOG_ID_LENGTH}}}$",
        description="Id of the log: the beginning of the chain value of its first event. An empty log has zeros.",
    ),
]

_Position = Annotated[int, Meta(ge=1, description="Position of the event in the log.")]
_EventId = Annotated[str, Meta(description="In lower case.", extra_json_schema={"format": "uuid"})]
_KeyId = Annotated[
    str,
    Meta(
        pattern=f"^{KEY_ID}$",
        description="The public part of the key that reported the event. Absent if it was accepted without a key.",
    ),
]


def key_id_of(event: Event) -> str | UnsetType:
    """Return the key that reported an event as the member of a response, which is absent if there was none."""
    return str(event.recorded_by) or UNSET


class RecordedEvent(Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """An accepted event, as it was sent, with its place in the log. As JSON, it is its line of the log."""

    position: _Position
    recorded_at: Annotated[Time, Meta(description="Time of acceptance: RFC 3339 in UTC.")]
    recorded_by: _KeyId | UnsetType = UNSET
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
            position=record.end.position,
            recorded_at=record.recorded_at,
            recorded_by=key_id_of(event),
            event_id=event.event_id,
            occurred_at=event.occurred_at,
            locker_id=event.locker_id,
            type=type(event).__name__,
            payload=Raw(event.payload_text),
            chain=record.end.chain,
        )

    @staticmethod
    def positions_in(record: Record) -> Sequence[int]:  # noqa: ARG004  # of a protocol
        """Return no position, because a record has its own time."""
        return ()


decode_recorded_event = Decoder(RecordedEvent).decode
"""Returns the event of a line of the log."""


class EventPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Accepted events of one subject, in the order of the request."""

    items: list[RecordedEvent]
    next: Next


class FeedBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of the feed, in the order of positions."""

    items: list[RecordedEvent]
    through: Annotated[
        int,
        Meta(
            ge=0,
            description="Every event that the request asks for, up to this position, is in `items` or was before. Send "
            "it as `after` to go on.",
        ),
    ]
    head: Annotated[int, Meta(ge=0, description="Position of the newest event of the log.")]
    log: LogId


class CursorRefusedBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The reader of the feed has read another log, or a later part of this one than there is."""

    detail: str
    code: Literal["other_log", "cursor_beyond_head"]
    log: LogId
    head: Annotated[int, Meta(ge=0, description="Position of the newest event of this log.")]


def feed_json(page: FeedPage) -> bytes:
    """Encode a page of the feed. Its items are the lines of the log, so they are not decoded."""
    items = b",".join([line[:-1] for line in page.items])
    return b'{"items":[%b],"through":%d,"head":%d,"log":"%b"}' % (
        items,
        page.through,
        page.head,
        page.log_id.encode(),
    )


def feed_csv(page: FeedPage) -> bytes:
    """Encode the events of a page of the feed as CSV, with a header row."""
    return encode_csv(RecordedEvent.__struct_fields__, map(decode_recorded_event, page.items))


def feed_event_stream(page: FeedPage) -> bytes:
    """Encode a page of the feed as server-sent events whose data are lines of the log."""
    return event_stream(page, lambda line: line[:-1])


def event_stream(page: FeedPage, data_of: Callable[[bytes], bytes]) -> bytes:
    """Encode a page of the feed as server-sent events, whose data `data_of` makes of lines of the log.

    Each id is a position up to which everything was sent.
    """
    last = 0
    blocks: list[bytes] = []
    for line in page.items:
        last = claimed_position(line)
        blocks.append(b"id: %d\ndata: %b\n\n" % (last, data_of(line)))
    if last < page.through or not page.items:  # the heartbeat of a stream of an empty log names position 0
        blocks.append(b"id: %d\n\n" % page.through)  # without data, it moves the cursor of the client and no more
    return b"".join(blocks)


class ReservationStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step of a reservation."""

    status: Annotated[Status, Meta(description="Status that the step has led to.")]
    position: _Position
    recorded_at: Annotated[Time, Meta(description="Time of acceptance of the event: RFC 3339 in UTC.")]
    recorded_by: _KeyId | UnsetType = UNSET
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
                    status=_STATUS_AFTER[type(record.event)],
                    position=record.end.position,
                    recorded_at=record.recorded_at,
                    recorded_by=key_id_of(record.event),
                    occurred_at=record.event.occurred_at,
                    event_id=record.event.event_id,
                )
                for record in records
            ],
        )


RESPONSES: Sequence[type[Struct]] = (RecordedEvent, EventPage, FeedBody, CursorRefusedBody, ReservationState)
"""Every body of this module."""
