"""Texts of values: numbers, times, durations and the words of the domain."""

import re
from datetime import UTC, datetime
from typing import Final

from lockstream.core.wording import counted

EVENT_WORDS: Final = {
    "CompartmentRegistered": "Compartment registered",
    "ReservationCreated": "Reserved",
    "ParcelDeposited": "Deposited",
    "ParcelPickedUp": "Picked up",
    "ReservationExpired": "Expired",
    "FaultReported": "Fault reported",
    "FaultCleared": "Fault cleared",
}
"""One or two words for each type of event."""

STATUS_WORDS: Final = {
    "CREATED": "Reserved, not deposited",
    "DEPOSITED": "Waiting for pick-up",
    "PICKED_UP": "Picked up",
    "EXPIRED": "Expired",
}
"""The meaning of each status of a reservation."""

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


_DAY_AND_CLOCK = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?")
_SHOWN_UNITS = 2

LATE_SECONDS = 3_600
"""Seconds between an event and its record from which a page calls the event reported late."""


def number(value: int) -> str:
    """Return a whole number with a separator between thousands."""
    return f"{value:,}"


def instant(text: str) -> datetime:
    """Return the time of an RFC 3339 text, in UTC. A leap second is the second before it.

    A time in the first or last hours of all years may have no time in UTC: its clock is then taken for UTC.
    """
    time = datetime.fromisoformat(text.upper().replace(":60", ":59"))
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return time.replace(tzinfo=UTC)


def clock(text: str) -> str:
    """Return a time as a page shows it without scripts: in UTC, to the minute."""
    return f"{instant(text):%Y-%m-%d %H:%M} UTC"


def time_of_field(text: str) -> str:
    """Return the time of a field for day and clock, which has no offset, in UTC. Another text stays as it is."""
    if not _DAY_AND_CLOCK.fullmatch(text):
        return text
    return f"{text}Z" if text.count(":") > 1 else f"{text}:00Z"


def field_of_time(text: str) -> str:
    """Return a time as a field for day and clock has it, in UTC, or an empty text if the time cannot be read."""
    try:
        return f"{instant(time_of_field(text)):%Y-%m-%dT%H:%M}"
    except ValueError:
        return ""


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one time to another."""
    return (instant(later) - instant(earlier)).total_seconds()


def gap(occurred_at: str, recorded_at: str) -> str:
    """Return how long after an event, by the clock of its locker, the event was recorded."""
    seconds = seconds_between(occurred_at, recorded_at)
    if abs(seconds) < 1:
        return "recorded at once"
    if seconds < 0:
        return f"the locker's clock is {duration(seconds)} ahead"
    return f"recorded {duration(seconds)} later"


def is_late(occurred_at: str, recorded_at: str) -> bool:
    """Return whether an event was recorded more than an hour after it happened, by the clock of its locker."""
    return seconds_between(occurred_at, recorded_at) > LATE_SECONDS


def seconds_since(text: str) -> float:
    """Return the seconds from a time until now."""
    return (datetime.now(UTC) - instant(text)).total_seconds()


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as `3 days 4 hours`."""
    rest = round(abs(seconds))
    parts: list[str] = []
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(counted(count, unit))
        if len(parts) == _SHOWN_UNITS or (parts and not count):
            break
    return " ".join(parts) or "less than a second"
