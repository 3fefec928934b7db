"""The row cache: drops, checkpoints and rollbacks lose or age no row, and memory is bounded."""

from itertools import pairwise

import pytest

from lockstream.core.entities.events import (
    FaultCleared,
    FaultClearedPayload,
    NewReservationPayload,
    ReservationCreated,
)
from lockstream.core.entities.log import Cursor
from lockstream.core.entities.state import Compartment, Fault, Reservation
from lockstream.core.row_set import RowsNotLoaded
from lockstream.infrastructure.id_index.index import IdIndex, NewIds
from lockstream.infrastructure.sqlite.row_cache import RowCache
from lockstream.tests.infrastructure.id_index.compacted import in_memory
from lockstream.tests.infrastructure.sqlite.row_stores import (
    LOCKER,
    NAMES,
    DictRowStore,
    about,
    about_reservation,
    cache_over_written_rows,
    compartment,
    rows_in_memory,
    save,
    version,
)

capacities = pytest.mark.parametrize("capacity", [1, 2, 5, 100])


@pytest.fixture
def store() -> DictRowStore:
    return DictRowStore()


@capacities
@pytest.mark.parametrize("is_checkpointed", [True, False])
def test_the_next_batch_and_the_next_read_see_the_newest_state_of_a_row(
    store: DictRowStore, capacity: int, is_checkpointed: bool
) -> None:
    cache = cache_over_written_rows(store, capacity)
    for number in range(2, 5):
        for before, name in pairwise(["c0", *NAMES]):
            save(cache, compartment(name, number))
            if is_checkpointed:
                store.write(cache.begin_checkpoint())
                cache.end_checkpoint(is_written=True)
            for one in (name, before):
                assert version(cache, one) == number
                assert cache.get(Compartment, (LOCKER, one)) == compartment(one, number)


@capacities
def test_a_batch_that_is_not_applied_changes_nothing(store: DictRowStore, capacity: int) -> None:
    cache = RowCache(store, capacity=capacity)
    save(cache, compartment("a", 1))
    rows = cache.fetch([about("a"), about("b")])
    rows.save([compartment("a", 2), compartment("b", 1)])

    cache.discard(rows)

    assert (version(cache, "a"), version(cache, "b")) == (1, None)
    assert cache.get(Compartment, (LOCKER, "a")) == compartment("a", 1)
    assert cache.reached == Cursor(1)
    assert cache.begin_checkpoint().rows[Compartment] == {(LOCKER, "a"): compartment("a", 1)}


@capacities
def test_reading_rows_without_changing_them_takes_bounded_memory(store: DictRowStore, capacity: int) -> None:
    cache = cache_over_written_rows(store, capacity)
    for _ in range(3):
        for name in NAMES:
            assert version(cache, name) == 1
            assert rows_in_memory(cache) <= capacity + 2, "two generations, each with one batch too many"


def test_reads_of_rows_in_memory_take_no_memory(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=4)
    for name in NAMES:
        save(cache, compartment(name, 1))
    before = rows_in_memory(cache)
    for name in NAMES:
        assert cache.get(Compartment, (LOCKER, name)) == compartment(name, 1)
    assert rows_in_memory(cache) == before


@capacities
def test_changing_rows_takes_bounded_memory(store: DictRowStore, capacity: int) -> None:
    cache = cache_over_written_rows(store, capacity)
    for number in range(2, 5):
        for name in NAMES:
            save(cache, compartment(name, number))
            assert rows_in_memory(cache) <= capacity + 2, "two generations, each with one batch too many"


def test_a_batch_larger_than_the_capacity_is_dropped_again(store: DictRowStore) -> None:
    cache = cache_over_written_rows(store, capacity=4)
    cache.fetch([about(name) for name in NAMES])
    for _ in range(3):
        version(cache, "c0")
        version(cache, "c1")
        version(cache, "c2")
    assert rows_in_memory(cache) <= 6


def test_expired_rows_are_dropped_as_slowly_as_rows_are_loaded(store: DictRowStore) -> None:
    names = [f"c{number}" for number in range(1_000)]
    cache = cache_over_written_rows(store, 200, names)
    before = 0
    for name in names:
        version(cache, name)
        after = rows_in_memory(cache)
        assert before - after <= 2, "dropping a whole generation at once would stall requests"
        before = after


def test_rows_in_use_stay_in_memory(store: DictRowStore) -> None:
    cache = cache_over_written_rows(store, capacity=6)
    for name in NAMES:
        version(cache, "c0")
        version(cache, name)
    assert store.fetched.count((LOCKER, "c0")) == 1
    assert version(cache, "c1") == 1
    assert store.fetched.count((LOCKER, "c1")) == 2, "other rows were dropped"


def test_the_memory_of_absent_rows_is_bounded(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=5)
    for name in NAMES:
        assert version(cache, name) is None
        assert rows_in_memory(cache) <= 7, "two generations, each with one batch too many"


