"""Small logs that the real store has written, and the state that a log gives."""

from collections.abc import Callable, Iterable
from pathlib import Path

from lockstream.core.entities.events import Event
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import RowReads
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.sqlite.row_cache import NullRowStore, RowCache
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.infrastructure.stores.memory import MemoryReads
from lockstream.tests.support.builders import (
    LOCKER,
    Body,
    deposited,
    event,
    expired,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

CAPACITY = 1_000
"""Rows in the row cache of the stores here."""


def history(locker: str = LOCKER) -> list[Body]:
    """Return ten events that can be accepted in order. They leave some of every kind of state behind."""
    name = f"{locker}-parcel"
    return [
        registered("c1", locker=locker),
        registered("c2", locker=locker),
        reserved(f"{name}-1", "c1", locker=locker, weight_g=1250, note="fragile"),
        deposited(f"{name}-1", locker=locker),
        picked_up(f"{name}-1", locker=locker),
        reserved(f"{name}-2", "c1", locker=locker),
        fault_reported(4, "c2", locker=locker),
        expired(f"{name}-2", locker=locker),
        reserved(f"{name}-3", "c1", locker=locker),
        deposited(f"{name}-3", locker=locker),
    ]


def record(log: Path, bodies: Iterable[Body], event_of: Callable[[Body], Event] = event) -> None:
    """Append `bodies` to a log as one batch, each of which must be accepted, and bring the projection up to it."""
    store = EmbeddedStore(log, CAPACITY)
    try:
        outcomes = ingest([event_of(body) for body in bodies], store.unit_of_work())
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        store.checkpoint()
    finally:
        store.close()


def hashes_after_start(log: Path) -> dict[str, str]:
    """Start the store and stop it; return the state hash of each locker that it shows."""
    store = EmbeddedStore(log, CAPACITY)
    try:
        return hashes(store.reads)
    finally:
        store.close()


def hashes_after_replay(log: Path) -> dict[str, str]:
    """Return the state hash of each locker after a fresh replay of `log` in memory."""
    cache = RowCache(NullRowStore())
    catch_up(cache, read_log(log))
    return hashes(MemoryReads(cache))


def hashes(reads: RowReads) -> dict[str, str]:
    """Return the state hash of each locker, by locker id."""
    return {locker.locker_id: state_hash(locker) for locker in reads.lockers()}


def files_beside(log: Path) -> dict[str, bytes]:
    """Return the content of `log` and of every file beside it, by name."""
    return {path.name: path.read_bytes() for path in log.parent.iterdir() if path.is_file()}
