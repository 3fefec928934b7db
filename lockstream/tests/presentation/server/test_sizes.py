"""Too much of anything: it is answered in a sentence that can be read, and takes no memory."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

import pytest

from lockstream.settings import Settings
from lockstream.tests.presentation.server.client import MEBIBYTE, Answer, Guarded, event, get, request
from lockstream.tests.support.builders import registered

SIZE = 100 * MEBIBYTE
MOST = Settings().max_header_bytes
PATHS = {"/events": "LOCKSTREAM_MAX_EVENT_BYTES", "/events/batch": "LOCKSTREAM_MAX_BATCH_BYTES"}


def blanks(size: int = SIZE) -> Iterator[bytes]:
    return repeat(b" " * MEBIBYTE, size // MEBIBYTE)


def chunks(size: int = SIZE) -> Iterator[bytes]:
    yield from (b"100000\r\n" + blank + b"\r\n" for blank in blanks(size))
    yield b"0\r\n\r\n"


def assert_too_large(answer: Answer, setting: str) -> None:
    assert answer.status == 413
    assert setting in answer.detail


def assert_headers_too_large(answer: Answer) -> None:
    assert (answer.status, answer.headers["connection"]) == (431, "close")
    assert answer.detail == f"The headers are larger than {MOST} bytes. LOCKSTREAM_MAX_HEADER_BYTES sets the limit."


@pytest.mark.parametrize("path", PATHS)
def test_a_body_of_100_mb_is_too_large_and_its_connection_goes_on(served: Guarded, path: str) -> None:
    with served.wire() as wire:
        wire.send(request(path=path, content_length=SIZE), *blanks())
        assert_too_large(wire.answer(), PATHS[path])
        wire.send(request(event(locker="after 100 MB")))
        assert wire.answer().status in (202, 409)
    served.regulars.go_on()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_body_of_100_mb_that_does_not_say_so_is_too_large(served: Guarded, path: str, connection: str) -> None:
    with served.wire() as wire:
        headers: dict[str, Any] = {"content_length": None, "transfer_encoding": "chunked", "connection": connection}
        wire.send(request(path=path, **headers), *chunks())
        assert_too_large(wire.answer(), PATHS[path])
    served.regulars.go_on()


def test_who_wants_to_be_hung_up_on_comes_to_read_the_answer_first(served: Guarded) -> None:
    with served.wire() as wire:
        wire.send(request(content_length=SIZE, connection="close"), *blanks())
        answer = wire.answer()
        assert_too_large(answer, "LOCKSTREAM_MAX_EVENT_BYTES")
        assert answer.headers["connection"] == "close"
        assert wire.ended()


@pytest.mark.parametrize("brackets", [b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000])
def test_ten_thousand_nested_brackets_are_no_event(served: Guarded, brackets: bytes) -> None:
    good = registered(locker=f"beside {len(brackets)} brackets")
    nested = json.dumps(registered(extra="@")).encode().replace(b'"@"', brackets)
    with served.wire() as wire:
        for body in brackets, nested:
            wire.send(request(body))
            assert wire.answer().status == 422
            wire.send(request(b"[%b,%b]" % (body, json.dumps(good).encode()), "/events/batch"))
            assert [item["status"] for item in json.loads(wire.answer().body)] in ([422, 202], [422, 200])


HEADERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "one of 1 MB": lambda: [b"x: " + b"y" * MEBIBYTE + b"\r\n"],
    "one whose name has 1 MB": lambda: [b"x" * MEBIBYTE + b": y\r\n"],
    "a hundred thousand": lambda: repeat(b"a: b\r\n" * 100, 1000),
    "a hundred thousand without a value": lambda: [b"a:\r\n" * 100_000],
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("head", [get(), request(event(locker="in a flood"))], ids=["GET", "POST"])
def test_headers_are_too_large(served: Guarded, kind: str, head: bytes) -> None:
    with served.wire() as wire:
        line, _, rest = head.partition(b"\r\n")
        wire.send(line + b"\r\n", *HEADERS[kind](), rest)
        assert_headers_too_large(wire.answer())
        assert wire.ended()


def test_a_path_is_too_large(served: Guarded) -> None:
    with served.wire() as wire:
        wire.send(get(f"/lockers/{'x' * MEBIBYTE}"))
        assert_headers_too_large(wire.answer())


def test_headers_that_never_end_are_cut_off(served: Guarded) -> None:
    with served.wire() as wire:
        wire.send(b"GET /lockers/a HTTP/1.1\r\n")
        assert wire.send_while_open(repeat(b"a: b\r\n" * 1000, 50)) > MOST
        assert_headers_too_large(wire.answer())


@pytest.mark.parametrize("pause", [0, 0.1], ids=["at once", "in two parts"])
@pytest.mark.parametrize("ahead", [b"", get() * 3], ids=["first", "fourth"])
def test_the_largest_headers_are_read_and_a_byte_more_is_not(served: Guarded, ahead: bytes, pause: float) -> None:
    others = len("/lockers/nobody") + len("host: test\r\n") + len("x: \r\n")
    for size, status in (MOST, 404), (MOST + 1, 431):
        with served.wire() as wire:
            text = ahead + get(x="y" * (size - others))
            wire.send(text[:MOST], text[MOST:], pause=pause)
            for _ in range(ahead.count(b"GET")):
                assert wire.answer().status == 404
            assert wire.answer().status == status


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        (b"1\r\n{\r\n0\r\n", b"a: b\r\n" * 1000),
        (b"1\r\n{\r\n0\r\na: ", b"b" * 1000),
        (b"1\r\n{\r\n1;", b"b" * 1000),
    ],
    ids=["trailers", "one long trailer", "an extension of a chunk"],
)
def test_what_stands_around_a_body_is_too_large(served: Guarded, begin: bytes, unit: bytes) -> None:
    with served.wire() as wire:
        wire.send(request(begin, content_length=None, transfer_encoding="chunked"))
        assert wire.send_while_open(repeat(unit, 2000)) > MOST
        assert_headers_too_large(wire.answer())
