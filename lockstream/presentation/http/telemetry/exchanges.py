"""Exchanges: requests and their responses, noted for the access log and for traces.

An application is wrapped only if the settings turn the access log or traces on. While both are off, they cost nothing.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstream.core.entities.access import Scope as AccessScope
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.proxies import remote_address
from lockstream.presentation.http.routes.operations import CONSOLE, CONSOLE_API, Operation, as_get, path_of
from lockstream.presentation.http.telemetry.request_ids import request_id_of, send_with_request_id

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import RequestSpan, Tracing


class Exchange(Struct):
    """A request, and its response as far as it was sent."""

    method: str
    path: str
    """The path without its query, and without the prefix of a proxy."""

    operation: str
    may_wait: bool
    """Whether the operation may wait for events of the feed, or is a stream."""

    address: str
    request_id: str
    key_id: str = ""
    status: int | None = None
    """The status of the response, or None if there was none."""

    seconds: float = 0.0
    body_bytes: int = 0
    """Bytes of the response body that were sent."""

    trace_id: str | None = None
    """The trace of the request, if it is traced."""


class OnExchange(Protocol):
    """Notes exchanges that have ended. The access log is one."""

    def note(self, exchange: Exchange) -> None: ...


class Exchanges:
    """Passes requests to an application, and notes each with its response."""

    def __init__(
        self,
        app: ASGIApp,
        find: Callable[[str, str], Operation],
        on_exchange: OnExchange | None,
        tracing: "Callable[[], Tracing | None]",
    ) -> None:
        """`find` returns the operation of a method and a path, and `tracing` the traces once the system runs."""
        self._app, self._find = app, find
        self._on_exchange, self._tracing = on_exchange, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._new_exchange(scope)
        tracing = self._tracing()
        span = tracing.begin_request(exchange.operation, scope["headers"]) if tracing else None
        observer = _ResponseObserver(send_with_request_id(send, scope, span.trace_parent if span else None), exchange)
        send = observer.send
        if scope["method"] == "HEAD":
            scope, send = as_get(scope, send)
        started = perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            exchange.seconds = perf_counter() - started
            exchange.key_id = caller_of(scope).key_id
            if span:
                _end(span, exchange)
            if self._on_exchange:
                self._on_exchange.note(exchange)

    def _new_exchange(self, scope: Scope) -> Exchange:
        path = path_of(scope)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._find(method, path)
        forwarded = self._find(method, path.removeprefix(CONSOLE_API)) if operation is CONSOLE else operation
        return Exchange(
            method=scope["method"],
            path=path,
            operation=operation.name,
            may_wait=forwarded.scope is AccessScope.FEED,
            address=remote_address(scope),
            request_id=request_id_of(scope)[0],
        )


class _ResponseObserver:
    """Forwards the messages of a response, and notes its status and size."""

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send, self._exchange = send, exchange

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
        else:
            self._exchange.body_bytes += len(message.get("body", b""))
        await self._send(message)


def _end(span: "RequestSpan", exchange: Exchange) -> None:
    exchange.trace_id = span.trace_id
    span.end(
        exchange.status,
        {
            "http.request.method": exchange.method,
            "url.path": exchange.path,
            "client.address": exchange.address,
            "lockstream.request_id": exchange.request_id,
            "lockstream.key_id": exchange.key_id,
            "http.response.body.size": exchange.body_bytes,
        },
    )
