"""Silence of lockers: a locker is silent if it has had no event for much longer than usual.

The network's events are the clock: a gap is the number of positions between two events of a locker. So a night, or an
outage of the whole network, makes no locker silent (docs/decisions/0032).
"""

from msgspec import Struct

from lockstream.core.entities.log import SECOND
from lockstream.core.entities.state import LockerTotals

SILENT_FACTOR = 6
"""A gap of this many usual gaps is silence. A longer gap counts as one of this length when usual gaps are learned."""

LEARNED_GAPS = 256
"""Number of usual gaps that are remembered: once `gap_sum` exceeds them, a new gap displaces older ones."""

LEARNED_EVENTS = 50
"""Events besides registrations after which the usual gap of a locker is known."""

MAX_GAP = 2**24
"""Longest gap that is learned from. The sum of squares of gaps then stays below 2**57, and fits a database's column."""

YOUNG_DAYS = 7
"""Days after which a locker whose usual gap is not known is silent."""

FEWEST_HEARD = 3
"""A locker is quiet only if at least this many other lockers, or all others, had an event since its last event."""

_LOCKERS_PER_HEARD = 10
"""In a large network, one in this many lockers must have had an event since a quiet locker's last event."""

_MINUTE = 60 * SECOND
_DAY = 24 * 60 * _MINUTE


class SilenceLimits(Struct, frozen=True):
    """Times of silence, in microseconds."""

    floor: int = 60 * _MINUTE
    """Time for which every locker may be quiet."""

    gone: int = 30 * _DAY
    """Time after which a silent locker counts as gone."""

    young: int = YOUNG_DAYS * _DAY
    """Time for which a locker may be quiet whose usual gap is not known."""

    @classmethod
    def of(cls, minutes: int, days: int) -> "SilenceLimits":
        """Return the limits with a floor of `minutes`, and `days` after which a locker is gone."""
        return cls(minutes * _MINUTE, days * _DAY)


class Silence(Struct, frozen=True):
    """The measure of silence at one moment (docs/decisions/0032).

    A locker that is silent by one measure, and has no event since, is silent or gone by all later measures.
    """

    position: int = 0
    """Position of the network's last event."""

    quiet_through: int = 0
    """A locker is quiet if its last event is at this position or before: long ago, and many others came later."""

    young_through: int = 0
    """A locker whose usual gap is not known is silent if its last event is at this position or before."""

    gone_through: int = 0
    """A silent locker is gone if its last event is at this position or before."""

    event_seconds: float = 0.0
    """Average time between two events of the network, in seconds."""

    def is_silent(self, row: LockerTotals) -> bool:
        """Return whether a locker is silent. One that is gone is not."""
        return row.last_position > self.gone_through and self._is_silent_or_gone(row)

    def is_gone(self, row: LockerTotals) -> bool:
        """Return whether a locker has been silent for so long that nobody waits for it."""
        return row.last_position <= self.gone_through and self._is_silent_or_gone(row)

    def usual_seconds(self, row: LockerTotals) -> int | None:
        """Return the usual time between two events of a locker, by the network's average pace, or None if not known.

        Long gaps count more than short ones: the result is the average length of the gap in which a random event falls.
        """
        return round(row.usual_gap * self.event_seconds) if knows_usual_gap(row) else None

    def _is_silent_or_gone(self, row: LockerTotals) -> bool:
        if row.last_position > self.quiet_through:
            return False
        if knows_usual_gap(row):
            return self.position - row.last_position >= longest_gap(row)
        return row.last_position <= self.young_through


NO_SILENCE = Silence()
"""The measure by which no locker is silent."""


def knows_usual_gap(row: LockerTotals) -> bool:
    """Return whether a locker has had enough events for its usual gap to be known."""
    return row.events - row.compartments >= LEARNED_EVENTS


def longest_gap(row: LockerTotals) -> int:
    """Return the length of a gap, in positions, from which on the locker is silent."""
    return SILENT_FACTOR * row.usual_gap


def min_others_heard(lockers: int) -> int:
    """Return how many other lockers must have had an event since a locker's last one for that locker to be quiet.

    `lockers` is the number of lockers in the network. The result is 0 if no locker has others. Without this minimum,
    the burst of a few lockers, such as an import, would look like the activity of a network.
    """
    return min(lockers - 1, max(FEWEST_HEARD, -(-lockers // _LOCKERS_PER_HEARD))) if lockers else 0
