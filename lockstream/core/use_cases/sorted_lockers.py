"""Lists of lockers that no index has in their order: they are sorted, if few lockers pass the filters."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from lockstream.core.entities.listings import LockerKey, LockerOrder, LockerQuery
from lockstream.core.entities.state import LockerTotals
from lockstream.core.errors import TooManyToSort

MAX_SORTED = 10_000
"""Most lockers that are sorted for a page: in 5 ms on both engines, if `silent` and `gone` do not filter them
(docs/decisions/0022)."""

INDEXED_FILTERS = {
    LockerOrder.ID: ("q", "available", "degraded", "silent", "gone"),
    LockerOrder.LAST_EVENT: ("silent", "gone"),
    LockerOrder.DEGRADED: ("available", "degraded"),
}
"""Filters that an order allows for any number of lockers: an index serves them together with the order."""

type LockerPage = Callable[[LockerQuery, LockerKey | None, int], list[LockerTotals]]
"""Returns up to a number of lockers behind a key, in the order of the query."""


def is_indexed(query: LockerQuery) -> bool:
    """Return whether the stores read the list from an index, however many lockers pass its filters."""
    flags = {name: getattr(query, name) for name in ("available", "degraded", "silent", "gone")}
    filters = {name for name, flag in flags.items() if flag is not None} | ({"q"} if query.prefix else set())
    return query.order in INDEXED_FILTERS and filters.issubset(INDEXED_FILTERS[query.order])


def require_few(count: int, query: LockerQuery) -> None:
    """Require that at most `MAX_SORTED` lockers, of which there are `count`, have to be sorted.

    Raises:
        TooManyToSort: there are more.
    """
    if count > MAX_SORTED:  # a prefix may be that of the caller's key
        raise TooManyToSort(query.order, MAX_SORTED, () if query.prefix else INDEXED_FILTERS.get(query.order, ()))


def sorted_lockers(
    lockers: LockerPage, query: LockerQuery, after: LockerKey | None, limit: int, most: int
) -> list[LockerTotals]:
    """Return up to `limit` lockers behind `after`, in the order of the query. `lockers` lists them by id.

    Raises:
        TooManyToSort: more than `most` lockers pass the filters.
    """
    found = lockers(replace(query, order=LockerOrder.ID, descending=False), None, most + 1)
    if len(found) > most:
        raise TooManyToSort(query.order, most)
    return sorted_page(found, query.key_of, after, limit, descending=query.descending)


def sorted_page[RowT](
    rows: Iterable[RowT], key: Callable[[RowT], Any], after: Any, limit: int, *, descending: bool = False
) -> list[RowT]:
    """Return up to `limit` rows behind the key `after`, in the order of their keys."""
    ordered = sorted(rows, key=key, reverse=descending)
    if after is not None:
        ordered = [row for row in ordered if (key(row) < after if descending else key(row) > after)]
    return ordered[:limit]
