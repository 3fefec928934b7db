"""Events of the quarantine are decided afresh by group commit, as if they came now."""

from collections.abc import Awaitable, Callable, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.quarantine import Entry
from lockstream.core.errors import MalformedEvent, StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.core.use_cases.resubmit import Resubmitted, resubmit
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.services.running.quarantine.buffer import Origin

EVENTS_AT_ONCE = 250
"""Events that are submitted together. Other requests are served before the next ones."""

FROM_QUARANTINE = Origin(is_arrival=False)

type Submit = Callable[[Sequence[Event], Origin], Awaitable[Sequence[Outcome | Exception]]]


async def resubmit_entries(entries: Sequence[Entry], submit: Submit) -> list[Resubmitted]:
    """Decide the events of `entries` in this order, and return their outcomes once the accepted ones are durable.

    Raises:
        StoreUnavailable: some of the events are not acknowledged.
    """

    async def decide(events: Sequence[Event]) -> list[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for first in range(0, len(events), EVENTS_AT_ONCE):
            outcomes += await submit(events[first : first + EVENTS_AT_ONCE], FROM_QUARANTINE)
        for outcome in outcomes:
            if isinstance(outcome, StoreUnavailable):
                raise outcome
        return outcomes

    decoded = decode_events([entry.body.encode() for entry in entries])
    outcomes = iter(await resubmit([event for event in decoded if not isinstance(event, MalformedEvent)], decide))
    return [
        Resubmitted(entry, event if isinstance(event, MalformedEvent) else (event, next(outcomes)))
        for entry, event in zip(entries, decoded, strict=True)
    ]
