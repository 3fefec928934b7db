"""What is answered to an event, as bytes: the bodies that `answers` describes, made without a model for each."""

from typing import assert_never

import msgspec

from lockstream.core.entities.events import Event
from lockstream.core.outcomes import Accepted, Duplicate, Ground, Outcome, Refusal

FAULT_DETAIL = "A fault of Lockstream's own; its log on standard error says more."

_STATUS = {Ground.CONFLICT: 409, Ground.UNRESOLVED: 422}

_encode = msgspec.json.Encoder().encode


def answer_of(event: Event, outcome: Outcome) -> tuple[int, bytes]:
    """Status and body of the answer to `POST /events`."""
    match outcome:
        case Accepted():
            return 202, b'{"event_id":"%b","position":%d,"outcome":"accepted"}' % (
                event.event_id.encode(),
                outcome.position,
            )
        case Duplicate():
            return 200, b'{"event_id":"%b","position":%d,"outcome":"duplicate"}' % (
                event.event_id.encode(),
                outcome.position,
            )
        case Refusal():
            return _STATUS[outcome.ground], _encode({"detail": outcome.explain(event), "code": outcome.code})
        case _:
            assert_never(outcome)


def item_of(event: Event, outcome: Outcome | Exception) -> bytes:
    """What the answer to a batch says of one event; an exception is a fault of ours that it has set off."""
    match outcome:
        case Accepted():
            return b'{"event_id":"%b","status":202,"position":%d}' % (event.event_id.encode(), outcome.position)
        case Duplicate():
            return b'{"event_id":"%b","status":200,"position":%d}' % (event.event_id.encode(), outcome.position)
        case Refusal():
            return _encode(
                {
                    "event_id": event.event_id,
                    "status": _STATUS[outcome.ground],
                    "code": outcome.code,
                    "detail": outcome.explain(event),
                }
            )
        case Exception():
            return _encode({"event_id": event.event_id, "status": 500, "detail": FAULT_DETAIL})
        case _:
            assert_never(outcome)
