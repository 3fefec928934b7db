"""How much is measured."""

from msgspec import Struct


class Scale(Struct, frozen=True):
    repetitions: int
    seconds: float
    """Of one measurement by the clock."""
    sustained_events: int
    saved_events: int
    """That the eventsourcing package saves in a repetition: its rate does not depend on it, its patience does."""
    history_events: int
    """In the big log."""
    history_burst: int
    """In batches, on the big log and on an empty one."""
    behind_events: int
    rebuild_events: int
    registered: int
    """Compartments in memory."""
    reads_seconds: float
    reads_rate: float
    """GETs a second."""


FULL = Scale(
    repetitions=5,
    seconds=3,
    sustained_events=2_000_000,
    saved_events=100_000,
    history_events=5_000_000,
    history_burst=400_000,
    behind_events=10_000,
    rebuild_events=1_000_000,
    registered=1_000_000,
    reads_seconds=4,
    reads_rate=200,
)

QUICK = Scale(
    repetitions=2,
    seconds=1,
    sustained_events=40_000,
    saved_events=10_000,
    history_events=80_000,
    history_burst=24_000,
    behind_events=2_000,
    rebuild_events=24_000,
    registered=20_000,
    reads_seconds=1.5,
    reads_rate=200,
)
