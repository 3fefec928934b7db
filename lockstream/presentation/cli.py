"""The command line."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from lockstream.core.errors import LockstreamError
from lockstream.presentation import server
from lockstream.presentation.app import create_app
from lockstream.presentation.progress import bar
from lockstream.services.transfer import Imported, export_events, import_events
from lockstream.services.verification import verify as verify_log
from lockstream.services.wiring import (
    Settings,
    environment_names,
    open_lockstream,
    open_store,
    rebuild_projection,
)

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
            _complain(f"{names.get(str(found['loc'][0]), found['loc'][0])}: {found['msg']}")
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except LockstreamError as error:
        _complain(str(error))
    sys.exit(1)


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
    with bar("Catching up with the log") as shown:
        lockstream = open_lockstream(settings, lambda reached, end: shown.update(reached.position, end.position))
    server.run(
        create_app(lambda: lockstream),
        limits=settings,
        host=settings.host,
        port=settings.port,
        stop_seconds=settings.stop_seconds,
    )


@commands.command()
def verify() -> None:
    """Check every line of the log, then the projection against a fresh replay. It may run beside a server."""
    with bar("Verifying") as shown:
        found = verify_log(Settings().event_log_path, lambda reached: shown.update(reached.position))
    for note in found.notes:
        _say(note)
    for problem in found.problems:
        _complain(problem)
    if found.problems:
        raise typer.Exit(1)
    _say(f"{found.events:,} events and {found.lockers:,} lockers are as they should be.")


@commands.command()
def rebuild() -> None:
    """Make the projection anew from the log, and put it in the old one's place."""
    with bar("Rebuilding") as shown:
        rebuild_projection(Settings(), lambda reached, end: shown.update(reached.position, end.position))
    _say(f"The projection was rebuilt from {shown.done:,} events, {shown.rate:,} a second.")


@commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Events, one JSON object a line.")],
    report: Annotated[
        Path | None, typer.Option(help="Where refused lines go; FILE.refused.jsonl if not given.")
    ] = None,
) -> None:
    """Take in the events of a file, each decided as if it had been posted, in order.

    Lines that are refused go to a report with their line number and the code of the reason. Importing a file again
    changes nothing: its events are known, and the lines that the report names are not tried again.
    """
    settings = Settings()
    report = report or file.with_name(f"{file.name}.refused.jsonl")
    file.stat()  # before a log is made for it
    counts = Imported()
    store = open_store(settings)
    try:
        with bar("Importing") as shown:
            for counts in import_events(store, file, report):
                shown.update(counts.accepted + counts.duplicate + counts.refused + counts.refused_before)
    finally:
        store.close()
    _say(
        f"{counts.accepted:,} accepted, {counts.duplicate:,} known already, {counts.refused:,} refused, "
        f"{counts.refused_before:,} refused by an import before."
        + (f" The refused lines are in {report}." if counts.refused or counts.refused_before else "")
    )


@commands.command()
def export(
    start: Annotated[int, typer.Option("--from", min=1, metavar="POSITION", help="The first position.")] = 1,
    locker: Annotated[str | None, typer.Option(metavar="ID", help="Only this locker's events.")] = None,
) -> None:
    """Write the log's events as they came to standard output, one a line. It may run beside a server."""
    try:
        for line in export_events(Settings().event_log_path, start, locker):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader has enough, as `head` does; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text)


def _complain(text: str) -> None:
    _say(f"lockstream: {text}")
