"""The bodies of requests as they come in: of a media type, compressed or not, and no longer than they may be."""

import zlib
from collections.abc import AsyncIterator, Iterator

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from lockstream.presentation.problems import BodyTooLarge, UnsupportedEncoding
from lockstream.schemas.events import malformed

JSON, NDJSON = "application/json", "application/x-ndjson"

INFLATED_CHUNK = 64 * 1024
"""Bytes that are inflated at a time, however well they were compressed."""

_GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib to expect the gzip format."""


def media_type(scope: Scope) -> str:
    """The media type of a request's body in lower case, without parameters; JSON where it says nothing."""
    given = _header(scope, b"content-type").partition(";")[0].strip()
    return JSON if not given or given.endswith("+json") else given


async def read_body(scope: Scope, receive: Receive, limit: int, setting: str) -> bytes:
    """All of a body. Raises what `read_chunks` does."""
    return b"".join([chunk async for chunk in read_chunks(scope, receive, limit, setting)])


async def read_chunks(scope: Scope, receive: Receive, limit: int, setting: str) -> AsyncIterator[bytes]:
    """A body piece by piece, inflated where it came compressed.

    Raises:
        BodyTooLarge: it is longer than `limit` bytes, which `setting` sets; at the first piece where it says so itself.
        UnsupportedEncoding: it is compressed in another way than by gzip.
        MalformedBody: it was not compressed by gzip, though it says so, or its end is missing.
        ClientDisconnect: the client hung up.
    """
    encoding = _header(scope, b"content-encoding")
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedEncoding(encoding)
    inflater = _Inflater() if encoding.endswith("gzip") else None
    announced = _header(scope, b"content-length")
    total = int(announced) if announced.isdecimal() and not inflater else 0
    _require_no_more(total, limit, setting)
    total, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body, more = message.get("body", b""), message.get("more_body", False)
        for piece in inflater.inflate(body) if inflater else (body,):
            total += len(piece)
            _require_no_more(total, limit, setting)
            yield piece
    if inflater:
        inflater.finish()


class _Inflater:
    """One or more gzip members, one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    def inflate(self, content: bytes) -> Iterator[bytes]:
        full = False
        while content or full:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(content, INFLATED_CHUNK)
            except zlib.error as error:
                raise malformed("gzip_invalid", f"The body is not what gzip writes ({error}).") from error
            content, full = self._member.unconsumed_tail or self._member.unused_data, len(piece) == INFLATED_CHUNK
            yield piece

    def finish(self) -> None:
        if not self._member.eof:
            raise malformed("gzip_invalid", "The body ends in the middle of what gzip wrote.")


def _require_no_more(size: int, limit: int, setting: str) -> None:
    if size > limit:
        raise BodyTooLarge(f"The body is larger than {limit} bytes. {setting} sets the limit.")


def _header(scope: Scope, name: bytes) -> str:
    for given, value in scope["headers"]:
        if given == name:
            text: str = value.decode("latin-1").strip().lower()
            return text
    return ""
