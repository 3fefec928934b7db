"""Who uses the CPU, while something is measured."""

from collections.abc import Sequence
from time import perf_counter

from bench.figures import Cpu
from bench.processes import busy_seconds, cpu_seconds


class Meter:
    """Counts from when it is made. Processes are named by their ids, and stand for all that they have started."""

    def __init__(self, *, contestant: Sequence[int], database: Sequence[int] = (), load: Sequence[int] = ()) -> None:
        self._roles = contestant, database, load
        self._began, self._before = perf_counter(), self._seconds()

    def read(self) -> Cpu:
        """Cores, on average until now."""
        lasted = perf_counter() - self._began
        everything, *used = ((now - then) / lasted for now, then in zip(self._seconds(), self._before, strict=True))
        contestant, database, load = used
        return Cpu(
            contestant,
            database if self._roles[1] else None,
            load if self._roles[2] else None,
            everything - sum(used),
        )

    def _seconds(self) -> list[float]:
        return [busy_seconds(), *(sum(map(cpu_seconds, pids)) for pids in self._roles)]
