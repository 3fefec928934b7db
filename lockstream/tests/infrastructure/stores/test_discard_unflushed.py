"""Once the log cannot be written: what is durable is shown, and what is not has never been."""

import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lockstream.core.entities.state import Status
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.id_index import index as known_keys
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.services.commands.verify import verify
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    Body,
    deposited,
    event,
    registered,
    reserved,
)
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, history


@contextmanager
def opened(log: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(log, CAPACITY)) as store:
        yield store


def taken_in(store: EmbeddedStore, *bodies: Body) -> list[Outcome]:
    """Decided and written, not flushed."""
    return ingest([event(body) for body in bodies], store.unit_of_work())


def settled_and_then(store: EmbeddedStore, settled: Sequence[Body], durable: Sequence[Body] = ()) -> None:
    """Given what is in the projection, and what is in the log alone."""
    taken_in(store, *settled)
    store.checkpoint()
    taken_in(store, *durable)
    store.log.flush()


def fail(store: EmbeddedStore) -> None:
    """Have the log fail with an event, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.log.end.offset, hard))
    try:
        with pytest.raises(StoreUnavailable):
            taken_in(store, registered("the last straw"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def settle_what_is_durable(store: EmbeddedStore) -> None:
    """As the settler does, which flushes nothing."""
    settling = store.begin_settling()
    settling.write()
    settling.confirm()


def test_what_was_not_flushed_is_undone_and_the_rest_builds_on_what_was_settled(log_path: Path) -> None:
    with opened(log_path) as store:
        settled_and_then(store, [registered(), registered("b")], [reserved()])
        taken_in(store, deposited(), registered("c"))
        fail(store)
        store.fall_back()
        reservation = store.queries.reservation(RESERVATION)
        assert reservation is not None
        assert reservation.status is Status.CREATED
        assert store.queries.compartment(LOCKER, "c") is None
        locker = store.queries.locker(LOCKER)
        assert locker is not None
        assert [(view.compartment_id, view.active_reservation) for view in locker.compartments] == [
            ("b", None),
            (COMPARTMENT, RESERVATION),
        ]
        settle_what_is_durable(store)
    assert verify(log_path, lambda reached: None).problems == []


def test_falling_back_again_changes_nothing(log_path: Path) -> None:
    with opened(log_path) as store:
        settled_and_then(store, history(), history("locker-2"))
        taken_in(store, *history("locker-3"))
        fail(store)
        for _ in range(3):
            store.fall_back()
            assert hashes(store.queries).keys() == {"locker-1", "locker-2"}


def removed(log: Path) -> None:
    log.unlink()


def replaced(log: Path) -> None:
    log.rename(log.with_name("moved.jsonl"))
    log.write_bytes(b"something else\n")


@pytest.mark.parametrize("harm", [removed, replaced])
def test_what_is_durable_is_read_from_the_file_that_it_was_written_to(
    log_path: Path, harm: Callable[[Path], None]
) -> None:
    with opened(log_path) as store:
        settled_and_then(store, history(), history("locker-2"))
        harm(log_path)
        with pytest.raises(StoreUnavailable):
            taken_in(store, registered("more"))
        store.fall_back()
        assert hashes(store.queries).keys() == {"locker-1", "locker-2"}


def test_keys_of_what_was_never_durable_are_not_taken_for_known_ones(
    log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a merge that took in keys of events which are gone; their positions are given again, to others."""
    monkeypatch.setattr(known_keys, "MEMTABLE_MIN", 5)
    with opened(log_path) as store:
        settled_and_then(store, [registered("a")], [registered("b")])
        taken_in(store, *history("locker-2"))
        store.begin_settling().restore()  # begins to merge: what it is to checkpoint may become durable any moment
        fail(store)
        durable = store.log.durable
        store.fall_back()
        settle_what_is_durable(store)
    log_path.write_bytes(log_path.read_bytes()[: durable.offset])
    others = [registered(f"c{number}") for number in range(3)]
    with opened(log_path) as store:
        for position, other in enumerate(others, 3):
            assert taken_in(store, other) == [Accepted(position)]
            store.checkpoint()
    with opened(log_path) as store:
        assert taken_in(store, *others) == [Duplicate(3), Duplicate(4), Duplicate(5)]
        assert hashes(store.queries) == hashes_after_replay(log_path)
    assert verify(log_path, lambda reached: None).problems == []
