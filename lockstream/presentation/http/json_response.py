"""A response whose JSON body is already encoded."""

from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send


class EncodedJson(Response):
    """Sends a body of bytes. An instance is created faster than one of Starlette's class, and each event needs one."""

    def __init__(self, body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.background = None
        self.status_code = status
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *headers,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def encoded_headers(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers in the form of ASGI: pairs of bytes, with names in lower case."""
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())
