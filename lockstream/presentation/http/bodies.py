"""Request bodies: media type, decompression and size limit."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache

from starlette.requests import ClientDisconnect, Request

from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import BodyTooLarge, UnsupportedEncoding
from lockstream.presentation.http.media_types import JSON, NDJSON
from lockstream.presentation.http.proxies import remote_address
from lockstream.schemas.events import MalformedBody, malformed

NDJSON_TYPES = {NDJSON, "application/ndjson", "application/jsonl", "application/json-lines"}
"""Media types that clients use for NDJSON. None of them is registered with IANA."""

INFLATED_CHUNK_BYTES = 64 * 1024
"""Most bytes that one call decompresses, so that a small body cannot fill memory at once."""

GZIP_OVERHEAD_BYTES = 64 * 1024
"""Bytes by which a compressed body may exceed the limit: gzip adds headers, and its members may be empty."""

_GZIP = 16 + zlib.MAX_WBITS
"""Value of `wbits` by which zlib expects the gzip format."""


class Body:
    """The body of one request. It can be read once."""

    def __init__(self, request: Request, limit: int, setting: str) -> None:
        """The body may have `limit` bytes after decompression, which the environment variable `setting` sets.

        Raises:
            UnsupportedEncoding: the body is compressed in another way than by gzip.
            BodyTooLarge: the Content-Length exceeds the limit.
        """
        self.media_type = JSON
        self._receive = request.receive
        self._limit, self._setting = limit, setting
        self._size = self._compressed = 0
        self._inflater: _Inflater | None = None
        announced = 0
        for name, value in request.scope["headers"]:
            if name == b"content-type":
                self.media_type = _media_type(value)
            elif name == b"content-encoding":
                self._inflater = _inflater(value)
            elif name == b"content-length":
                announced = int(value)
        if announced > limit and not self._inflater:
            raise self._too_large()

    async def read(self) -> bytes:
        """Return the whole body. Raises the same exceptions as `pieces`."""
        if self._inflater:
            return b"".join([piece async for piece in self.pieces()])
        pieces, has_more = await self._next()
        if has_more:
            pieces = [*pieces, *[piece async for piece in self.pieces()]]
        return b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            BodyTooLarge: the body exceeds the limit.
            MalformedBody: the body is labelled as gzip, and is not in the gzip format or lacks its end.
            ClientDisconnect: the client has closed the connection.
        """
        has_more = True
        while has_more:
            pieces, has_more = await self._next()
            for piece in pieces:
                if piece:
                    yield piece
                if self._inflater:  # a body of many or huge pieces must not block the event loop
                    await asyncio.sleep(0)

    async def _next(self) -> tuple[Iterable[bytes], bool]:
        """Return the next pieces of the body, and whether more follow."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content, has_more = message.get("body", b""), message.get("more_body", False)
        if self._inflater:
            self._compressed += len(content)
            if self._compressed > self._limit + GZIP_OVERHEAD_BYTES:
                raise self._too_large()
            return self._inflated(self._inflater, content, has_more=has_more), has_more
        self._count(content)
        return (content,), has_more

    def _inflated(self, inflater: "_Inflater", content: bytes, *, has_more: bool) -> Iterator[bytes]:
        for piece in inflater.inflate(content):
            self._count(piece)
            yield piece
        if not has_more:
            inflater.finish()

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise self._too_large()

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self._limit} bytes. Send less, or raise {self._setting}.")


def note_malformed_body(request: Request, error: MalformedBody, body: bytes) -> MalformedBody:
    """Note a malformed body, or the part of it that was read, in the quarantine, and return its error."""
    lockstream = lockstream_of(request)
    first = error.errors[0]
    lockstream.note_malformed(first["type"], first["msg"], body, remote_address(request.scope))
    return error


class _Inflater:
    """Decompresses one or more gzip members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    def inflate(self, content: bytes) -> Iterator[bytes]:
        is_full = False
        while content or is_full:
            if self._member.eof and not content:
                return
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(content, INFLATED_CHUNK_BYTES)
            except zlib.error as error:
                raise malformed(
                    "gzip_invalid",
                    f"The body is not in the gzip format ({error}). Compress it by gzip, or omit Content-Encoding.",
                ) from error
            content = self._member.unconsumed_tail or self._member.unused_data
            is_full = len(piece) == INFLATED_CHUNK_BYTES
            yield piece

    def finish(self) -> None:
        if not self._member.eof:
            raise malformed("gzip_invalid", "The body ends in the middle of a gzip member. Send all of it.")


@lru_cache(64)
def _media_type(value: bytes) -> str:
    """Return the media type in lower case without parameters; NDJSON and JSON each under one name."""
    given = value.decode("latin-1").partition(";")[0].strip().lower()
    if given in NDJSON_TYPES:
        return NDJSON
    is_json = not given or given.endswith("+json")
    return JSON if is_json and not given.startswith("application/cloudevents") else given


def _inflater(value: bytes) -> _Inflater | None:
    encoding = value.decode("latin-1").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedEncoding(encoding)
    return _Inflater()
