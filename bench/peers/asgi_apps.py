"""Applications that do nothing, on Lockstream's own server: `python -m bench.peers.asgi_apps NAME`."""

import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.peers.serving import serve

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer 202, to measure the server alone. No application can reach a higher rate."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"{}"})


class _Event(BaseModel):
    event_id: UUID
    occurred_at: AwareDatetime
    locker_id: str
    type: str
    payload: dict[str, Any]


def plain_fastapi() -> ASGIApp:
    """Return an application as in FastAPI's tutorial, whose POST validates an event and drops it."""
    app = FastAPI()

    @app.post("/events", status_code=202)
    async def post_event(_: _Event) -> dict[str, str]:
        return {}

    return app


def reads() -> ASGIApp:
    """Return an application whose GET is a FastAPI route that does nothing, for any path. `bare` answers its POST."""
    app = FastAPI()

    @app.get("/{path:path}")
    async def get_anything(path: str) -> dict[str, str]:  # noqa: ARG001  # FastAPI must parse it
        return {}

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        await (bare if is_post else app)(scope, receive, send)

    return front


_APPS: dict[str, Callable[[], ASGIApp]] = {"bare": lambda: bare, "fastapi": plain_fastapi, "reads": reads}

if __name__ == "__main__":
    serve(_APPS[sys.argv[1]]())
