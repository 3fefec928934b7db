"""A client that walks through the pages of a list, each by the token `next` of the page before."""

from contextlib import closing
from http.client import OK, HTTPConnection
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from bench.errors import BenchFailure

_TIMEOUT_SECONDS = 60


class Page(Struct, frozen=True):
    """A page of a list."""

    path: str
    items: list[dict[str, Any]]


class _Body(Struct):
    items: list[dict[str, Any]]
    next: str | None


def find_pages(port: int, path: str, *numbers: int) -> list[Page]:
    """Return the pages of a list with these numbers, from 1, in ascending order. `path` has a query, such as a limit.

    Raises:
        BenchFailure: the list has fewer pages, or a response is not a page with items.
    """
    found, page_path = [], path
    with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)) as connection:
        for number in range(1, max(numbers) + 1):
            body = _fetch(connection, page_path)
            if number in numbers:
                found.append(Page(page_path, body.items))
            if body.next is None and number < max(numbers):
                raise BenchFailure(f"{path} has only {number:,} of {max(numbers):,} pages.")
            page_path = f"{path}&after={quote(body.next or '', safe='')}"
    return found


def _fetch(connection: HTTPConnection, path: str) -> _Body:
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    if response.status != OK:
        raise BenchFailure(f"GET {path}: {response.status} instead of 200: {content[:300]!r}.")
    try:
        body = msgspec.json.decode(content, type=_Body)
    except msgspec.MsgspecError as error:
        raise BenchFailure(f"GET {path}: the body is not a page: {content[:300]!r}.") from error
    if not body.items:
        raise BenchFailure(f"GET {path}: the page is empty.")
    return body
