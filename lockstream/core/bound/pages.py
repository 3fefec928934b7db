"""Pages of rows that are merged from several lists, or searched for in one list."""

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from lockstream.core.entities.listings import PartialRows

CHUNK_ROWS = 1_000
"""Most rows of one read."""

SEARCHED_POSITIONS = 20_000
"""Most positions that one page searches. A position has at most one row of a list (docs/decisions/0028)."""

type Key = Any
"""The key of a row in the order of its list: a position or an id."""

type Page[RowT] = Callable[[Key | None, int], list[RowT]]
"""Returns up to a number of rows behind a key, in the order of the list."""


def merged_page[RowT](
    lists: Sequence[Page[RowT]], key_of: Callable[[RowT], Key], after: Key | None, limit: int, *, descending: bool
) -> list[RowT]:
    """Return up to `limit` rows of several lists behind the key `after`. No two rows have the same key."""
    count = min(limit, 2 + limit // max(len(lists), 1))  # each list is read again while the page needs more rows
    rows = (_rows(page, key_of, after, count) for page in lists)
    return list(islice(merge(*rows, key=key_of, reverse=descending), limit))


class Span(NamedTuple):
    """The positions that the keys of a list may have, both included, and the direction of the list."""

    first: int
    last: int
    descending: bool


def searched_page[RowT](
    page: Page[RowT],
    key_of: Callable[[RowT], int],
    is_wanted: Callable[[RowT], bool],
    span: Span,
    after: int | None,
    limit: int,
) -> list[RowT]:
    """Return up to `limit` wanted rows of one list behind the position `after`.

    The result is `PartialRows` if the search ended before the page was full. The end of a search depends on positions
    alone, so a page tells nothing of the rows that are not wanted.
    """
    last = span.first - 1 if not span.descending else span.last + 1
    last = last if after is None else after
    through = last - SEARCHED_POSITIONS if span.descending else last + SEARCHED_POSITIONS
    found: list[RowT] = []
    while True:
        rows = page(last, CHUNK_ROWS)
        within = [row for row in rows if (key_of(row) >= through if span.descending else key_of(row) <= through)]
        found += filter(is_wanted, within)
        if len(found) >= limit:
            return found[:limit]
        if len(within) < CHUNK_ROWS:
            break
        last = key_of(rows[-1])
    is_last = through <= span.first if span.descending else through >= span.last
    return found if is_last else PartialRows(found, through)


def all_rows[RowT](page: Page[RowT], key_of: Callable[[RowT], Key]) -> Iterator[RowT]:
    """Yield all rows of a list."""
    return _rows(page, key_of, None, CHUNK_ROWS)


def _rows[RowT](page: Page[RowT], key_of: Callable[[RowT], Key], after: Key | None, count: int) -> Iterator[RowT]:
    """Yield the rows of a list behind the key `after`.

    The first read asks for `count` rows, and each further read for twice as many, up to `CHUNK_ROWS`.
    """
    while True:
        rows = page(after, count)
        yield from rows
        if len(rows) < count:
            return
        after, count = key_of(rows[-1]), min(2 * count, CHUNK_ROWS)
