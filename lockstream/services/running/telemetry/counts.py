"""The counts of the running system at one moment, since its start."""

from typing import NamedTuple

from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Refusal
from lockstream.infrastructure.telemetry.histogram import Observations
from lockstream.services.running.telemetry.batch_tally import BatchTally


class FileCounts(Struct, frozen=True, kw_only=True):
    """The counts that a log in a file has: of flushes, checkpoints, the row cache and the id index."""

    flush_seconds: Observations
    checkpoint_seconds: Observations
    checkpoint_failures: int
    batches: int
    missing_batches: int
    """Batches that needed a row which was not in memory."""

    read_rows: int
    """Rows that were read from SQLite because the row cache lacked them."""

    cached_rows: int
    changed_rows: int
    """Rows that wait for a checkpoint."""

    memtable_ids: int
    run_ids: int
    compactions: int
    failed_compactions: int


class DatabaseCounts(Struct, frozen=True, kw_only=True):
    """The counts that a log in a database has, of this node alone."""

    lock_seconds: Observations
    commit_seconds: Observations
    round_trips: int
    connections: int
    """Connections that were opened."""


class EventCounts(Struct, frozen=True, kw_only=True):
    """The counts of events that were sent to this process."""

    accepted: dict[type[Event], int]
    duplicates: dict[type[Event], int]
    refused: dict[type[Event], int]
    refusals: dict[str, int]
    failed: int
    """Events that were not decided because of an internal error."""

    malformed: int
    queue_full: int
    unacknowledged: int
    """Events that got no acknowledgement because the store was unavailable."""

    batch_events: Observations
    queue_seconds: Observations
    delay_seconds: Observations

    @classmethod
    def of(cls, tally: BatchTally) -> "EventCounts":
        """Return the counts of a tally."""
        by_outcome: dict[type, dict[type[Event], int]] = {Accepted: dict(tally.accepted), Duplicate: {}, Refusal: {}}
        failed, unacknowledged = 0, tally.unacknowledged
        for (event_type, outcome), count in tally.mixed.items():
            if (found := by_outcome.get(outcome)) is not None:
                found[event_type] = found.get(event_type, 0) + count
            elif issubclass(outcome, StoreUnavailable):
                unacknowledged += count
            else:
                failed += count
        return cls(
            accepted=by_outcome[Accepted],
            duplicates=by_outcome[Duplicate],
            refused=by_outcome[Refusal],
            refusals=dict(tally.refusals),
            failed=failed,
            malformed=tally.malformed,
            queue_full=tally.queue_full,
            unacknowledged=unacknowledged,
            batch_events=tally.batch_events.read(),
            queue_seconds=tally.queue_seconds.read(),
            delay_seconds=tally.delay_seconds.read(),
        )


class SystemCounts(NamedTuple):
    """The counts of one process."""

    events: EventCounts
    storage: FileCounts | DatabaseCounts | None
    streams_lag: int
    """Events that the slowest stream of the feed has not read."""

    keys_refused: dict[str, int]
    """Requests and events that were refused because of their API key, by the code of the refusal."""
