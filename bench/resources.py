"""CPU time and memory of processes, from /proc. A process stands for all processes that it has started."""

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from bench.figures import Cpu

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Memory(Struct, frozen=True):
    """Memory in bytes, as in proc_pid_smaps(5)."""

    rss: int
    pss: int


class CpuMeter:
    """Measures the CPU time of groups of processes from its construction on."""

    def __init__(self, *, contestant: Sequence[int], database: Sequence[int] = (), load: Sequence[int] = ()) -> None:
        """Each group is given by the ids of its processes."""
        self._groups = contestant, database, load
        self._started, self._before = time.perf_counter(), self._seconds()

    def read(self) -> Cpu:
        """Return the average number of busy cores since the construction."""
        elapsed = time.perf_counter() - self._started
        total, *used = ((now - then) / elapsed for now, then in zip(self._seconds(), self._before, strict=True))
        contestant, database, load = used
        return Cpu(
            contestant=contestant,
            database=database if self._groups[1] else None,
            load=load if self._groups[2] else None,
            other=total - sum(used),
        )

    def _seconds(self) -> list[float]:
        return [_busy_seconds(), *(sum(map(_cpu_seconds, pids)) for pids in self._groups)]


def busy_cores(seconds: float = 0.5) -> float:
    """Measure for `seconds` how many cores are busy, with any process."""
    before = _busy_seconds()
    time.sleep(seconds)
    return (_busy_seconds() - before) / seconds


def memory(pid: int) -> Memory:
    """Return the memory of a process."""
    rollups = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in _process_tree(pid)]
    rss, pss = (
        sum(1024 * int(re.findall(rf"^{kind}: +(\d+) kB", rollup, re.MULTILINE)[0]) for rollup in rollups)
        for kind in ("Rss", "Pss")
    )
    return Memory(rss, pss)


def _busy_seconds() -> float:
    """Return the CPU time of all cores without idle and iowait, with the time stolen by the host (proc_stat(5))."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS_PER_SECOND


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, with the time of children that have ended."""
    stats = (_read(Path(f"/proc/{one}/stat")).rpartition(")")[2].split() for one in _process_tree(pid))
    return sum(int(ticks) for fields in stats for ticks in fields[11:15]) / _TICKS_PER_SECOND


def _process_tree(pid: int) -> list[int]:
    children = "".join(_read(task) for task in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [pid, *(one for child in children for one in _process_tree(int(child)))]


def _read(file: Path) -> str:
    """Return the content of a file in /proc, or "" if its process has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return file.read_text()
    return ""
