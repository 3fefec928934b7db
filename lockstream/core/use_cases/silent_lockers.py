"""Find silent lockers: the measure of silence at a moment, and the lockers that it applies to."""

from msgspec import Struct

from lockstream.core.entities.listings import ListedLocker, LockerKey, LockerQuery
from lockstream.core.entities.log import SECOND
from lockstream.core.entities.silence import Silence, SilenceLimits, min_others_heard
from lockstream.core.ports import Listings

PACE_SECONDS = 7 * 24 * 60 * 60
"""Seconds over which the pace of the network is averaged: a week, which has busy and quiet hours alike."""


class SilentLocker(Struct, frozen=True):
    """A silent locker."""

    locker_id: str
    last_event_at: int
    """Recorded time of its last event, in microseconds since 1970."""

    usual_silence_seconds: int | None
    """Usual time between two events, or None while it is not known."""


class SilentLockers(Struct, frozen=True):
    """The number of silent lockers, and the first ones by id."""

    silent: int
    gone: int
    """Number of lockers that have been silent for so long that nobody waits for them. They are not among `silent`."""

    first: list[SilentLocker]


def silence_at(listings: Listings, now: int, limits: SilenceLimits) -> Silence:
    """Return the measure of silence at the time `now`, in microseconds since 1970.

    Raises:
        StoreUnavailable: the lists cannot be read.
    """
    rank = min_others_heard(listings.network().lockers)
    if not rank:
        return Silence(listings.position, event_seconds=_event_seconds(listings, now))
    quiet = listings.recent_position(rank, listings.position_at(now - limits.floor) + 1) - 1
    young, gone = (min(quiet, listings.position_at(now - limit)) for limit in (limits.young, limits.gone))
    return Silence(listings.position, quiet, young, gone, _event_seconds(listings, now))


def listed_lockers(listings: Listings, query: LockerQuery, after: LockerKey | None, limit: int) -> list[ListedLocker]:
    """Return up to `limit` lockers behind the key `after`, each with its silence by the measure of the query.

    Raises what `Listings.lockers` raises.
    """
    return [ListedLocker.of(row, query.silence) for row in listings.lockers(query, after, limit)]


def silent_lockers(listings: Listings, silence: Silence, limit: int) -> SilentLockers:
    """Return the number of silent lockers and of those that are gone, and up to `limit` silent ones.

    Raises:
        StoreUnavailable: the lists cannot be read.
    """
    silent, gone = listings.silent_counts(silence)
    rows = listings.lockers(LockerQuery(silent=True, silence=silence), None, limit) if silent and limit else []
    times = listings.times(sorted(row.last_position for row in rows))
    first = [SilentLocker(row.locker_id, times[row.last_position], silence.usual_seconds(row)) for row in rows]
    return SilentLockers(silent, gone, first)


def _event_seconds(listings: Listings, now: int) -> float:
    """Return the average time between two events over the week before `now`, or since the first event."""
    if not listings.position:
        return 0.0
    start = now - PACE_SECONDS * SECOND
    before = listings.position_at(start)
    if not before:
        start = listings.times([1])[1]
    return max(now - start, 0) / SECOND / max(listings.position - before, 1)
