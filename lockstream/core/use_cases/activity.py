"""The activity of the network: accepted events in each minute, or quarter of an hour, up to now."""

from enum import StrEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from lockstream.core.entities.log import SECOND
from lockstream.core.ports import Listings


class ActivitySpan(StrEnum):
    """The time that the activity covers."""

    HOUR = "hour"
    """60 steps of a minute."""

    DAY = "day"
    """96 steps of 15 minutes."""

    @property
    def step_seconds(self) -> int:
        """Length of a step, in seconds."""
        return 60 if self is ActivitySpan.HOUR else 900

    @property
    def steps(self) -> int:
        """Number of steps."""
        return 60 if self is ActivitySpan.HOUR else 96


class ActivityStep(NamedTuple):
    """The events of one step."""

    begins_at: int
    """Microseconds since 1970."""

    events: int
    """Accepted events with a recorded time in the step."""


def activity(listings: Listings, span: ActivitySpan, now: int) -> list[ActivityStep]:
    """Return the steps of a span. The last step contains `now`, in microseconds since 1970, and is not over.

    Steps begin at whole minutes, or quarters of an hour. If a clock was set back, an event counts in the step at whose
    end the log first reached it. Events that another node's clock has recorded after `now` count in the last step.
    """
    length = span.step_seconds * SECOND
    last = now // length * length
    begins = [last - length * steps for steps in reversed(range(span.steps))]
    reached = accumulate([*listings.positions_at([begin - 1 for begin in begins]), listings.position], max)
    counts = [end - start for start, end in pairwise(reached)]
    return [ActivityStep(begin, count) for begin, count in zip(begins, counts, strict=True)]
