"""The load generator's client, on real sockets."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from bench.errors import BenchFailure
from bench.load.client import Client
from bench.load.generator import arrivals
from bench.load.http import Check, expect, expect_items, get, post, post_batch
from lockstream.tests.support.scripted_server import Respond, response, scripted_server

STALL_SECONDS = 0.2


@contextmanager
def client_of(respond: Respond, scripts: Sequence[Sequence[bytes]], check: Check) -> Iterator[Client]:
    """Give a client with one connection per script."""
    with scripted_server(respond) as port:
        client = Client([port], [iter(script) for script in scripts], check)
        try:
            yield client
        finally:
            client.close()


def test_a_closed_loop_sends_every_script_to_its_end_and_in_its_order() -> None:
    # given three scripts
    received: list[bytes] = []

    def respond(_: int, request: bytes) -> bytes:
        received.append(request)
        return response(202)

    scripts = [[post("/events", b"%d-%d" % (script, number)) for number in range(20)] for script in range(3)]
    # when they run
    with client_of(respond, scripts, expect(202)) as client:
        client.run_closed()
    # then every request arrives once, each script's in its order
    assert sorted(received) == sorted(request for script in scripts for request in script)
    for script in scripts:
        assert [request for request in received if request in script] == script
    assert len(client.latencies) == len(client.finished) == 60


def test_each_response_has_the_number_of_its_connection() -> None:
    scripts = [[get("/")] * requests for requests in (3, 1, 5)]
    with client_of(lambda *_: response(200), scripts, expect(200)) as client:
        client.run_closed()
    assert Counter(client.numbers) == {0: 3, 1: 1, 2: 5}
    assert len(client.numbers) == len(client.latencies)


def test_a_client_deals_out_its_connections_evenly_to_the_servers() -> None:
    # given two servers, and five scripts of ten requests each
    received: dict[int, list[bytes]] = {0: [], 1: []}

    def responds(server: int) -> Respond:
        def respond(_: int, request: bytes) -> bytes:
            received[server].append(request.rpartition(b"\n")[2])
            return response(202)

        return respond

    scripts = [iter([post("/events", b"%d" % number)] * 10) for number in range(5)]
    # when they run
    with ExitStack() as stack:
        ports = [stack.enter_context(scripted_server(responds(server))) for server in received]
        client = Client(ports, scripts, expect(202))
        stack.callback(client.close)
        client.run_closed()
    # then the first server has one connection more
    assert {server: {body: bodies.count(body) for body in bodies} for server, bodies in received.items()} == {
        0: {b"0": 10, b"2": 10, b"4": 10},
        1: {b"1": 10, b"3": 10},
    }


def test_a_closed_loop_with_a_time_ends_with_the_first_script_that_ends() -> None:
    scripts = [[post("/events", b"1")] * 3, [post("/events", b"2")] * 100_000]
    with client_of(lambda *_: response(202), scripts, expect(202)) as client:
        started = time.perf_counter()
        ended = client.run_closed(1_000)
    assert 3 < len(client.finished) < 100_003
    assert started < ended < started + 1_000


@pytest.mark.parametrize("connections", [1, 3])
def test_an_open_loop_counts_a_latency_from_when_the_request_was_due(connections: int) -> None:
    # given a server that stalls on its first request
    released: list[float] = []

    def respond(number: int, _: bytes) -> bytes:
        if number == 0:
            time.sleep(STALL_SECONDS)
            released.append(time.perf_counter())
        return response(200)

    due = [number * 0.01 for number in range(30)]
    # when requests are due meanwhile
    with client_of(respond, [[get("/")] * 30] * connections, expect(200)) as client:
        client.run_open(due)
    # then each latency includes the wait for a free connection
    counted_from = sorted(
        finished - latency for finished, latency in zip(client.finished, client.latencies, strict=True)
    )
    started = counted_from[0] - due[0]
    assert counted_from == pytest.approx([started + moment for moment in due], abs=1e-6)
    assert min(client.finished) > released[0]
    held_up = [moment for moment in counted_from if moment < released[0]]
    assert len(held_up) > 1
    assert sum(client.latencies) >= sum(released[0] - moment for moment in held_up)


def test_an_open_loop_sends_no_request_before_it_is_due() -> None:
    received: list[float] = []

    def respond(*_: object) -> bytes:
        received.append(time.perf_counter())
        return response(200)

    due = arrivals(rate=100, seconds=0.2)
    with client_of(respond, [[get("/")] * 20], expect(200)) as client:
        started = time.perf_counter()
        client.run_open(due)
    assert all(at >= started + moment for at, moment in zip(received, due, strict=True))


def test_an_open_loop_that_runs_out_of_requests_fails() -> None:
    with (
        client_of(lambda *_: response(200), [[get("/")]], expect(200)) as client,
        pytest.raises(BenchFailure, match="run out"),
    ):
        client.run_open([0, 0])


def test_arrivals_are_one_in_each_interval_and_the_same_in_every_run() -> None:
    due = arrivals(rate=50, seconds=2)
    assert [int(moment * 50) for moment in due] == list(range(100))
    assert due == arrivals(rate=50, seconds=2)
    assert due != [number / 50 for number in range(100)]


def test_a_client_sends_and_receives_what_exceeds_the_buffers_of_a_socket() -> None:
    body = b"x" * 5_000_000

    def respond(_: int, request: bytes) -> bytes:
        return response(200, request[-len(body) :])

    with client_of(respond, [[post("/", body)] * 3], expect(200)) as client:
        client.run_closed()
    assert len(client.latencies) == 3


@pytest.mark.parametrize("status", [200, 409, 503])
def test_a_client_fails_on_another_status_and_names_it(status: int) -> None:
    with (
        client_of(lambda *_: response(status, b"why"), [[post("/events", b"1")]], expect(202)) as client,
        pytest.raises(
            BenchFailure, match=rf"to POST /events HTTP/1\.1 was unexpected: {status} instead of 202: b'why'"
        ),
    ):
        client.run_closed()


@pytest.mark.parametrize(
    ("status", "items"),
    [
        (200, b'[{"status":202},{"status":409}]'),
        (200, b'[{"status":202}]'),
        (200, b'[{"status":202},{"status":202},{"status":422}]'),
        (200, b"[]"),
        (503, b'[{"status":202},{"status":202}]'),
    ],
)
def test_a_client_fails_if_an_event_of_a_batch_is_not_accepted(status: int, items: bytes) -> None:
    with (
        client_of(lambda *_: response(status, items), [[post_batch([b"1", b"2"])]], expect_items(2)) as client,
        pytest.raises(BenchFailure, match="of 2 events got 202"),
    ):
        client.run_closed()


def test_a_client_fails_if_an_event_of_a_batch_is_not_refused() -> None:
    items = b'[{"status":422},{"status":202}]'
    with (
        client_of(lambda *_: response(200, items), [[post_batch([b"1", b"2"])]], expect_items(2, 422)) as client,
        pytest.raises(BenchFailure, match="1 of 2 events got 422"),
    ):
        client.run_closed()


def test_a_client_sends_batches_as_ndjson() -> None:
    received: list[bytes] = []

    def respond(_: int, request: bytes) -> bytes:
        received.append(request)
        return response(200, b'[{"event_id":"a","status":202,"position":1},{"event_id":"b","status":202,"position":2}]')

    with client_of(respond, [[post_batch([b'{"a":1}', b'{"b":2}'])]], expect_items(2)) as client:
        client.run_closed()
    assert b"Content-Type: application/x-ndjson\r\n" in received[0]
    assert received[0].endswith(b'\r\n\r\n{"a":1}\n{"b":2}')


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "closed a connection"),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "without content-length"),
        (response(202) + response(202), "more than one response"),
    ],
)
def test_a_client_fails_on_a_response_that_it_cannot_read(content: bytes, complaint: str) -> None:
    with (
        client_of(lambda *_: content, [[post("/events", b"1")]], expect(202)) as client,
        pytest.raises(BenchFailure, match=complaint),
    ):
        client.run_closed()
