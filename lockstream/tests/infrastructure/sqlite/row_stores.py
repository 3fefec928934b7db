"""A row store in a dict, and compartments as rows whose version is a number."""

from collections.abc import Collection, Iterable

from lockstream.core.entities.log import Cursor
from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row, Slice
from lockstream.core.read_set import ReadSet
from lockstream.infrastructure.sqlite.row_cache import ChangeSet, RowCache

LOCKER = "locker"


class DictRowStore:
    """A row store in a dict, which lists the keys that it was asked for."""

    def __init__(self) -> None:
        self.rows: dict[type[Row], dict[Key, Row]] = {Compartment: {}, Reservation: {}, Fault: {}}
        self.fetched: list[Key] = []

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        self.fetched += keys
        rows = self.rows[row_class]
        return [rows[key] for key in keys if key in rows]

    def write(self, change_set: ChangeSet) -> None:
        for row_class, changed in change_set.rows.by_class.items():
            self.rows[row_class].update(changed)


def compartment(name: str, version: int) -> Compartment:
    """Return a version of a compartment. The number of degrading faults serves as its version."""
    return Compartment(LOCKER, name, None, version)


def save(cache: RowCache, *rows: Compartment) -> None:
    """Save rows as one batch, with one event for each: the id is `NAME-VERSION`."""
    read_sets = [ReadSet(row.key) for row in rows]
    row_set = cache.fetch(read_sets)
    for row, read_set in zip(rows, read_sets, strict=True):
        row_set.save(row_set.load(read_set), Slice(row))
    ids = [f"{row.compartment_id}-{row.degrading_faults}" for row in rows]
    cache.apply(row_set, ids, Cursor(cache.reached.position + len(rows)))


def version(cache: RowCache, name: str) -> int | None:
    """Return the version of a compartment that the next batch would see, or None if there is no such compartment."""
    read_set = ReadSet((LOCKER, name))
    row = cache.fetch([read_set]).load(read_set).compartment
    return None if row is None else row.degrading_faults


def rows_in_memory(cache: RowCache) -> int:
    """Return the number of rows in the cache's generations, apart from changes that wait for a checkpoint."""
    return sum(map(len, (cache._young, cache._old, cache._expired)))
