"""A row store that fails to read: rows that could not be read are unknown afterwards, not absent."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED, COMPARTMENT_RESERVED, RESERVATION_ALREADY_EXISTS
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.rows.tables import TABLES
from lockstream.infrastructure.sqlite.row_cache import RowStore
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.tests.infrastructure.sqlite.trouble import interrupted, missing_table
from lockstream.tests.support.builders import Body, event, fault_cleared, picked_up, registered, reserved
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, history, record

type Trouble = Callable[[EmbeddedStore], AbstractContextManager[None]]

HISTORY = history()

CASES: list[tuple[type[Row], Body, Outcome]] = [
    (Compartment, registered("c1"), COMPARTMENT_ALREADY_REGISTERED),
    (Compartment, reserved("new", "c1"), COMPARTMENT_RESERVED),
    (Reservation, reserved("locker-1-parcel-1", "c2"), RESERVATION_ALREADY_EXISTS),
    (Reservation, picked_up("locker-1-parcel-3"), Accepted(11)),
    (Compartment, picked_up("locker-1-parcel-3"), Accepted(11)),
    (Fault, fault_cleared(HISTORY[6], "c2"), Accepted(11)),
]

TROUBLE: list[Trouble] = [
    lambda store: interrupted(store._projection.stored),
    lambda store: missing_table(projection_path(store.log.path)),
]


class FailsOnce:
    """A row store that cannot read rows of one class when it is first asked for them."""

    def __init__(self, store: RowStore, row_class: type[Row]) -> None:
        self._store = store
        self._fails: type[Row] | None = row_class

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        if row_class is self._fails:
            self._fails = None
            raise StoreUnavailable("The disk does not answer.")
        return self._store.fetch(row_class, keys)


@pytest.fixture
def store(log_path: Path) -> Iterator[EmbeddedStore]:
    """A store that has just started over the ten events of `HISTORY`, with no row in memory."""
    record(log_path, HISTORY)
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        yield store


def fail_once(store: EmbeddedStore, row_class: type[Row]) -> None:
    """Let the next read of rows of `row_class` fail."""
    store._projection.cache._store = FailsOnce(store._projection.stored, row_class)


def ingested(store: EmbeddedStore, *bodies: Body) -> list[Outcome]:
    return ingest([event(body) for body in bodies], store.unit_of_work())


def assert_works(store: EmbeddedStore) -> None:
    """Check that events are accepted, and that reads show the state of a replay."""
    position = store.log.end.position
    assert ingested(store, registered("one more")) == [Accepted(position + 1)]
    store.checkpoint()
    assert hashes(store.reads) == hashes_after_replay(store.log.path)


@pytest.mark.parametrize(("row_class", "body", "expected"), CASES)
def test_a_row_that_could_not_be_read_is_not_taken_for_absent(
    store: EmbeddedStore, row_class: type[Row], body: Body, expected: Outcome
) -> None:
    fail_once(store, row_class)
    with pytest.raises(StoreUnavailable):
        ingested(store, body)
    assert store.log.end.position == 10

    assert ingested(store, body) == [expected]

    assert_works(store)


@pytest.mark.parametrize("row_class", TABLES)
def test_a_batch_whose_rows_could_not_be_read_changes_nothing(store: EmbeddedStore, row_class: type[Row]) -> None:
    batch = [*HISTORY, fault_cleared(HISTORY[6], "c2"), registered("c3"), picked_up("locker-1-parcel-3")]
    fail_once(store, row_class)
    with pytest.raises(StoreUnavailable):
        ingested(store, *batch)

    outcomes = ingested(store, *batch)

    duplicates = [Duplicate(position) for position in range(1, 11)]
    assert outcomes == [*duplicates, Accepted(11), Accepted(12), Accepted(13)]
    assert_works(store)


@pytest.mark.parametrize("trouble", TROUBLE, ids=["interrupted", "missing table"])
def test_sqlite_is_read_and_written_again_after_failed_reads(store: EmbeddedStore, trouble: Trouble) -> None:
    pick_up = picked_up("locker-1-parcel-3")
    with trouble(store):
        assert ingested(store, HISTORY[9]) == [Duplicate(10)], "the rows of a duplicate are not read"
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                ingested(store, pick_up)
    assert ingested(store, pick_up) == [Accepted(11)]
    assert_works(store)


@pytest.mark.parametrize("trouble", TROUBLE, ids=["interrupted", "missing table"])
def test_a_failed_checkpoint_is_made_up_for_by_the_next(store: EmbeddedStore, trouble: Trouble) -> None:
    assert ingested(store, picked_up("locker-1-parcel-3")) == [Accepted(11)]
    with trouble(store), pytest.raises(StoreUnavailable):
        store.checkpoint()

    store.checkpoint()

    assert store._projection.stored.reached == store.log.end
    assert hashes(store.reads) == hashes_after_replay(store.log.path)
    assert_works(store)
