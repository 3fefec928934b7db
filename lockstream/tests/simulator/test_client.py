"""The client of the simulator, against a server whose responses each test writes."""

import json
import socket
from collections.abc import Sequence
from contextlib import closing

import pytest

from lockstream.core.errors import LockstreamError, SimulationFailed
from lockstream.simulator.client import DEADLINE_SECONDS, LONGEST_PAUSE, SHORTEST_PAUSE, Client, Item
from lockstream.tests.support.scripted_server import response, scripted_server

ITEMS = json.dumps([{"status": 202, "event_id": "a", "position": 1}, {"status": 409, "event_id": "b", "code": "c"}])
ACCEPTED = response(200, ITEMS.encode())
OUTCOMES = [Item(202), Item(409, "c")]
EVENTS = [b'{"first": 1}', b'{"second": 2}']


def unavailable(*headers: bytes) -> bytes:
    return b"HTTP/1.1 503 Whatever\r\n%bcontent-length: 2\r\n\r\n{}" % b"".join(line + b"\r\n" for line in headers)


class Posted:
    """Requests posted to a server that sends `responses` in turn, and then the last of them again and again."""

    def __init__(self, responses: Sequence[bytes], path: str = "") -> None:
        self.requests: list[bytes] = []
        self.failures: list[str] = []
        self.slept: list[float] = []
        self._responses = responses
        self._path = path

    def post(self, batches: int = 1) -> list[Item]:
        """Post the same events several times, and return the outcomes of the last."""
        items: list[Item] = []
        with scripted_server(self._respond) as port:
            url = f"http://127.0.0.1:{port}{self._path}"
            with closing(Client(url, self.failures.append, self.slept.append)) as client:
                for _ in range(batches):
                    items = client.post(EVENTS)
        return items

    def _respond(self, number: int, request: bytes) -> bytes:
        self.requests.append(request)
        return self._responses[min(number, len(self._responses) - 1)]


def test_events_are_posted_as_lines_of_one_batch() -> None:
    posted = Posted([ACCEPTED], path="/prefix/")
    assert posted.post() == OUTCOMES
    [request] = posted.requests
    assert request.startswith(b"POST /prefix/events/batch HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-ndjson\r\n" in request
    assert request.endswith(b"\r\n\r\n" + b"\n".join(EVENTS))


def test_after_503_the_same_events_are_sent_again_when_the_server_asks_for_them() -> None:
    posted = Posted([unavailable(b"retry-after: 7"), unavailable(b"Retry-After: 0"), ACCEPTED])
    assert posted.post() == OUTCOMES
    assert posted.slept == [7, 2 * SHORTEST_PAUSE]  # never without a pause
    assert posted.requests[0] == posted.requests[1] == posted.requests[2]
    assert [failure.endswith(" answered 503.") for failure in posted.failures] == [True, True]


@pytest.mark.parametrize("header", [(), (b"retry-after: Fri, 31 Dec 1999 23:59:59 GMT",)], ids=["none", "date"])
def test_without_a_number_of_seconds_the_pause_doubles(header: tuple[bytes, ...]) -> None:
    posted = Posted([unavailable(*header)] * 6 + [ACCEPTED])
    posted.post()
    assert posted.slept == [min(SHORTEST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(6)]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_statuses_that_promise_success_later_are_retried(status: int) -> None:
    assert Posted([response(status), ACCEPTED]).post() == OUTCOMES


def test_a_batch_with_an_internal_error_is_sent_again() -> None:
    failed = response(200, json.dumps([{"status": 202}, {"status": 500, "detail": "?"}]).encode())
    posted = Posted([failed, ACCEPTED])
    assert posted.post() == OUTCOMES
    assert len(posted.requests) == 2


@pytest.mark.parametrize("broken", [b"", b"this is no HTTP\r\n\r\n"], ids=["closed", "other protocol"])
def test_a_lost_connection_is_made_again(broken: bytes) -> None:
    posted = Posted([ACCEPTED, broken, broken, ACCEPTED])
    assert posted.post(batches=2) == OUTCOMES
    assert posted.requests[1] == posted.requests[2] == posted.requests[3]
    assert "cannot be reached" in posted.failures[0]


def test_a_connection_that_the_server_has_closed_meanwhile_is_no_failure() -> None:
    posted = Posted([ACCEPTED, b"", ACCEPTED])
    assert posted.post(batches=2) == OUTCOMES
    assert posted.requests[1] == posted.requests[2]
    assert (posted.failures, posted.slept) == ([], [])


def test_a_server_that_was_never_reached_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    failures: list[str] = []
    with pytest.raises(SimulationFailed, match=r"cannot be reached \(Connection refused\). Start a server there"):
        Client(f"http://127.0.0.1:{port}", failures.append).post(EVENTS)
    assert failures == []


def test_a_server_that_does_not_come_back_is_an_error() -> None:
    posted = Posted([unavailable()])
    with pytest.raises(SimulationFailed, match=r"answered 503. It was tried for 10 minutes. Try again later."):
        posted.post()
    assert DEADLINE_SECONDS <= sum(posted.slept) < DEADLINE_SECONDS + LONGEST_PAUSE


@pytest.mark.parametrize(
    "answer", [response(404, b"nothing here"), response(301), response(200, b"<html>"), response(200, b"{}")]
)
def test_another_response_is_an_error(answer: bytes) -> None:
    posted = Posted([answer])
    with pytest.raises(SimulationFailed, match=r"answered \d+ to a batch of events: .*Check that --post names"):
        posted.post()
    assert len(posted.requests) == 1


def test_a_failure_may_end_the_posting() -> None:
    requests: list[int] = []

    def respond(number: int, _: bytes) -> bytes:
        requests.append(number)
        return unavailable()

    def give_up(reason: str) -> None:
        raise LockstreamError(reason)

    with scripted_server(respond) as port, closing(Client(f"http://127.0.0.1:{port}", give_up)) as client:
        with pytest.raises(LockstreamError, match="answered 503"):
            client.post(EVENTS)
        assert requests == [0]


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:8000", "ftp://host", "http://", "http://:8000", "http://host:0", "http://host:99999"),
        *("http://host:x", "http://[::1", "http://a@host", "http://host?a=1", "http://host#a"),
    ],
)
def test_other_urls_are_errors(url: str) -> None:
    with pytest.raises(SimulationFailed, match=r"is not the URL of a server. Write it as http://HOST:PORT"):
        Client(url, lambda _: None)


@pytest.mark.parametrize("url", ["http://localhost", "https://host/prefix", "http://[::1]:8000/", "HTTP://host:1"])
def test_the_url_of_a_server_has_a_host_and_perhaps_a_port_and_a_path(url: str) -> None:
    Client(url, lambda _: None).close()
