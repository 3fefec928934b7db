"""The command that shows the state of a running server: status."""

from typing import Annotated

import typer

from lockstream.presentation.cli.output import standard_output
from lockstream.presentation.cli.usage import FLAG, Command

EVENTS_REFUSED = 3
"""Exit code if a problem is critical. As for other commands, 1 is a failure of the command, and 2 a wrong option."""

commands = typer.Typer(rich_markup_mode="markdown")


@commands.command(cls=Command)
def status(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server.")] = "http://127.0.0.1:8000",
    once: Annotated[bool, typer.Option("--once", metavar=FLAG, help="Print the state once, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", metavar=FLAG, help="Print the state once, as JSON: the body of GET /system.")
    ] = False,
) -> None:
    """Show the state of a running server, live: positions, rates, lags, and problems with their remedies.

    Ctrl-C ends the command. With --once or --json, the exit code is 0 if events are accepted, 3 if they are refused,
    and 1 if the server does not answer. If the output is not a terminal, --once is meant.
    """
    from rich.console import Console  # noqa: PLC0415  # slow to load, and needed by this command alone

    from lockstream.presentation.cli.status.client import ask  # noqa: PLC0415
    from lockstream.presentation.cli.status.live import rendered, show_live  # noqa: PLC0415
    from lockstream.presentation.cli.status.view import lines  # noqa: PLC0415

    console = Console(highlight=False)
    if not (once or as_json) and console.is_terminal:
        show_live(url, console)
        return
    answer = ask(url)
    if as_json:
        with standard_output() as output:
            output.write(answer.content + b"\n")
    else:
        console.print(rendered(lines(answer.status, None)), soft_wrap=True)
    if answer.status.is_critical:
        raise typer.Exit(EVENTS_REFUSED)
