"""The command line: commands, and exit codes for errors."""

import sys
from typing import Annotated

import typer

from lockstream import __version__
from lockstream.core.errors import LockstreamError
from lockstream.presentation.cli.access.audit import commands as audit_commands
from lockstream.presentation.cli.access.keys import commands as key_commands
from lockstream.presentation.cli.feed_commands import commands as feed_commands
from lockstream.presentation.cli.list_commands import commands as list_commands
from lockstream.presentation.cli.log_commands import commands as log_commands
from lockstream.presentation.cli.options import with_settings
from lockstream.presentation.cli.output import error, open_closed_streams
from lockstream.presentation.cli.quarantine.commands import commands as quarantine_commands
from lockstream.presentation.cli.simulation_commands import commands as simulation_commands
from lockstream.presentation.cli.status.commands import commands as status_commands
from lockstream.presentation.cli.usage import FLAG, Command, CommandGroup
from lockstream.settings import Settings

commands = typer.Typer(
    cls=CommandGroup,
    help="Lockstream, the system of record of a parcel-locker network.",
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command, by default with the arguments of the process. After an error, print it and exit with code 1."""
    open_closed_streams()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        commands(given or ["--help"], prog_name="lockstream")
    except OSError as failed:
        error(f"{failed.filename}: {failed.strerror}" if failed.filename else str(failed))
    except LockstreamError as failed:
        error(str(failed))
    sys.exit(1)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"lockstream {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[  # used by its callback alone
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.", metavar=FLAG)
    ] = False,
) -> None:
    pass


@commands.command(cls=Command)
@with_settings
def serve(settings: Settings) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C.

    Every setting is an option and an environment variable; the option wins.
    """
    from lockstream.presentation.cli.serve import serve as run  # noqa: PLC0415  # loads FastAPI

    run(settings)


commands.add_typer(log_commands)
commands.add_typer(list_commands)
commands.add_typer(feed_commands)
commands.add_typer(status_commands)
commands.add_typer(quarantine_commands, name="quarantine", cls=CommandGroup)
commands.add_typer(key_commands, name="keys", cls=CommandGroup)
commands.add_typer(audit_commands)
commands.add_typer(simulation_commands)
