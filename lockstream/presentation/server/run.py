"""Start the ASGI server that comes with Lockstream."""

import asyncio
import errno
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from lockstream.core.errors import StartRefused
from lockstream.presentation.server.handshakes import HANDSHAKE_SECONDS
from lockstream.presentation.server.protocol import connection_class
from lockstream.presentation.server.tls import Tls, TlsConfig
from lockstream.settings import Settings

SWITCH_SECONDS = 0.0005
"""Longest time that another thread may hold Python's lock while a request waits; Python's default is 0.005."""

MAX_FILES = 100_000
"""Open files that the process asks for; each connection takes one."""

GARBAGE_THRESHOLDS = 50_000, 20, 100
"""New objects before a collection of the youngest generation, and collections before one of the next generation."""


logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A uvicorn server that also stops if the startup in the background has failed."""

    def __init__(
        self,
        config: uvicorn.Config,
        has_failed: Callable[[], bool],
        on_stop: Callable[[], object] = lambda: None,
        metrics: uvicorn.Config | None = None,
    ) -> None:
        """`metrics` is the configuration of the port that serves the metrics alone, if there is one."""
        super().__init__(config)
        self._has_failed, self._on_stop = has_failed, on_stop
        self._metrics = metrics
        self._metrics_server: asyncio.Server | None = None
        self.metrics_error: str | None = None
        self.socket_error: OSError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen. If that fails on a Unix socket, stop the application: uvicorn does so only
        for an address.

        Raises:
            SystemExit: the server cannot listen.
        """
        try:
            await super().startup(sockets)
            if self._metrics:
                await self._listen_for_metrics(self._metrics)
        except OSError as error:
            self.socket_error = error
            await self.lifespan.shutdown()
            sys.exit(1)

    async def _listen_for_metrics(self, config: uvicorn.Config) -> None:
        """Listen on the port of the metrics. Its connections end as all others do.

        Raises:
            SystemExit: that address cannot be listened on.
        """
        config.load()

        def connect() -> asyncio.Protocol:
            return config.http_protocol_class(config=config, server_state=self.server_state, app_state={})  # type: ignore[call-arg]  # as uvicorn calls it

        shown = f"[{config.host}]" if ":" in config.host else config.host
        try:
            server = await asyncio.get_running_loop().create_server(connect, config.host, config.port)
        except OSError as error:
            self.metrics_error = (
                f"cannot listen on {shown}:{config.port} for metrics: {error.strerror or error}. Set "
                "LOCKSTREAM_METRICS_HOST and LOCKSTREAM_METRICS_PORT to another address."
            )
            await self.shutdown()
            sys.exit(1)
        logger.info(
            "Metrics are served on http://%s:%d/metrics",
            shown,
            server.sockets[0].getsockname()[1],
            extra={"event_name": "metrics_served"},
        )
        self._metrics_server = server

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        if self._metrics_server:
            self._metrics_server.close()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._has_failed()


def exit_on_signals() -> None:
    """Let SIGTERM and SIGINT end the process with exit code 0, until `run`: no event was accepted yet. SIGHUP, which
    only asks for a renewed certificate, does nothing until then.
    """
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: None)


def configuration(
    app: ASGIApp, settings: Settings, tick_seconds: float = 1.0, tls: Tls | None = None, **more: Any
) -> uvicorn.Config:
    """Return uvicorn's configuration, without the address. A connection's clock ticks every `tick_seconds`.

    The server sends neither its name nor the date: no client needs them, and they cost a tenth of the requests.
    """
    handshake_seconds = min(HANDSHAKE_SECONDS, settings.header_seconds)
    plain_or_tls = partial(TlsConfig, tls=tls, handshake_seconds=handshake_seconds) if tls else uvicorn.Config
    return plain_or_tls(
        app,
        loop="uvloop",
        http=connection_class(settings, tick_seconds),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        **more,
    )


def run(
    app: ASGIApp,
    settings: Settings,
    has_failed: Callable[[], bool] = lambda: False,
    on_stop: Callable[[], object] = lambda: None,
    tls: Tls | None = None,
    metrics_app: ASGIApp | None = None,
) -> bool:
    """Serve `app` until SIGTERM or SIGINT, or until `has_failed`; return whether the server could be started.

    `metrics_app` is served on a port of its own, if the settings name one.

    `on_stop` is called then, and open requests have `stop_seconds` to finish. SIGHUP reloads the certificate of `tls`.

    Raises:
        StartRefused: the address or the Unix socket cannot be listened on.
    """
    _raise_file_limit()
    address: dict[str, Any] = {"host": settings.host, "port": settings.port}
    if settings.unix_socket:
        _require_no_listener(settings.unix_socket)
        address = {"uds": str(settings.unix_socket)}
    config = configuration(app, settings, tls=tls, timeout_graceful_shutdown=settings.stop_seconds, **address)
    metrics = None
    if metrics_app and settings.metrics_port is not None:
        metrics = configuration(metrics_app, settings, host=settings.metrics_host, port=settings.metrics_port)
    server = Server(config, has_failed, on_stop, metrics)
    # uvicorn catches signals later, and raises a signal that it has caught again once it has shut down.
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, server.handle_exit)
    signal.signal(signal.SIGHUP, lambda *_: tls.reload() if tls else _log_hangup())
    _favour_requests()
    try:
        server.run()
    except SystemExit:
        if server.metrics_error:
            sys.exit(f"lockstream: {server.metrics_error}")
        if server.started:
            raise
        raise StartRefused(_listen_failure(settings, server.socket_error)) from None
    return server.started


def _log_hangup() -> None:
    logger.info(
        "SIGHUP does nothing: the server has no TLS certificate to reload.", extra={"event_name": "hangup_ignored"}
    )


def _require_no_listener(path: Path) -> None:
    """Require that no process listens on this Unix socket: uvicorn would take its clients from it.

    The file of a socket that nobody listens on is replaced, so a server that was killed hinders no start.
    """
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):  # a path that is too long is refused later
        probe.setblocking(False)
        if probe.connect_ex(str(path)) in (0, errno.EAGAIN):
            raise StartRefused(
                f"another process already listens on {path}. Stop it, or set LOCKSTREAM_UNIX_SOCKET to another path."
            )


def _listen_failure(settings: Settings, socket_error: OSError | None) -> str:
    """Return why the server cannot listen. uvicorn has already logged the reason if it is an address."""
    if socket_error:
        return (
            f"cannot listen on {settings.unix_socket}: {socket_error.strerror or socket_error}. Set "
            "LOCKSTREAM_UNIX_SOCKET to another path, in an existing folder."
        )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"cannot listen on {host}:{settings.port}. Set LOCKSTREAM_HOST and LOCKSTREAM_PORT to another address."


def _raise_file_limit() -> None:
    """Raise the limit of open files, and so of connections, which is often 1,024 at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    with suppress(OSError, ValueError):  # the system may have a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _favour_requests() -> None:
    """Let neither other threads nor garbage collection delay a request for long.

    Other threads give up Python's lock early. Garbage is collected seldom, and never among the objects that exist now.
    Python's defaults, a collection after every few hundred objects, cost a third of the requests.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
