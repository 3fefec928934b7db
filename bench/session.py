"""A run of the benchmark: its scale, its folders, and the turns that contestants take."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from msgspec import Struct

from bench.figures import Cpu, Series
from bench.postgres import Postgres
from bench.processes import Lockstream
from bench.scale import Scale

type Measurement = tuple[float, Cpu | None]
"""A figure, and the CPU time that was used for it."""


class Contestant(Struct, frozen=True):
    """A program under one load, with the function that measures it."""

    name: str
    unit: str
    measure: Callable[[], Measurement]


class Session:
    """A run of the benchmark. All groups of measurements share its scale and its folder."""

    def __init__(self, scale: Scale, directory: Path, tell: Callable[[str], None]) -> None:
        """`directory` is on the disk that is measured. `tell` is called with lines about the progress."""
        self.scale = scale
        self.tell = tell
        self.big_log: Path | None = None
        """The log that `bench.groups.big_log` has written."""
        self._directory = directory
        self._numbers = count()
        self._name = os.urandom(2).hex()

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield an empty folder, and remove it at the end of the block."""
        path = self.kept_folder()
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def kept_folder(self) -> Path:
        """Return an empty folder that exists until the end of the run."""
        path = self._directory / f"bench-{self.tag()}"
        path.mkdir(parents=True)
        return path

    def tag(self) -> str:
        """Return a prefix of lockers' names that is new in this run."""
        return f"{self._name}-{next(self._numbers)}"

    @contextmanager
    def lockstream(self, under: Sequence[str] = (), **settings: str) -> Iterator[Lockstream]:
        """Give a server with an empty log."""
        with self.folder() as folder, Lockstream(folder / "log.jsonl", under=under, **settings) as server:
            yield server
            server.stop()

    @contextmanager
    def postgres(self) -> Iterator[Postgres]:
        """Yield a PostgreSQL server with a new data directory on the disk that is measured."""
        self._directory.chmod(0o711)  # PostgreSQL may run as another user, which must be able to enter
        with self.folder() as folder, Postgres(folder / "postgres") as server:
            yield server

    def take_turns(self, contestants: Sequence[Contestant]) -> list[Series]:
        """Measure all contestants in turns, so that slow changes of the machine affect all of them."""
        all_series = [Series(contestant.name, contestant.unit, []) for contestant in contestants]
        for repetition in range(1, self.scale.repetitions + 1):
            for contestant, series in zip(contestants, all_series, strict=True):
                self.tell(f"{repetition}/{self.scale.repetitions}: {contestant.name}")
                value, cpu = contestant.measure()
                series.values.append(value)
                if cpu is not None:
                    series.cpu.append(cpu)
                self.tell(f"  {value:,.5g} {contestant.unit}")
        return all_series
