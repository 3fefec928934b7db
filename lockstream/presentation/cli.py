"""The command line."""

import logging
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from lockstream import __version__
from lockstream.core.entities.log import Cursor
from lockstream.core.errors import LockstreamError
from lockstream.presentation import server
from lockstream.presentation.app import create_app
from lockstream.presentation.opening import Opening
from lockstream.presentation.progress import bar
from lockstream.services.backup import back_up
from lockstream.services.lockstream import Lockstream
from lockstream.services.repair import Repair
from lockstream.services.transfer import Imported, export_events, import_events
from lockstream.services.verification import verify as verify_log
from lockstream.services.wiring import (
    Settings,
    Watch,
    environment_names,
    open_lockstream,
    open_store,
    rebuild_projection,
    unknown_settings,
)

logger = logging.getLogger(__name__)

START_SECONDS = 1
"""A start that takes longer is answered for meanwhile: the server listens, and says how far it has come."""

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
            _complain(f"{names.get(setting, setting)}: {found['msg']} (it is {found['input']!r})")
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except LockstreamError as error:
        _complain(str(error))
    sys.exit(1)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lockstream {__version__}")
        raise typer.Exit


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


@commands.command()
def backup(
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The file to make, in a folder that is there.", show_default=False)
    ],
) -> None:
    """Copy the log, check every line of the copy, and have it on the disk. It may run beside a server."""
    with bar("Backing up") as shown:
        end = back_up(Settings().event_log_path, destination, lambda reached: shown.update(reached.position))
    _say(f"{end.position:,} events are in {destination}. The chain value of the last one is {end.chain}.")


@commands.command()
def repair(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Cut a damaged log in front of its first damaged line, if you agree to what is lost; it is kept beside the log."""
    with closing(Repair(Settings().event_log_path)) as log:
        with bar("Looking for damage") as shown:
            found = log.examine(lambda reached: shown.update(reached.position))
        for sentence in found.explain():
            _say(sentence)
        if found.whole:
            return
        if not yes and not sys.stdin.isatty():
            _complain("There is no terminal to ask on, so nothing was changed. `lockstream repair --yes` does not ask.")
            raise typer.Exit(1)
        if not yes and not typer.confirm("Go on without these events?", err=True):
            _say("Nothing was changed.")
            raise typer.Exit(1)
        for sentence in log.carry_out(found):
            _say(sentence)


def _warn_of_unknown_settings() -> None:
    for variable, closest in unknown_settings(os.environ).items():
        hint = f"The closest one is {closest}." if closest else "`lockstream serve --help` lists them."
        logger.warning("%s is no setting of Lockstream, and is ignored. %s", variable, hint)


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(text)


def _complain(text: str) -> None:
    _say(f"lockstream: {text}")
