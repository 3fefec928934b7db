"""Faults that are injected into the flushes of a server's log, and the projection's note of acknowledged events."""

from pathlib import Path

from lockstream.infrastructure.sqlite.database import reading_engine
from lockstream.infrastructure.sqlite.projection import read_progress
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.processes import traced


def failing_flush(log: Path, number: int) -> list[str]:
    """Return a command under which the n-th flush of a server's log fails. The start flushes it once."""
    failing = ("-e", "trace=fdatasync,fsync", "-e", f"inject=fdatasync:error=EIO:when={number}")
    return traced(trace_of(log), log, *failing)


def killed_at_flush(log: Path, number: int) -> list[str]:
    """Return a command under which a server is killed when it begins the n-th flush of its log."""
    killing = ("-e", "trace=fdatasync", "-e", f"inject=fdatasync:signal=KILL:error=EIO:when={number}")
    return traced(trace_of(log), log, *killing)


def trace_of(log: Path) -> Path:
    """Return the path of the trace of a server's flushes."""
    return log.with_name("trace.txt")


def acknowledged_on_disk(log: Path) -> int:
    """Return the number of acknowledged events that the projection has noted, while a server may be running."""
    engine = reading_engine(projection_path(log))
    try:
        with engine.connect() as connection:
            return read_progress(connection).acknowledged
    finally:
        engine.dispose()
