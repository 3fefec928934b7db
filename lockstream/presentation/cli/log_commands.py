"""Commands about a log as a whole: verify, rebuild, migrate, import, export, backup, repair.

Each command imports its own modules, so that no command waits for the modules of another.
"""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lockstream.core.wording import counted, quoted
from lockstream.presentation.cli.options import with_deployment
from lockstream.presentation.cli.output import error, info, progress_bar, standard_output
from lockstream.presentation.cli.usage import FLAG, Command

if TYPE_CHECKING:
    from lockstream.services.deployment import Deployment

SOME_REFUSED = 3
"""Exit code of an import that refused events."""

commands = typer.Typer(rich_markup_mode="markdown")


@commands.command(cls=Command)
@with_deployment
def verify(deployment: "Deployment") -> None:
    """Verify every line of the log, then the projection against a fresh replay. May run beside a server.

    The replay is a temporary projection: beside a log in a file, else in the system's folder for temporary files.

    The files of the quarantine, the API keys and the audit log are verified as well. The exit code is 1 if something is
    wrong.
    """
    with progress_bar("Verifying") as bar:
        found = deployment.verify(bar.update)
    for note in found.notes:
        info(note)
    for problem in found.problems:
        error(problem)
    if found.problems:
        raise typer.Exit(1)
    info(f"OK: {counted(found.events, 'event')} and {counted(found.lockers, 'locker')} verified.")


@commands.command(cls=Command)
@with_deployment
def rebuild(deployment: "Deployment") -> None:
    """Rebuild the projection from the log, and replace the old projection.

    With a database, nodes may run meanwhile.
    """
    with progress_bar("Rebuilding") as bar:
        deployment.rebuild(bar.update)
    info(f"The projection was rebuilt from {counted(bar.done, 'event')}, {bar.rate:,} a second.")


@commands.command(cls=Command)
@with_deployment
def migrate(deployment: "Deployment") -> None:
    """Upgrade the tables in the database to the schema version of this Lockstream. Nodes wait meanwhile."""
    before, after = deployment.migrate()
    if before == after:
        info(f"The tables already have schema version {after}.")
    else:
        info(f"The tables now have schema version {after}.")


@commands.command("import", cls=Command)
@with_deployment
def import_(
    deployment: "Deployment",
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Events, one JSON object a line.")],
    report: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The file for refused lines. [default: FILE.refused.jsonl]")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", metavar=FLAG, help="Import the output of `export --full`, unchanged.")
    ] = False,
) -> None:
    """Import the events of a file. Each is decided in order, as if it had been posted.

    Refused lines go to a report, with their line numbers and codes, and the exit code is 3. Importing a file again
    changes nothing: its events are duplicates, and lines that the report names are not decided again.

    With --full nothing is decided. The log, which must be empty, becomes identical to the exported one. An
    interrupted import can be started again.
    """
    if file.is_dir():
        raise typer.BadParameter(f"{quoted(str(file))} is a folder. Name a file with events.", param_hint="FILE")
    if full:
        if report:
            raise typer.BadParameter("--full refuses no line, so it writes no --report. Leave one of them out.")
        with progress_bar("Importing") as bar:
            imported = deployment.import_log(file, bar.update)
        info(f"{counted(imported, 'event')} imported unchanged.")
        return
    report = report or file.with_name(f"{file.name}.refused.jsonl")
    with progress_bar("Importing") as bar:
        counts = deployment.import_events(file, report, bar.update)
    refused = counts.refused + counts.refused_before
    info(
        f"{counts.accepted:,} accepted, {counts.duplicate:,} duplicate, {counts.refused:,} refused, "
        f"{counts.refused_before:,} refused by an earlier import."
        + (f" The refused lines are in {report}." if refused else "")
    )
    if refused:
        raise typer.Exit(SOME_REFUSED)


@commands.command(cls=Command)
@with_deployment
def export(
    deployment: "Deployment",
    start: Annotated[
        int,
        typer.Option("--from", min=1, metavar="POSITION", help="The first position. [default: 1]", show_default=False),
    ] = 1,
    locker: Annotated[str | None, typer.Option(metavar="ID", help="Only this locker's events.")] = None,
    full: Annotated[
        bool, typer.Option("--full", metavar=FLAG, help="The whole log, with positions, times and chain values.")
    ] = False,
) -> None:
    """Write the log's events to standard output as they were sent, one a line. May run beside a server."""
    from lockstream.services.commands.copy_log import export_log  # noqa: PLC0415
    from lockstream.services.commands.export_events import export_events  # noqa: PLC0415

    if full and (start > 1 or locker is not None):
        raise typer.BadParameter("--full exports the whole log. Leave out --from and --locker.")
    with standard_output() as output, progress_bar("Exporting", hidden=output.isatty()) as bar:
        records = deployment.records(bar.update)
        for line in export_log(records) if full else export_events(records, start, locker):
            output.write(line)


@commands.command(cls=Command)
@with_deployment
def backup(
    deployment: "Deployment",
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The file to create, in an existing folder.", show_default=False)
    ],
) -> None:
    """Copy the log file, check every line of the copy, and flush it to disk. May run beside a server.

    The quarantine of the log, if there is one, is copied to DEST.quarantine, the API keys to DEST.keys, and the audit
    log to DEST.audit and DEST.audit.refused.
    """
    from lockstream.services.commands.backup import back_up  # noqa: PLC0415

    log = deployment.log_file("Back up the database instead: see docs/scaling.md.")
    with progress_bar("Backing up") as bar:
        end, quarantine, audit, refusals, keys = back_up(log, destination, bar.update)
    chain = f" The last one has the chain value {end.chain}." if end.position else ""
    info(f"{counted(end.position, 'event')} copied to {destination}.{chain}")
    if quarantine:
        info(f"The quarantine is copied to {quarantine}.")
    if keys:
        info(f"The API keys are copied to {keys}, which only its owner may read.")
    if copied := [str(path) for path in (audit, refusals) if path]:
        info(f"The audit log is copied to {' and '.join(copied)}.")


@commands.command(cls=Command)
@with_deployment
def repair(
    deployment: "Deployment",
    yes: Annotated[bool, typer.Option("--yes", metavar=FLAG, help="Do not ask.")] = False,
) -> None:
    """Truncate a damaged log before its first damaged line, after a confirmation. The rest is kept beside the log."""
    from lockstream.services.commands.repair import Repair  # noqa: PLC0415

    log_file = deployment.log_file("Restore the database from a backup instead: see docs/scaling.md.")
    with closing(Repair(log_file)) as log:
        with progress_bar("Examining") as bar:
            report = log.examine(bar.update)
        for sentence in report.explain():
            info(sentence)
        if report.is_whole:
            return
        if not yes and not sys.stdin.isatty():
            error(
                "Cannot ask for confirmation: standard input is not a terminal. Nothing was changed. Run `lockstream "
                "repair --yes` to go on without asking."
            )
            raise typer.Exit(1)
        if not yes and not typer.confirm("Go on without these events?", err=True):
            info("Nothing was changed.")
            raise typer.Exit(1)
        for sentence in log.apply(report):
            info(sentence)
