"""A server on a socket, for one request at a time on each connection, that answers as a test wants it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

type Answering = Callable[[int, bytes], bytes]
"""The answer to a request, by its number (0, 1, …) on all connections and its bytes; none hangs up."""


def answer(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


@contextmanager
def serving(answering: Answering) -> Iterator[int]:
    """Serve, and give the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    numbers, lock = iter(range(1_000_000)), threading.Lock()

    def converse(client: socket.socket) -> None:
        with client, client.makefile("rb") as incoming:
            while head := incoming.readline():
                length = 0
                while (line := incoming.readline()) != b"\r\n":
                    head += line
                    if line.startswith(b"Content-Length: "):
                        length = int(line.split()[1])
                head += line
                with lock:  # one after the other, as the events of one event loop
                    answered = answering(next(numbers), head + incoming.read(length))
                if not answered:
                    return
                client.sendall(answered)

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
