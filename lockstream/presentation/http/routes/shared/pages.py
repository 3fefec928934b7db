"""Pages of any list: their parameters, media types, tokens and declaration."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from msgspec import Struct

from lockstream.core.entities.listings import CountKey
from lockstream.presentation.http.errors import NOT_ACCEPTABLE
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.media_types import CSV, JSON, negotiate
from lockstream.presentation.http.page_tokens import PageKey, binding_of, decode_token, encode_token
from lockstream.presentation.http.query_parameters import Parameter, QueryParameters, Values, page_token, whole_number
from lockstream.presentation.http.routes.shared.reads import RESPONSES, Responses, responses_of
from lockstream.schemas.listings import encode_csv, encode_json

MAX_ITEMS = 1_000
DEFAULT_ITEMS = 100

LIMIT = whole_number("limit", 1, MAX_ITEMS, DEFAULT_ITEMS, "Maximum number of items on a page.")
AFTER = page_token("after", "The `next` of the page before, with the same filters and the same order.")

CONTENT_DISPOSITION = {"description": "The name of the file, for CSV.", "schema": {"type": "string"}}
"""Declares the header by which a browser saves CSV as a file."""


class Order(StrEnum):
    """Direction of a list."""

    ASC = "asc"
    DESC = "desc"


class PageRequest[KeyT](NamedTuple):
    """The page that a request asks for."""

    after: KeyT | None
    """The key of the last item of the page before."""

    limit: int
    media_type: str
    binding: bytes
    """Digest of the filters and the order to which a page token is bound."""

    def token(self, last_key: PageKey) -> str:
        """Return the token of the next page, given the key of the last item of this page."""
        return encode_token(last_key, self.binding)


class EncodedPage(NamedTuple):
    """A page as a body, and the token of the next page."""

    body: bytes
    next: str | None


type PageClass = Callable[[list[Any], str | None], Struct]
"""Makes a page of its items and the token of the next page."""


class HasFields(Protocol):
    """The class of the items of a list."""

    __struct_fields__: tuple[str, ...]


class PageForm:
    """The form of the pages of one list."""

    def __init__(
        self,
        name: str,
        item_class: HasFields,
        page_class: PageClass,
        *filters: Parameter[Any],
    ) -> None:
        self._name = name
        self._item_class, self._page_class = item_class, page_class
        self.query_parameters = QueryParameters(*filters, LIMIT, AFTER)

    def responses(self, example: Struct, more: Responses | None = None, common: Responses = RESPONSES) -> Responses:
        """Declare the responses: pages with items like `example`, the responses `more`, and the responses `common`."""
        page = self._page_class([example], "AcP6y5hYzoBwdA")
        declared = responses_of(page, "A page of the list.", {**(more or {}), 406: NOT_ACCEPTABLE}, common)
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
            "Content-Disposition": CONTENT_DISPOSITION,
        }
        return declared

    def parse(self, request: Request) -> Values:
        """Return the parameters of a request. Raises InvalidQuery if one is not allowed."""
        return self.query_parameters.parse(request)

    def page_request[KeyT: (int, str, CountKey)](
        self, request: Request, values: Values, key_class: type[KeyT], subject: str = ""
    ) -> PageRequest[KeyT]:
        """Return the page that a request asks for. `subject` is the id of the subject whose rows are listed.

        Raises:
            NotAcceptable: the request accepts neither JSON nor CSV.
            InvalidQuery: the page token is not one of this list.
        """
        media_type = negotiate(request, (JSON, CSV))
        binding = binding_of(self._name, subject, self.query_parameters.filters(values, (LIMIT, AFTER)))
        token = values[AFTER]
        after = None if token is None else decode_token(token, binding, key_class)
        return PageRequest(after, values[LIMIT], media_type, binding)

    def encode(
        self, items: list[Any], token: str | None, media_type: str, page_class: PageClass | None = None
    ) -> EncodedPage:
        """Encode a page. `page_class` makes the page of items and token, instead of the class of this form."""
        if media_type == CSV:
            return EncodedPage(encode_csv(self._item_class.__struct_fields__, items), token)
        return EncodedPage(encode_json((page_class or self._page_class)(items, token)), token)

    def page_response(
        self, values: Values, page: EncodedPage, media_type: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Response:
        """Return the response with a page, with `headers` besides those of the page."""
        headers = {**headers, "Vary": "Accept"}
        if page.next is not None:
            headers["Link"] = f'<{_url_of_next(values, page.next)}>; rel="next"'
        if media_type == CSV:
            return csv_response(self._name, page.body, headers)
        return EncodedJson(page.body, headers=encoded_headers(headers))


def csv_response(name: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """Return the response with a list as CSV, which browsers save as a file of this name."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(body, media_type=f"{CSV}; charset=utf-8", headers={**headers, **disposition})


def _url_of_next(values: Values, token: str) -> str:
    """Return the URL of the next page. It is relative to the URL of this page, so a path prefix does not change it."""
    texts = [(name, text) for name, text in values.texts if name != AFTER.name]
    return f"?{urlencode([*texts, (AFTER.name, token)], quote_via=quote, safe='')}"
