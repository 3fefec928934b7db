"""Requests that are sent ahead of their responses get them in order, and take a bounded amount of memory."""

import json
from itertools import repeat
from threading import Thread

from lockstream.presentation.server.protocol import PIPELINED_REQUESTS
from lockstream.tests.presentation.server.client import event, get, request
from lockstream.tests.presentation.server.guarded_server import GuardedServer


def test_pipelined_requests_get_their_responses_in_order(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(
            *(request(event(f"c{number}", locker="ahead")) + get("/lockers/ahead") for number in range(200))
        )
        for number in range(1, 201):
            assert connection.response().status == 202
            assert json.loads(connection.response().body)["compartments"] == number


def test_more_requests_than_one_read_takes_are_read_as_the_ones_before_are_answered(served: GuardedServer) -> None:
    count = 3 * PIPELINED_REQUESTS
    with served.connect() as connection:
        sending = Thread(target=connection.send, args=[get(x="y" * 400) * count])
        sending.start()
        responses = [connection.response() for _ in range(count)]
        sending.join()
    assert {response.status for response in responses} == {404}
    assert not any("connection" in response.headers for response in responses)


def test_the_last_response_to_too_many_pipelined_requests_closes_the_connection(served: GuardedServer) -> None:
    short = b"GET /lockers/x HTTP/1.1\r\nhost:\r\n\r\n"
    with served.connect() as connection:
        connection.send_while_open(repeat(short * 10_000, 1))
        responses = [connection.response()]
        while responses[-1].headers.get("connection") != "close":
            responses.append(connection.response())
        assert {response.status for response in responses} == {404}
        assert len(responses) > PIPELINED_REQUESTS
        assert connection.is_at_end()


def test_the_last_response_may_be_one_to_head(served: GuardedServer) -> None:
    head, other = (b"%b /lockers/x HTTP/1.1\r\nhost:\r\n\r\n" % method for method in (b"HEAD", b"GET"))
    with served.connect() as connection:
        # given one request to HEAD that is being answered, as many as may wait, and more of another method
        connection.send_while_open(iter([head * (1 + PIPELINED_REQUESTS) + other * 9_000]))
        received = b"".join(iter(lambda: connection.socket.recv(65_536), b""))
        # then the last response, too, is sent, and closes the connection
        assert received.count(b"HTTP/1.1 404 ") > PIPELINED_REQUESTS
        assert received.count(b"connection: close") == 1


def test_clients_that_send_ever_more_and_read_nothing_take_no_memory(served: GuardedServer) -> None:
    connections = [served.connect(receive_buffer=4096) for _ in range(10)]
    for connection in connections:
        connection.socket.settimeout(0.1)  # the server stops reading, so sending blocks
        connection.send_while_open(repeat(request(b"{}") * 300, 300))
    served.assert_serves_others()
    for connection in connections:
        connection.close()
