"""What the groups of measurements share: how much to do, where, and contestants that take turns."""

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

type Measured = tuple[float, Cpu | None]
"""A figure, and who used the CPU meanwhile."""


class Contestant(Struct, frozen=True):
    what: str
    unit: str
    measure: Callable[[], Measured]


class Session:
    """One run of the benchmark."""

    def __init__(self, scale: Scale, directory: Path, cache: Path, say: Callable[[str], None]) -> None:
        """`directory` is on the disk that is measured; `cache` is where the big log stays. `say` tells of progress."""
        self.scale = scale
        self.cache = cache
        self._directory = directory
        self._say = say
        self._numbers = count()
        self._name = os.urandom(2).hex()

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, which is removed with all that was put there."""
        path = self._directory / f"bench-{self._name}-{next(self._numbers)}"
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def tag(self) -> str:
        """A beginning of lockers' names that was not used before, even on a log that was kept."""
        return f"{self._name}-{next(self._numbers)}"

    @contextmanager
    def lockstream(self, under: Sequence[str] = ()) -> Iterator[Lockstream]:
        """One with an empty log of its own."""
        with self.folder() as folder, Lockstream(folder / "log.jsonl", under=under) as server:
            yield server
            server.stop()

    @contextmanager
    def postgres(self) -> Iterator[Postgres]:
        """One with a new data directory, on the disk that is measured."""
        self._directory.chmod(0o711)  # it may run as somebody else, who must get through
        with self.folder() as folder, Postgres(folder / "postgres") as server:
            yield server

    def take_turns(self, contestants: Sequence[Contestant]) -> list[Series]:
        """Measure each once, then each again: what changes on the machine meanwhile, changes for all."""
        series = [Series(contestant.what, contestant.unit, []) for contestant in contestants]
        for repetition in range(1, self.scale.repetitions + 1):
            for contestant, of in zip(contestants, series, strict=True):
                self.tell(f"{repetition}/{self.scale.repetitions}: {contestant.what}")
                value, cpu = contestant.measure()
                of.values.append(value)
                if cpu is not None:
                    of.cpu.append(cpu)
                self.tell(f"  {value:,.5g} {contestant.unit}")
        return series

    def tell(self, progress: str) -> None:
        self._say(progress)
