"""Answers that fail on their way, or whose request does, with more behind it: nobody waits for what does not come."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from threading import Event
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from lockstream.tests.presentation.http.conftest import serving
from lockstream.tests.presentation.server.client import Guarded, Wire, get, request
from lockstream.tests.support.processes import TIMEOUT_SECONDS


class Ways:
    """An application whose answers begin and then wait, or fail."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.begun, self.go_on = Event(), Event()

        @self.app.get("/begins")
        async def begins() -> Response:
            return StreamingResponse(self._late(), headers={"content-length": "4"})

        @self.app.get("/fails")
        async def fails() -> Response:
            raise RuntimeError

        @self.app.post("/behind")
        async def behind(_: dict[str, str]) -> Response:  # waits for all of its body
            return Response()

    async def _late(self) -> AsyncIterator[bytes]:
        self.begun.set()
        await asyncio.to_thread(self.go_on.wait, TIMEOUT_SECONDS)
        yield b"late"


@contextmanager
def ways() -> Iterator[tuple[Ways, int]]:
    one = Ways()
    with serving(one.app) as url:
        try:
            port = urlsplit(url).port
            assert port
            yield one, port
        finally:
            one.go_on.set()


def test_who_becomes_unreadable_after_an_answer_has_begun_is_told_so() -> None:
    with ways() as (one, port), Wire(port) as wire:
        # given an answer that has begun, and whose request has not ended
        wire.send(get("/begins", transfer_encoding="chunked"))
        assert one.begun.wait(TIMEOUT_SECONDS)
        # when what follows is none
        wire.send(b"ZZ\r\n")
        # then that is the answer
        assert wire.answer().status == 400
        wire.end()
        assert wire.ended()


def test_an_answer_that_begins_before_its_body_comes_whole() -> None:
    with ways() as (one, port), Wire(port) as wire:
        wire.send(get("/begins") + get("/docs"))
        assert one.begun.wait(TIMEOUT_SECONDS)
        one.go_on.set()
        answer = wire.answer()
        assert (answer.status, answer.body) == (200, b"late")
        assert wire.answer().status == 200


@pytest.mark.parametrize("behind", [b"{}", b'{"a":"b"}GARBAGE\r\n\r\n'], ids=["half of a request", "and garbage"])
def test_nobody_waits_for_what_stands_behind_a_request_that_fails(behind: bytes) -> None:
    with ways() as (_, port), Wire(port) as wire:
        wire.send(get("/fails") + request(path="/behind", content_length=9) + behind)
        assert wire.answer().status == 500
        assert wire.ended()
        # and the server stops: at the end it waits for each request that is under way


def test_who_is_to_be_invited_and_is_unreadable_leaves_nothing_in_the_log(served: Guarded) -> None:
    with served.wire() as wire:
        wire.send(request(content_length=None, transfer_encoding="chunked", expect="100-continue") + b"ZZ\r\n")
        assert wire.answer().status == 400
        wire.end()
        assert wire.ended()
    served.regulars.go_on()
    assert " ERROR " not in served.server.stderr
