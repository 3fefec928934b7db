"""The tally of decided events: counts that group commit adds to once a batch, at some 60 ns an event."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

from lockstream.core.entities.events import Event
from lockstream.core.outcomes import Accepted, Outcome, Refusal
from lockstream.infrastructure.telemetry.histogram import DISK_SECONDS, Histogram

BATCH_EVENTS = (1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000)
"""Bounds for the number of events in a batch."""

DELAY_SECONDS = (1, 5, 30, 60, 300, 900, 3_600, 14_400, 86_400)
"""Bounds for the time between the occurrence of an event and its acceptance: a second to a day."""

_ACCEPTED = {Accepted}


class BatchTally:
    """Counts the events of batches by type and outcome. For one event loop."""

    def __init__(self) -> None:
        self.accepted = Counter[type[Event]]()
        """Accepted events by type, of the batches in which all were accepted."""

        self.mixed = Counter[tuple[type[Event], type]]()
        """Events by type and by the class of their outcome, of all other batches."""

        self.refusals = Counter[str]()
        """Refused events by code."""

        self.batch_events = Histogram(BATCH_EVENTS)
        self.queue_seconds = Histogram(DISK_SECONDS)
        """The times between the first request of a batch and its decision."""

        self.delay_seconds = Histogram(DELAY_SECONDS)
        """The times between occurrence and acceptance. The first accepted event of a request stands for all of it."""

        self.malformed = 0
        """Bodies, and items of batches, that were not events."""

        self.queue_full = 0
        """Events that found no room in the ingest queue."""

        self.unacknowledged = 0
        """Events that were decided and are not acknowledged, because the log has failed."""

    def note(self, requests: Sequence[Sequence[Event]], outcomes: Sequence[Outcome | Exception]) -> None:
        """Count the events of a batch, which are those of some requests. Those that were accepted are durable."""
        events = list(chain.from_iterable(requests))
        if set(map(type, outcomes)) == _ACCEPTED:
            self.accepted.update(map(type, events))
            self._note_delays(requests)
            return
        self.mixed.update(zip(map(type, events), map(type, outcomes), strict=True))
        self.refusals.update(outcome.code for outcome in outcomes if isinstance(outcome, Refusal))
        found = iter(outcomes)
        self._note_delays([[event for event in one if isinstance(next(found), Accepted)] for one in requests])

    def _note_delays(self, requests: Sequence[Sequence[Event]]) -> None:
        """Observe the delay of the first event for all of a request, in 0.6 µs, or 1.2 µs with an offset."""
        now, parse, observe = datetime.now(UTC).timestamp(), datetime.fromisoformat, self.delay_seconds.observe
        for accepted in requests:
            if accepted:
                try:
                    occurred_at = parse(accepted[0].occurred_at.upper()).timestamp()  # RFC 3339 allows "z"
                except ValueError:  # such as a leap second
                    continue
                observe(now - occurred_at if now > occurred_at else 0.0, len(accepted))
