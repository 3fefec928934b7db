"""Output for people, on standard error: lines and progress bars. Text is never interpreted as markup.

Output for programs goes to standard output.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import IO, TYPE_CHECKING

import typer

from lockstream.core.errors import OutputFailed

if TYPE_CHECKING:
    from rich.progress import Progress

BAR_AFTER_SECONDS = 0.5
"""Time after which a progress bar appears."""


def info(text: str) -> None:
    """Print a line."""
    typer.echo(text, err=True)


def error(text: str) -> None:
    """Print an error."""
    info(f"lockstream: {text}")


def open_closed_streams() -> None:
    """Open the null device as each closed standard stream. Otherwise the next opened file would become the stream.

    `sys.stdout` stays None, so that no output is lost unnoticed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def require_standard_output() -> None:
    """Raise OutputFailed if standard output is closed."""
    if sys.stdout is None:
        raise OutputFailed("Standard output is closed. Redirect it to a file or a pipe, and run the command again.")


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """Context manager that yields standard output as a binary file. If the reader closes the pipe, the block ends.

    Raises:
        OutputFailed: standard output is closed.
    """
    require_standard_output()
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _discard_standard_output()
    except (OSError, OutputFailed):
        try:
            sys.stdout.buffer.flush()
        except OSError:
            _discard_standard_output()
        raise


def _discard_standard_output() -> None:
    """Let the rest of the output go nowhere. Its flush at the exit of Python would fail, and change the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ProgressBar:
    """Shows the number of events done, after `BAR_AFTER_SECONDS`, and only if standard error is a terminal."""

    def __init__(self, title: str, *, hidden: bool, resumes: bool) -> None:
        self.done = 0
        self._first = None if resumes else 0
        self._started = monotonic()
        self._title = title
        self._is_wanted = sys.stderr.isatty() and not hidden
        self._progress: Progress | None = None

    @property
    def rate(self) -> int:
        """Events per second so far."""
        return round((self.done - (self._first or 0)) / max(monotonic() - self._started, 1e-9))

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` events are done. This is a progress callback."""
        self.done = done
        if self._first is None:
            self._first, self._started = done, monotonic()
        if self._is_wanted and monotonic() - self._started > BAR_AFTER_SECONDS:
            self._progress = self._progress or _new_progress(self._title)
            [task] = self._progress.task_ids
            self._progress.update(task, completed=done, total=total, rate=self.rate)
            self._progress.start()

    def stop(self) -> None:
        if self._progress:
            self._progress.stop()


@contextmanager
def progress_bar(title: str, *, hidden: bool = False, resumes: bool = False) -> Iterator[ProgressBar]:
    """Context manager that yields a progress bar and removes it at the end. A hidden bar only counts.

    If the work `resumes` in the middle, its rate counts from the first call of `update`.
    """
    bar = ProgressBar(title, hidden=hidden, resumes=resumes)
    try:
        yield bar
    finally:
        bar.stop()


def _new_progress(title: str) -> "Progress":
    from rich.console import Console  # noqa: PLC0415  # slow to load, and seldom needed
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    progress = Progress(
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} events"),
        TextColumn("{task.fields[rate]:,} a second"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    progress.add_task(title, rate=0)
    return progress
