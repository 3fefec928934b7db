"""A request of HTTP/1.1 names exactly one host (RFC 9112, section 3.2)."""

from uuid import uuid4

import pytest

from lockstream.tests.presentation.server.client import chunked, event, get, request
from lockstream.tests.presentation.server.guarded_server import GuardedServer
from lockstream.tests.presentation.server.test_malformed_requests import assert_is_malformed

OFFER = {"connection": "Upgrade", "upgrade": "h2c"}
HOSTS = {
    "no host": (None, "it has 0 Host headers. Send exactly one"),
    "two hosts": ("test\r\nhost: other", "it has 2 Host headers. Send exactly one"),
    "the same host twice": ("test\r\nHOST: test", "it has 2 Host headers. Send exactly one"),
}

with_wrong_hosts = pytest.mark.parametrize(("host", "detail"), HOSTS.values(), ids=HOSTS)


def assert_was_not_decided(served: GuardedServer, locker: str) -> None:
    assert served.process.get(f"/lockers/{locker}")[0] == 404


@with_wrong_hosts
@pytest.mark.parametrize("offer", [{}, OFFER], ids=["", "with an offer of another protocol"])
def test_an_event_without_exactly_one_host_gets_400_and_is_not_decided(
    served: GuardedServer, host: str | None, detail: str, offer: dict[str, str]
) -> None:
    with served.connect() as connection:
        connection.send(request(event(locker="unnamed"), host=host, **offer))
        assert_is_malformed(connection, detail)
    assert_was_not_decided(served, "unnamed")


@with_wrong_hosts
def test_a_chunked_event_without_exactly_one_host_gets_400_and_is_not_decided(
    served: GuardedServer, host: str | None, detail: str
) -> None:
    body = event(locker="unnamed")
    with served.connect() as connection:
        connection.send(chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), host=host))
        assert_is_malformed(connection, detail)
    assert_was_not_decided(served, "unnamed")


@with_wrong_hosts
@pytest.mark.parametrize("offer", [{}, OFFER], ids=["", "after an offer of another protocol"])
def test_a_pipelined_request_without_exactly_one_host_gets_400_in_its_turn(
    served: GuardedServer, host: str | None, detail: str, offer: dict[str, str]
) -> None:
    # given good requests, then one with a wrong number of hosts, then another good one
    good = request(event(str(uuid4()), locker="named"), **offer) + get(**offer)
    with served.connect() as connection:
        # when they arrive together
        connection.send(good + request(event(locker="unnamed"), host=host) + request(event(locker="unnamed")))
        # then the first ones are answered, and nothing is decided from the wrong one on
        assert [connection.response().status for _ in range(2)] == [202, 404]
        assert_is_malformed(connection, detail)
    assert_was_not_decided(served, "unnamed")


def test_a_request_of_http_1_0_needs_no_host(served: GuardedServer) -> None:
    body = event(locker="old client")
    with served.connect() as connection:
        connection.send(request(body, host=None).replace(b"HTTP/1.1", b"HTTP/1.0"))
        response = connection.response()
        assert (response.status, response.headers["connection"]) == (202, "close")
        assert connection.is_at_end()


def test_a_request_of_http_1_0_with_two_hosts_gets_400(served: GuardedServer) -> None:
    host, detail = HOSTS["two hosts"]
    with served.connect() as connection:
        connection.send(request(event(locker="unnamed"), host=host).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert_is_malformed(connection, detail)
    assert_was_not_decided(served, "unnamed")


def test_an_empty_host_is_a_host(served: GuardedServer) -> None:
    with served.connect() as connection:
        connection.send(get(host=""))
        assert connection.response().status == 404
