"""The rate of accepted events, computed from two states of a server."""

from typing import NamedTuple

from lockstream.presentation.cli.status.answers import Status


class Seen(NamedTuple):
    """A state of a server, and the time at which it was read."""

    status: Status
    seconds: float
    """Time of the monotonic clock."""


def events_a_second(before: Seen | None, now: Seen) -> float | None:
    """Return the rate of accepted events between two states, or None if it is not known.

    A head that went back belongs to another log, or to a restored one.
    """
    if before is None or now.seconds <= before.seconds:
        return None
    events = now.status.storage.head - before.status.storage.head
    return events / (now.seconds - before.seconds) if events >= 0 else None
