"""A server on a socket whose responses a test writes, for one open request per connection."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

type Respond = Callable[[int, bytes], bytes]
"""Returns the response to a request, given its number (0, 1, …, over all connections) and bytes. b"" hangs up."""


def response(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


@contextmanager
def scripted_server(respond: Respond) -> Iterator[int]:
    """Serve until the end of the block, and give the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    numbers, lock = iter(range(1_000_000)), threading.Lock()

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rb") as incoming:
            while head := incoming.readline():
                length = 0
                while (line := incoming.readline()) != b"\r\n":
                    head += line
                    if line.startswith(b"Content-Length: "):
                        length = int(line.split()[1])
                head += line
                with lock:  # one request at a time, as on one event loop
                    content = respond(next(numbers), head + incoming.read(length))
                if not content:
                    return
                client.sendall(content)

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
