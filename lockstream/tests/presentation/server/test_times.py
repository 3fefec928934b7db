"""Clients that take their time: they are waited for as long as the settings say, and no longer."""

import json
import socket
import time
from collections.abc import Iterator
from itertools import batched, repeat
from pathlib import Path

import pytest

from lockstream.presentation.limits import PIECE
from lockstream.tests.presentation.server.client import (
    HAS_PROC,
    Answer,
    Guarded,
    Wire,
    event,
    get,
    guarded,
    holds,
    request,
)
from lockstream.tests.support.builders import as_lines, registered
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

SECONDS = 3
"""Few, so that it does not take long, and more than a busy machine makes a client hesitate."""

LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    log = tmp_path_factory.mktemp("times") / "event_log.jsonl"
    limits = {f"LOCKSTREAM_{name}_SECONDS": str(SECONDS) for name in ("HEADER", "BODY")}
    with guarded(log, **limits) as served:
        yield served


def assert_too_slow(answer: Answer, setting: str) -> None:
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert setting in answer.detail
    assert f"{SECONDS} seconds" in answer.detail


@pytest.mark.parametrize("begin", [b"GET /", b"POST /events HTTP/1.1\r\nx: ", b"\r\n", get() + b"GET /"], ids=range(4))
def test_headers_that_come_byte_by_byte_are_too_slow(served: Guarded, begin: bytes) -> None:
    with served.wire() as wire:
        wire.send(begin)
        if begin.startswith(get()):
            assert wire.answer().status == 404
        wire.send_until_answered(b"\n" if begin == b"\r\n" else b"x", pause=0.3)
        assert_too_slow(wire.answer(), "LOCKSTREAM_HEADER_SECONDS")
        assert wire.ended()
    served.regulars.go_on()


@pytest.mark.parametrize("first", [b"", get()], ids=["ever", "more"])
def test_who_says_nothing_is_hung_up_on_without_a_word(served: Guarded, first: bytes) -> None:
    with served.wire() as wire:
        wire.send(first)
        if first:
            assert wire.answer().status == 404
        assert wire.ended()


def test_a_connection_may_rest_between_requests_for_as_long_as_the_setting_says(log_path: Path) -> None:
    """And not for the five seconds that uvicorn would give it."""
    with Server(log_path, LOCKSTREAM_HEADER_SECONDS="60").start() as server, Wire(server.port) as wire:
        wire.send(get() + b"GET /lockers/nob", pause=7)
        assert wire.answer().status == 404
        wire.send(b"ody HTTP/1.1\r\nhost: test\r\n\r\n")
        assert wire.answer().status == 404


@pytest.mark.parametrize("pause", [0, 0.5])
@pytest.mark.parametrize("size", [{"content_length": 1000}, {"content_length": None, "transfer_encoding": "chunked"}])
def test_a_body_that_comes_byte_by_byte_is_too_slow(served: Guarded, size: dict[str, object], pause: float) -> None:
    with served.wire() as wire:
        wire.send(request(**size))  # type: ignore[arg-type]  # headers
        if pause:
            wire.send_until_answered(b" " if "transfer_encoding" not in size else b"1\r\n \r\n", pause)
        assert_too_slow(wire.answer(), "LOCKSTREAM_BODY_SECONDS")
        assert wire.ended()
    served.regulars.go_on()


def test_what_was_accepted_of_a_batch_that_became_too_slow_counts_once(served: Guarded) -> None:
    text = as_lines(*(registered(f"c{number}", locker="slow") for number in range(300)))
    with served.wire() as wire:
        wire.send(request(text[:-1], "/events/batch", LINES, content_length=len(text)))
        answer = wire.answer()
        assert_too_slow(answer, "LOCKSTREAM_BODY_SECONDS")
        assert "Send all of it again" in answer.detail
    with served.wire() as wire:
        wire.send(request(text, "/events/batch", LINES))
        statuses = [item["status"] for item in json.loads(wire.answer().body)]
        assert (len(statuses), set(statuses)) == (300, {200, 202})


@pytest.mark.parametrize("media_type", ["application/json", LINES])
def test_a_long_body_has_as_long_again_for_each_of_its_parts(served: Guarded, media_type: str) -> None:
    events = [event(f"c{number}", locker=f"long {media_type.upper()[12:]}", note="x" * 1000) for number in range(200)]
    text = b"[" + b",".join(events) + b"]" if media_type != LINES else b"\n".join(events)
    parts = [bytes(part) for part in batched(text, PIECE)]
    pause = 0.6
    assert len(parts) * pause > 2 * SECONDS
    with served.wire() as wire:
        wire.send(request(parts[0], "/events/batch", media_type, content_length=len(text)))
        wire.send(*parts[1:], pause=pause)
        assert [item["status"] for item in json.loads(wire.answer().body)] == [202] * len(events)


def test_an_event_may_take_as_long_as_there_is_time(served: Guarded) -> None:
    text = event(locker="hesitant")
    with served.wire() as wire:
        wire.send(request(text[:10], content_length=len(text)), text[10:20], text[20:], pause=SECONDS / 10)
        assert wire.answer().status == 202
        wire.send(get("/lockers/hesitant"))
        assert wire.answer().status == 200


def test_who_goes_on_sending_a_body_that_was_refused_is_cut_off(served: Guarded) -> None:
    with served.wire() as wire:
        began = time.monotonic()
        wire.send(request(content_length=10**12))
        assert wire.answer().status == 413
        assert wire.send_while_open(repeat(b" " * 100_000, 1000), pause=0.1) < 10**7
        assert time.monotonic() - began > 1, "it was given no time to read the answer"


@pytest.mark.skipif(not HAS_PROC, reason="this system has no /proc")
def test_who_never_reads_its_answer_is_cut_off(served: Guarded) -> None:
    # given more of an answer than the system takes off the server's hands
    wrong = b'{"type":"FaultReported",%b}' % b",".join(b'"%d":0' % number for number in range(10))
    malformed = b"[" + b",".join([wrong] * 5_000) + b"]"
    with served.wire(receive_buffer=4096) as wire:
        wire.send(request(malformed, "/events/batch"))
        wire.socket.recv(1, socket.MSG_PEEK)
        assert holds(served.server, wire)
        served.regulars.go_on()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while holds(served.server, wire):
            assert time.monotonic() < deadline, "it is waited for for ever"
            time.sleep(0.1)
        with pytest.raises((AssertionError, ConnectionError)):
            wire.answer()
