"""Compare two projections by one pass over the sorted rows of both, so that memory is bounded."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, Protocol

from lockstream.core.entities.state import Key, Row
from lockstream.core.ports import RowReads
from lockstream.core.state_hash import state_hash
from lockstream.infrastructure.rows.mapping import to_row
from lockstream.infrastructure.rows.tables import TABLES


class Rows(Protocol):
    """All rows of a projection at one moment. Each iterator is sorted by key, and fetches rows as they are needed."""

    @property
    def reads(self) -> RowReads: ...

    def rows(self, row_class: type[Row]) -> Iterator[tuple[Any, ...]]: ...

    def moments(self) -> Iterator[tuple[Any, ...]]: ...

    def totals(self) -> Iterator[tuple[int, ...]]:
        """Yield the position and the totals of the network, which should be one row."""

    def open_faults(self) -> Iterator[tuple[int, int]]:
        """Yield the number of open faults for each severity that has occurred."""


def differences(stored: Rows, expected: Rows) -> Iterator[str]:
    """Yield a text for each place in which two projections differ: a row, a time, a state hash or a total."""
    for position, _ in _unmatched(_changes(stored.moments()), _changes(expected.moments()), tuple):
        yield f"the recorded time at position {position}"
    for row_class in TABLES:
        yield from (f"{row_class.__name__} {key}" for key in _differing_keys(row_class, stored, expected))
    hashes = _unmatched(_state_hashes(stored.reads), _state_hashes(expected.reads), itemgetter(0))
    yield from (f"the state hash of locker {locker_id!r}" for locker_id in _distinct(map(itemgetter(0), hashes)))
    if list(map(tuple, stored.totals())) != list(map(tuple, expected.totals())):
        yield "the totals of the network"
    if sorted(map(tuple, stored.open_faults())) != sorted(map(tuple, expected.open_faults())):
        yield "the numbers of open faults"


def _differing_keys(row_class: type[Row], stored: Rows, expected: Rows) -> Iterator[Key]:
    def key_of(found: tuple[Any, ...]) -> Any:
        return to_row(row_class, found).key

    return _distinct(map(key_of, _unmatched(stored.rows(row_class), expected.rows(row_class), key_of)))


def _state_hashes(reads: RowReads) -> Iterator[tuple[str, str]]:
    return ((locker.locker_id, state_hash(locker)) for locker in reads.lockers())


def _unmatched[T](stored: Iterable[T], expected: Iterable[T], key_of: Callable[[T], Any]) -> Iterator[T]:
    """Yield the items that only one of two iterables has, which are sorted by key.

    Items that are not sorted, as in a damaged database, are yielded as well, and maybe more than these.
    """
    left, right = iter(stored), iter(expected)
    found, wanted = next(left, None), next(right, None)
    while found is not None or wanted is not None:
        if found == wanted:
            found, wanted = next(left, None), next(right, None)
        elif wanted is None or (found is not None and key_of(found) <= key_of(wanted)):
            yield found  # type: ignore[misc]  # one of the two is not None
            found = next(left, None)
        else:
            yield wanted
            wanted = next(right, None)


def _distinct[T](items: Iterable[T]) -> Iterator[T]:
    """Yield each of several equal items in a row once."""
    last = None
    for item in items:
        if item != last:
            yield item
        last = item


def _changes(moments: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, int]]:
    """Yield each change of the recorded time. Batches that share a time count as one."""
    last = None
    for position, time in moments:
        if time != last:
            yield position, time
        last = time
