"""The HTTP application: operations, contract and documentation page."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from msgspec.json import schema_components
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstream import __version__
from lockstream.core.entities.access import Scope as AccessScope
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.access.declarations import declare_access
from lockstream.presentation.http.access.gate import HOW_TO_OPEN_DOCS, identify, require_scope
from lockstream.presentation.http.access.rate_limits import (
    RATE_LIMIT,
    RATE_LIMIT_POLICY,
    TOO_MANY,
    rate_limit_headers,
    take_request,
)
from lockstream.presentation.http.access.revocation import refusal_of, serve_while_key_is_accepted
from lockstream.presentation.http.access.security_headers import policy_of_page, secure, send_with_security_headers
from lockstream.presentation.http.errors import error_response
from lockstream.presentation.http.event_stream import LAST_EVENT_ID
from lockstream.presentation.http.log_id import LOG
from lockstream.presentation.http.min_position import MIN_POSITION, POSITION
from lockstream.presentation.http.proxies import BehindProxy, remote_address
from lockstream.presentation.http.routes import (
    batches,
    events,
    faults,
    feed,
    health,
    histories,
    lockers,
    quarantine,
    reservations,
    search,
)
from lockstream.presentation.http.routes.access import audit, keys
from lockstream.presentation.http.routes.feed import THROUGH
from lockstream.presentation.http.routes.figures import network, system
from lockstream.presentation.http.routes.operations import (
    ASSETS,
    CONSOLE,
    CONSOLE_PATH,
    DOCUMENTATION,
    Endpoint,
    Operation,
    Operations,
    as_get,
    path_of,
)
from lockstream.presentation.http.routes.telemetry import metrics
from lockstream.presentation.http.routes.telemetry.metrics import groups_of_operations, labels_of_operations
from lockstream.presentation.http.routes.telemetry.metrics_port import metrics_app
from lockstream.presentation.http.telemetry.access_log import AccessLog
from lockstream.presentation.http.telemetry.exchanges import Exchanges
from lockstream.presentation.http.telemetry.request_ids import (
    REQUEST_ID,
    TRACE_PARENT,
    has_request_id_headers,
    send_with_request_id,
)
from lockstream.schemas import figures, listings, records, states
from lockstream.schemas import keys as key_bodies
from lockstream.schemas import quarantine as quarantine_bodies
from lockstream.schemas.cloud_events import REPORTED_CLOUD_EVENT, CloudEvent
from lockstream.schemas.events import EVENT
from lockstream.services.running.access.rate_limits import RateLimits, TooManyRequests
from lockstream.services.running.lifecycle import Lifecycle
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.telemetry.metrics.collector import MetricsCollector
from lockstream.services.running.telemetry.request_tally import RequestTally
from lockstream.settings import Settings

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import Tracing

DESCRIPTION = """\
The system of record of a parcel-locker network. Lockers report events; the rules refuse events that cannot have
happened, and all others are kept for ever in an append-only log. A read shows all events that were acknowledged before
it began, or, with `at`, the state at an earlier position or time. A response bears the `X-Request-ID` and the
`traceparent` of its request.
"""

ROUTERS = tuple(
    module.router
    for module in (
        events,
        batches,
        feed,
        histories,
        network,
        lockers,
        reservations,
        faults,
        search,
        quarantine,
        keys,
        audit,
        metrics,
        system,
        health,
    )
)
"""Every operation of the contract, by resource."""


type MakeConsole = Callable[["Application"], ASGIApp]
"""Makes the operators' console, at the first request to it."""


def create_app(
    open_lockstream: Callable[[], Lockstream],
    read_settings: Callable[[], Settings] = Settings,
    make_console: MakeConsole | None = None,
) -> "Application":
    """Return an application over the Lockstream that `open_lockstream` opens; it is closed when the server stops.

    `read_settings` is called at the first request, for the settings of browsers and proxies. Without `make_console`,
    or if the settings say so, there is no console, and the root leads to the documentation.
    """
    app = Application(Lifecycle(open_lockstream), read_settings, make_console)
    _serve_documentation(app)
    return app


_ARRIVAL = "lockstream.arrival"
"""Key in the ASGI scope: the operation and the time of arrival, or None for a request of the console."""


