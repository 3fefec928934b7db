"""The shared part of all lists of the state: pages of rows at one position."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastapi import Request, Response
from msgspec import Struct

from lockstream.core.entities.listings import CountKey, PartialRows, Rows
from lockstream.core.entities.subjects import Subject, absence
from lockstream.core.ports import Listings
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.min_position import POSITION, min_position_of
from lockstream.presentation.http.query_parameters import Parameter, Values
from lockstream.presentation.http.routes.shared.pages import EncodedPage, PageClass, PageForm
from lockstream.presentation.http.routes.shared.reads import not_found, parameters_of
from lockstream.schemas.listings import ItemClass, encode_json, items_of


class Source[RowT, KeyT: (int, str, CountKey)](NamedTuple):
    """The rows of a list, sorted by their keys."""

    key_class: type[KeyT]
    key_of: Callable[[RowT], KeyT]
    page: Callable[[Listings, KeyT | None, int], Rows[RowT] | None]
    """Returns up to a number of rows behind a key, or None if the subject of the list does not exist."""

    subject: Subject | None = None
    """The subject in the path, which must exist."""

    depends_on: Subject | None = None
    """The only subject whose events change the list. None if a time selects rows: all events tell which position it
    stands for.
    """


def paged[RowT, KeyT: (int, str, CountKey)](
    rows: Callable[[Listings, KeyT | None, int], Sequence[RowT] | None],
) -> Callable[[Listings, KeyT | None, int], Rows[RowT] | None]:
    """Return a function for pages of a list. `rows` returns up to a number of rows behind a key."""

    def page(listings: Listings, after: KeyT | None, limit: int) -> Rows[RowT] | None:
        found = rows(listings, after, limit + 1)
        if isinstance(found, PartialRows):
            return Rows(found, has_more=True, through=found.through)
        return None if found is None else Rows(found[:limit], has_more=len(found) > limit)

    return page


class PagedList[RowT](PageForm):
    """A list of the state at one position, sent page by page."""

    def __init__(self, name: str, item_class: ItemClass[RowT], page_class: PageClass, *filters: Parameter[Any]) -> None:
        super().__init__(name, item_class, page_class, *filters)
        self._items_of = partial(items_of, item_class)

    @property
    def parameters(self) -> dict[str, Any]:
        """The declaration of the parameters."""
        return parameters_of(self.query_parameters)

    async def answer[KeyT: (int, str, CountKey)](
        self, request: Request, values: Values, source: Source[RowT, KeyT]
    ) -> Response:
        """Answer with the page of `source` that the parameters demand."""
        subject = source.subject
        wanted = self.page_request(request, values, source.key_class, "/".join(subject or ()))

        def page(listings: Listings) -> EncodedPage | None:
            found = source.page(listings, wanted.after, wanted.limit)
            if found is None:
                return None
            rows, has_more, through = found
            next_token = wanted.token(through or source.key_of(rows[-1])) if has_more else None
            # This runs in the thread of the query: encoding a page of 1,000 items takes milliseconds.
            return self.encode(self._items_of(rows, listings), next_token, wanted.media_type)

        lockstream = lockstream_of(request)
        result = await lockstream.list(page, min_position_of(request), subject=source.depends_on)
        if result.value is None:
            return not_found(absence(subject) if subject else "", result.position)
        return self.page_response(values, result.value, wanted.media_type, {POSITION: str(result.position)})


async def answer_whole(request: Request, query: Callable[[Listings], Struct]) -> Response:
    """Answer with the value of `query`, which has no pages."""
    lockstream = lockstream_of(request)
    value, position = await lockstream.list(query, min_position_of(request))
    return EncodedJson(encode_json(value), headers=encoded_headers({POSITION: str(position)}))
