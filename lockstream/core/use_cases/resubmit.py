"""Decide events of the quarantine afresh, in the order in which they happened.

An event may be possible only after another event of its locker, and the times of both may be equal or wrong. So refused
events are decided again until no further one is accepted.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import microseconds_of
from lockstream.core.entities.quarantine import Entry
from lockstream.core.errors import MalformedEvent
from lockstream.core.outcomes import Accepted, Outcome, Refusal

_DAMAGED_TIME = -(2**63)
"""Time, in microseconds since 1970, that an entry with a damaged time is sorted by."""

ROUNDS = 100
"""Most times that refused events are decided again, so that a long chain of events does not take hours."""

type Decide = Callable[[Sequence[Event]], Awaitable[Sequence[Outcome | Exception]]]
"""Decides events in order, and returns an outcome for each once the accepted ones are durable."""


class Resubmitted(NamedTuple):
    """An entry, and the outcome of its event."""

    entry: Entry
    result: tuple[Event, Outcome | Exception] | MalformedEvent
    """The event and its outcome. MalformedEvent: this version of Lockstream does not read the body as an event."""

    @property
    def is_accepted(self) -> bool:
        return not isinstance(self.result, MalformedEvent) and isinstance(self.result[1], Accepted)

    @property
    def is_refused(self) -> bool:
        """Whether the event was refused, or is not read as an event. The entry of a duplicate has left meanwhile."""
        return isinstance(self.result, MalformedEvent) or isinstance(self.result[1], Refusal)


class ResubmittedEvents(NamedTuple):
    """Entries with outcomes, and the number of entries that are left for the next request."""

    items: list[Resubmitted]
    remaining: int


def in_order_of_occurrence(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries sorted by the time of the locker's clock, and by number if these times are equal.

    An entry whose time was damaged in the file of the quarantine comes first: its body may be intact.
    """
    return sorted(entries, key=lambda entry: (_microseconds(entry.occurred_at), entry.number))


async def resubmit(events: Sequence[Event], decide: Decide) -> list[Outcome | Exception]:
    """Decide `events` in order, decide refused ones again until no more are accepted, and return the last outcomes."""
    outcomes = list(await decide(events))
    decided = list(range(len(events)))
    for _ in range(ROUNDS):
        changed_lockers = {events[index].locker_id for index in decided if isinstance(outcomes[index], Accepted)}
        decided = [index for index in _refused(outcomes) if events[index].locker_id in changed_lockers]
        if not decided:
            break
        for index, outcome in zip(decided, await decide([events[index] for index in decided]), strict=True):
            outcomes[index] = outcome
    return outcomes


def _refused(outcomes: Sequence[Outcome | Exception]) -> list[int]:
    return [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Refusal)]


def _microseconds(occurred_at: str) -> int:
    """Return a timestamp of a locker in microseconds since 1970. A leap second counts as the second before it."""
    text = occurred_at.upper()
    try:
        return microseconds_of(datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if text[17:19] == "60" else text))
    except (ValueError, TypeError):  # not a time, or a time without an offset
        return _DAMAGED_TIME