class Application(FastAPI):
    """FastAPI, with the operations of the contract answered in front of its middleware and routing.

    Middleware and routing cost more than all that Lockstream does with an event, including the flush
    (docs/decisions/0010). The table of operations is made from the same routes as the contract, so the two cannot
    differ.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        read_settings: Callable[[], Settings],
        make_console: MakeConsole | None = None,
    ) -> None:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            lifecycle.start()
            try:
                yield
            finally:
                await lifecycle.close()

        super().__init__(
            title="Lockstream",
            version=__version__,
            description=DESCRIPTION,
            lifespan=lifespan,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            generate_unique_id_function=lambda route: route.name,
        )
        self.lifecycle = lifecycle
        self._read_settings = read_settings
        self._make_console = make_console
        self._outer_app: ASGIApp | None = None
        self._has_exchanges = False
        self._requests = RequestTally(groups_of_operations(), labels_of_operations())
        self.metrics = MetricsCollector(self._requests)
        self._operations = Operations([route for router in ROUTERS for route in router.routes], self._redirect_root)
        for router in ROUTERS:
            self.include_router(router, responses={} if router is health.router else {429: TOO_MANY})
        for kind in (HTTPException, Exception):
            self.exception_handler(kind)(_handle)

    @property
    def lockstream(self) -> Lockstream:
        """The running system. Raises StoreUnavailable, LockstreamError or OSError, as `Lifecycle.lockstream` does."""
        return self.lifecycle.running or self.lifecycle.lockstream()

    @cached_property
    def settings(self) -> Settings:
        """The settings, read at the first request."""
        return self._read_settings()

    @cached_property
    def rate_limits(self) -> RateLimits:
        """The rate limits of all keys."""
        return RateLimits(self.settings)

    @property
    def metrics_app(self) -> ASGIApp:
        """An application that serves the metrics without an API key, for a port of its own."""
        return metrics_app(self.lifecycle, self.metrics)

    @cached_property
    def _console(self) -> ASGIApp:
        return self._make_console(self) if self._make_console and self.settings.console else _without_console

    async def _redirect_root(self, request: Request) -> Response:
        """Redirect from the root of the server to the console, or to the documentation if the console is off."""
        path = CONSOLE_PATH if self._make_console and self.settings.console else "/docs"
        return RedirectResponse(f"{request.scope.get('root_path', '')}{path}", 307)

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """Return the response of an operation to a request of the console, whose caller is known."""
        operation, parameters = self._operations.find(scope["method"], path_of(scope))
        request = Request(scope, receive)
        try:
            require_scope(self.lockstream.access, scope, operation.name, operation.scope)
            return await operation.endpoint(request, **parameters)
        except Exception as error:  # noqa: BLE001  # FastAPI's handlers are not reached
            return self._error_response(request, error, operation)

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the console for an operation, whose caller is known."""
        operation, parameters = self._operations.find(scope["method"], path_of(scope))
        scope = {**scope, _ARRIVAL: None}
        try:
            require_scope(self.lockstream.access, scope, operation.name, operation.scope)
        except Exception as error:  # noqa: BLE001  # FastAPI's handlers are not reached
            await self._respond(self._error_response(Request(scope, receive), error, operation), scope, receive, send)
            return
        await self._perform(operation, parameters, scope, receive, send)

    def stop_waiting(self) -> None:
        """Let no reader of the feed wait any longer, because the server stops."""
        if self.lifecycle.running:
            self.lifecycle.running.stop_waiting()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._outer_app = self._outer_app or self._build_outer_app()
            if has_request_id_headers(scope["headers"]) and not self._has_exchanges:
                send = send_with_request_id(send, scope)
            await self._outer_app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI contract: by FastAPI, except the schemas of events, lists and states."""
        if self.openapi_schema is None:
            contract = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            event, reported = (form.schema("#/components/schemas/{model}") for form in (EVENT, REPORTED_CLOUD_EVENT))
            bodies = (
                *(*listings.RESPONSES, *states.RESPONSES, *records.RESPONSES, CloudEvent),
                *quarantine_bodies.BODIES,
                *key_bodies.BODIES,
                *figures.BODIES,
            )
            _, lists = schema_components(bodies, ref_template="#/components/schemas/{name}")
            schemas = lists | contract["components"]["schemas"]  # both have `Status`, and FastAPI's is in order
            contract["components"]["schemas"] = (
                schemas | event.pop("$defs") | reported.pop("$defs") | {"Event": event, "ReportedCloudEvent": reported}
            )
            _restore_examples(contract, (route for router in ROUTERS for route in router.routes))
            declare_access(contract)
            self.openapi_schema = contract
        return self.openapi_schema

    def _build_outer_app(self) -> ASGIApp:
        """Return the application that answers requests, wrapped in the layers that the settings ask for."""
        settings = self.settings
        outer: ASGIApp = self._answer
        if settings.cors_origins:
            outer = CORSMiddleware(
                outer,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=[
                    *("Authorization", "Content-Type", "Content-Encoding", "If-None-Match"),
                    *(MIN_POSITION, LOG, LAST_EVENT_ID, REQUEST_ID, TRACE_PARENT),
                ],
                expose_headers=[
                    *(POSITION, THROUGH, LOG, "Retry-After", "ETag", "Link", "Content-Disposition"),
                    *(RATE_LIMIT, RATE_LIMIT_POLICY, "WWW-Authenticate", REQUEST_ID, TRACE_PARENT),
                ],
            )
        share = settings.access_log_share
        if share or settings.traces == "on":
            self._has_exchanges = True
            access_log = AccessLog(share) if share else None
            outer = Exchanges(outer, self._operation_of, access_log, self._running_tracing)
        if settings.root_path or settings.trusted_proxies:
            outer = BehindProxy(outer, settings.root_path or "", settings.trusted_proxies)
        return outer

    def _operation_of(self, method: str, path: str) -> Operation:
        return self._operations.find(method, path)[0]

    def _running_tracing(self) -> "Tracing | None":
        return self.lifecycle.running.tracing if self.lifecycle.running else None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            scope, send = as_get(scope, send)
        scope["app"] = self
        path = path_of(scope)
        operation, parameters = self._operations.find(scope["method"], path)
        scope[_ARRIVAL] = operation.name, perf_counter()
        try:
            if operation.needs_key and not (self.settings.open_docs and operation is DOCUMENTATION):
                remedy = HOW_TO_OPEN_DOCS if operation is DOCUMENTATION else ""
                identify(self.lockstream.access, scope, operation.name, self.settings.cors_origins, remedy)
            if (caller := caller_of(scope)).key_id:
                take_request(self.rate_limits, caller)
                require_scope(self.lockstream.access, scope, operation.name, operation.scope)
        except Exception as error:  # noqa: BLE001  # FastAPI's handlers are not reached
            response = self._error_response(Request(scope, receive), error, operation)
            await self._respond(response, scope, receive, send)
            return
        if operation is DOCUMENTATION:
            await super().__call__(scope, receive, send_with_security_headers(send, scope))
        elif operation is CONSOLE:
            await self._console(scope, receive, send_with_security_headers(self._counting(send), scope))
        else:
            await self._perform(operation, parameters, scope, receive, send)

    def _counting(self, send: Send) -> Send:
        """Return a `send` that also counts a response of the console."""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._requests.count(CONSOLE.name, message["status"])
            await send(message)

        return send_counted

    async def _perform(
        self, operation: Operation, parameters: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if operation.scope is AccessScope.FEED and self.lockstream.access.is_enforced:
            await self._serve_feed(operation, scope, receive, send)
        else:
            endpoint = partial(operation.endpoint, **parameters) if parameters else operation.endpoint
            await self._serve(operation, endpoint, scope, receive, send)

    async def _serve_feed(self, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request for the feed, which may last long, and end it once its key is no longer accepted."""

        async def serve(send: Send) -> None:
            await self._serve(operation, operation.endpoint, scope, receive, send)

        await serve_while_key_is_accepted(self.lockstream.access, scope, serve, send)

    async def _serve(
        self, operation: Operation, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request. A cancelled request is answered with the reason: its key has ended, or the server stops."""
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except asyncio.CancelledError as cancelled:
            response = error_response(request, refusal_of(scope) or cancelled)
        except Exception as error:  # noqa: BLE001  # FastAPI's handlers are not reached
            response = self._error_response(request, error, operation)
        await self._respond(response, scope, receive, send)

    def _error_response(self, request: Request, error: Exception, operation: Operation) -> Response:
        """Return the response to an error. A request beyond a rate limit is noted for the audit log."""
        if isinstance(error, TooManyRequests) and (running := self.lifecycle.running):
            scope = request.scope
            running.access.note_refusal(caller_of(scope).key_id, remote_address(scope), operation.name, error.code)
        return error_response(request, error)

    async def _respond(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a response with security headers, and with the rate limits of the caller's key."""
        if arrival := scope[_ARRIVAL]:
            operation, arrived_at = arrival
            self._requests.note(operation, response.status_code, perf_counter() - arrived_at)
        caller = caller_of(scope)
        secure(response, scope, needs_key=bool(caller.key_id))
        if caller.key_id:
            response.raw_headers += rate_limit_headers(self.rate_limits, caller)
        await response(scope, receive, send)


def _restore_examples(contract: dict[str, Any], routes: Iterable[BaseRoute]) -> None:
    """Put the declared examples of responses into a contract, because FastAPI drops members that are null."""
    for route in routes:
        if isinstance(route, APIRoute) and route.path in contract["paths"]:
            for operation in contract["paths"][route.path].values():
                if operation["operationId"] == route.name:
                    for status, declared in route.responses.items():
                        for media_type, content in declared.get("content", {}).items():
                            if "example" in content:
                                shown = operation["responses"][str(status)]["content"][media_type]
                                shown["example"] = content["example"]


async def _handle(request: Request, error: Exception) -> Response:
    return error_response(request, error)


async def _without_console(scope: Scope, receive: Receive, send: Send) -> None:
    await error_response(Request(scope, receive), HTTPException(404))(scope, receive, send)


def _serve_documentation(app: FastAPI) -> None:
    """Serve Swagger UI from the files of a package, so that it works without the internet."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="documentation assets")

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{ASSETS[1:]}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS[1:]}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS[1:]}/favicon-32x32.png",
        )
        page.headers["Content-Security-Policy"] = policy_of_page(bytes(page.body).decode())
        return page
