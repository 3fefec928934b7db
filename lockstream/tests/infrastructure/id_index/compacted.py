"""A store whose id index is compacted every few dozen events, and the events that the tests here ingest."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from lockstream.core.outcomes import Duplicate, Outcome
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED, RESERVATION_ALREADY_EXISTS
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.id_index.index import EMPTY_RUN, Compaction, SortedRun
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.tests.support.builders import Body, event, registered, reserved
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, hashes_after_start, history

MEMTABLE_IDS = 20
"""Ids that the memtable may hold here."""

HISTORIES = [history(f"locker-{number}") for number in range(20)]
LAST, MORE = registered("last"), registered("more")
BODIES = [*(body for one in HISTORIES for body in one), LAST, MORE]


def in_memory(compaction: Compaction) -> SortedRun:
    """Return the new run of a compaction, without a file."""
    return SortedRun(*(np.concatenate([EMPTY_RUN.hashes, *parts]) for parts in compaction.merge()))


def open_store(log: Path) -> closing[EmbeddedStore]:
    return closing(EmbeddedStore(log, CAPACITY))


def ingest_and_checkpoint(store: EmbeddedStore, *bodies: Body) -> list[Outcome]:
    """Ingest one batch, checkpoint, and return the outcomes."""
    outcomes = ingest([event(body) for body in bodies], store.unit_of_work())
    store.checkpoint()
    return outcomes


def run_files(log: Path) -> list[Path]:
    """Return the run files beside a log, sorted by position."""
    return sorted(log.parent.glob("*.keys-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def rebuild_projection(log: Path) -> None:
    """Remove the projection, and start."""
    projection_path(log).unlink()
    hashes_after_start(log)


def assert_all_ids_are_known(log: Path, bodies: Sequence[Body] = BODIES) -> None:
    """Check that all `bodies` are duplicates in any order, and that their compartments and reservations are found."""
    with open_store(log) as store:
        duplicates: list[Outcome] = [Duplicate(position) for position in range(1, len(bodies) + 1)]
        assert ingest_and_checkpoint(store, *bodies) == duplicates
        assert [ingest_and_checkpoint(store, body)[0] for body in reversed(bodies)] == duplicates[::-1]
        again = registered("c1", locker="locker-3"), reserved("locker-7-parcel-2", "c1", locker="locker-3")
        refusals = [COMPARTMENT_ALREADY_REGISTERED, RESERVATION_ALREADY_EXISTS]
        assert ingest_and_checkpoint(store, *again) == refusals
        assert hashes(store.reads) == hashes_after_replay(log)
