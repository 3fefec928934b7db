"""Requests to the HTTP API in the same process: the source of everything that a page shows."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlencode

import msgspec
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from lockstream.core.entities.access import Caller
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.media_types import JSON
from lockstream.presentation.http.min_position import POSITION
from lockstream.services.running.access.rate_limits import RateLimits
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings

FIRST_ERROR = 400


class Application(Protocol):
    """The part of the HTTP application that the console needs."""

    @property
    def lockstream(self) -> Lockstream: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def rate_limits(self) -> RateLimits: ...

    async def respond(self, scope: Scope, receive: Receive) -> Response: ...

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class ApiRefused(Exception):
    """Raised when the API answers with an error. The text is its `detail`."""

    def __init__(self, status: int, detail: str, code: str = "") -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class Answer(NamedTuple):
    """A response of the API."""

    value: Any
    """The decoded body."""

    position: int | None
    """The position that the answer reflects, if it reflects one."""

    path: str
    """Path and query of the request, relative to the root of the API."""

    status: int


class Failed(NamedTuple):
    """Stands for an answer that the API refused, on a page whose other parts are shown."""

    detail: str
    path: str
    value: None = None
    position: int | None = None


class Api:
    """The API as the caller of one request of the console sees it."""

    def __init__(self, application: Application, scope: Scope) -> None:
        """`scope` is that of the request, with its caller."""
        self._application, self._scope = application, scope
        self.caller: Caller = caller_of(scope)

    async def get(self, path: str, /, **query: object) -> Answer:
        """Return the answer to GET. A value of `query` that is None is left out.

        Raises:
            ApiRefused: the API answers with an error.
        """
        return await self._request("GET", path, query)

    async def get_raw(self, path: str, /, **query: object) -> tuple[Answer, bytes]:
        """Return the answer to GET with its body as it is. Raises what `get` raises."""
        response = await self._respond("GET", path, query)
        return _answer(response, _target(path, query)), bytes(response.body)

    async def part(self, path: str, /, **query: object) -> "Answer | Failed":
        """Return the answer to GET, or why there is none, for a page that can do without it."""
        try:
            return await self.get(path, **query)
        except ApiRefused as refused:
            return Failed(str(refused), _target(path, query))

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """Return the answer to POST. Raises what `get` raises."""
        return await self._request("POST", path, {}, msgspec.json.encode(body or {}))

    async def _request(self, method: str, path: str, query: Mapping[str, object], body: bytes = b"") -> Answer:
        return _answer(await self._respond(method, path, query, body), _target(path, query))

    async def _respond(self, method: str, path: str, query: Mapping[str, object], body: bytes = b"") -> Response:
        path, _, given = _target(path, query).partition("?")
        root_path = self._scope.get("root_path", "")
        headers = [(name, value) for name, value in self._scope["headers"] if name in _FORWARDED]
        headers += [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body))] if body else []
        scope = {
            **self._scope,
            "method": method,
            "path": root_path + path_of(path),
            "raw_path": (root_path + path).encode(),
            "query_string": given.encode(),
            "headers": [*headers, (b"accept", JSON.encode())],
        }
        return await self._application.respond(scope, _receiving(body))


_FORWARDED = (b"authorization", b"host")


def api_path(*segments: str) -> str:
    """Return the path of segments, which may have any characters."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def path_of(quoted_path: str) -> str:
    """Return a path without its percent-encoding, as a server gets it."""
    return unquote(quoted_path)


def _target(path: str, query: Mapping[str, object]) -> str:
    texts = [(name, _text(value)) for name, value in query.items() if value is not None]
    if not texts:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(texts)}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(response: Response, target: str) -> Answer:
    value = _decoder.decode(response.body) if response.body else None
    if response.status_code >= FIRST_ERROR:
        raise ApiRefused(response.status_code, _detail(value), value.get("code", "") if isinstance(value, dict) else "")
    headers = dict(response.raw_headers)
    position = headers.get(POSITION.lower().encode())
    return Answer(value, None if position is None else int(position), target, response.status_code)


def _float(text: str) -> float | str:
    """Return a number of a payload, or its text if it is beyond all floats."""
    number = float(text)
    return number if isfinite(number) else text


_decoder = msgspec.json.Decoder(float_hook=_float)


def _detail(value: Any) -> str:
    detail = value.get("detail") if isinstance(value, dict) else None
    if isinstance(detail, list):
        return " ".join(str(item.get("msg", "")) for item in detail)
    return str(detail or "The server could not answer. Its log says more.")


def _receiving(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
