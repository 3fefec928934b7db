"""A projection that cannot be read for once: what was asked for is unknown afterwards, not absent."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED, COMPARTMENT_RESERVED, RESERVATION_ALREADY_EXISTS
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.backing import Backing, Changes
from lockstream.infrastructure.rows.tables import TABLES
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.tests.support.builders import Body, event, fault_cleared, picked_up, registered, reserved
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, history, record

type Trouble = Callable[[EmbeddedStore], AbstractContextManager[None]]

LIFE = history()

CASES: list[tuple[type[Row], Body, Outcome]] = [
    (Compartment, registered("c1"), COMPARTMENT_ALREADY_REGISTERED),
    (Compartment, reserved("new", "c1"), COMPARTMENT_RESERVED),
    (Reservation, reserved("locker-1-parcel-1", "c2"), RESERVATION_ALREADY_EXISTS),
    (Reservation, picked_up("locker-1-parcel-3"), Accepted(11)),
    (Compartment, picked_up("locker-1-parcel-3"), Accepted(11)),
    (Fault, fault_cleared(LIFE[6], "c2"), Accepted(11)),
]


class FailingOnce:
    """A backing that cannot read the rows of one kind, the first time that it is asked for them."""

    def __init__(self, backing: Backing, kind: type[Row]) -> None:
        self._backing = backing
        self._fails: type[Row] | None = kind

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        if kind is self._fails:
            self._fails = None
            raise StoreUnavailable("The disk does not answer.")
        return self._backing.fetch(kind, keys)

    def write(self, changes: Changes) -> None:
        self._backing.write(changes)


@pytest.fixture
def store(log_path: Path) -> Iterator[EmbeddedStore]:
    """A store that has just started over the ten events of `LIFE`, with no row in memory."""
    record(log_path, LIFE)
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        yield store


def taken_in(store: EmbeddedStore, *bodies: Body) -> list[Outcome]:
    return ingest([event(body) for body in bodies], store.unit_of_work())


def assert_whole(store: EmbeddedStore) -> None:
    """It goes on: events are taken in, and reads show what the log gives."""
    position = store.log.end.position
    assert taken_in(store, registered("one more")) == [Accepted(position + 1)]
    store.checkpoint()
    assert hashes(store.queries) == hashes_after_replay(store.log.path)


@pytest.mark.parametrize(("kind", "body", "expected"), CASES)
def test_what_could_not_be_read_is_not_taken_for_absent(
    store: EmbeddedStore, kind: type[Row], body: Body, expected: Outcome
) -> None:
    store._rows._backing = FailingOnce(store._projection, kind)
    with pytest.raises(StoreUnavailable):
        taken_in(store, body)
    assert store.log.end.position == 10
    assert taken_in(store, body) == [expected]
    assert_whole(store)


@pytest.mark.parametrize("kind", TABLES)
def test_a_batch_that_could_not_be_read_for_leaves_nothing_behind(store: EmbeddedStore, kind: type[Row]) -> None:
    batch = [*LIFE, fault_cleared(LIFE[6], "c2"), registered("c3")]
    store._rows._backing = FailingOnce(store._projection, kind)
    with pytest.raises(StoreUnavailable):
        taken_in(store, *batch)
    known = [Duplicate(position) for position in range(1, 11)]
    assert taken_in(store, *batch) == [*known, Accepted(11), Accepted(12)]
    assert_whole(store)


@contextmanager
def interrupted(store: EmbeddedStore) -> Iterator[None]:
    """SQLite gives up every statement of the projection's own connections."""
    projection = store._projection
    connections: list[sqlite3.Connection] = []
    for of in (projection._reading, projection._writing.connection):
        assert isinstance(of.driver_connection, sqlite3.Connection)
        connections.append(of.driver_connection)
    for connection in connections:
        connection.set_progress_handler(lambda: 1, 1)
    try:
        yield
    finally:
        for connection in connections:
            connection.set_progress_handler(None, 1)


@contextmanager
def a_table_away(store: EmbeddedStore) -> Iterator[None]:
    with closing(sqlite3.connect(projection_path(store.log.path))) as other:
        other.execute("ALTER TABLE reservations RENAME TO away")
        try:
            yield
        finally:
            other.execute("ALTER TABLE away RENAME TO reservations")


@pytest.mark.parametrize("trouble", [interrupted, a_table_away])
def test_sqlite_is_read_and_written_again_after_a_failed_read(store: EmbeddedStore, trouble: Trouble) -> None:
    with trouble(store):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                taken_in(store, LIFE[9])
    assert taken_in(store, LIFE[9]) == [Duplicate(10)]
    assert_whole(store)


@pytest.mark.parametrize("trouble", [interrupted, a_table_away])
def test_what_could_not_be_settled_is_settled_later(store: EmbeddedStore, trouble: Trouble) -> None:
    assert taken_in(store, picked_up("locker-1-parcel-3")) == [Accepted(11)]
    with trouble(store), pytest.raises(StoreUnavailable):
        store.checkpoint()
    store.checkpoint()
    assert hashes(store.queries) == hashes_after_replay(store.log.path)
    assert_whole(store)
