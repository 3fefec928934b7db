"""A progress bar, on a terminal, for what takes long."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_SECONDS = 0.5
"""What is done by then needs no bar."""


class Bar:
    """Shows how many of how many events are done, from `PATIENCE_SECONDS` on, if standard error is a terminal."""

    def __init__(self, title: str) -> None:
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
        self._task = self._progress.add_task(title, total=None, rate="")

    @property
    def rate(self) -> int:
        """Events a second so far."""
        return round((self.done - (self._first or 0)) / max(monotonic() - self._started, 1e-9))

    def update(self, done: int, total: int | None = None) -> None:
        self.done = done
        if self._first is None:  # catching up begins in the middle; its first report is where rates count from
            self._first, self._started = done, monotonic()
        waited = monotonic() - self._started
        if waited > PATIENCE_SECONDS and self._progress.console.is_terminal:
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total, rate=f"{self.rate:,}")

    def stop(self) -> None:
        if self._progress.live.is_started:
            self._progress.stop()


@contextmanager
def bar(title: str) -> Iterator[Bar]:
    shown = Bar(title)
    try:
        yield shown
    finally:
        shown.stop()
