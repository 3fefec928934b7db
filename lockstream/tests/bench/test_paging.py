"""The walk through the pages of a list, on real sockets."""

import json

import pytest

from bench.errors import BenchFailure
from bench.load.paging import find_pages
from lockstream.tests.support.scripted_server import Respond, response, scripted_server

TOKENS = ["a+b", "c/d", "e=f", None]


def page(number: int) -> bytes:
    """Return the response that is the page of a list with this number, from 0."""
    return response(200, json.dumps({"items": [{"position": number}], "next": TOKENS[number]}).encode())


def walk(respond: Respond, *numbers: int) -> list[tuple[str, int]]:
    """Return the path and the position of the first item of each page."""
    with scripted_server(respond) as port:
        return [(found.path, found.items[0]["position"]) for found in find_pages(port, "/list?limit=1", *numbers)]


def test_find_pages_follows_the_tokens() -> None:
    received: list[bytes] = []

    def respond(number: int, request: bytes) -> bytes:
        received.append(request.split()[1])
        return page(number)

    assert walk(respond, 1, 3) == [("/list?limit=1", 0), ("/list?limit=1&after=c%2Fd", 2)]
    assert received == [b"/list?limit=1", b"/list?limit=1&after=a%2Bb", b"/list?limit=1&after=c%2Fd"]


def test_the_last_page_is_found() -> None:
    assert walk(lambda number, _: page(number), 4) == [("/list?limit=1&after=e%3Df", 3)]


@pytest.mark.parametrize(
    ("respond", "complaint"),
    [
        (lambda number, _: page(number), r"has only 4 of 5 pages"),
        (lambda *_: response(404, b"why"), r"GET /list\?limit=1: 404 instead of 200: b'why'"),
        (lambda *_: response(200, b'{"items":[],"next":null}'), "the page is empty"),
        (lambda *_: response(200, b"{}"), "not a page"),
    ],
    ids=["too short", "another status", "empty", "another body"],
)
def test_find_pages_fails_if_a_page_is_missing(respond: Respond, complaint: str) -> None:
    with pytest.raises(BenchFailure, match=complaint):
        walk(respond, 5)
