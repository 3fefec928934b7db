"""GET /events/stream of a real server: server-sent events, over restarts."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import NamedTuple

import httpx
import pytest

from bench.postgres import free_port
from lockstream.tests.support.builders import Body, as_lines, registered, reserved
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, wait_until

LIMIT = 3


@pytest.fixture
def server(log_path: Path) -> Iterator[Server]:
    with Server(log_path, LOCKSTREAM_PORT=str(free_port()), LOCKSTREAM_STREAM_LIMIT=str(LIMIT)) as server:
        yield server.start()


class Block(NamedTuple):
    """One block of a stream."""

    id: str | None
    data: str | None
    retry: str | None = None


def post(server: Server, *bodies: Body) -> None:
    status, _, _ = server.request("POST", "/events/batch", as_lines(*bodies), {"Content-Type": "application/x-ndjson"})
    assert status == 200


@contextmanager
def streaming(server: Server, query: str, **headers: str) -> Iterator[httpx.Response]:
    url = f"http://127.0.0.1:{server.port}/events/stream?{query}"
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response:
        yield response


def blocks(response: httpx.Response) -> Iterator[Block]:
    """Yield the blocks of a stream as they arrive, until it ends."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
        else:
            yield Block(fields.get("id"), fields.get("data"), fields.get("retry"))
            fields = {}
    assert not fields, "the last block is torn"


def events_in(response: httpx.Response, count: int) -> list[Block]:
    found = list[Block]()
    for block in blocks(response):
        found += [block] if block.data else []
        if len(found) == count:
            return found
    return found


def test_a_stream_has_the_lines_of_the_log_with_their_positions(server: Server, log_path: Path) -> None:
    post(server, *(registered(str(number), note="é") for number in range(700)))
    with streaming(server, "after=0") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        lines = log_path.read_text().splitlines()
        assert response.headers["lockstream-log"] == json.loads(lines[0])["chain"][:32]
        parts = blocks(response)
        # the first block names the cursor, and a random time to connect again
        beginning = next(parts)
        assert (beginning.id, beginning.data) == ("0", None)
        assert 2_000 <= int(beginning.retry or 0) <= 15_000
        assert [next(parts) for _ in range(700)] == [Block(str(at), line) for at, line in enumerate(lines, 1)]
        # when an event is accepted, then it follows
        post(server, registered("new"))
        assert next(part for part in parts if part.data) == Block("701", log_path.read_text().splitlines()[-1])


def test_a_stream_is_filtered_and_its_cursor_moves_on_behind_the_last_match(server: Server) -> None:
    post(server, registered("a", locker="wanted"), registered("a"), registered("b"))
    with streaming(server, "after=0&locker_id=wanted&type=CompartmentRegistered&partition=0/1") as response:
        parts = blocks(response)
        next(parts)
        first, cursor = next(parts), next(parts)
        assert (first.id, json.loads(first.data or "")["locker_id"]) == ("1", "wanted")
        assert cursor == Block("3", None)


@pytest.mark.parametrize(
    ("accept", "is_cloud_event"),
    [
        ("application/cloudevents+json", True),
        ("text/event-stream, Application/CloudEvents+JSON", True),
        ("text/event-stream, application/cloudevents+json;q=0", False),
        ("text/event-stream", False),
        ("application/*, */*", False),
        ("", False),
    ],
)
def test_a_stream_has_cloud_events_if_the_request_names_them(server: Server, accept: str, is_cloud_event: bool) -> None:
    event = registered()
    post(server, event)
    with streaming(server, "after=0", Accept=accept) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["vary"] == "Accept"
        [block] = events_in(response, 1)
    found = json.loads(block.data or "")
    assert block.id == "1"
    assert found["id" if is_cloud_event else "event_id"] == event["event_id"]


@pytest.mark.parametrize("sent", [SIGKILL, SIGTERM])
def test_a_reader_that_connects_again_with_the_last_id_gets_each_event_once(server: Server, sent: int) -> None:
    # given a reader that has received a part of the feed
    post(server, *(registered(str(number)) for number in range(50)))
    with streaming(server, "after=0") as response:
        received = events_in(response, 20)
    for number in range(3):
        # when the server stops while the reader is connected, and accepts an event after its restart
        with streaming(server, "after=0", **{"Last-Event-ID": received[-1].id or ""}) as response:
            received += events_in(response, 5)
            server.stop(SIGKILL if sent == SIGKILL else SIGTERM)
        server.start()
        post(server, registered(f"after-{number}"))
    with streaming(server, "after=0", **{"Last-Event-ID": received[-1].id or ""}) as response:
        received += events_in(response, 53 - len(received))
    # then the reader has each event once, in order
    assert [block.id for block in received] == [str(position) for position in range(1, 54)]


