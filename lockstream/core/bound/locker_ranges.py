"""Ranges of locker ids: the patterns of a key, sorted and without overlap."""

from typing import NamedTuple

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.listings import LockerKey


class LockerRange(NamedTuple):
    """One locker id, or all ids with the same beginning."""

    start: str
    is_prefix: bool

    def within(self, prefix: str) -> "LockerRange | None":
        """Return the part of the range whose ids begin with `prefix`, or None if there is none."""
        if self.start.startswith(prefix):
            return self
        return LockerRange(prefix, True) if self.is_prefix and prefix.startswith(self.start) else None

    def has_ids_behind(self, locker_id: LockerKey | None, *, descending: bool) -> bool:
        """Return whether the range has ids behind `locker_id` in a list by id. None is before the list."""
        if not isinstance(locker_id, str):
            return True
        if descending:
            return self.start < locker_id
        return self.start > locker_id or (self.is_prefix and locker_id.startswith(self.start))


def locker_ranges(lockers: Lockers) -> list[LockerRange]:
    """Return the ranges of a key's lockers, in code point order. No id is in two ranges."""
    prefixes: list[str] = []
    for prefix in sorted(lockers.prefixes):
        if not (prefixes and prefix.startswith(prefixes[-1])):
            prefixes.append(prefix)
    ids = (locker_id for locker_id in lockers.ids if not locker_id.startswith(tuple(prefixes)))
    return sorted([*(LockerRange(one, False) for one in ids), *(LockerRange(one, True) for one in prefixes)])
