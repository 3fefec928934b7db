"""The ASGI server that comes with Lockstream."""

import logging
import signal
import sys

import uvicorn
from fastapi import FastAPI


def configure_logging(level: str) -> None:
    """Tell on standard error what happens, one line each."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )


def exit_when_told() -> None:
    """Until `run`, have SIGTERM and SIGINT end the process as a success: nothing has been taken in yet."""
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, lambda *_: sys.exit(0))


def run(app: FastAPI, *, host: str, port: int, stop_seconds: int) -> None:
    """Serve `app` until SIGTERM or SIGINT, then finish the open requests and return.

    What has not finished after `stop_seconds` is cut off.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=stop_seconds,
    )
    server = uvicorn.Server(config)
    # uvicorn catches signals only later, and raises what it caught again once it has shut down: then all is done.
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, server.handle_exit)
    server.run()
    if not server.started:
        sys.exit(f"lockstream: nothing can listen on {host}:{port}; LOCKSTREAM_HOST and LOCKSTREAM_PORT say where to.")
