"""Simulate a locker network: its events go to a file, to a log of their own, or to a server."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import batched, groupby, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

from lockstream.core.errors import LockerNotAllowed, SimulationFailed
from lockstream.core.wording import counted
from lockstream.presentation.cli.output import ProgressBar, info, progress_bar, standard_output
from lockstream.simulator.client import BATCH_EVENTS, KEY_VARIABLE, Client, Item
from lockstream.simulator.pace import Batch, Clock, batches, clock_at
from lockstream.simulator.simulation import Simulation
from lockstream.simulator.world import Arrival

if TYPE_CHECKING:
    from lockstream.services.commands.record_history import HistoryCounts

INTERRUPTED = 130
"""Exit code of a simulation that Ctrl-C has ended before its last event."""

MINUTE = 60
"""Seconds of a minute. Events of a simulated past that arrive in one minute are recorded together, at its end."""

_OUTCOMES = {202: "accepted", 200: "duplicate"}


def write_events(simulation: Simulation, end: int, path: Path | None) -> None:
    """Write the events that arrive before `end` to a new file, or to standard output, one a line.

    Raises:
        SimulationFailed: the file exists or cannot be written. No part of it is left.
    """
    with (
        _new_file(path) if path else standard_output() as file,
        progress_bar("Simulating", hidden=file.isatty()) as bar,
    ):
        for batch in batches(simulation, end):
            file.write(b"".join([arrival.text + b"\n" for arrival in batch]))
            _show_progress(bar, simulation, len(batch), end)
    info(f"{counted(bar.done, 'event')} of {_described(simulation)} written to {path or 'standard output'}.")


def write_log(simulation: Simulation, end: int, path: Path) -> "HistoryCounts":
    """Write a log with the events that arrive before `end`, each recorded at the end of the minute of its arrival.

    Raises:
        StartRefused: the file exists or cannot be created.
        StoreUnavailable: the file cannot be written.
    """
    from lockstream.services.commands.record_history import Arrived, record_history  # noqa: PLC0415  # loads the storage

    with progress_bar("Simulating") as bar:

        def arrivals() -> Iterator[Arrived]:
            for minute, arrived in groupby(simulation.arrivals(end), lambda arrival: arrival.time // MINUTE):
                texts = [arrival.text for arrival in arrived]
                _show_progress(bar, simulation, len(texts), end)
                yield Arrived(min((minute + 1) * MINUTE, end), texts)

        try:
            counts = record_history(path, arrivals())
        except KeyboardInterrupt:
            info(f"{path} was not complete, and was removed.")
            raise
    info(
        f"{counted(counts.accepted, 'event')} of {_described(simulation)} recorded. Left out: "
        f"{counts.duplicate:,} duplicate, {len(counts.refused):,} refused."
    )
    return counts


def post_events(simulation: Simulation, end: int, url: str, speed: float | None, *, is_live: bool) -> None:
    """Post the events that arrive before `end`, and print the counts by outcome.

    With `is_live`, further events follow until Ctrl-C.

    Raises:
        SimulationFailed: the server cannot be reached, or rejects events.
        typer.Exit: Ctrl-C has ended the simulation before its last event.
    """
    clock = None if speed is None else clock_at(speed, simulation.start)
    with closing(Posting(simulation, url)) as posting:
        info(f"Posting the events of {_described(simulation)} from {_time(simulation.start)} on.")
        try:
            posting.post_until(end, clock)
            if is_live:
                info(f"{posting.summary} New events follow in real time. Press Ctrl-C to end.")
                for _ in posting.follow():
                    pass
        except KeyboardInterrupt:
            instead = " instead of `--days`" if is_live else ""
            start = f"`--start {_time(simulation.start)}`{instead}"
            info(f"{posting.summary} To go on, repeat the command with {start}.")
            raise typer.Exit(0 if posting.is_following else INTERRUPTED) from None
        info(posting.summary)


class Posting:
    """The posting of a simulation to a server, with the number of events by outcome."""

    def __init__(self, simulation: Simulation, url: str, on_failure: Callable[[], object] = lambda: None) -> None:
        """`on_failure` is called after a failed request. If it raises an exception, no other request follows."""
        self.outcomes = Counter[str]()
        self.is_following = False
        self._simulation = simulation
        self._client = Client(url, self._note_failure)
        self._on_failure = on_failure
        self._printed_failure = ""

    @property
    def summary(self) -> str:
        """The numbers of events as a sentence."""
        accepted, duplicate = self.outcomes["accepted"], self.outcomes["duplicate"]
        refused = self.outcomes.total() - accepted - duplicate
        summary = (
            f"{counted(self.outcomes.total(), 'event')} posted: {accepted:,} accepted, {duplicate:,} duplicate, "
            f"{refused:,} refused."
        )
        if foreign := self.outcomes[LockerNotAllowed.code]:
            summary += (
                f" {counted(foreign, 'event')} refused because the key in {KEY_VARIABLE} is bound to other lockers "
                f"({LockerNotAllowed.code}). Use a key that is not bound."
            )
        return summary

    def post_until(self, end: int, clock: Clock | None = None) -> None:
        """Post the events that arrive before `end`, each when `clock` has reached it, with a progress bar."""
        with progress_bar("Posting") as bar:
            for batch in self._posted(end, clock):
                _show_progress(bar, self._simulation, len(batch), end)

    def post(self, texts: Sequence[bytes]) -> None:
        """Post the texts of events at once."""
        for some in batched(texts, BATCH_EVENTS):
            self.outcomes.update(_outcome(item) for item in self._post_batch(list(some)))

    def follow(self) -> Iterator[tuple[Arrival, str]]:
        """Post all further events in real time, and yield each with its outcome."""
        self.is_following = True
        for batch in self._posted(math.inf, time.time):
            yield from batch

    def close(self) -> None:
        self._client.close()

    def _posted(self, end: float, clock: Clock | None) -> Iterator[list[tuple[Arrival, str]]]:
        source = batches(self._simulation, end, clock)
        ahead: list[Batch] = []

        def prepare_next_batch() -> None:
            """Simulate the next batch while the server decides, unless a clock says when that batch is due."""
            if clock is None and not ahead:
                ahead.extend(islice(source, 1))

        while batch := ahead.pop() if ahead else next(source, None):
            items = self._post_batch([arrival.text for arrival in batch], prepare_next_batch)
            self._printed_failure = ""
            outcomes = [_outcome(item) for item in items]
            self.outcomes.update(outcomes)
            yield list(zip(batch, outcomes, strict=True))

    def _post_batch(self, texts: Sequence[bytes], meanwhile: Callable[[], object] = lambda: None) -> list[Item]:
        """Post events in one batch. Before the exception of `Client.post`, `on_failure` may raise one of its own."""
        try:
            return self._client.post(texts, meanwhile)
        except SimulationFailed:
            self._on_failure()
            raise

    def _note_failure(self, reason: str) -> None:
        self._on_failure()
        if reason != self._printed_failure:
            info(f"{reason} The events are sent again.")
            self._printed_failure = reason


def _outcome(item: Item) -> str:
    return _OUTCOMES.get(item.status, item.code)


def _show_progress(bar: ProgressBar, simulation: Simulation, more: int, end: int) -> None:
    done = bar.done + more
    bar.update(done, max(done, simulation.estimate(end)))


def _described(simulation: Simulation) -> str:
    lockers = counted(len(simulation.lockers), "locker")
    return f"{lockers} with {counted(simulation.compartments, 'compartment')}"


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Create a file, and remove it if the block fails."""
    try:
        file = path.open("xb")
    except FileExistsError as error:
        raise SimulationFailed(
            f"{path} exists, and a simulation overwrites nothing. Name a file that does not exist."
        ) from error
    except OSError as error:
        raise SimulationFailed(
            f"{path} cannot be created ({error.strerror}). Name a file in an existing folder."
        ) from error
    try:
        with file:
            yield file
    except BaseException as error:
        path.unlink()
        if isinstance(error, KeyboardInterrupt):
            info(f"{path} was not complete, and was removed.")
        if isinstance(error, OSError):
            raise SimulationFailed(
                f"{path} could not be written ({error.strerror}), and was removed. Make sure that its disk has free "
                "space."
            ) from error
        raise
