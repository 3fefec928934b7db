"""The bodies of the quarantine's operations."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Raw, Struct

from lockstream.core import rules
from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.fields import IDENTIFIER, IDENTIFIER_MAX, TIMESTAMP
from lockstream.core.entities.quarantine import (
    EVENT_ID_REUSED,
    Entry,
    EntryKind,
    EntryStatus,
    MalformedBody,
    QuarantineTotals,
)
from lockstream.core.errors import MalformedEvent
from lockstream.core.use_cases.resubmit import Resubmitted, ResubmittedEvents
from lockstream.schemas.batches import MalformedEntry
from lockstream.schemas.events import EVENT
from lockstream.schemas.listings import Next, Time
from lockstream.schemas.outcomes import batch_item

_Count = Annotated[int, Meta(ge=0)]
_Counts = dict[str, Annotated[int, Meta(ge=1)]]
_Arrivals = Annotated[int, Meta(ge=0, description="Number of arrivals.")]
_FirstAt = Annotated[Time, Meta(description="When it arrived for the first time: RFC 3339 in UTC.")]
_LastAt = Annotated[Time, Meta(description="When it arrived for the last time: RFC 3339 in UTC.")]
_Address = Annotated[
    str | None,
    Meta(description="Remote address of the last arrival. Null for a Unix socket."),
]

CODES = [*rules.CODES, EVENT_ID_REUSED]
"""Codes that an entry may have."""

_Identifier = Annotated[
    str,
    Meta(extra_json_schema={"pattern": f"^{IDENTIFIER}$", "minLength": 1, "maxLength": IDENTIFIER_MAX}),
]
_Timestamp = Annotated[str, Meta(extra_json_schema={"pattern": f"^{TIMESTAMP}$", "format": "date-time"})]
"""Times and identifiers are checked by the endpoint, whose errors name what is allowed."""

REASON_MAX = 1_000
"""Longest reason of a discarded event, in characters."""

RESUBMITTED_MAX = 100_000
"""Most events that one request decides afresh."""


class QuarantineEntry(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event in the quarantine."""

    event_id: Annotated[str, Meta(description="In lower case.", extra_json_schema={"format": "uuid"})]
    kind: Annotated[
        EntryKind,
        Meta(
            description="`refused`: the rules refused the event. `reused_id`: another event with its id was accepted. "
            "Later versions may add kinds."
        ),
    ]
    status: EntryStatus
    code: Annotated[str, Meta(description="The newest reason, for programs.")]
    detail: Annotated[str, Meta(description="The newest reason, for people.")]
    locker_id: str
    type: str
    occurred_at: Annotated[str, Meta(description="Time by the locker's clock, exactly as sent.")]
    first_at: _FirstAt
    last_at: _LastAt
    count: _Arrivals
    address: _Address
    discarded_at: Annotated[Time | None, Meta(description="When an operator discarded it: RFC 3339 in UTC.")]
    discard_reason: Annotated[str | None, Meta(description="Why an operator discarded it.")]
    body: Annotated[
        Raw,
        Meta(
            description="The event as it last came.",
            extra_json_schema={"type": "object", "additionalProperties": True},
        ),
    ]

    @classmethod
    def of(cls, entry: Entry) -> "QuarantineEntry":
        return cls(
            event_id=entry.event_id,
            kind=entry.kind,
            status=entry.status,
            code=entry.code,
            detail=entry.detail,
            locker_id=entry.locker_id,
            type=entry.type,
            occurred_at=entry.occurred_at,
            first_at=entry.first_at,
            last_at=entry.last_at,
            count=entry.count,
            address=entry.address or None,
            discarded_at=entry.discard.at if entry.discard else None,
            discard_reason=entry.discard.reason if entry.discard else None,
            body=Raw(entry.body.encode()),
        )


