"""Reads of one subject for a caller that is bound to lockers."""

from typing import Any, cast

import pytest

from lockstream.core.bound.reads import BoundReads
from lockstream.core.entities.access import Lockers
from lockstream.core.ports import Reads
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.support.builders import event, registered, reserved

BODIES = [registered("c", locker=locker) for locker in ("own", "other")]
BODIES += [reserved(f"r-{locker}", "c", locker=locker) for locker in ("own", "other")]


@pytest.fixture
def reads() -> Reads:
    """Reads of a network of two lockers, each with a compartment and a reservation."""
    store = MemoryStore()
    ingest([event(body) for body in BODIES], store.unit_of_work())
    return store.reads


def test_subjects_of_the_callers_lockers_are_read(reads: Reads) -> None:
    bound = BoundReads(reads, Lockers.of(["ow*"]))

    assert bound.locker("own") == reads.locker("own") is not None
    assert bound.locker_state("own") == reads.locker_state("own") is not None
    assert bound.compartment("own", "c") == reads.compartment("own", "c") is not None
    assert bound.reservation("r-own") == reads.reservation("r-own") is not None
    assert bound.event(BODIES[0]["event_id"]) == reads.event(BODIES[0]["event_id"]) is not None
    assert bound.times([1, 2]) == reads.times([1, 2])


def test_subjects_of_other_lockers_are_absent(reads: Reads) -> None:
    bound = BoundReads(reads, Lockers.of(["own"]))

    assert bound.locker("other") is None
    assert bound.locker_state("other") is None
    assert bound.compartment("other", "c") is None
    assert bound.reservation("r-other") is None
    assert bound.event(BODIES[1]["event_id"]) is None


def test_lockers_and_records_are_those_of_the_caller_alone(reads: Reads) -> None:
    bound = BoundReads(reads, Lockers.of(["own"]))

    assert [locker.locker_id for locker in bound.lockers()] == ["own"]
    assert [record.end.position for record in bound.records([1, 3])] == [1, 3]
    with pytest.raises(LookupError, match="position 2 is of a locker that the caller cannot see"):
        bound.records([1, 2])


@pytest.mark.parametrize(
    ("kind", "other", "unknown"),
    [
        ("locker", ("other",), ("unknown",)),
        ("locker_state", ("other",), ("unknown",)),
        ("compartment", ("other", "c"), ("unknown", "c")),
        ("reservation", ("r-other",), ("r-unknown",)),
        ("event", (BODIES[1]["event_id"],), ("00000000-0000-4000-8000-000000000000",)),
    ],
)
def test_a_subject_of_another_locker_costs_the_reads_of_an_unknown_one(
    reads: Reads, kind: str, other: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    made: list[list[str]] = []
    for ids in (other, unknown):
        recording = RecordingReads(reads)
        assert getattr(BoundReads(cast(Reads, recording), Lockers.of(["own"])), kind)(*ids) is None
        made.append(recording.made)
    assert made[0] == made[1]


class RecordingReads:
    """Reads that note the name of each one that is made."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.made.append(name)
        return getattr(self._reads, name)
