"""Start the ASGI server that comes with Lockstream."""

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
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
"""Longest time, in seconds, for which a thread holds the global interpreter lock while another thread waits for it.
Python's default is 0.005."""

MAX_FILES = 100_000
"""Open files that the process asks for; each connection takes one."""

GARBAGE_THRESHOLDS = 50_000, 20, 100
"""Thresholds of garbage collection: new objects, and collections of each generation before one of the next."""


logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A uvicorn server that also stops if the startup in the background has failed."""

    def __init__(
        self,
        config: uvicorn.Config,
        has_failed: Callable[[], bool],
        on_stop: Callable[[], object] = lambda: None,
        metrics: uvicorn.Config | None = None,
        metrics_sockets: Sequence[socket.socket] = (),
    ) -> None:
        """`metrics` is the configuration of the port that serves the metrics alone, and `metrics_sockets` listen there.

        Without them, there is no such port.
        """
        super().__init__(config)
        self._has_failed, self._on_stop = has_failed, on_stop
        self._metrics, self._metrics_sockets = metrics, metrics_sockets
        self._metrics_servers: list[asyncio.Server] = []
        self.socket_error: OSError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and accept connections. End at once if the startup in the background has failed.

        If the server cannot listen on a Unix socket, stop the application. For an address, uvicorn stops it and exits;
        the error is the context of that exit.

        Raises:
            SystemExit: the server cannot listen.
        """
        if self._has_failed():
            self.should_exit = True
            return
        try:
            await super().startup(sockets)
            if self._metrics:
                await self._serve_metrics(self._metrics)
        except SystemExit as exited:
            if isinstance(exited.__context__, OSError):
                self.socket_error = exited.__context__
            raise
        except OSError as error:
            self.socket_error = error
            await self.lifespan.shutdown()
            sys.exit(1)

    async def _serve_metrics(self, config: uvicorn.Config) -> None:
        """Serve the port of the metrics. Its connections end as all others do."""
        config.load()

        def connect() -> asyncio.Protocol:
            return config.http_protocol_class(config=config, server_state=self.server_state, app_state={})  # type: ignore[call-arg]  # as uvicorn calls it

        for listening in self._metrics_sockets:
            self._metrics_servers.append(await asyncio.get_running_loop().create_server(connect, sock=listening))
            logger.info(
                "Metrics are served on http://%s:%d/metrics",
                _shown_host(config.host),
                listening.getsockname()[1],
                extra={"event_name": "metrics_served"},
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        for server in self._metrics_servers:
            server.close()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._has_failed()


def exit_on_signals() -> None:
    """Let SIGTERM and SIGINT end the process with exit code 0 until `run`, because no event was accepted yet.
    SIGHUP, which reloads the certificate, does nothing until then.
    """
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: None)


def configuration(
    app: ASGIApp, settings: Settings, tick_seconds: float = 1.0, tls: Tls | None = None, **more: Any
) -> uvicorn.Config:
    """Return uvicorn's configuration, without the address. A connection's clock ticks every `tick_seconds`.

    The server sends neither its name nor the date: no client needs them, and each response would pay for both.
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

    At the end, `on_stop` is called, and open requests have `stop_seconds` to finish. `metrics_app` is served on a port
    of its own, if the settings name one. SIGHUP reloads the certificate of `tls`.

    Raises:
        StartRefused: the address, the Unix socket or the port of the metrics cannot be listened on.
    """
    _raise_file_limit()
    address: dict[str, Any] = {"host": settings.host, "port": settings.port}
    if settings.unix_socket:
        _require_no_listener(settings.unix_socket)
        address = {"uds": str(settings.unix_socket)}
    config = configuration(app, settings, tls=tls, timeout_graceful_shutdown=settings.stop_seconds, **address)
    metrics, metrics_sockets = None, []
    if metrics_app and settings.metrics_port is not None:
        metrics = configuration(metrics_app, settings, host=settings.metrics_host)
        metrics_sockets = _listen_for_metrics(settings.metrics_host, settings.metrics_port)
    server = Server(config, has_failed, on_stop, metrics, metrics_sockets)
    # uvicorn catches signals later, and raises a signal that it has caught again once it has shut down.
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, server.handle_exit)
    signal.signal(signal.SIGHUP, lambda *_: tls.reload() if tls else _log_hangup())
    _limit_delays()
    try:
        server.run()
    except SystemExit:
        if server.started:
            raise
        raise StartRefused(_listen_failure(settings, server.socket_error)) from None
    return server.started


def require_free_address(host: str, port: int) -> None:
    """Require that a server can listen on each address of a host now.

    Raises:
        StartRefused: one of the addresses cannot be listened on.
    """
    try:
        for listening in _listen(host, port):
            listening.close()
    except OSError as error:
        raise StartRefused(_address_failure(host, port, error)) from error


def _log_hangup() -> None:
    logger.info(
        "SIGHUP does nothing: the server has no TLS certificate to reload.", extra={"event_name": "hangup_ignored"}
    )


def _require_no_listener(path: Path) -> None:
    """Require that no process listens on this Unix socket, since uvicorn would take over the clients of that process.

    A socket file without a listening process is replaced, so a start succeeds after a server was killed.
    """
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):  # uvicorn reports a path that is too long
        probe.setblocking(False)
        if probe.connect_ex(str(path)) in (0, errno.EAGAIN):
            raise StartRefused(
                f"another process already listens on {path}. Stop it, or set LOCKSTREAM_UNIX_SOCKET to another path."
            )


def _listen_failure(settings: Settings, error: OSError | None) -> str:
    """Return why the server cannot listen. Without `error`, the server log has the reason."""
    if settings.unix_socket and error:
        return (
            f"cannot listen on {settings.unix_socket}: {error.strerror or error}. Set LOCKSTREAM_UNIX_SOCKET to "
            "another path, in an existing folder."
        )
    return _address_failure(settings.host, settings.port, error)


def _address_failure(host: str, port: int, error: OSError | None) -> str:
    reason = f": {_reason(error)}" if error else ""
    return (
        f"cannot listen on {_shown_host(host)}:{port}{reason}. Set LOCKSTREAM_HOST and LOCKSTREAM_PORT to another "
        "address."
    )


def _reason(error: OSError) -> str:
    """Return the reason of an error about an address, without the address, which some libraries add to it."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _listen_for_metrics(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on each address of a host. A client waits there until the server has started.

    Raises:
        StartRefused: one of the addresses cannot be listened on.
    """
    try:
        return _listen(host, port)
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {_shown_host(host)}:{port} for metrics: {_reason(error)}. Set LOCKSTREAM_METRICS_HOST "
            "and LOCKSTREAM_METRICS_PORT to another address."
        ) from error


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on each address of a host. Raises OSError."""
    listening: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listening.append(socket.create_server(address, family=family))  # closed if one fails
    except OSError:
        for opened in listening:
            opened.close()
        raise
    return listening


def _shown_host(host: str) -> str:
    """Return a host in the form of a URL, with brackets around an IPv6 address."""
    return f"[{host}]" if ":" in host else host


def _raise_file_limit() -> None:
    """Raise the limit of open files, which bounds connections. Its usual default is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    with suppress(OSError, ValueError):  # the system may have a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _limit_delays() -> None:
    """Let neither other threads nor garbage collection delay a request for long.

    Other threads release the global interpreter lock early. Garbage is collected seldom, and never among the objects
    that exist now. Python's default, a collection after every few hundred objects, slows down each request.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
