"""Clients that speak HTTP in an unusual way, or none at all, or go away: each gets the answer that is due to it."""

import json
import socket
import struct
from itertools import repeat
from threading import Thread

import pytest

from lockstream.presentation.server.protocol import PIPELINED
from lockstream.tests.presentation.server.client import Guarded, Wire, event, get, request


def positions(wire: Wire, count: int) -> list[int]:
    answers = [wire.answer() for _ in range(count)]
    assert [answer.status for answer in answers] == [202] * count
    return [json.loads(answer.body)["position"] for answer in answers]


def assert_no_http(wire: Wire) -> None:
    answer = wire.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.detail.startswith("This is no HTTP/1.1 request: ")
    assert wire.ended()


@pytest.mark.parametrize("count", [1, 3])
def test_who_has_no_more_to_say_gets_its_answers_all_the_same(served: Guarded, count: int) -> None:
    with served.wire() as wire:
        wire.send(*(request(event(f"{count}-{number}", locker="half closed")) for number in range(count)))
        wire.end()
        assert len(positions(wire, count)) == count
        assert wire.ended()
    with served.wire() as wire:
        wire.send(get("/lockers/half%20closed"))
        wire.end()
        assert wire.answer().status == 200
        assert wire.ended()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request(content_length=10), request(b"{", content_length=10)])
def test_who_ends_in_the_middle_is_let_go(served: Guarded, sent: bytes) -> None:
    with served.wire() as wire:
        wire.send(sent)
        wire.end()
        assert wire.ended()


@pytest.mark.parametrize("reset", [False, True])
def test_who_goes_away_harms_nobody(served: Guarded, reset: bool) -> None:
    malformed = b"[" + b",".join([b"[]"] * 10_000) + b"]"
    for sent in (get()[:9], request(b"{", content_length=9), request(malformed, "/events/batch"), get() * 500):
        with served.wire(receive_buffer=4096) as wire:
            wire.send(sent)
            if sent.endswith((b"]", b"\n\r\n")):
                assert wire.socket.recv(100).startswith(b"HTTP/1.1 ")
            if reset:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.regulars.go_on()


def test_requests_that_are_sent_ahead_are_answered_in_order(served: Guarded) -> None:
    with served.wire() as wire:
        wire.send(*(request(event(f"c{number}", locker="ahead")) + get("/lockers/ahead") for number in range(200)))
        for number in range(1, 201):
            assert wire.answer().status == 202
            assert json.loads(wire.answer().body)["compartments"] == number


def test_who_sends_more_ahead_than_is_read_at_once_is_read_on_as_it_is_answered(served: Guarded) -> None:
    count = 3 * PIPELINED
    with served.wire() as wire:
        sending = Thread(target=wire.send, args=[get(x="y" * 400) * count])
        sending.start()
        answers = [wire.answer() for _ in range(count)]
        sending.join()
    assert {answer.status for answer in answers} == {404}
    assert not any("connection" in answer.headers for answer in answers)


def test_of_very_many_that_are_sent_ahead_some_are_answered_and_the_last_answer_says_so(served: Guarded) -> None:
    short = b"GET /lockers/x HTTP/1.1\r\n\r\n"
    with served.wire() as wire:
        wire.send_while_open(repeat(short * 10_000, 1))
        answers = [wire.answer()]
        while answers[-1].headers.get("connection") != "close":
            answers.append(wire.answer())
        assert {answer.status for answer in answers} == {404}
        assert len(answers) > PIPELINED
        assert wire.ended()


def test_who_sends_ever_more_and_reads_nothing_takes_no_memory(served: Guarded) -> None:
    wires = [served.wire(receive_buffer=4096) for _ in range(10)]
    for wire in wires:
        wire.socket.settimeout(0.3)
        wire.send_while_open(repeat(request(b"{}") * 300, 300))
    served.regulars.go_on()
    for wire in wires:
        wire.__exit__(None, None, None)


