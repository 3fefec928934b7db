"""Small logs that the real system has written, and the state that a log gives."""

from collections.abc import Iterable
from pathlib import Path

from lockstream.core.outcomes import Accepted
from lockstream.core.repositories import Queries
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.backing import Nothing
from lockstream.infrastructure.embedded import EmbeddedStore
from lockstream.infrastructure.log_file import read_log
from lockstream.infrastructure.memory import MemoryQueries
from lockstream.infrastructure.working_set import WorkingSet
from lockstream.tests.given import (
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


def life(locker: str = LOCKER) -> list[Body]:
    """Ten events that can be accepted one after the other, and leave some of everything behind."""
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


def record(log: Path, bodies: Iterable[Body]) -> None:
    """Have the real store take in `bodies`, each of which must be accepted, as one batch."""
    store = EmbeddedStore(log, CAPACITY)
    try:
        outcomes = ingest([event(body) for body in bodies], store.unit_of_work())
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        store.settle()
    finally:
        store.close()


def started(log: Path) -> dict[str, str]:
    """Start the store and stop it; returns each locker's state hash, as it shows them."""
    store = EmbeddedStore(log, CAPACITY)
    try:
        return hashes(store.queries)
    finally:
        store.close()


def replayed(log: Path) -> dict[str, str]:
    """Each locker's state hash after a fresh replay of `log` in memory."""
    rows = WorkingSet(Nothing())
    catch_up(rows, read_log(log))
    return hashes(MemoryQueries(rows))


def hashes(queries: Queries) -> dict[str, str]:
    return {locker.locker_id: state_hash(locker) for locker in queries.lockers()}


def on_disk(log: Path) -> dict[str, bytes]:
    """Every file beside `log`, and `log`, by name."""
    return {path.name: path.read_bytes() for path in log.parent.iterdir() if path.is_file()}
