"""Bodies and headers that are too large are refused in a sentence, and take no memory."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

import pytest

from lockstream.settings import Settings
from lockstream.tests.presentation.server.client import Response, chunked, event, get, request
from lockstream.tests.presentation.server.guarded_server import MEBIBYTE, GuardedServer
from lockstream.tests.presentation.server.manual_clock import wait_until_received
from lockstream.tests.support.builders import registered

BODY_BYTES = 100 * MEBIBYTE
MAX_HEADER_BYTES = Settings().max_header_bytes
LIMIT_OF_PATH = {"/events": "LOCKSTREAM_MAX_EVENT_BYTES", "/events/batch": "LOCKSTREAM_MAX_BATCH_BYTES"}


def blank_body() -> Iterator[bytes]:
    return repeat(b" " * MEBIBYTE, BODY_BYTES // MEBIBYTE)


def blank_chunks() -> Iterator[bytes]:
    yield from (b"100000\r\n" + blank + b"\r\n" for blank in blank_body())
    yield b"0\r\n\r\n"


def assert_body_too_large(response: Response, setting: str) -> None:
    assert response.status == 413
    assert setting in response.detail


def assert_headers_too_large(response: Response) -> None:
    assert (response.status, response.headers["connection"]) == (431, "close")
    assert response.detail == (
        f"The path and headers are larger than {MAX_HEADER_BYTES} bytes. Send less, or raise "
        "LOCKSTREAM_MAX_HEADER_BYTES."
    )


@pytest.mark.parametrize("path", LIMIT_OF_PATH)
def test_a_body_of_100_mib_gets_413_and_the_connection_stays_open(served: GuardedServer, path: str) -> None:
    with served.connect() as connection:
        connection.send(request(path=path, content_length=BODY_BYTES), *blank_body())
        assert_body_too_large(connection.response(), LIMIT_OF_PATH[path])
        connection.send(request(event(locker="after 100 MiB")))
        assert connection.response().status in (202, 409)
    served.assert_serves_others()


@pytest.mark.parametrize("path", LIMIT_OF_PATH)
@pytest.mark.parametrize("keep", ["keep-alive", "close"])
def test_a_chunked_body_of_100_mib_gets_413(served: GuardedServer, path: str, keep: str) -> None:
    with served.connect() as connection:
        connection.send(chunked(path=path, connection=keep), *blank_chunks())
        assert_body_too_large(connection.response(), LIMIT_OF_PATH[path])
    served.assert_serves_others()


def test_a_client_that_wants_the_connection_closed_can_still_read_its_413(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(request(content_length=BODY_BYTES, connection="close"), *blank_body())
        response = connection.response()
        assert_body_too_large(response, "LOCKSTREAM_MAX_EVENT_BYTES")
        assert response.headers["connection"] == "close"
        assert connection.is_at_end()


@pytest.mark.parametrize("brackets", [b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000])
def test_ten_thousand_nested_brackets_get_422(served: GuardedServer, brackets: bytes) -> None:
    good = json.dumps(registered(locker=f"beside {len(brackets)} brackets")).encode()
    nested_in_event = json.dumps(registered(extra="@")).encode().replace(b'"@"', brackets)
    with served.connect() as connection:
        for body in brackets, nested_in_event:
            connection.send(request(body))
            assert connection.response().status == 422
            connection.send(request(b"[%b,%b]" % (body, good), "/events/batch"))
            assert connection.response().status == 422
            connection.send(request(b"%b\n%b" % (body, good), "/events/batch", "application/x-ndjson"))
            assert [item["status"] for item in json.loads(connection.response().body)] in ([422, 202], [422, 200])


LARGE_HEADERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "one with a value of 1 MiB": lambda: [b"x: " + b"y" * MEBIBYTE + b"\r\n"],
    "one with a name of 1 MiB": lambda: [b"x" * MEBIBYTE + b": y\r\n"],
    "a hundred thousand": lambda: repeat(b"a: b\r\n" * 100, 1000),
    "a hundred thousand without a value": lambda: [b"a:\r\n" * 100_000],
}


@pytest.mark.parametrize("headers", LARGE_HEADERS.values(), ids=LARGE_HEADERS)
@pytest.mark.parametrize("sent", [get(), request(event(locker="large headers"))], ids=["GET", "POST"])
def test_headers_that_are_too_large_get_431(
    served: GuardedServer, headers: Callable[[], Iterable[bytes]], sent: bytes
) -> None:
    with served.connect() as connection:
        line, _, rest = sent.partition(b"\r\n")
        connection.send(line + b"\r\n", *headers(), rest)
        assert_headers_too_large(connection.response())
        assert connection.is_at_end()


def test_a_path_that_is_too_large_gets_431(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(get(f"/lockers/{'x' * MEBIBYTE}"))
        assert_headers_too_large(connection.response())


def test_headers_that_never_end_get_431(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(b"GET /lockers/a HTTP/1.1\r\n")
        assert connection.send_while_open(repeat(b"a: b\r\n" * 1000, 50)) > MAX_HEADER_BYTES
        assert_headers_too_large(connection.response())


@pytest.mark.parametrize("is_split", [False, True], ids=["in one read", "in two reads"])
@pytest.mark.parametrize("pipelined", [0, 3], ids=["first", "fourth"])
@pytest.mark.parametrize(("header_bytes", "status"), [(MAX_HEADER_BYTES, 404), (MAX_HEADER_BYTES + 1, 431)])
def test_the_largest_headers_are_accepted_and_one_byte_more_gets_431(
    served: GuardedServer, header_bytes: int, status: int, pipelined: int, is_split: bool
) -> None:
    # given a request with headers of this size, after others
    others = len("/lockers/unknown") + len("host: localhost\r\n") + len("x: \r\n")
    text = get() * pipelined + get(x="y" * (header_bytes - others))
    with served.connect() as connection:
        # when the server receives them
        connection.send(text[:MAX_HEADER_BYTES])
        if is_split:
            wait_until_received(connection)
        connection.send(text[MAX_HEADER_BYTES:])
        # then it gets this status, after the responses to the others
        for _ in range(pipelined):
            assert connection.response().status == 404
        assert connection.response().status == status


@pytest.mark.parametrize(
    ("beginning", "unit"),
    [
        (b"1\r\n{\r\n0\r\n", b"a: b\r\n" * 1000),
        (b"1\r\n{\r\n0\r\na: ", b"b" * 1000),
        (b"1\r\n{\r\n1;", b"b" * 1000),
    ],
    ids=["trailers", "one long trailer", "an extension of a chunk"],
)
def test_trailers_and_chunk_extensions_that_are_too_large_get_431(
    served: GuardedServer, beginning: bytes, unit: bytes
) -> None:
    with served.connect() as connection:
        connection.send(chunked(beginning))
        assert connection.send_while_open(repeat(unit, 2000)) > MAX_HEADER_BYTES
        assert_headers_too_large(connection.response())
