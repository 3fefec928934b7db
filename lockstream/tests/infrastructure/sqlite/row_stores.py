"""A row store in a dict, and compartments as rows whose version is a number."""

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from lockstream.core.entities.events import (
    CompartmentPayload,
    CompartmentRegistered,
    Event,
    ParcelDeposited,
    ReservationPayload,
)
from lockstream.core.entities.log import Cursor
from lockstream.core.entities.state import Compartment, Key, LockerTotals, Row
from lockstream.core.row_set import RowsByClass, no_rows
from lockstream.infrastructure.sqlite.row_cache import ChangeSet, RowCache

LOCKER = "locker"
NAMES = [f"c{number}" for number in range(20)]


class DictRowStore:
    """A row store in a dict, which lists the keys that it was asked for."""

    def __init__(self) -> None:
        self.rows: RowsByClass = no_rows()
        self.fetched: list[Key] = []

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        if row_class is not LockerTotals:  # every batch needs the row of the only locker
            self.fetched += keys
        rows = self.rows[row_class]
        return [rows[key] for key in keys if key in rows]

    def write(self, change_set: ChangeSet) -> None:
        for row_class, changed in change_set.rows.items():
            self.rows[row_class].update(changed)


def compartment(name: str, version: int) -> Compartment:
    """Return a version of a compartment. The number of degrading faults serves as its version."""
    return Compartment(LOCKER, name, None, version)


def save(cache: RowCache, *rows: Compartment) -> None:
    """Save rows as one batch, with one event for each: the id is `NAME-VERSION`."""
    named = [about(row.compartment_id) for row in rows]
    row_set = cache.fetch(named)
    events: list[Event] = []
    for row, one in zip(rows, named, strict=True):
        event_id = f"{row.compartment_id}-{row.degrading_faults}"
        is_new = row_set.compartments[row.key] is None
        events.append(replace(one, event_id=event_id) if is_new else changed(event_id))
        row_set.save([row])
    cache.apply(row_set, events, [], Cursor(cache.reached.position + len(rows)))


def about(name: str) -> CompartmentRegistered:
    """Return an event whose read set is one compartment. Once accepted, the compartment is new."""
    return CompartmentRegistered("", "", LOCKER, CompartmentPayload(name))


def about_reservation(name: str) -> ParcelDeposited:
    """Return an event whose read set is one reservation, with its compartment."""
    return ParcelDeposited("", "", LOCKER, ReservationPayload(name))


def changed(event_id: str) -> Event:
    """Return an event that makes no id known but its own."""
    return ParcelDeposited(event_id, "", LOCKER, ReservationPayload("any"))


def version(cache: RowCache, name: str) -> int | None:
    """Return the version of a compartment that the next batch would see, or None if there is no such compartment."""
    row = cache.fetch([about(name)]).compartments[LOCKER, name]
    return None if row is None else row.degrading_faults


def rows_in_memory(cache: RowCache) -> int:
    """Return the number of rows in the cache's generations, apart from changes that wait for a checkpoint.

    The row of the only locker, which every batch needs, is left out.
    """
    generations = (cache._young, cache._old, cache._expired)
    return sum(
        len(rows)
        for generation in generations
        for row_class, rows in generation.items()
        if row_class is not LockerTotals
    )


def cache_over_written_rows(store: DictRowStore, capacity: int, names: list[str] = NAMES) -> RowCache:
    """Return an empty cache over a row store that holds version 1 of all compartments."""
    first = RowCache(store)
    save(first, *(compartment(name, 1) for name in names))
    store.write(first.begin_checkpoint())
    return RowCache(store, first.reached, capacity, first.ids)
