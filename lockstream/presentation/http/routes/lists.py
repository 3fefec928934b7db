"""The shared part of all lists: pages, their media types, and their declaration."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from msgspec import Struct

from lockstream.core.entities.listings import Rows
from lockstream.core.ports import Listings
from lockstream.presentation.http.errors import NOT_ACCEPTABLE
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.media_types import CSV, JSON, negotiate
from lockstream.presentation.http.min_position import POSITION, min_position_of
from lockstream.presentation.http.page_tokens import binding_of, decode_token, encode_token
from lockstream.presentation.http.query_parameters import Parameter, QueryParameters, Values, page_token, whole_number
from lockstream.presentation.http.routes.reads import Responses, not_found, parameters_of, responses_of
from lockstream.schemas.listings import ItemClass, encode_csv, encode_json, items_of
from lockstream.services.running.lockstream import Lockstream

MAX_ITEMS = 1_000
DEFAULT_ITEMS = 100

LIMIT = whole_number("limit", 1, MAX_ITEMS, DEFAULT_ITEMS, "Maximum number of items on a page.")
AFTER = page_token("after", "The `next` of the page before, with the same filters and the same order.")


class Order(StrEnum):
    """Direction of a list."""

    ASC = "asc"
    DESC = "desc"


class Source[RowT, KeyT: (int, str)](NamedTuple):
    """The rows of a list, sorted by their keys."""

    key_class: type[KeyT]
    key_of: Callable[[RowT], KeyT]
    page: Callable[[Listings, KeyT | None, int], Rows[RowT] | None]
    """Returns rows behind a key, up to a number, or None if there is no such list."""

    subject: str = ""
    """The id of the subject whose rows are listed, if the path names one."""

    missing: str = ""
    """The sentence that says that there is no such list."""


def paged[RowT, KeyT: (int, str)](
    rows: Callable[[Listings, KeyT | None, int], Sequence[RowT] | None],
) -> Callable[[Listings, KeyT | None, int], Rows[RowT] | None]:
    """Return the pages of a list whose function `rows` returns as many rows as it is asked for, if there are any."""

    def page(listings: Listings, after: KeyT | None, limit: int) -> Rows[RowT] | None:
        found = rows(listings, after, limit + 1)
        return None if found is None else Rows(found[:limit], has_more=len(found) > limit)

    return page


class _Page(NamedTuple):
    body: bytes
    next: str | None


class PagedList[RowT]:
    """A list that is answered page by page, as JSON or as CSV."""

    def __init__(
        self,
        name: str,
        item_class: ItemClass[RowT],
        page_class: Callable[[list[Any], str | None], Struct],
        *filters: Parameter[Any],
    ) -> None:
        self._name = name
        self._item_class = item_class
        self._page_class = page_class
        self._parameters = QueryParameters(*filters, LIMIT, AFTER)

    def responses(self, example: Struct, more: Responses | None = None) -> Responses:
        """Declare the responses: pages, of which `example` is an item, and `more`."""
        page = self._page_class([example], "AcP6y5hYzoBwdA")
        declared = responses_of(page, "A page of the list.", {**(more or {}), 406: NOT_ACCEPTABLE})
        declared[200]["content"][CSV] = {
            "schema": {"type": "string"},
            "example": encode_csv(example.__struct_fields__, [example]).decode(),
        }
        declared[200]["headers"] |= {
            "Link": {
                "description": 'The next page, unless this is the last one: `<?…>; rel="next"`, relative to the URL.',
                "schema": {"type": "string"},
            },
            "Vary": {"description": "`Accept`, which chooses the media type.", "schema": {"type": "string"}},
            "Content-Disposition": {"description": "The name of the file, of CSV.", "schema": {"type": "string"}},
        }
        return declared

    @property
    def parameters(self) -> dict[str, Any]:
        """Declares the parameters."""
        return parameters_of(self._parameters)

    def parse(self, request: Request) -> Values:
        """Return the parameters of a request. Raises InvalidQuery if one is not allowed."""
        return self._parameters.parse(request)

    async def answer[KeyT: (int, str)](self, request: Request, values: Values, source: Source[RowT, KeyT]) -> Response:
        """Answer with the page of `source` that the parameters demand."""
        media_type = negotiate(request, (JSON, CSV))
        binding = binding_of(self._name, source.subject, self._parameters.filters(values, (LIMIT, AFTER)))
        token, limit = values[AFTER], values[LIMIT]
        after = None if token is None else decode_token(token, binding, source.key_class)

        def page(listings: Listings) -> _Page | None:
            found = source.page(listings, after, limit)
            if found is None:
                return None
            rows, has_more = found
            next_token = encode_token(source.key_of(rows[-1]), binding) if has_more else None
            return _Page(self._encode(listings, rows, media_type, next_token), next_token)

        lockstream: Lockstream = request.app.lockstream
        result = await lockstream.list(page, min_position_of(request))
        if result.value is None:
            return not_found(source.missing, result.position)
        return self._response(values, result.value, result.position, media_type)

    def _encode(self, listings: Listings, rows: Sequence[RowT], media_type: str, next_token: str | None) -> bytes:
        """Encode a page. This runs in the thread of the query: a page of 1,000 items takes milliseconds."""
        items = items_of(self._item_class, rows, listings)
        if media_type == CSV:
            return encode_csv(self._item_class.__struct_fields__, items)
        return encode_json(self._page_class(items, next_token))

    def _response(self, values: Values, page: _Page, position: int, media_type: str) -> Response:
        headers = {POSITION: str(position), "Vary": "Accept"}
        if page.next is not None:
            headers["Link"] = f'<{_url_of_next(values, page.next)}>; rel="next"'
        if media_type == CSV:
            headers["Content-Disposition"] = f'attachment; filename="{self._name}.csv"'
            return Response(page.body, media_type=f"{CSV}; charset=utf-8", headers=headers)
        return EncodedJson(page.body, headers=encoded_headers(headers))


async def answer_whole(request: Request, query: Callable[[Listings], Struct]) -> Response:
    """Answer with the value of `query`, which has no pages."""
    lockstream: Lockstream = request.app.lockstream
    value, position = await lockstream.list(query, min_position_of(request))
    return EncodedJson(encode_json(value), headers=encoded_headers({POSITION: str(position)}))


def _url_of_next(values: Values, token: str) -> str:
    """Return the URL of the next page. It is relative to the URL of this page, so a path prefix does not change it."""
    texts = [(name, text) for name, text in values.texts if name != AFTER.name]
    return f"?{urlencode([*texts, (AFTER.name, token)], quote_via=quote, safe='')}"
