"""Scales: the amount of work of a run, in full or to try the benchmark."""

from msgspec import Struct


class Scale(Struct, frozen=True):
    """Numbers of events, repetitions and seconds of a run."""

    repetitions: int
    seconds: float
    """Time of a measurement that has no fixed number of events."""
    sustained_events: int
    """Events in batches of 1,000."""
    saved_events: int
    """Events that the eventsourcing package saves. Its rate does not depend on their number."""
    big_log_events: int
    burst_events: int
    """Events in batches of 1,000, on the big log and on an empty one."""
    behind_events: int
    """Events of the big log that its projection lacks when a server starts."""
    rebuild_events: int
    registered: int
    """Compartments whose memory is measured."""
    reads_seconds: float
    reads_rate: float
    """GETs a second."""
    listed_lockers: int
    """Number of lockers in the groups `lists` and `console`. Each has 40 compartments and some 200 events."""
    pages: int
    """Number of the last page that is compared with the first one."""
    lists_seconds: float
    streams: int
    """Streams of the feed that are open at the same time."""


FULL = Scale(
    repetitions=5,
    seconds=3,
    sustained_events=2_000_000,
    saved_events=100_000,
    big_log_events=5_000_000,
    burst_events=400_000,
    behind_events=50_000,
    rebuild_events=1_000_000,
    registered=1_000_000,
    reads_seconds=4,
    reads_rate=200,
    listed_lockers=25_000,
    pages=1_000,
    lists_seconds=8,
    streams=1_000,
)

QUICK = Scale(
    repetitions=2,
    seconds=1,
    sustained_events=40_000,
    saved_events=10_000,
    big_log_events=80_000,
    burst_events=24_000,
    behind_events=2_000,
    rebuild_events=24_000,
    registered=20_000,
    reads_seconds=1.5,
    reads_rate=200,
    listed_lockers=400,
    pages=16,
    lists_seconds=3,
    streams=100,
)
