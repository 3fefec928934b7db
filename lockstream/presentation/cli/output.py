"""Output for people, on standard error: lines and progress bars. Text is never interpreted as markup."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BAR_AFTER_SECONDS = 0.5
"""Work that is done sooner needs no progress bar."""


def info(text: str) -> None:
    """Print a line."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(text)


def error(text: str) -> None:
    """Print an error."""
    info(f"lockstream: {text}")


class ProgressBar:
    """Shows how many events are done, after `BAR_AFTER_SECONDS`, and only if standard error is a terminal."""

    def __init__(self, title: str, *, hidden: bool) -> None:
        self.done = 0
        self._first: int | None = None
        self._started = monotonic()
        self._progress = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("events"),
            TextColumn("{task.fields[rate]} a second"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._is_shown = self._progress.console.is_terminal and not hidden
        self._task = self._progress.add_task(title, total=None, rate="")

    @property
    def rate(self) -> int:
        """Events per second so far."""
        return round((self.done - (self._first or 0)) / max(monotonic() - self._started, 1e-9))

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` events are done. This is a progress callback."""
        self.done = done
        if self._first is None:  # catching up begins in the middle of a log; rates count from the first report
            self._first, self._started = done, monotonic()
        if monotonic() - self._started > BAR_AFTER_SECONDS and self._is_shown:
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total, rate=f"{self.rate:,}")

    def stop(self) -> None:
        if self._progress.live.is_started:
            self._progress.stop()


@contextmanager
def progress_bar(title: str, *, hidden: bool = False) -> Iterator[ProgressBar]:
    """Give a progress bar that disappears at the end of the block. A hidden one only counts."""
    bar = ProgressBar(title, hidden=hidden)
    try:
        yield bar
    finally:
        bar.stop()