FAULT_ID = "0190a5e0-0000-4000-8000-00000000000f"

fault_cleared = FaultCleared("", "", LOCKER, FaultClearedPayload("new", FAULT_ID))


def test_rows_with_unused_ids_are_not_looked_up_in_the_row_store(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    rows = cache.fetch([about("new"), about_reservation("new"), fault_cleared])
    assert (rows.compartments[LOCKER, "new"], rows.reservations["new"], rows.faults[FAULT_ID]) == (None, None, None)
    assert store.fetched == []


@pytest.mark.parametrize("is_compacted", [True, False])
def test_rows_with_used_ids_are_looked_up_in_the_row_store(store: DictRowStore, is_compacted: bool) -> None:
    ids = IdIndex(memtable=[NewIds([f"{LOCKER}/a", "/r", FAULT_ID], [1, 2, 3])])
    if is_compacted:
        ids = IdIndex(in_memory(ids.begin_compaction()))
    store.rows[Compartment][LOCKER, "a"] = compartment("a", 1)
    store.rows[Reservation]["r"] = reservation = Reservation("r", LOCKER, "a")
    store.rows[Fault][FAULT_ID] = fault = Fault(FAULT_ID, LOCKER, "a", 3)

    rows = RowCache(store, ids=ids).fetch([about("a"), about_reservation("r"), fault_cleared])

    assert rows.compartments[LOCKER, "a"] == compartment("a", 1)
    assert (rows.reservations["r"], rows.faults[FAULT_ID]) == (reservation, fault)


def test_new_rows_are_found_again_after_they_were_written_and_dropped(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    reservation = Reservation("r", LOCKER, "a")
    created = ReservationCreated("a-1", "", LOCKER, NewReservationPayload("r", "a"))
    rows = cache.fetch([about("a"), created])
    rows.save([compartment("a", 1), reservation])
    cache.apply(rows, [about("a"), created], [], Cursor(2))
    store.write(cache.begin_checkpoint())
    cache.end_checkpoint(is_written=True)
    for name in "bcd":
        save(cache, compartment(name, 1))
    assert cache.get(Reservation, "r") is None

    found = cache.fetch([about_reservation("r")])

    assert (found.reservations["r"], found.compartments[LOCKER, "a"]) == (reservation, compartment("a", 1))


def test_a_reservation_brings_its_compartment(store: DictRowStore) -> None:
    store.rows[Compartment][LOCKER, "a"] = compartment("a", 1)
    store.rows[Reservation]["r"] = Reservation("r", LOCKER, "a")
    cache = RowCache(store, ids=IdIndex(memtable=[NewIds(["/r", f"{LOCKER}/a"], [1, 2])]))
    assert cache.fetch([about_reservation("r")]).compartments[LOCKER, "a"] == compartment("a", 1)


def test_a_row_set_does_not_know_rows_that_are_not_in_memory(store: DictRowStore) -> None:
    cache = cache_over_written_rows(store, 100)
    rows = cache.begin()
    with pytest.raises(RowsNotLoaded):
        rows.compartments[LOCKER, "c0"]
    cache.load([about("c0"), about("absent")])
    assert rows.compartments[LOCKER, "c0"] == compartment("c0", 1)
    assert rows.compartments[LOCKER, "absent"] is None
    assert store.fetched == [(LOCKER, "c0")]


@pytest.mark.parametrize("leave_memory", [0, 1, 2])
def test_an_undone_batch_leaves_the_newest_state_wherever_it_is(store: DictRowStore, leave_memory: int) -> None:
    # given a row in its old state in an old generation, and in its newest state in the young one, or in the row store
    cache = cache_over_written_rows(store, capacity=2)
    assert version(cache, "c0") == 1
    save(cache, compartment("c0", 2))
    if leave_memory:
        store.write(cache.begin_checkpoint())
        cache.end_checkpoint(is_written=True)
    for name in NAMES[1 : 2 * leave_memory]:
        version(cache, name)
    # when a batch changes the row, and is undone
    rows = cache.fetch([about("c0"), about("new")])
    rows.save([compartment("c0", 3), compartment("new", 1)])
    cache.discard(rows)
    # then the next batch sees the newest state
    assert (version(cache, "c0"), version(cache, "new")) == (2, None)


def test_an_undone_batch_does_not_bring_back_an_older_state(store: DictRowStore) -> None:
    # given a row whose older state is still in the old generation, and whose newest state was written
    cache = cache_over_written_rows(store, capacity=4)
    version(cache, "c0")
    version(cache, "c1")
    save(cache, compartment("c0", 2))
    assert cache._old[Compartment][LOCKER, "c0"] == compartment("c0", 1)
    store.write(cache.begin_checkpoint())
    cache.end_checkpoint(is_written=True)
    # when a batch changes the row, and is undone
    rows = cache.fetch([about("c0")])
    rows.save([compartment("c0", 3)])
    cache.discard(rows)
    # then the next batch sees the newest state
    assert version(cache, "c0") == 2
