"""A server that counts the bytes of requests and sends canned responses, to measure the load generator alone.

`python -m bench.peers.canned_server EVENTS`, with the number of events in a request: 1 for single events.
"""

import select
import socket
import sys

_SINGLE = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
_ITEM = b'{"event_id":"2fde2f86-cba5-40a6-82d4-f49ba9ed23ba","status":202,"position":1000000}'


def main() -> None:
    events = int(sys.argv[1])
    items = b"[" + b",".join([_ITEM] * events) + b"]"
    response = _SINGLE if events == 1 else b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(items), items)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stderr.write(f"running on http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stderr.flush()
    epoll = select.epoll()
    epoll.register(listening, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    missing: dict[int, int] = {}
    """Bytes of each client's request that have not arrived."""
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
            missing[fd] = (missing[fd] or _request_size(data)) - len(data)
            if not missing[fd]:
                clients[fd].sendall(response)


def _request_size(data: bytes) -> int:
    """Return the size of the request that `data` begins. The load generator sends its head in one piece."""
    length = data.index(b"Content-Length: ") + 16
    return data.index(b"\r\n\r\n") + 4 + int(data[length : data.index(b"\r", length)])


if __name__ == "__main__":
    main()
