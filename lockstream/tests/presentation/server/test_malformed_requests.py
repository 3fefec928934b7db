"""Malformed requests get 400 in a sentence, after the requests before them, and the connection is closed."""

import json

import pytest

from lockstream.tests.presentation.server.client import RawConnection, chunked, event, get, request
from lockstream.tests.presentation.server.guarded_server import GuardedServer
from lockstream.tests.presentation.server.manual_clock import wait_until_received


def assert_is_malformed(connection: RawConnection, detail: str = "") -> None:
    """Read a refusal, whose text contains `detail`, and the end of the connection."""
    response = connection.response()
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert response.detail.startswith("Malformed HTTP request: ")
    assert detail in response.detail
    assert connection.is_at_end()


MALFORMED = {
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(range(200)),
    "every byte": bytes(range(256)) * 10,
    "zeros": bytes(1000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"BREW /pot HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "unknown version": b"GET /lockers/a HTTP/9.9\r\nhost: localhost\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "malformed path": b"GET :::: HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "path that is not ASCII": "GET /lockers/é HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(),
    "tunnel": b"CONNECT test:443 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "header without a name": get().removesuffix(b"\r\n") + b": x\r\n\r\n",
    "header with a control character": get(x="\x00"),
    "header on two lines": get(x="y\r\n z"),
    "length that is not a number": request(content_length="abc"),
    "negative length": request(content_length="-1"),
    "length with an exponent": request(content_length="1e3"),
    "length beyond 64 bits": request(content_length="9" * 40),
    "two lengths": request(content_length="5\r\ncontent-length: 6"),
    "length and chunks": request(b"0\r\n\r\n", transfer_encoding="chunked"),
    "chunks and length": chunked(b"0\r\n\r\n").replace(b"chunked\r\n", b"chunked\r\ncontent-length: 5\r\n"),
    "chunks inside chunks": request(content_length=None, transfer_encoding="chunked, chunked"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_gets_400(served: GuardedServer, sent: bytes) -> None:
    with served.connect() as connection:
        connection.send(sent)
        assert_is_malformed(connection)


def test_the_refusal_of_a_tunnel_says_that_the_target_must_be_a_path(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(MALFORMED["tunnel"])
        assert_is_malformed(connection, "the request target must be a path. Send HTTP/1.1.")


MALFORMED_CHUNKS = [b"zz\r\n{}\r\n", b"-1\r\n", b"\r\n", b"fffffffffffffffff\r\n", b"1\r\n{}}}\r\n", b"2\r\n{}\n0\n"]


@pytest.mark.parametrize("chunks", MALFORMED_CHUNKS)
@pytest.mark.parametrize("is_separate", [False, True], ids=["with the headers", "after the headers"])
def test_a_malformed_chunk_gets_400(served: GuardedServer, chunks: bytes, is_separate: bool) -> None:
    with served.connect() as connection:
        if is_separate:
            connection.send(chunked())
            wait_until_received(connection)
            connection.send(chunks)
        else:
            connection.send(chunked(chunks))
        assert_is_malformed(connection)


@pytest.mark.parametrize("last", [b"\x16\x03", chunked(b"zz")])
def test_requests_before_a_malformed_one_get_their_responses_first(served: GuardedServer, last: bytes) -> None:
    locker = f"before {len(last)}"
    with served.connect() as connection:
        connection.send(b"".join(request(event(f"c{number}", locker=locker)) for number in range(3)) + last + b"\r\n")
        responses = [connection.response() for _ in range(3)]
        assert [response.status for response in responses] == [202] * 3
        positions = [json.loads(response.body)["position"] for response in responses]
        assert positions == sorted(positions)
        assert_is_malformed(connection)


@pytest.mark.parametrize("difference", [-5, 5])
def test_a_wrong_length_gets_422_for_the_body_and_400_for_the_rest(served: GuardedServer, difference: int) -> None:
    text = event(locker="wrong length")
    with served.connect() as connection:
        connection.send(request(text, content_length=len(text) + difference) + get())
        assert connection.response().status == 422
        assert_is_malformed(connection)


def test_a_malformed_body_of_a_client_that_expects_100_continue_logs_no_error(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(chunked(b"ZZ\r\n", expect="100-continue"))
        assert connection.response().status == 400
        connection.end_sending()
        assert connection.is_at_end()
    served.assert_serves_others()
    assert " ERROR " not in served.process.stderr
