"""The command that follows a server's feed: follow."""

import re
from typing import Annotated

import typer

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.fields import IDENTIFIER_FORM, is_identifier
from lockstream.core.wording import quoted
from lockstream.presentation.cli.usage import Command

commands = typer.Typer(rich_markup_mode="markdown")

_START = re.compile("head|0|[1-9][0-9]{0,17}")


@commands.command(cls=Command)
def follow(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8000.")],
    after: Annotated[
        str,
        typer.Option(
            metavar="POSITION", help="Begin after this position: 0 is the beginning, `head` the next accepted event."
        ),
    ] = "head",
    event_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")] = None,
    locker: Annotated[str | None, typer.Option(metavar="ID", help="Only events of this locker.")] = None,
) -> None:
    """Print the events of a running server as they are accepted, one a line, until Ctrl-C.

    After a broken connection or a restart of the server, the command continues with the next event.
    """
    from lockstream.presentation.cli.follow import follow as run  # noqa: PLC0415

    if not _START.fullmatch(after):
        raise typer.BadParameter(f"--after is {quoted(after)}. Give a position, such as 0 or 81204, or head.")
    if event_type is not None and event_type not in EVENT_TYPES:
        raise typer.BadParameter(f"--type is {quoted(event_type)}. Give one of {', '.join(EVENT_TYPES)}.")
    if locker is not None and not is_identifier(locker):
        raise typer.BadParameter(f"--locker is {quoted(locker)}. Give {IDENTIFIER_FORM}.")
    given = {"type": event_type, "locker_id": locker}
    run(url, after, {name: value for name, value in given.items() if value is not None})
