"""The tally of decided events: counts that group commit updates once for each batch."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

from lockstream.core.entities.events import Event
from lockstream.core.outcomes import Accepted, Outcome, Refusal
from lockstream.infrastructure.telemetry.histogram import DISK_SECONDS, Histogram

BATCH_EVENTS = (1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000)
"""Upper bounds of the buckets for the number of events in a batch."""

DELAY_SECONDS = (1, 5, 30, 60, 300, 900, 3_600, 14_400, 86_400)
"""Upper bounds, in seconds, of the buckets for the time from the occurrence of an event to its acceptance."""

_ACCEPTED = {Accepted}


class BatchTally:
    """Counts the events of batches by type and outcome. For one event loop."""

    def __init__(self) -> None:
        self.accepted = Counter[type[Event]]()
        """Accepted events by type, from batches in which all events were accepted."""

        self.mixed = Counter[tuple[type[Event], type]]()
        """Events by type and by the class of their outcome, from all other batches."""

        self.refusals = Counter[str]()
        """Refused events by code."""

        self.batch_events = Histogram(BATCH_EVENTS)
        self.queue_seconds = Histogram(DISK_SECONDS)
        """Times from the arrival of the first request of a batch to the decision of the batch."""

        self.delay_seconds = Histogram(DELAY_SECONDS)
        """Times from occurrence to acceptance. The first accepted event of a request stands for all its events."""

        self.malformed = 0
        """Bodies, and items of batches, that were not events."""

        self.queue_full = 0
        """Events that found no room in the ingest queue."""

        self.unacknowledged = 0
        """Events that were decided and are not acknowledged, because the log has failed."""

    def note(self, requests: Sequence[Sequence[Event]], outcomes: Sequence[Outcome | Exception]) -> None:
        """Count the events of a batch by their outcomes. The accepted events are durable."""
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
        """Observe one delay for each request, that of its first event: parsing every time would cost too much."""
        now, parse, observe = datetime.now(UTC).timestamp(), datetime.fromisoformat, self.delay_seconds.observe
        for accepted in requests:
            if accepted:
                try:
                    occurred_at = parse(accepted[0].occurred_at.upper()).timestamp()  # RFC 3339 allows "z"
                except ValueError:  # such as a leap second
                    continue
                observe(now - occurred_at if now > occurred_at else 0.0, len(accepted))
