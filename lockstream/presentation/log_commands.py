"""Commands about the log as a whole: to move it, copy it, check it and mend it."""

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from lockstream.presentation.progress import bar
from lockstream.presentation.saying import complain, say
from lockstream.services.backup import back_up
from lockstream.services.database_verification import verify_log
from lockstream.services.moving import export_records
from lockstream.services.repair import Repair
from lockstream.services.transfer import Imported, export_events, import_events
from lockstream.services.wiring import (
    Settings,
    adopt_log,
    log_file,
    migrate_database,
    open_store,
    read_records,
    rebuild_projection,
)

commands = typer.Typer(rich_markup_mode="markdown")


@commands.command()
def verify() -> None:
    """Check every line of the log, then the projection against a fresh replay. It may run beside a server."""
    with bar("Verifying") as shown:
        found = verify_log(Settings(), lambda reached: shown.update(reached.position))
    for note in found.notes:
        say(note)
    for problem in found.problems:
        complain(problem)
    if found.problems:
        raise typer.Exit(1)
    say(f"{found.events:,} events and {found.lockers:,} lockers are as they should be.")


@commands.command()
def rebuild() -> None:
    """Make the projection anew from the log, and put it in the old one's place.

    Where the log is in a database, nodes may go on meanwhile.
    """
    with bar("Rebuilding") as shown:
        differing = rebuild_projection(Settings(), lambda reached, end: shown.update(reached.position, end.position))
    if differing is not None:
        say(f"Of the lockers, {differing:,} had another state hash before.")
    say(f"The projection was rebuilt from {shown.done:,} events, {shown.rate:,} a second.")


@commands.command()
def migrate() -> None:
    """Bring the tables of the log in a database to the form of this version. Nodes wait meanwhile."""
    before, after = migrate_database(Settings())
    say(f"The tables were of form {after} already." if before == after else f"The tables are of form {after} now.")


@commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Events, one JSON object a line.")],
    report: Annotated[
        Path | None, typer.Option(help="Where refused lines go; FILE.refused.jsonl if not given.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Take over what `export --full` wrote, as it is.")] = False,
) -> None:
    """Take in the events of a file, each decided as if it had been posted, in order.

    Lines that are refused go to a report with their line number and the code of the reason. Importing a file again
    changes nothing: its events are known, and the lines that the report names are not tried again.

    With --full nothing is decided: the log, which must be empty, becomes the same as the one that was exported, with
    its positions, times and chain values. If that breaks off, start it again.
    """
    settings = Settings()
    if full:
        if report:
            raise typer.BadParameter("--full refuses no line, so there is no --report.")
        with bar("Taking over") as shown:
            adopted = adopt_log(settings, file, lambda reached, end: shown.update(reached.position, end.position))
        say(f"{adopted:,} events were taken over as they are.")
        return
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
    say(
        f"{counts.accepted:,} accepted, {counts.duplicate:,} known already, {counts.refused:,} refused, "
        f"{counts.refused_before:,} refused by an import before."
        + (f" The refused lines are in {report}." if counts.refused or counts.refused_before else "")
    )


@commands.command()
def export(
    start: Annotated[int, typer.Option("--from", min=1, metavar="POSITION", help="The first position.")] = 1,
    locker: Annotated[str | None, typer.Option(metavar="ID", help="Only this locker's events.")] = None,
    full: Annotated[bool, typer.Option("--full", help="With positions, times and chain values: all of it.")] = False,
) -> None:
    """Write the log's events as they came to standard output, one a line. It may run beside a server."""
    if full and (start > 1 or locker is not None):
        raise typer.BadParameter("--full is the whole log: leave out --from and --locker.")
    records = read_records(Settings())
    try:
        for line in export_records(records) if full else export_events(records, start, locker):
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
    log = log_file(Settings(), "Back it up as PostgreSQL does it: see docs/scaling.md.")
    with bar("Backing up") as shown:
        end = back_up(log, destination, lambda reached: shown.update(reached.position))
    say(f"{end.position:,} events are in {destination}. The chain value of the last one is {end.chain}.")


@commands.command()
def repair(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Cut a damaged log in front of its first damaged line, if you agree to what is lost; it is kept beside the log."""
    with closing(Repair(log_file(Settings(), "Restore it from a backup: see docs/scaling.md."))) as log:
        with bar("Looking for damage") as shown:
            found = log.examine(lambda reached: shown.update(reached.position))
        for sentence in found.explain():
            say(sentence)
        if found.whole:
            return
        if not yes and not sys.stdin.isatty():
            complain("There is no terminal to ask on, so nothing was changed. `lockstream repair --yes` does not ask.")
            raise typer.Exit(1)
        if not yes and not typer.confirm("Go on without these events?", err=True):
            say("Nothing was changed.")
            raise typer.Exit(1)
        for sentence in log.carry_out(found):
            say(sentence)
