"""Pages of rows that several lists have together, or that are few among the rows of one list."""

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from lockstream.core.entities.listings import PartialRows

CHUNK_ROWS = 1_000
"""Most rows that are read at a time."""

SEARCHED_ROWS = 20_000
"""Rows of all lockers that one page searches at most, for those of the key's lockers (docs/decisions/0028)."""

FIRST_ROWS = 10
"""Rows that are read first from each of many lists. More follow while the page needs them."""

type Key = Any
"""The key of a row in the order of its list: a position or an id."""

type Page[RowT] = Callable[[Key | None, int], list[RowT]]
"""Returns up to a number of rows behind a key, in the order of the list."""


def merged_page[RowT](
    lists: Sequence[Page[RowT]], key_of: Callable[[RowT], Key], after: Key | None, limit: int, *, descending: bool
) -> list[RowT]:
    """Return up to `limit` rows of several lists behind the key `after`. No two rows have the same key."""
    first_rows = limit if len(lists) == 1 else min(limit, FIRST_ROWS)
    rows = (_rows(page, key_of, after, first_rows) for page in lists)
    return list(islice(merge(*rows, key=key_of, reverse=descending), limit))


def searched_page[RowT](
    page: Page[RowT],
    key_of: Callable[[RowT], Key],
    is_wanted: Callable[[RowT], bool],
    after: Key | None,
    limit: int,
) -> list[RowT]:
    """Return up to `limit` wanted rows of one list behind the key `after`.

    They are `PartialRows` if the search ended before the page was full.
    """
    found: list[RowT] = []
    searched = 0
    while True:
        rows = page(after, CHUNK_ROWS)
        found += filter(is_wanted, rows)
        if len(found) >= limit or len(rows) < CHUNK_ROWS:
            return found[:limit]
        after = key_of(rows[-1])
        searched += len(rows)
        if searched >= SEARCHED_ROWS:
            return PartialRows(found, through=after)


def all_rows[RowT](page: Page[RowT], key_of: Callable[[RowT], Key]) -> Iterator[RowT]:
    """Yield all rows of a list."""
    return _rows(page, key_of, None, CHUNK_ROWS)


def _rows[RowT](page: Page[RowT], key_of: Callable[[RowT], Key], after: Key | None, count: int) -> Iterator[RowT]:
    """Yield the rows of a list behind the key `after`. Each read has twice as many as the one before."""
    while True:
        rows = page(after, count)
        yield from rows
        if len(rows) < count:
            return
        after, count = key_of(rows[-1]), min(2 * count, CHUNK_ROWS)
