"""How answers go out."""

from lockstream.tests.presentation.server.client import Guarded, event, get, request


def test_an_answer_goes_out_in_one_piece(served: Guarded) -> None:
    """What is written at once on this machine is read at once; a head that went ahead was read alone in nearly all."""
    with served.wire() as wire:
        for number in range(50):
            wire.send(request(event(f"c{number}", locker="one piece")))
            head, _, body = wire.socket.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 202 ")
            assert b"content-length: %d" % len(body) in head
            assert body.endswith(b"}")


def test_an_answer_without_a_body_is_given_at_once(served: Guarded) -> None:
    with served.wire() as wire:
        for _ in range(3):
            wire.send(request(path="/health/live", method="HEAD", content_type=None, content_length=None))
            assert wire.socket.recv(65_536).startswith(b"HTTP/1.1 200 ")
        wire.send(get())
        assert wire.answer().status == 404


def test_who_waits_to_be_asked_for_the_body_is_asked(served: Guarded) -> None:
    body = event(locker="asked")
    with served.wire() as wire:
        wire.send(request(content_length=len(body), expect="100-continue"))
        assert wire.socket.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().status == 202
