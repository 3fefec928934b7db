"""The live view: the state of a server, read every `REFRESH_SECONDS` until Ctrl-C."""

import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from lockstream.core.errors import StatusUnknown
from lockstream.presentation.cli.status.client import ask
from lockstream.presentation.cli.status.rates import Seen, events_a_second
from lockstream.presentation.cli.status.view import CRITICAL, FAINT, Line, lines

REFRESH_SECONDS = 2.0
"""Time between two requests."""


def show_live(url: str, console: Console) -> None:
    """Show the state of the server at `url` until Ctrl-C. A server that does not answer is asked again, too.

    Raises:
        StatusUnknown: the server does not answer the first request.
    """
    views = _views(url)
    try:
        with Live(rendered(next(views)), console=console, auto_refresh=False) as live:
            live.refresh()
            for view in views:
                live.update(rendered(view), refresh=True)
    except KeyboardInterrupt:
        pass


def rendered(view: list[Line]) -> Text:
    """Return lines as text with styles."""
    return Text("\n").join(Text(line.text, line.style) for line in view)


def _views(url: str) -> Iterator[list[Line]]:
    """Yield a view each `REFRESH_SECONDS`."""
    before: Seen | None = None
    view: list[Line] = []
    while True:
        try:
            now = Seen(ask(url).status, time.monotonic())
        except StatusUnknown as error:
            if before is None:
                raise
            yield [Line(str(error), CRITICAL), Line("The last state that is known:", FAINT), Line(""), *view]
        else:
            view = lines(now.status, events_a_second(before, now))
            before = now
            yield [*view, Line("Ctrl-C ends this view.", FAINT)]
        time.sleep(REFRESH_SECONDS)
