"""Unflushed events are discarded after the log has failed: reads then show durable events, and no others."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.state import Status
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.id_index.sorted_run import run_path
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.services.commands.verify import verify_file
from lockstream.tests.infrastructure.sqlite.trouble import interrupted
from lockstream.tests.infrastructure.stores.failing_log import checkpoint_durable, fail_log, ingested
from lockstream.tests.support.builders import COMPARTMENT, LOCKER, RESERVATION, Body, deposited, registered, reserved
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, history


def open_store(log: Path) -> closing[EmbeddedStore]:
    return closing(EmbeddedStore(log, CAPACITY))


def ingest_durably(store: EmbeddedStore, checkpointed: Sequence[Body], flushed: Sequence[Body]) -> None:
    """Ingest `checkpointed` into the log and the projection, and `flushed` into the log alone."""
    ingested(store, *checkpointed)
    store.checkpoint()
    ingested(store, *flushed)
    store.log.flush()


def test_unflushed_events_are_discarded_and_durable_ones_are_shown(log_path: Path) -> None:
    with open_store(log_path) as store:
        ingest_durably(store, [registered(), registered("b")], [reserved()])
        ingested(store, deposited(), registered("c"))
        fail_log(store)

        store.discard_unflushed()

        reservation = store.reads.reservation(RESERVATION)
        assert reservation is not None
        assert reservation.status is Status.CREATED
        assert store.reads.compartment(LOCKER, "c") is None
        locker = store.reads.locker(LOCKER)
        assert locker is not None
        assert [(view.compartment_id, view.active_reservation) for view in locker.compartments] == [
            ("b", None),
            (COMPARTMENT, RESERVATION),
        ]
        checkpoint_durable(store)
    assert verify_file(log_path, ignore_progress).problems == []


def test_discarding_again_changes_nothing(log_path: Path) -> None:
    with open_store(log_path) as store:
        ingest_durably(store, history(), history("locker-2"))
        ingested(store, *history("locker-3"))
        fail_log(store)
        for _ in range(3):
            store.discard_unflushed()
            assert hashes(store.reads).keys() == {"locker-1", "locker-2"}


def remove(log: Path) -> None:
    log.unlink()


def replace(log: Path) -> None:
    log.rename(log.with_name("moved.jsonl"))
    log.write_bytes(b"something else\n")


@pytest.mark.parametrize("damage", [remove, replace])
def test_durable_events_are_read_from_the_file_that_was_opened(log_path: Path, damage: Callable[[Path], None]) -> None:
    with open_store(log_path) as store:
        ingest_durably(store, history(), history("locker-2"))
        damage(log_path)
        with pytest.raises(StoreUnavailable):
            ingested(store, registered("more"))

        store.discard_unflushed()

        assert hashes(store.reads).keys() == {"locker-1", "locker-2"}


def test_ids_of_discarded_events_may_be_used_again(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their positions are given to other events, although a compaction had already taken them in."""
    monkeypatch.setattr(index, "MEMTABLE_MIN", 5)
    with open_store(log_path) as store:
        ingest_durably(store, [registered("a")], [registered("b")])
        ingested(store, *history("locker-2"))
        store.begin_checkpoint().rollback()  # begins a compaction, which includes ids that are not durable yet
        fail_log(store)
        durable = store.log.durable
        store.discard_unflushed()
        checkpoint_durable(store)
    log_path.write_bytes(log_path.read_bytes()[: durable.offset])

    others = [registered(f"c{number}") for number in range(3)]
    with open_store(log_path) as store:
        for position, other in enumerate(others, 3):
            assert ingested(store, other) == [Accepted(position)]
            store.checkpoint()

    with open_store(log_path) as store:
        assert ingested(store, *others) == [Duplicate(3), Duplicate(4), Duplicate(5)]
        assert hashes(store.reads) == hashes_after_replay(log_path)
    assert verify_file(log_path, ignore_progress).problems == []


def test_discarding_is_tried_again_after_the_projection_could_not_be_read(log_path: Path) -> None:
    with open_store(log_path) as store:
        ingest_durably(store, history(), history("locker-2"))
        ingested(store, *history("locker-3"))
        fail_log(store)
        with (
            interrupted(store._projection.stored),
            pytest.raises(StoreUnavailable, match="The durable events cannot be read"),
        ):
            store.discard_unflushed()

        store.discard_unflushed()

        assert hashes(store.reads).keys() == {"locker-1", "locker-2"}
        checkpoint_durable(store)
    assert verify_file(log_path, ignore_progress).problems == []


def test_a_store_goes_on_after_the_id_index_could_not_be_read(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MEMTABLE_MIN", 5)
    with open_store(log_path) as store:
        ingest_durably(store, history(), [])
        store._projection.finish_compaction()
        ingest_durably(store, [registered("d")], history("locker-2"))
        ingested(store, *history("locker-3"))
        fail_log(store)
        run = run_path(projection_path(log_path), store._projection.stored.run.position)
        run.rename(run.with_name("away"))
        with pytest.raises(StoreUnavailable, match="The durable events cannot be read"):
            store.discard_unflushed()

        store.begin_checkpoint().rollback()  # begins a compaction
        run.with_name("away").rename(run)
        store.discard_unflushed()

        assert hashes(store.reads).keys() == {"locker-1", "locker-2"}
