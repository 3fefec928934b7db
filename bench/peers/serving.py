"""Serves the application of a peer with Lockstream's own server and its default options."""

from typing import cast

from fastapi import FastAPI
from starlette.types import ASGIApp

from lockstream.presentation.server import run as server
from lockstream.presentation.server.server_log import configure_server_log
from lockstream.settings import Settings


def serve(app: ASGIApp) -> None:
    """Serve `app` on a free port until SIGTERM."""
    configure_server_log("info")
    server.run(cast(FastAPI, app), Settings(host="127.0.0.1", port=0))
