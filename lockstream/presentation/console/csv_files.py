"""A list as a file of CSV, which has the rows of all pages of the API."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator

from starlette.types import Message, Receive, Scope, Send

from lockstream.core.errors import NotAuthenticated
from lockstream.presentation.console.api import FIRST_ERROR, ApiRefused, Application
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.event_stream import IS_HEAD, wait_for_disconnect
from lockstream.presentation.http.media_types import CSV
from lockstream.presentation.http.routes.operations import path_of
from lockstream.presentation.http.routes.shared.pages import AFTER, LIMIT, MAX_ITEMS

FEED = "/events"
"""The one list without a last page. Its file has the rows of one page."""

_PAGE_NAMES = (LIMIT.name.encode(), AFTER.name.encode())
_NEXT_PAGE = re.compile(rb'<\?([^>]*)>; rel="next"')
_HEADERS_OF_A_PAGE = (b"link", b"content-length")
_ROW_END = b"\r\n"

logger = logging.getLogger(__name__)


async def send_csv(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request for a list, whose caller is known, with the rows of all pages. One page at a time is in memory.

    The file begins with the first page, wherever the address begins. If a later page is refused, the response has no
    end, so a browser reports that the download has failed.
    """
    scope = _scope_of_csv(scope)
    first = _FirstPage(send, may_go_on=not scope.get(IS_HEAD))
    await application.forward(scope, receive, first.send)
    if first.next_query is None:
        return
    disconnected = asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        async for rows in _further_rows(application, scope, receive, first.next_query):
            if disconnected.done():
                return
            await send({"type": "http.response.body", "body": rows, "more_body": True})
    except (ApiRefused, NotAuthenticated) as refused:
        logger.warning(
            "The CSV file of %s ends early: %s", path_of(scope), refused, extra={"event_name": "csv_file_incomplete"}
        )
        return
    finally:
        disconnected.cancel()
    await send({"type": "http.response.body", "body": b""})


class _FirstPage:
    """Sends the response with the first page, without its end if further pages follow."""

    def __init__(self, send: Send, *, may_go_on: bool) -> None:
        self.next_query: bytes | None = None
        """Query of the second page, if there is one and its rows are wanted."""

        self._send, self._may_go_on = send, may_go_on

    async def send(self, message: Message) -> None:
        """Send a message of the first page's response."""
        if message["type"] == "http.response.start" and (query := _next_query(message["headers"])) is not None:
            self.next_query = query if self._may_go_on else None
            headers = [header for header in message["headers"] if header[0] not in _HEADERS_OF_A_PAGE]
            message = {**message, "headers": headers}
        elif self.next_query is not None:
            message = {**message, "more_body": True}
        await self._send(message)


async def _further_rows(
    application: Application, scope: Scope, receive: Receive, query: bytes | None
) -> AsyncIterator[bytes]:
    """Yield the rows of each page from `query` on, without the names of the columns.

    Raises:
        ApiRefused: a page is refused.
        NotAuthenticated: the key of the caller is no longer accepted.
    """
    while query is not None:
        application.lockstream.access.require_accepted(caller_of(scope))
        response = await application.respond({**scope, "query_string": query}, receive)
        if response.status_code >= FIRST_ERROR:
            raise ApiRefused(response.status_code, bytes(response.body).decode())
        yield bytes(response.body).partition(_ROW_END)[2]
        query = _next_query(response.raw_headers)


def _scope_of_csv(scope: Scope) -> Scope:
    """Return the scope of a request for CSV, whatever the browser accepts. Its pages are as long as they may be."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept"]
    scope = {**scope, "headers": [*headers, (b"accept", CSV.encode())]}
    if path_of(scope) != FEED:
        pairs = scope["query_string"].split(b"&")
        kept = [pair for pair in pairs if pair and pair.partition(b"=")[0] not in _PAGE_NAMES]
        scope["query_string"] = b"&".join([*kept, b"%b=%d" % (LIMIT.name.encode(), MAX_ITEMS)])
    return scope


def _next_query(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return the query of the next page, if there is one."""
    link = dict(headers).get(b"link", b"")
    found = _NEXT_PAGE.fullmatch(link)
    return found[1] if found else None
