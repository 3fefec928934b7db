"""A server that is none: it counts a request's bytes and sends a canned answer, to show what the load generator can do.

`python -m bench.peers.answerer answerer EVENTS`: of each request, 1 for single events.
"""

import select
import socket
import sys

_SINGLE = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
_ITEM = b'{"event_id":"2fde2f86-cba5-40a6-82d4-f49ba9ed23ba","status":202,"position":1000000}'


def main() -> None:
    events = int(sys.argv[2])
    items = b"[" + b",".join([_ITEM] * events) + b"]"
    answer = _SINGLE if events == 1 else b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(items), items)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stderr.write(f"running on http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stderr.flush()
    epoll = select.epoll()
    epoll.register(listening, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    missing: dict[int, int] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listening.fileno():
                client = listening.accept()[0]
                clients[client.fileno()], missing[client.fileno()] = client, 0
                epoll.register(client, select.EPOLLIN)
                continue
            data = clients[fd].recv(1024 * 1024)
            if not data:
                clients.pop(fd).close()
                continue
            missing[fd] = (missing[fd] or _size(data)) - len(data)
            if not missing[fd]:
                clients[fd].sendall(answer)


def _size(data: bytes) -> int:
    """Of the request that begins with `data`, whose head has come in one piece as the load generator sends it."""
    length = data.index(b"Content-Length: ") + 16
    return data.index(b"\r\n\r\n") + 4 + int(data[length : data.index(b"\r", length)])


if __name__ == "__main__":
    main()