GARBAGE = {
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(range(200)),
    "noise": bytes(range(256)) * 10,
    "zeros": bytes(1000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another method": b"BREW /pot HTTP/1.1\r\n\r\n",
    "a version that is none": b"GET /lockers/a HTTP/9.9\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\n\r\n",
    "a path that is none": b"GET :::: HTTP/1.1\r\n\r\n",
    "a path of other characters": "GET /lockers/é HTTP/1.1\r\n\r\n".encode(),
    "a tunnel": b"CONNECT test:443 HTTP/1.1\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a header with a control character": b"GET / HTTP/1.1\r\nx: \x00\r\n\r\n",
    "a header on two lines": b"GET / HTTP/1.1\r\nx: y\r\n z\r\n\r\n",
    "no number as a length": request(content_length="abc"),
    "a length below zero": request(content_length="-1"),
    "a length with an exponent": request(content_length="1e3"),
    "a length beyond all numbers": request(content_length="9" * 40),
    "two lengths": request(content_length="5\r\ncontent-length: 6"),
    "a length and chunks": request(b"0\r\n\r\n", transfer_encoding="chunked"),
    "chunks and a length": b"POST /events HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "chunks within other chunks": request(content_length=None, transfer_encoding="chunked, chunked"),
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_http_is_told_so(served: Guarded, sent: bytes) -> None:
    with served.wire() as wire:
        wire.send(sent)
        assert_no_http(wire)


BROKEN_CHUNKS = [b"zz\r\n{}\r\n", b"-1\r\n", b"\r\n", b"fffffffffffffffff\r\n", b"1\r\n{}}}\r\n", b"2\r\n{}\n0\n"]


@pytest.mark.parametrize("sent", BROKEN_CHUNKS)
@pytest.mark.parametrize("pause", [0, 0.1], ids=["at once", "after a while"])
def test_chunks_that_are_none_are_told_so(served: Guarded, sent: bytes, pause: float) -> None:
    with served.wire() as wire:
        wire.send(request(content_length=None, transfer_encoding="chunked"), sent, pause=pause)
        assert_no_http(wire)


@pytest.mark.parametrize("last", [b"\x16\x03", request(b"zz", content_length=None, transfer_encoding="chunked")])
def test_what_came_before_the_garbage_is_answered_before_it(served: Guarded, last: bytes) -> None:
    with served.wire() as wire:
        locker = f"before {len(last)}"
        wire.send(b"".join(request(event(f"c{number}", locker=locker)) for number in range(3)) + last + b"\r\n")
        first = positions(wire, 3)
        assert first == sorted(first)
        assert_no_http(wire)


@pytest.mark.parametrize("by", [-5, 5])
def test_a_wrong_length_is_no_fault_of_ours(served: Guarded, by: int) -> None:
    text = event(locker="wrong length")
    with served.wire() as wire:
        wire.send(request(text, content_length=len(text) + by) + get())
        assert wire.answer().status == 422
        assert_no_http(wire)


def test_who_offers_to_speak_something_else_is_answered_in_http_1_1(served: Guarded) -> None:
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABk"}
    with served.wire() as wire:
        wire.send(request(event(locker="h2c"), **offer) + get("/lockers/h2c", **offer) * 3)
        assert [wire.answer().status for _ in range(4)] == [202, 200, 200, 200]
        wire.send(get("/lockers/h2c", connection="Upgrade", upgrade="websocket"))
        assert wire.answer().status == 200


def test_an_old_client_is_answered_and_hung_up_on(served: Guarded) -> None:
    with served.wire() as wire:
        wire.send(b"GET /lockers/a HTTP/1.0\r\n\r\n")
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert wire.ended()


@pytest.mark.parametrize("pause", [0, 0.2])
def test_what_comes_behind_a_body_is_no_header(served: Guarded, pause: float) -> None:
    """Whether it comes with the body or later (RFC 9110, 6.5.1)."""
    body = event(f"trailed-{pause}", locker="trailers")
    with served.wire() as wire:
        wire.send(
            request(content_length=None, transfer_encoding="chunked") + b"%x\r\n%b\r\n" % (len(body), body),
            b"0\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n",
            pause=pause,
        )
        assert wire.answer().status == 202
