"""Slow clients get as much time as the settings say, and no more."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import batched
from pathlib import Path

import pytest

from lockstream.presentation.server.protocol import BODY_PIECE_BYTES
from lockstream.tests.presentation.server.client import RawConnection, Response, chunked, event, get, request
from lockstream.tests.presentation.server.guarded_server import (
    BODY_SECONDS,
    HAS_PROC,
    HEADER_SECONDS,
    GuardedServer,
    bounded_memory,
    guarded,
)
from lockstream.tests.presentation.server.manual_clock import (
    pass_seconds,
    pass_seconds_until,
)
from lockstream.tests.support.builders import as_lines, registered
from lockstream.tests.support.processes import SERVE, wait_until

NDJSON = "application/x-ndjson"

needs_proc = pytest.mark.skipif(not HAS_PROC, reason="this system has no /proc")


def assert_too_slow(response: Response, setting: str, seconds: int) -> None:
    assert (response.status, response.headers["connection"]) == (408, "close")
    assert setting in response.detail
    assert f"{seconds} seconds" in response.detail


def assert_headers_too_slow(response: Response, seconds: int = HEADER_SECONDS) -> None:
    assert_too_slow(response, "LOCKSTREAM_HEADER_SECONDS", seconds)


def assert_body_too_slow(response: Response, seconds: int = BODY_SECONDS) -> None:
    assert_too_slow(response, "LOCKSTREAM_BODY_SECONDS", seconds)


@pytest.mark.parametrize("ahead", [b"", get()], ids=["first", "second"])
@pytest.mark.parametrize(
    ("beginning", "unit"), [(b"GET /", b"x"), (b"POST /events HTTP/1.1\r\nx: ", b"x"), (b"\r\n", b"\n")]
)
def test_headers_that_arrive_byte_by_byte_get_408(
    served: GuardedServer, beginning: bytes, unit: bytes, ahead: bytes
) -> None:
    with served.connect() as connection:
        # given a request that has begun, in the same read as the one before it
        connection.send(ahead + beginning)
        if ahead:
            assert connection.response().status == 404
        # when one byte more arrives each second, then it is not refused before the limit
        for _ in range(HEADER_SECONDS):
            connection.send(unit)
            pass_seconds(1, connection)
            assert not connection.has_data()
        # then it is refused after the limit
        pass_seconds(1, connection)
        assert_headers_too_slow(connection.response())
        assert connection.is_at_end()
    served.assert_serves_others()


@pytest.mark.parametrize("first", [b"", get()], ids=["no request", "one request"])
def test_an_idle_connection_is_closed_without_a_response(served: GuardedServer, first: bytes) -> None:
    with served.connect() as connection:
        connection.send(first)
        if first:
            assert connection.response().status == 404
        pass_seconds(HEADER_SECONDS, connection)
        assert not connection.has_data()
        pass_seconds(1, connection)
        assert connection.is_at_end()


def test_a_request_after_a_pause_has_the_whole_time_limit(served: GuardedServer) -> None:
    with served.connect() as connection:
        pass_seconds(HEADER_SECONDS, connection)
        connection.send(b"GET /lockers/unk")
        pass_seconds(HEADER_SECONDS, connection)
        connection.send(b"nown HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.response().status == 404


def test_only_the_setting_limits_the_time_between_requests(served: GuardedServer) -> None:
    """The server of this test would close the connection at once if uvicorn's own timeout counted."""
    with served.connect() as connection:
        connection.send(get() + b"GET /lockers/unk")
        assert connection.response().status == 404
        pass_seconds(HEADER_SECONDS, connection)
        served.assert_serves_others()
        connection.send(b"nown HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.response().status == 404


@pytest.mark.parametrize("sends_bytes", [False, True], ids=["nothing", "byte by byte"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_a_body_that_is_too_slow_gets_408(served: GuardedServer, is_chunked: bool, sends_bytes: bool) -> None:
    unit = b"1\r\n \r\n" if is_chunked else b" "
    with served.connect() as connection:
        # given a request without its body
        connection.send(chunked() if is_chunked else request(content_length=1000))
        # when nothing or one byte more arrives each second, then it is not refused before the limit
        for _ in range(BODY_SECONDS):
            pass_seconds(1, connection)
            assert not connection.has_data()
            if sends_bytes:
                connection.send(unit)
        # then it is refused after the limit
        pass_seconds(1, connection)
        assert_body_too_slow(connection.response())
        assert connection.is_at_end()
    served.assert_serves_others()


def test_items_that_were_accepted_of_a_batch_that_became_too_slow_count_once(served: GuardedServer) -> None:
    text = as_lines(*(registered(f"c{number}", locker="slow") for number in range(300)))
    with served.connect() as connection:
        # given a batch that lacks its last byte, and of which some items were accepted
        connection.send(request(text[:-1], "/events/batch", NDJSON, content_length=len(text)))
        wait_until(lambda: served.process.get("/lockers/slow")[0] == 200)
        # when the byte does not come
        assert pass_seconds_until(connection.has_data, connection) > BODY_SECONDS
        # then the client is told to send the batch again
        response = connection.response()
        assert_body_too_slow(response)
        assert "Send all of it again" in response.detail
    # and it counts once
    with served.connect() as connection:
        connection.send(request(text, "/events/batch", NDJSON))
        statuses = [item["status"] for item in json.loads(connection.response().body)]
        assert (len(statuses), set(statuses)) == (300, {200, 202})


@pytest.mark.parametrize("media_type", ["application/json", NDJSON])
def test_a_long_body_has_the_time_limit_for_each_of_its_pieces(served: GuardedServer, media_type: str) -> None:
    # given a batch of several pieces
    locker = f"long {media_type.removeprefix('application/')}"
    events = [event(f"c{number}", locker=locker, note="x" * 1000) for number in range(200)]
    text = b"\n".join(events) if media_type == NDJSON else b"[" + b",".join(events) + b"]"
    first, *others = [bytes(piece) for piece in batched(text, BODY_PIECE_BYTES)]
    assert len(others) > 2
    with served.connect() as connection:
        # when each piece arrives just before the limit
        connection.send(request(first, "/events/batch", media_type, content_length=len(text)))
        for piece in others:
            pass_seconds(BODY_SECONDS, connection)
            connection.send(piece)
        # then the whole batch is accepted
        assert [item["status"] for item in json.loads(connection.response().body)] == [202] * len(events)


def test_an_event_that_arrives_in_pieces_within_the_time_limit_is_accepted(served: GuardedServer) -> None:
    text = event(locker="hesitant")
    with served.connect() as connection:
        connection.send(request(text[:10], content_length=len(text)))
        pass_seconds(BODY_SECONDS - 1, connection)
        connection.send(text[10:20])
        pass_seconds(1, connection)
        connection.send(text[20:])
        assert connection.response().status == 202
        connection.send(get("/lockers/hesitant"))
        assert connection.response().status == 200


def test_a_client_that_goes_on_sending_a_refused_body_is_disconnected_after_the_time_limit(
    served: GuardedServer,
) -> None:
    piece = b" " * 100_000
    with served.connect() as connection:
        # given a body that was refused
        connection.send(request(content_length=10**12))
        assert connection.response().status == 413
        # when its client goes on sending, then it has time to read the response
        for _ in range(BODY_SECONDS):
            connection.send(piece)
            pass_seconds(1, connection)
            assert not connection.has_data()
        # then it is disconnected
        pass_seconds(1, connection)
        assert connection.is_at_end()
        assert connection.send_while_open(iter([piece] * 100)) < 100 * len(piece)


def test_a_client_whose_body_is_refused_late_has_the_whole_time_limit_to_read_the_response(
    served: GuardedServer,
) -> None:
    with served.connect() as connection:
        # given a body that arrived slowly, and was refused before its end
        connection.send(chunked())
        pass_seconds(BODY_SECONDS, connection)
        connection.send(b"%x\r\n%b\r\n" % (100_000, b" " * 100_000))
        assert connection.response().status == 413
        # then the time for the response begins with it
        pass_seconds(BODY_SECONDS, connection)
        assert not connection.has_data()
        pass_seconds(1, connection)
        assert connection.is_at_end()


@needs_proc
def test_a_client_that_does_not_read_its_response_is_disconnected_after_the_time_limit(served: GuardedServer) -> None:
    with unread_response(served) as connection:
        assert pass_seconds_until(lambda: not served.has_open(connection), connection) > BODY_SECONDS
        with pytest.raises((AssertionError, ConnectionError)):
            connection.response()


@needs_proc
def test_the_clock_ticks_each_second(log_path: Path) -> None:
    """Only this server has a clock of its own. Its limit is longer than a busy machine delays a client."""
    seconds = 3
    limits = {"LOCKSTREAM_HEADER_SECONDS": str(seconds), "LOCKSTREAM_BODY_SECONDS": str(seconds)}
    with (
        guarded(log_path, limits, program=SERVE) as served,
        bounded_memory(served),
        ExitStack() as connections,
    ):
        # given clients that stop at different points
        idle = connections.enter_context(served.connect())
        slow_in_headers = connections.enter_context(served.connect())
        slow_in_headers.send(b"GET /")
        slow_in_body = connections.enter_context(served.connect())
        slow_in_body.send(request(content_length=1000))
        reads_nothing = connections.enter_context(unread_response(served))
        # then each limit ends its wait
        assert idle.is_at_end()
        assert_headers_too_slow(slow_in_headers.response(), seconds)
        assert_body_too_slow(slow_in_body.response(), seconds)
        wait_until(lambda: not served.has_open(reads_nothing))


@contextmanager
def unread_response(served: GuardedServer) -> Iterator[RawConnection]:
    """A connection with a response that has begun, and of which the system's buffers cannot take all."""
    wrong = b'{"type":"FaultReported",%b}' % b",".join(b'"%d":0' % number for number in range(10))
    malformed_batch = b"[" + b",".join([wrong] * 5_000) + b"]"
    with served.connect(receive_buffer=4096) as connection:
        connection.send(request(malformed_batch, "/events/batch"))
        connection.socket.recv(1, socket.MSG_PEEK)
        assert served.has_open(connection)
        served.assert_serves_others()
        yield connection
