"""The command line."""

import logging
import os
import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from lockstream import __version__
from lockstream.core.entities.log import Cursor
from lockstream.core.errors import LockstreamError
from lockstream.presentation import server
from lockstream.presentation.app import create_app
from lockstream.presentation.log_commands import commands as log_commands
from lockstream.presentation.opening import Opening
from lockstream.presentation.progress import bar
from lockstream.presentation.saying import complain
from lockstream.services.lockstream import Lockstream
from lockstream.services.wiring import Settings, Watch, environment_names, open_lockstream, unknown_settings

logger = logging.getLogger(__name__)

START_SECONDS = 1
"""A start that takes longer is answered for meanwhile: the server listens, and says how far it has come."""

SECRET = ("database_url", "DATABASE_URL", "read_url", "LOCKSTREAM_READ_URL")
"""Settings whose value is not to be shown."""

commands = typer.Typer(
    help="Lockstream, the system of record of a parcel-locker network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command, by default the process's own arguments. What goes wrong is said in a sentence; exit code 1."""
    try:
        commands(arguments)
    except ValidationError as error:
        names = environment_names()
        for found in error.errors():
            setting = str(found["loc"][0])
            secret = setting in SECRET and found["input"]
            shown = "" if secret else f" (it is {found['input']!r})"
            complain(f"{names.get(setting, setting)}: {found['msg']}{shown}")
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except LockstreamError as error:
        complain(str(error))
    sys.exit(1)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lockstream {__version__}")
        raise typer.Exit


commands.add_typer(log_commands)


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


def _settings_help() -> str:
    """Each setting: its environment variable, its default and what it is for."""
    names = environment_names()
    return "**Settings**, from the environment:\n\n" + "\n".join(
        f"- `{names[name]}` (default `{field.default}`): {field.description}"
        for name, field in Settings.model_fields.items()
    )


@commands.command(epilog=None, help=f"Serve the HTTP API until SIGTERM or Ctrl-C.\n\n{_settings_help()}")
def serve() -> None:
    settings = Settings()
    server.configure_logging(settings.log_level)
    server.exit_when_told()
    _warn_of_unknown_settings()

    def open_watched(watch: Watch) -> Lockstream:
        with bar("Catching up with the log") as shown:

            def watched(reached: Cursor, end: Cursor) -> None:
                watch(reached, end)
                shown.update(reached.position, end.position)

            return open_lockstream(settings, watched)

    with Opening(open_watched) as opening:
        opening.wait(START_SECONDS)
        started = server.run(create_app(opening.get), settings, until=opening.when_failed)
        opening.require_no_failure()
    if not started:
        raise typer.Exit(1)


def _warn_of_unknown_settings() -> None:
    for variable, closest in unknown_settings(os.environ).items():
        hint = f"The closest one is {closest}." if closest else "`lockstream serve --help` lists them."
        logger.warning("%s is no setting of Lockstream, and is ignored. %s", variable, hint)
