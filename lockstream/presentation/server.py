"""The ASGI server that comes with Lockstream."""

import gc
import logging
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from lockstream.presentation.limits import limited
from lockstream.services.wiring import Settings

SWITCH_SECONDS = 0.0005
"""How long a thread that settles may keep requests waiting for Python's lock; 0.005 is what Python has."""

MOST_FILES = 100_000
"""That the process asks to be allowed to open; each connection takes one."""

GARBAGE_THRESHOLDS = 50_000, 20, 100
"""Objects made before the youngest are looked at, and how often that is before older ones are."""


def configure_logging(level: str) -> None:
    """Tell on standard error what happens, one line each."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of each connection that is lost; so do we, once


def exit_when_told() -> None:
    """Until `run`, have SIGTERM and SIGINT end the process as a success: nothing has been taken in yet."""
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, lambda *_: sys.exit(0))


def configuration(app: FastAPI, limits: Settings, **more: Any) -> uvicorn.Config:
    """How the server is set up, but for where it listens.

    It names neither itself nor the time, and looks for no proxy: nobody here reads that, and it costs a tenth of the
    requests.
    """
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=limited(limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        **more,
    )


def run(
    app: FastAPI, settings: Settings, *, until: Callable[[Callable[[], object]], object] = lambda stop: None
) -> bool:
    """Serve `app` until SIGTERM or SIGINT, then finish the open requests and return; whether it could be started.

    Of `settings`, where to listen and the limits of a connection are used; what has not finished after `stop_seconds`
    is cut off. `until` is given what stops the server as the signals do.

    Raises:
        SystemExit: nothing can listen there.
    """
    _allow_files()
    host, port = settings.host, settings.port
    server = uvicorn.Server(
        configuration(app, settings, host=host, port=port, timeout_graceful_shutdown=settings.stop_seconds)
    )
    # uvicorn catches signals only later, and raises what it caught again once it has shut down: then all is done.
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, server.handle_exit)
    _favour_requests()
    until(partial(setattr, server, "should_exit", True))
    try:
        server.run()
    except SystemExit:  # uvicorn's way out where it cannot listen; it has logged why, but not who says where
        if server.started:
            raise
        sys.exit(f"lockstream: nothing can listen on {host}:{port}; LOCKSTREAM_HOST and LOCKSTREAM_PORT say where to.")
    return server.started


def _allow_files() -> None:
    """Open as many files, and so take as many connections, as the process may be allowed: often 1,024 are, at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    with suppress(OSError, ValueError):  # a system may have a limit of its own below that
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _favour_requests() -> None:
    """Have what else goes on in the process hold up no request for long.

    Other threads give Python's lock back soon. Cycles of garbage are looked for seldom, and never among what is there
    already, which is here to stay: a request leaves a few behind, and to look for them after each few hundred objects,
    as Python does, costs a third of the requests. What events and rows are made of is not looked at in any case.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
