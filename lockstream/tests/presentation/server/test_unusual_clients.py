"""Clients that use HTTP in an unusual way, or leave early: each gets the responses that are due."""

import json
import socket
import struct

import pytest

from lockstream.tests.presentation.server.client import chunked, event, get, request
from lockstream.tests.presentation.server.guarded_server import GuardedServer
from lockstream.tests.presentation.server.manual_clock import wait_until_received


@pytest.mark.parametrize("count", [1, 3])
def test_a_client_that_has_closed_its_side_gets_its_responses(served: GuardedServer, count: int) -> None:
    with served.connect() as connection:
        connection.send(*(request(event(f"{count}-{number}", locker="half-closed")) for number in range(count)))
        connection.end_sending()
        assert [connection.response().status for _ in range(count)] == [202] * count
        assert connection.is_at_end()
    with served.connect() as connection:
        connection.send(get("/lockers/half-closed"))
        connection.end_sending()
        assert connection.response().status == 200
        assert connection.is_at_end()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request(content_length=10), request(b"{", content_length=10)])
def test_the_server_closes_the_connection_of_a_client_that_closes_its_side_inside_a_request(
    served: GuardedServer, sent: bytes
) -> None:
    with served.connect() as connection:
        connection.send(sent)
        connection.end_sending()
        assert connection.is_at_end()


@pytest.mark.parametrize("rest", [request(content_length=10), request(content_length=10**12)], ids=["short", "refused"])
def test_a_client_that_closes_its_side_inside_a_request_gets_the_responses_before_it(
    served: GuardedServer, rest: bytes
) -> None:
    with served.connect() as connection:
        connection.send(request(event(f"c{len(rest)}", locker="unfinished")) * 20 + rest)
        connection.end_sending()
        assert [connection.response().status for _ in range(20)] == [202] + [200] * 19
        if b"1000000000000" in rest:
            assert connection.response().status == 413
        assert connection.is_at_end()


@pytest.mark.parametrize("resets", [False, True])
def test_a_client_that_disconnects_disturbs_no_other(served: GuardedServer, resets: bool) -> None:
    malformed_batch = request(b"[" + b",".join([b"[]"] * 10_000) + b"]", "/events/batch")
    for sent, is_complete in (
        (get()[:9], False),
        (request(b"{", content_length=9), False),
        (malformed_batch, True),
        (get() * 500, True),
    ):
        with served.connect(receive_buffer=4096) as connection:
            connection.send(sent)
            if is_complete:
                assert connection.socket.recv(100).startswith(b"HTTP/1.1 ")
            if resets:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.assert_serves_others()


def test_an_offer_of_another_protocol_is_declined_and_the_request_is_answered(served: GuardedServer) -> None:
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABk"}
    with served.connect() as connection:
        connection.send(request(event(locker="h2c"), **offer) + get("/lockers/h2c", **offer) * 3)
        assert [connection.response().status for _ in range(4)] == [202, 200, 200, 200]
        connection.send(get("/lockers/h2c", connection="Upgrade", upgrade="websocket"))
        assert connection.response().status == 200


def test_a_client_of_http_1_0_gets_its_response_and_the_connection_is_closed(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(b"GET /lockers/a HTTP/1.0\r\n\r\n")
        response = connection.response()
        assert (response.status, response.headers["connection"]) == (404, "close")
        assert connection.is_at_end()


@pytest.mark.parametrize("is_separate", [False, True], ids=["with the body", "after the body"])
def test_trailers_do_not_count_as_headers(served: GuardedServer, is_separate: bool) -> None:
    """RFC 9110, section 6.5.1."""
    body = event(f"trailers-{is_separate}", locker="trailers")
    with served.connect() as connection:
        sent = chunked(b"%x\r\n%b\r\n" % (len(body), body))
        trailers = b"0\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n"
        if is_separate:
            connection.send(sent)
            wait_until_received(connection)
            connection.send(trailers)
        else:
            connection.send(sent + trailers)
        assert connection.response().status == 202


def test_a_client_that_expects_100_continue_is_told_to_send_its_body(served: GuardedServer) -> None:
    body = event(locker="continue")
    with served.connect() as connection:
        connection.send(request(content_length=len(body), expect="100-continue"))
        assert connection.socket.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(body)
        assert json.loads(connection.response().body)["outcome"] == "accepted"
