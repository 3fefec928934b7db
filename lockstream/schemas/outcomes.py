"""The responses to events as bytes: the bodies that `responses` describes, without a model per event."""

from typing import assert_never

import msgspec

from lockstream.core.entities.events import Event
from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal, RefusalKind

INTERNAL_ERROR = "An internal error of Lockstream. The log on the server's standard error says more."

_STATUS = {RefusalKind.CONFLICT: 409, RefusalKind.UNRESOLVED: 422}

_encode = msgspec.json.Encoder().encode


def event_response(event: Event, outcome: Outcome) -> tuple[int, bytes]:
    """Return status and body of the response to `POST /events`."""
    match outcome:
        case Accepted(position):
            return 202, b'{"event_id":"%b","position":%d,"outcome":"accepted"}' % (event.event_id.encode(), position)
        case Duplicate(position):
            return 200, b'{"event_id":"%b","position":%d,"outcome":"duplicate"}' % (event.event_id.encode(), position)
        case Refusal():
            return _STATUS[outcome.kind], _encode({"detail": outcome.explain(event), "code": outcome.code})
        case _:
            assert_never(outcome)


def batch_item(event: Event, outcome: Outcome | Exception) -> bytes:
    """Return the item of one event in the response to a batch. An exception is an internal error."""
    match outcome:
        case Accepted(position):
            return b'{"event_id":"%b","status":202,"position":%d}' % (event.event_id.encode(), position)
        case Duplicate(position):
            return b'{"event_id":"%b","status":200,"position":%d}' % (event.event_id.encode(), position)
        case Refusal():
            return _encode(
                {
                    "event_id": event.event_id,
                    "status": _STATUS[outcome.kind],
                    "code": outcome.code,
                    "detail": outcome.explain(event),
                }
            )
        case Exception():
            return _encode({"event_id": event.event_id, "status": 500, "detail": INTERNAL_ERROR})
        case _:
            assert_never(outcome)
