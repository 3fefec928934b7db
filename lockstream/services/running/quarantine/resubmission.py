"""Resubmission: group commit decides events of the quarantine afresh."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from lockstream.core.entities.access import Caller
from lockstream.core.entities.events import Event
from lockstream.core.entities.quarantine import Entry
from lockstream.core.errors import MalformedEvent, StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.core.use_cases.resubmit import Resubmitted, resubmit
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.services.running.group_commit import Origin

EVENTS_AT_ONCE = 250
"""Events that are decoded and submitted together. Other requests are served before the next ones."""

BYTES_AT_ONCE = 128 * 1024
"""Most bytes of events that are submitted together, unless the first event alone is larger."""

type Submit = Callable[[Sequence[Event], Origin], Awaitable[Sequence[Outcome | Exception]]]


async def resubmit_entries(entries: Sequence[Entry], submit: Submit, caller: Caller) -> list[Resubmitted]:
    """Decide the events of `entries` in this order, and return their outcomes once the accepted ones are durable.

    `caller` resubmits the events. The log names its key as the one that reported them.

    Raises:
        StoreUnavailable: some of the events are not acknowledged.
    """

    async def decide(events: Sequence[Event]) -> list[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for chunk in _chunks(events, lambda event: len(event.payload_text)):
            outcomes += await submit(chunk, origin)
        for outcome in outcomes:
            if isinstance(outcome, StoreUnavailable):
                raise outcome
        return outcomes

    origin = Origin(is_arrival=False, caller=caller)
    decoded: list[Event | MalformedEvent] = []
    for chunk in _chunks([entry.body.encode() for entry in entries], len):
        decoded += decode_events(chunk)
        await asyncio.sleep(0)
    outcomes = iter(await resubmit([event for event in decoded if not isinstance(event, MalformedEvent)], decide))
    return [
        Resubmitted(entry, event if isinstance(event, MalformedEvent) else (event, next(outcomes)))
        for entry, event in zip(entries, decoded, strict=True)
    ]


def _chunks[ItemT](items: Sequence[ItemT], size_of: Callable[[ItemT], int]) -> Iterator[Sequence[ItemT]]:
    """Split items into parts that do not hold up other requests for long."""
    start = size = 0
    for index, item in enumerate(items):
        if index - start == EVENTS_AT_ONCE or (index > start and size + size_of(item) > BYTES_AT_ONCE):
            yield items[start:index]
            start, size = index, 0
        size += size_of(item)
    if items:
        yield items[start:]
