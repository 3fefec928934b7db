"""The command line: commands, and exit codes for errors."""

import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from lockstream import __version__
from lockstream.core.errors import LockstreamError
from lockstream.presentation.cli.log_commands import commands as log_commands
from lockstream.presentation.cli.options import SECRETS, with_settings
from lockstream.presentation.cli.output import error
from lockstream.settings import Settings, environment_names

commands = typer.Typer(
    help="Lockstream, the system of record of a parcel-locker network.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command, by default with the process's own arguments. An error is printed, and ends with exit code 1."""
    try:
        commands(arguments)
    except ValidationError as invalid:
        for line in _explain(invalid):
            error(line)
    except OSError as failed:
        error(f"{failed.filename}: {failed.strerror}" if failed.filename else str(failed))
    except LockstreamError as failed:
        error(str(failed))
    sys.exit(1)


def _explain(invalid: ValidationError) -> list[str]:
    """Return a sentence for each invalid setting, with its value unless it is secret."""
    names = environment_names()
    lines = []
    for found in invalid.errors():
        setting = str(found["loc"][0])
        name = next((name for name, variable in names.items() if setting.upper() in (name.upper(), variable)), setting)
        shown = "" if name in SECRETS and found["input"] else f" (the value is {found['input']!r})"
        lines.append(f"{names.get(name, setting)}: {found['msg']}{shown}.")
    return lines


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"lockstream {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # its callback prints
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@commands.command()
@with_settings()
def serve(settings: Settings) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C.

    Every setting is an option and an environment variable; the option wins.
    """
    from lockstream.presentation.cli.serve import serve as run  # noqa: PLC0415  # loads FastAPI, which no other needs

    run(settings)


commands.add_typer(log_commands)
