"""A checkpoint writes one change set in one transaction, while batches go on, and a failed one loses nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.sqlite.checkpoint import Checkpoint
from lockstream.tests.infrastructure.sqlite.projections import LoggedProjection
from lockstream.tests.infrastructure.sqlite.trouble import driver_connection, interrupted
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS
from lockstream.tests.support.histories import hashes, history

FIRST, SECOND, THIRD = (history(f"locker-{number}") for number in (1, 2, 3))


def lockers(*histories: list[Body]) -> set[str]:
    return {bodies[0]["locker_id"] for bodies in histories}


def test_a_checkpoint_writes_the_changes_up_to_its_begin(projection: LoggedProjection) -> None:
    projection.ingest(FIRST)
    checkpoint = projection.cached.begin_checkpoint()
    projection.ingest(SECOND)

    checkpoint.write()
    checkpoint.commit()

    assert checkpoint.reached.position == projection.cached.stored.reached.position == len(FIRST)
    assert hashes(projection.stored_reads).keys() == lockers(FIRST)
    assert hashes(projection.reads).keys() == lockers(FIRST, SECOND)


def test_a_checkpoint_after_a_rollback_writes_older_and_newer_changes(projection: LoggedProjection) -> None:
    projection.ingest(FIRST)
    checkpoint = projection.cached.begin_checkpoint()
    projection.ingest(SECOND)
    checkpoint.rollback()
    projection.ingest(THIRD)

    projection.cached.checkpoint()

    assert projection.cached.stored.reached == projection.log.end
    assert hashes(projection.stored_reads) == hashes(projection.reads)
    assert hashes(projection.reads).keys() == lockers(FIRST, SECOND, THIRD)


def test_a_checkpoint_that_fails_writes_nothing(projection: LoggedProjection) -> None:
    projection.ingest(FIRST)
    projection.cached.checkpoint()
    reached, before = projection.cached.stored.reached, hashes(projection.stored_reads)
    projection.ingest(SECOND)

    with interrupted(projection.cached.stored), pytest.raises(StoreUnavailable, match="could not be written"):
        projection.cached.checkpoint()

    assert projection.cached.stored.reached == projection.cached.cache.checkpointed == reached
    assert hashes(projection.stored_reads) == before
    assert hashes(projection.reads).keys() == lockers(FIRST, SECOND)
    projection.cached.checkpoint()
    assert hashes(projection.stored_reads) == hashes(projection.reads)


def test_a_checkpoint_without_changes_does_not_touch_the_projection(projection: LoggedProjection) -> None:
    projection.ingest(FIRST)
    projection.cached.checkpoint()
    with interrupted(projection.cached.stored):
        projection.cached.checkpoint()
    assert projection.cached.stored.reached == projection.log.end


def test_a_checkpoint_without_changes_names_a_new_run(
    projection: LoggedProjection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MEMTABLE_MIN", 5)
    projection.ingest(FIRST)
    projection.cached.checkpoint()  # begins a compaction
    projection.cached.finish_compaction()
    assert projection.cached.stored.run.position == 0

    projection.cached.checkpoint()

    assert projection.cached.stored.run.position == len(FIRST)
    assert projection.cached.stored.memtable() == []
    with interrupted(projection.cached.stored):
        projection.cached.checkpoint()  # nothing is left to write


def test_batches_and_reads_go_on_while_a_thread_writes_a_checkpoint(projection: LoggedProjection) -> None:
    projection.ingest(FIRST)
    checkpoint = projection.cached.begin_checkpoint()
    with held_write(projection, checkpoint):
        projection.ingest([*SECOND, registered("c3")])
        during = hashes(projection.reads)
        assert hashes(projection.stored_reads) == {}, "the transaction has not ended"
    assert during.keys() == lockers(FIRST, SECOND)
    assert hashes(projection.reads) == during

    checkpoint.commit()

    assert hashes(projection.reads) == during
    projection.cached.checkpoint()
    assert hashes(projection.stored_reads) == during


@contextmanager
def held_write(projection: LoggedProjection, checkpoint: Checkpoint) -> Iterator[None]:
    """Write a checkpoint in a thread, and hold it inside its transaction until the end of the block."""
    is_held, may_go_on = Event(), Event()
    driver = driver_connection(projection.cached.stored._writing.connection)

    def hold() -> int:
        if driver.in_transaction:
            is_held.set()
            may_go_on.wait(TIMEOUT_SECONDS)
        return 0

    driver.set_progress_handler(hold, 1)
    writing = Thread(target=checkpoint.write)
    writing.start()
    try:
        assert is_held.wait(TIMEOUT_SECONDS)
        yield
    finally:
        may_go_on.set()
        writing.join()
        driver.set_progress_handler(None, 1)