class QuarantineCounts(Struct, frozen=True, forbid_unknown_fields=True):
    """Counts over the whole quarantine, whatever the filters."""

    open: Annotated[_Counts, Meta(description="Open entries by code.")]
    discarded: Annotated[_Count, Meta(description="Discarded entries.")]
    dropped: Annotated[
        _Count, Meta(description="Entries that had to leave, and arrivals that were not kept, because of the bounds.")
    ]
    unchecked_duplicates: Annotated[
        _Count,
        Meta(
            description="Duplicates that were not compared with the accepted event: too many came at once, or the "
            "event could not be read."
        ),
    ]
    malformed: Annotated[_Counts, Meta(description="Malformed bodies by reason, also those that are not kept.")]

    @classmethod
    def of(cls, totals: QuarantineTotals) -> "QuarantineCounts":
        return cls(
            dict(sorted(totals.open.items())),
            totals.discarded,
            totals.dropped,
            totals.unchecked_duplicates,
            dict(sorted(totals.malformed.items())),
        )


class QuarantinePage(Struct, frozen=True, forbid_unknown_fields=True):
    """Entries of the quarantine, in the order of their first arrivals."""

    items: list[QuarantineEntry]
    next: Next
    totals: QuarantineCounts


class MalformedBodyItem(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A body, or an item of a batch, that was not an event."""

    reason: Annotated[str, Meta(description="The `type` of the first error in the response.")]
    detail: Annotated[str, Meta(description="The `msg` of that error.")]
    first_at: _FirstAt
    last_at: _LastAt
    count: _Arrivals
    address: _Address
    body: Annotated[str, Meta(description="The first 4,096 bytes. A byte that is not UTF-8 is escaped as `\\xff`.")]

    @classmethod
    def of(cls, body: MalformedBody) -> "MalformedBodyItem":
        return cls(body.reason, body.detail, body.first_at, body.last_at, body.count, body.address or None, body.body)


class MalformedBodyPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Malformed bodies, the newest first."""

    items: list[MalformedBodyItem]
    next: Next


class DiscardRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A note that an event needs no further work."""

    reason: Annotated[
        str,
        Meta(
            description="The reason, for people. It is not blank, and has no character U+0000.",
            extra_json_schema={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$", "minLength": 1, "maxLength": REASON_MAX},
        ),
    ]

    def __post_init__(self) -> None:
        if not self.reason.strip() or "\0" in self.reason or len(self.reason) > REASON_MAX:
            raise ValueError(
                f"`reason` is blank, longer than {REASON_MAX:,} characters, or contains the character U+0000. Send a "
                "reason for people"
            )


class ResubmitRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters of the events that are decided afresh. Without any, all open entries of the kind `refused` are."""

    code: Annotated[str | None, Meta(extra_json_schema={"enum": [*CODES, None]})] = None
    locker_id: _Identifier | None = None
    type: Annotated[str | None, Meta(extra_json_schema={"enum": [*EVENT_TYPES, None]})] = None
    since: Annotated[_Timestamp | None, Meta(description="Last arrival at this time or later.")] = None
    limit: Annotated[int, Meta(ge=1, le=RESUBMITTED_MAX, description="Most events.")] = RESUBMITTED_MAX


BODIES: Sequence[type[Struct]] = (QuarantinePage, QuarantineEntry, MalformedBodyPage, DiscardRequest, ResubmitRequest)
"""Every body of this module."""


def encode_report(resubmitted: ResubmittedEvents) -> bytes:
    """Return the body that `ResubmitReport` describes."""
    accepted = sum(one.is_accepted for one in resubmitted.items)
    refused = sum(one.is_refused for one in resubmitted.items)
    items = [_report_item(index, one) for index, one in enumerate(resubmitted.items)]
    return (
        f'{{"accepted":{accepted},"refused":{refused},"remaining":{resubmitted.remaining},"items":[{",".join(items)}]}}'
    ).encode()


def _report_item(index: int, resubmitted: Resubmitted) -> str:
    entry, result = resubmitted
    if isinstance(result, MalformedEvent):
        return MalformedEntry(entry.event_id, EVENT.explain(entry.body.encode(), result, index)).encode()
    return batch_item(*result)
