"""The head of a response is sent together with its body."""

from lockstream.tests.presentation.server.client import event, get, request
from lockstream.tests.presentation.server.guarded_server import GuardedServer


def test_a_response_is_sent_in_one_piece(served: GuardedServer) -> None:
    """Bytes that are written at once on one machine are read at once. A head sent alone would mostly be read alone."""
    with served.connect() as connection:
        for number in range(50):
            connection.send(request(event(f"c{number}", locker="one piece")))
            head, _, body = connection.socket.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 202 ")
            assert b"content-length: %d" % len(body) in head
            assert body.endswith(b"}")


def test_a_response_without_a_body_is_sent_at_once(served: GuardedServer) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.send(request(path="/health/live", method="HEAD", content_type=None, content_length=None))
            assert connection.socket.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.send(get())
        assert connection.response().status == 404
