"""The bodies of requests as they come in: of a media type, compressed or not, and no longer than they may be."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from lockstream.presentation.problems import BodyTooLarge, UnsupportedEncoding
from lockstream.schemas.events import malformed

JSON, NDJSON = "application/json", "application/x-ndjson"

INFLATED_CHUNK = 64 * 1024
"""Bytes that are inflated at a time, however well they were compressed."""

COMPRESSION_LOSS = 64 * 1024
"""How many bytes longer a body may be as it came than inflated: gzip adds some, and empty members are nothing else."""

_GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib to expect the gzip format."""


class Body:
    """A request's body, to be read once."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, setting: str) -> None:
        """It may be `limit` bytes long, inflated; `setting` is what sets that.

        Raises:
            UnsupportedEncoding: it is compressed in another way than by gzip.
            BodyTooLarge: it is longer, as it says itself.
        """
        self.media_type = JSON
        self._receive = receive
        self._limit, self._setting = limit, setting
        self._size = self._compressed = 0
        self._inflater: _Inflater | None = None
        announced = 0
        for name, value in scope["headers"]:
            if name == b"content-type":
                self.media_type = _media_type(value)
            elif name == b"content-encoding":
                self._inflater = _inflater(value)
            elif name == b"content-length":
                announced = int(value)
        if announced > limit and not self._inflater:
            raise self._too_large()

    async def read(self) -> bytes:
        """All of it. Raises what `pieces` does."""
        if self._inflater:
            return b"".join([piece async for piece in self.pieces()])
        pieces, more = await self._next()
        if more:
            pieces = [*pieces, *[piece async for piece in self.pieces()]]
        return b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """It as it comes in.

        Raises:
            BodyTooLarge: it is longer than it may be.
            MalformedBody: it was not compressed by gzip, though it says so, or its end is missing.
            ClientDisconnect: the client hung up.
        """
        more = True
        while more:
            pieces, more = await self._next()
            for piece in pieces:
                if piece:
                    yield piece
                if self._inflater:  # a few bytes may become very many, and many none
                    await asyncio.sleep(0)

    async def _next(self) -> tuple[Iterable[bytes], bool]:
        """What comes in next, and whether more follows."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content, more = message.get("body", b""), message.get("more_body", False)
        if self._inflater:
            self._compressed += len(content)
            if self._compressed > self._limit + COMPRESSION_LOSS:
                raise self._too_large()
            return self._inflated(self._inflater, content, more), more
        self._count(content)
        return (content,), more

    def _inflated(self, inflater: "_Inflater", content: bytes, more: bool) -> Iterator[bytes]:
        for piece in inflater.inflate(content):
            self._count(piece)
            yield piece
        if not more:
            inflater.finish()

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise self._too_large()

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self._limit} bytes. {self._setting} sets the limit.")


class _Inflater:
    """One or more gzip members, one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    def inflate(self, content: bytes) -> Iterator[bytes]:
        full = False
        while content or full:
            if self._member.eof and not content:
                return
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


@lru_cache(64)
def _media_type(value: bytes) -> str:
    """In lower case and without parameters; JSON in all its forms is `application/json`."""
    given = value.decode("latin-1").partition(";")[0].strip().lower()
    return JSON if not given or given.endswith("+json") else given


def _inflater(value: bytes) -> _Inflater | None:
    encoding = value.decode("latin-1").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedEncoding(encoding)
    return _Inflater()
