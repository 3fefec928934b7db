"""Serve the HTTP API: run the startup beside the server, and warn about unknown settings."""

import logging
import os

import typer

import lockstream.services.running.embedded_engine  # noqa: F401  # loaded before START_SECONDS begin
from lockstream.core.errors import LockstreamError
from lockstream.core.ports import OnProgress
from lockstream.presentation.cli.output import progress_bar
from lockstream.presentation.console.entry import make_console
from lockstream.presentation.http.app import create_app
from lockstream.presentation.server import run as server
from lockstream.presentation.server.server_log import configure_server_log
from lockstream.presentation.server.tls import Tls
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lifecycle import BackgroundStart
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings, renamed_settings, unknown_settings

START_SECONDS = 1
"""Time that the server waits for the startup before it listens. Until the startup ends, requests get its progress."""

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Start the system and the server, and return when both have stopped.

    Raises:
        LockstreamError, OSError: the startup has failed, or the TLS certificate cannot be used.
        typer.Exit: the server could not be started.
    """
    configure_server_log(settings.log_level, settings.log_format)
    try:
        _serve(settings)
    except (LockstreamError, OSError) as error:
        if settings.log_format == "text":
            raise
        logger.critical("%s", error, extra={"event_name": "start_failed"})
        raise typer.Exit(1) from None


def _serve(settings: Settings) -> None:
    server.exit_on_signals()
    _warn_about_variables()
    tls = Tls.of(settings)

    def start(on_progress: OnProgress) -> Lockstream:
        with progress_bar("Catching up with the log", hidden=settings.log_format == "json", resumes=True) as bar:

            def note(reached: int, end: int) -> None:
                on_progress(reached, end)
                bar.update(reached, end)

            return deployment_of(settings).start(note)

    with BackgroundStart(start) as startup:
        startup.wait(START_SECONDS)
        app = create_app(startup.lockstream, lambda: settings, make_console)
        is_started = server.run(app, settings, lambda: startup.has_failed, app.stop_waiting, tls, app.metrics_app)
        startup.require_no_failure()
    if not is_started:
        raise typer.Exit(1)


def _warn_about_variables() -> None:
    for variable, present in renamed_settings(os.environ).items():
        logger.warning(
            "%s is now called %s. Rename it; the old name still works.",
            variable,
            present,
            extra={"event_name": "setting_renamed"},
        )
    for variable, closest in unknown_settings(os.environ).items():
        hint = f"Did you mean {closest}?" if closest else "`lockstream serve --help` lists all settings."
        logger.warning(
            "%s is not a setting of Lockstream, and is ignored. %s",
            variable,
            hint,
            extra={"event_name": "setting_unknown"},
        )
