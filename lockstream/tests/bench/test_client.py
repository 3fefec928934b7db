"""The load generator's client, against real sockets."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from bench.client import Client
from bench.errors import BenchFailure
from bench.load import arrivals
from bench.wire import Check, expect, expect_items, get, post, post_events
from lockstream.tests.bench.server import Answering, answer, serving

STALL_SECONDS = 0.2


@contextmanager
def client(answering: Answering, scripts: Sequence[Sequence[bytes]], check: Check) -> Iterator[Client]:
    with serving(answering) as port:
        made = Client([port], [iter(script) for script in scripts], check)
        try:
            yield made
        finally:
            made.close()


def test_a_closed_loop_sends_every_script_to_its_end_in_its_order() -> None:
    seen: list[bytes] = []

    def answering(_: int, request: bytes) -> bytes:
        seen.append(request)
        return answer(202)

    scripts = [[post("/events", b"%d-%d" % (one, number)) for number in range(20)] for one in range(3)]
    with client(answering, scripts, expect(202)) as made:
        made.run_closed()
    assert sorted(seen) == sorted(request for script in scripts for request in script)
    for script in scripts:
        assert [request for request in seen if request in script] == script
    assert len(made.latencies) == len(made.finished) == 60


def test_connections_are_dealt_out_to_the_servers() -> None:
    seen: dict[int, list[bytes]] = {0: [], 1: []}

    def remembers(server: int) -> Answering:
        def answering(_: int, request: bytes) -> bytes:
            seen[server].append(request.rpartition(b"\n")[2])
            return answer(202)

        return answering

    with ExitStack() as running:
        ports = [running.enter_context(serving(remembers(server))) for server in seen]
        scripts = [iter([post("/events", b"%d" % number)] * 10) for number in range(5)]
        made = Client(ports, scripts, expect(202))
        running.callback(made.close)
        made.run_closed()
    assert {server: {body: bodies.count(body) for body in bodies} for server, bodies in seen.items()} == {
        0: {b"0": 10, b"2": 10, b"4": 10},
        1: {b"1": 10, b"3": 10},
    }


def test_a_closed_loop_ends_with_the_first_script_that_ends_too_soon() -> None:
    with client(
        lambda *_: answer(202), [[post("/events", b"1")] * 3, [post("/events", b"2")] * 100_000], expect(202)
    ) as made:
        began = time.perf_counter()
        ended = made.run_closed(1_000)
    assert 3 < len(made.finished) < 100_003
    assert began < ended < began + 1_000


@pytest.mark.parametrize("connections", [1, 3])
def test_a_latency_counts_from_when_a_request_was_due_however_long_it_could_not_be_sent(connections: int) -> None:
    released: list[float] = []

    def answering(number: int, _: bytes) -> bytes:
        if number == 0:
            time.sleep(STALL_SECONDS)
            released.append(time.perf_counter())
        return answer(200)

    due = [number * 0.01 for number in range(30)]
    with client(answering, [[get("/")] * 30] * connections, expect(200)) as made:
        made.run_open(due)
    came_due = sorted(finished - latency for finished, latency in zip(made.finished, made.latencies, strict=True))
    began = came_due[0] - due[0]
    assert came_due == pytest.approx([began + moment for moment in due], abs=1e-6)
    assert min(made.finished) > released[0]
    stalled = [moment for moment in came_due if moment < released[0]]
    assert len(stalled) > 1
    assert sum(made.latencies) >= sum(released[0] - moment for moment in stalled)


def test_requests_come_on_time_and_not_before() -> None:
    seen: list[float] = []

    def answering(*_: object) -> bytes:
        seen.append(time.perf_counter())
        return answer(200)

    due = arrivals(rate=100, seconds=0.2)
    with client(answering, [[get("/")] * 20], expect(200)) as made:
        began = time.perf_counter()
        made.run_open(due)
    assert all(came >= began + moment for came, moment in zip(seen, due, strict=True))


def test_running_out_of_requests_is_a_failure() -> None:
    with (
        client(lambda *_: answer(200), [[get("/")]], expect(200)) as made,
        pytest.raises(BenchFailure, match="run out"),
    ):
        made.run_open([0, 0])


def test_arrivals_are_one_in_each_interval_and_the_same_in_every_run() -> None:
    due = arrivals(rate=50, seconds=2)
    assert [int(moment * 50) for moment in due] == list(range(100))
    assert due == arrivals(rate=50, seconds=2)
    assert due != [number / 50 for number in range(100)]


def test_a_large_request_and_a_large_answer_go_through_in_parts() -> None:
    body = b"x" * 5_000_000
    with client(lambda _, request: answer(200, request[-len(body) :]), [[post("/", body)] * 3], expect(200)) as made:
        made.run_closed()
    assert len(made.latencies) == 3


@pytest.mark.parametrize("status", [200, 409, 503])
def test_an_answer_with_another_status_is_a_failure_that_tells_it(status: int) -> None:
    with (
        client(lambda *_: answer(status, b"why"), [[post("/events", b"1")]], expect(202)) as made,
        pytest.raises(BenchFailure, match=rf"{status} instead of 202: b'why'"),
    ):
        made.run_closed()


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
def test_a_batch_of_which_not_every_event_was_accepted_is_a_failure(status: int, items: bytes) -> None:
    with (
        client(lambda *_: answer(status, items), [[post_events([b"1", b"2"])]], expect_items(2)) as made,
        pytest.raises(BenchFailure, match="of 2 events accepted"),
    ):
        made.run_closed()


def test_a_batch_is_ndjson_and_its_events_are_counted_in_the_answer() -> None:
    requests: list[bytes] = []

    def answering(_: int, request: bytes) -> bytes:
        requests.append(request)
        return answer(200, b'[{"event_id":"a","status":202,"position":1},{"event_id":"b","status":202,"position":2}]')

    with client(answering, [[post_events([b'{"a":1}', b'{"b":2}'])]], expect_items(2)) as made:
        made.run_closed()
    assert b"Content-Type: application/x-ndjson\r\n" in requests[0]
    assert requests[0].endswith(b'\r\n\r\n{"a":1}\n{"b":2}')


@pytest.mark.parametrize(
    ("answered", "complaint"),
    [
        (b"", "closed a connection"),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "without content-length"),
        (answer(202) + answer(202), "more than one answer"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(answered: bytes, complaint: str) -> None:
    with (
        client(lambda *_: answered, [[post("/events", b"1")]], expect(202)) as made,
        pytest.raises(BenchFailure, match=complaint),
    ):
        made.run_closed()
