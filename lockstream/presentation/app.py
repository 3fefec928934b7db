"""The HTTP application: its routes, its contract and its documentation page."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream import __version__
from lockstream.presentation import batches, events, health, network
from lockstream.presentation.problems import add_problem_handlers
from lockstream.presentation.running import Running
from lockstream.schemas.events import event_schema
from lockstream.services.lockstream import Lockstream

DESCRIPTION = """\
The system of record of a parcel-locker network. Lockers report what happened; what cannot have happened is refused,
the rest is kept for ever, and the reads say what the network looks like now. Each read shows all that was acknowledged
before it began.
"""

_POSTS: dict[str, ASGIApp] = {"/events": events.answer_event, "/events/batch": batches.answer_batch}

_ASSETS = "/docs/assets"


class _Application(FastAPI):
    """FastAPI, with some operations answered in front of it.

    Its middleware, routing and dependencies cost more than all that Lockstream does with an event, the flush included
    (docs/decisions/0010). The routes of these operations document them, and serve them where a proxy's prefix stands
    before the path; either way it is the same function that answers.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (answer := _in_front(scope["method"], scope["path"])):
            scope["app"] = self
            await answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _in_front(method: str, path: str) -> ASGIApp | None:
    """What answers a request in front of FastAPI, if anything does."""
    if method == "POST":
        return _POSTS.get(path)
    return network.reader(path) if method == "GET" else None


def create_app(open_lockstream: Callable[[], Lockstream]) -> FastAPI:
    """An application over the Lockstream that `open_lockstream` opens, which it closes when the server stops."""
    running = Running(open_lockstream)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running.start()
        try:
            yield
        finally:
            await running.close()

    app = _Application(
        title="Lockstream",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.running = running
    app.include_router(events.router)
    app.include_router(batches.router)
    app.include_router(network.router)
    app.include_router(health.router)
    add_problem_handlers(app)
    _serve_documentation(app)
    app.openapi = lambda: _contract(app)  # type: ignore[method-assign]  # FastAPI's own way to replace it
    return app


def _contract(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        contract = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        event = event_schema("#/components/schemas/{model}")
        contract["components"]["schemas"] |= event.pop("$defs") | {"Event": event}
        app.openapi_schema = contract
    return app.openapi_schema


def _serve_documentation(app: FastAPI) -> None:
    """Serve Swagger UI from the files of a package, so that it works without the internet."""
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="documentation assets")

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{_ASSETS[1:]}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS[1:]}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS[1:]}/favicon-32x32.png",
        )