def test_a_reader_that_loses_its_connection_before_the_first_event_goes_on_where_it_began(server: Server) -> None:
    # given a reader at the head, whose connection is lost before any event
    post(server, registered("before"))
    with streaming(server, "after=head") as response:
        cursor = next(blocks(response)).id
    # when events are accepted, and it connects again, then it has them
    post(server, registered("meanwhile"))
    with streaming(server, "after=head", **{"Last-Event-ID": cursor or ""}) as response:
        assert [block.id for block in events_in(response, 1)] == ["2"]


def test_a_reader_of_an_empty_log_connects_again_with_the_log_it_was_told(server: Server) -> None:
    with streaming(server, "after=0") as response:
        log = response.headers["lockstream-log"]
        post(server, registered())
        [first] = events_in(response, 1)
    headers = {"Last-Event-ID": str(first.id), "Lockstream-Log": log}
    with streaming(server, "after=0", **headers) as response:
        assert (response.status_code, next(blocks(response)).id) == (200, "1")


def test_a_stream_of_an_empty_log_has_heartbeats_and_goes_on(server: Server) -> None:
    with streaming(server, "after=head") as response:
        parts = blocks(response)
        assert [next(parts).id for _ in range(2)] == ["0", "0"]
        post(server, registered())
        assert next(part for part in parts if part.data).id == "1"


def test_streams_end_when_the_server_is_stopped(server: Server) -> None:
    post(server, registered())
    with streaming(server, "after=0") as first, streaming(server, "after=head") as second:
        parts = [blocks(first), blocks(second)]
        assert [next(one).data for one in parts] == [None, None]
        assert next(parts[0]).id == "1"
        assert server.stop(SIGTERM) == 0
        assert [block.data for one in parts for block in one if block.data] == []
    assert "Traceback" not in server.stderr


def test_more_streams_than_the_limit_get_503_until_one_is_closed(server: Server) -> None:
    post(server, registered())
    with streaming(server, "after=0"), streaming(server, "after=0"):
        with streaming(server, "after=0"):
            status, headers, body = server.request("GET", "/events/stream?after=0")
            assert (status, headers["retry-after"]) == (503, "1")
            assert b"LOCKSTREAM_STREAM_LIMIT" in body
            assert server.get("/events?after=0")[0] == 200

        # when a client has disconnected, then its place is free
        def opens() -> bool:
            with streaming(server, "after=0") as response:
                return response.status_code == 200

        wait_until(opens)


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_stream_ends_if_its_client_has_closed_its_side(server: Server, has_begun: bool) -> None:
    """A stream that went on would keep its place, and send heartbeats for ever."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS) as connection:
        # given a client that closes its side once the stream has begun, or together with its request
        connection.sendall(b"GET /events/stream?after=head HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while has_begun and b"\nid: 0\n\n" not in received:
            received += connection.recv(4096)
        connection.shutdown(socket.SHUT_WR)
        # then it gets the end of the connection
        with suppress(ConnectionResetError):
            while connection.recv(4096):
                assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 422),
        ("after=0&limit=5", {}, 422),
        ("after=0&wait=5", {}, 422),
        ("after=0", {"Last-Event-ID": "x"}, 422),
        ("after=0", {"Last-Event-ID": "7"}, 409),
        ("after=7", {}, 409),
        ("after=0", {"Lockstream-Log": "c" * 32}, 409),
        ("after=0&partition=1/1", {}, 422),
    ],
)
def test_what_is_wrong_with_a_request_is_said_before_the_stream_begins(
    server: Server, query: str, headers: dict[str, str], status: int
) -> None:
    post(server, registered(), reserved())
    answer = server.request("GET", f"/events/stream?{query}", headers=headers)
    assert answer[0] == status, answer
    assert b"detail" in answer[2]


def test_head_answers_without_a_body_and_takes_no_place(server: Server) -> None:
    for _ in range(LIMIT + 2):
        status, headers, body = server.request("HEAD", "/events/stream?after=0")
        assert (status, headers["content-type"], body) == (200, "text/event-stream; charset=utf-8", b"")
