"""Overlay reads show every event, wherever its rows are: written, in flight, or changed since the checkpoint began."""

from itertools import combinations_with_replacement, count

import pytest
from msgspec.structs import replace

from lockstream.core.entities.state import Compartment, Locker, Reservation
from lockstream.core.ports import RowReads
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.infrastructure.sqlite.projections import LoggedProjection
from lockstream.tests.support.builders import Body, event, fault_cleared, fault_reported, picked_up
from lockstream.tests.support.histories import history

STEPS = 13
"""Events of one long history."""


def long_history(locker: str) -> list[Body]:
    """Return 13 events that add and change rows of every kind."""
    bodies = history(locker)
    return [
        *bodies,
        fault_cleared(bodies[6], "c2", locker=locker),
        picked_up(f"{locker}-parcel-3", locker=locker),
        fault_reported(2, "c1", locker=locker),
    ]


@pytest.mark.parametrize("is_written", [True, False])
def test_reads_show_all_events_before_during_and_after_a_checkpoint(
    projection: LoggedProjection, is_written: bool
) -> None:
    numbers = count()
    for stored, in_flight in combinations_with_replacement(range(STEPS + 1), 2):
        locker = f"locker-{next(numbers)}"
        bodies = long_history(locker)
        expected = shown(memory_reads(bodies), locker)

        projection.ingest(bodies[:stored])
        projection.cached.checkpoint()
        projection.ingest(bodies[stored:in_flight])
        checkpoint = projection.cached.begin_checkpoint()
        projection.ingest(bodies[in_flight:])

        assert shown(projection.reads, locker) == expected, "before the write"
        if is_written:
            checkpoint.write()
            assert shown(projection.reads, locker) == expected, "before the commit"
            checkpoint.commit()
        else:
            checkpoint.rollback()
        assert shown(projection.reads, locker) == expected, "after the checkpoint"
    assert len(list(projection.reads.lockers())) == next(numbers)


def test_a_locker_without_compartments_is_not_shown(projection: LoggedProjection) -> None:
    projection.ingest(long_history("locker-1"))
    assert projection.reads.locker("locker-2") is None
    assert [locker.locker_id for locker in projection.reads.lockers()] == ["locker-1"]


def memory_reads(bodies: list[Body]) -> RowReads:
    """Return reads of a store in memory after `bodies`."""
    store = MemoryStore()
    ingest([event(body) for body in bodies], store.unit_of_work())
    return store.reads


def shown(reads: RowReads, locker: str) -> tuple[Locker | None, list[Compartment | None], list[Reservation | None]]:
    """Return all reads of a locker's rows, without positions, which differ between the logs that are compared."""
    return (
        reads.locker(locker),
        [without_positions(reads.compartment(locker, name)) for name in ("c1", "c2", "c3")],
        [without_positions(reads.reservation(f"{locker}-parcel-{number}")) for number in (1, 2, 3, 4)],
    )


def without_positions[RowT: (Compartment, Reservation)](row: RowT | None) -> RowT | None:
    if row is None:
        return None
    return replace(row, **{name: 0 for name in row.__struct_fields__ if name.endswith("_position")})
