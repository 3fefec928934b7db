"""The verdict on a soak: whether memory, open files, threads and latencies stayed the same.

Each figure of the last third of the run is compared with the best third: the sequence of windows of this length that
has the lowest figure. So neither a slow beginning nor a slow middle excuses a slow end.
"""

from collections.abc import Callable, Sequence
from statistics import median

from msgspec import Struct

KINDS = "events", "batches", "reads"
"""The kinds of requests whose latencies are judged."""

MAX_RATIO = 1.5
"""Highest ratio of the latencies of the last third to those of the best third. Other programs use the disk, too."""

MAX_SECONDS = {"p50": 0.02, "p99": 0.2}
"""Highest latencies of the last third, in seconds, even if the whole run was as slow."""

MIN_THIRD_SECONDS = 300
"""Latencies are judged if a third lasts at least this long. Shorter thirds differ by chance."""

MEMORY_BYTES_PER_EVENT = 25
"""Allowed growth of memory per event, whose id stays in memory for ever (docs/decisions/0012-id-index.md)."""

FULL_AT_EVENTS = 700_000
"""Number of events that fill the row cache (LOCKSTREAM_ROW_CACHE_ROWS): every third event makes a new row."""

MAX_MORE = {"files": 4, "threads": 1}
"""Allowed growth: connections to the projection are opened when needed, and so is the compaction thread started."""


class Latency(Struct, frozen=True):
    """Median and 99th percentile in seconds."""

    p50: float
    p99: float


class Window(Struct, frozen=True):
    """The figures of a part of the run. Memory, files and threads are counted after all clients have left."""

    events: int
    """Position of the log at the end."""
    rss: int
    files: int
    threads: int
    latencies: dict[str, Latency]
    """Latencies of each kind of request, and of flushes of the disk alone."""


class Verdict(Struct, frozen=True):
    """The verdict on one figure of a soak."""

    subject: str
    finding: str
    is_flat: bool | None
    """None if the run was too short to judge."""

    def row(self) -> tuple[str, str, str]:
        """Return the row of a table."""
        return self.subject, self.finding, {True: "flat", False: "NOT FLAT", None: "not judged"}[self.is_flat]


def judge(windows: Sequence[Window], window_seconds: float) -> list[Verdict]:
    """Return the verdict on each figure of a run."""
    third = max(1, len(windows) // 3)
    is_long = third * window_seconds >= MIN_THIRD_SECONDS
    return [
        _memory(windows[third - 1], windows[-1]),
        *(_count(windows, third, name) for name in MAX_MORE),
        *(_latency(windows, third, kind, name, is_long) for kind in KINDS for name in MAX_SECONDS),
    ]


def _memory(before: Window, after: Window) -> Verdict:
    """Judge whether memory has grown since `before`, the state of the server after a third of the run."""
    if before.events < FULL_AT_EVENTS:
        finding = f"{(after.rss - before.rss) / 1e6:+.1f} MB while the row cache fills"
        return Verdict("memory", finding, None)
    growth = (after.rss - before.rss) / (after.events - before.events)
    return Verdict("memory", f"{growth:.1f} bytes per event after the first third", growth <= MEMORY_BYTES_PER_EVENT)


def _count(windows: Sequence[Window], third: int, name: str) -> Verdict:
    best, last = _best_and_last(windows, third, lambda part: max(getattr(window, name) for window in part))
    return Verdict(f"open {name}" if name == "files" else name, f"{last - best:+g}", last - best <= MAX_MORE[name])


def _latency(windows: Sequence[Window], third: int, kind: str, name: str, is_long: bool) -> Verdict:
    best, last = _best_and_last(
        windows, third, lambda part: median(getattr(window.latencies[kind], name) for window in part)
    )
    finding = f"{last * 1e3:.1f} ms, {last / best:.2f} × the best third"
    is_flat = last <= MAX_RATIO * best and last <= MAX_SECONDS[name]
    return Verdict(f"{kind}, {name}", finding, is_flat if is_long else None)


def _best_and_last(
    windows: Sequence[Window], third: int, figure: Callable[[Sequence[Window]], float]
) -> tuple[float, float]:
    """Return a figure of the best third and of the last third."""
    figures = [figure(windows[start : start + third]) for start in range(len(windows) - third + 1)]
    return min(figures), figures[-1]
