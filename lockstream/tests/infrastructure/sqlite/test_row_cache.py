"""The row cache: drops, checkpoints and rollbacks lose or age no row, and memory is bounded."""

from itertools import pairwise

import pytest

from lockstream.core.entities.events import (
    FaultCleared,
    FaultClearedPayload,
    FaultPayload,
    FaultReported,
    NewReservationPayload,
    ReservationCreated,
)
from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault, Reservation
from lockstream.core.row_set import RowsNotLoaded, no_rows
from lockstream.infrastructure.id_index.index import IdIndex, NewIds
from lockstream.infrastructure.sqlite import row_cache
from lockstream.infrastructure.sqlite.row_cache import ChangeSet, RowCache
from lockstream.tests.infrastructure.sqlite.row_stores import (
    LOCKER,
    DictRowStore,
    about,
    about_reservation,
    compartment,
    rows_in_memory,
    save,
    version,
)

NAMES = [f"c{number}" for number in range(20)]

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
def test_changed_rows_stay_in_memory_until_a_checkpoint_has_written_them(store: DictRowStore, capacity: int) -> None:
    cache = RowCache(store, capacity=capacity)
    for name in NAMES:
        save(cache, compartment(name, 1))
    for name in reversed(NAMES[10:]):
        save(cache, compartment(name, 2))
    expected = [1] * 10 + [2] * 10

    assert [version(cache, name) for name in NAMES] == expected
    store.write(cache.begin_checkpoint())
    assert [version(cache, name) for name in NAMES] == expected
    cache.end_checkpoint(is_written=True)
    assert [version(cache, name) for name in NAMES] == expected


@capacities
@pytest.mark.parametrize("is_written", [True, False])
def test_rows_that_change_during_a_checkpoint_keep_the_newer_state(
    store: DictRowStore, capacity: int, is_written: bool
) -> None:
    cache = RowCache(store, capacity=capacity)
    save(cache, *(compartment(name, 1) for name in NAMES))
    in_flight = cache.begin_checkpoint()
    for name in NAMES[::2]:
        save(cache, compartment(name, 2))
    expected = [2, 1] * 10
    assert [version(cache, name) for name in NAMES] == expected

    if is_written:
        store.write(in_flight)
    cache.end_checkpoint(is_written=is_written)

    assert [version(cache, name) for name in NAMES] == expected
    store.write(cache.begin_checkpoint())
    cache.end_checkpoint(is_written=True)
    assert [version(RowCache(store, ids=cache.ids), name) for name in NAMES] == expected


def test_a_change_set_in_flight_is_not_changed_by_later_batches(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    save(cache, compartment("a", 1))
    in_flight = cache.begin_checkpoint()

    save(cache, compartment("a", 2), compartment("b", 1))

    assert list(in_flight.rows[Compartment].values()) == [compartment("a", 1)]
    assert ids_of(in_flight) == {"a-1": 1, f"{LOCKER}/a": 1}
    assert in_flight.reached == Cursor(1)


def test_a_checkpoint_that_was_rolled_back_is_included_in_the_next(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    save(cache, compartment("a", 1), compartment("b", 1))
    cache.begin_checkpoint()
    save(cache, compartment("b", 2), compartment("c", 1))

    cache.end_checkpoint(is_written=False)

    assert cache.checkpointed == START
    assert cache.lockers_added == {LOCKER}
    assert cache.added(LOCKER) == ({"a", "b", "c"}, [])
    change_set = cache.begin_checkpoint()
    rows = change_set.rows[Compartment].values()
    assert list(rows) == [compartment("a", 1), compartment("b", 2), compartment("c", 1)]
    assert change_set.reached == Cursor(4)
    assert ids_of(change_set) == {
        "a-1": 1,
        "b-1": 2,
        "b-2": 3,
        "c-1": 4,
        f"{LOCKER}/a": 1,
        f"{LOCKER}/b": 2,
        f"{LOCKER}/c": 4,
    }


def test_a_checkpoint_may_be_rolled_back_many_times(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    for number in range(1, 6):
        save(cache, compartment("a", number), compartment(f"only-{number}", 1))
        cache.begin_checkpoint()
        cache.end_checkpoint(is_written=False)
    change_set = cache.begin_checkpoint()
    assert len(change_set.rows[Compartment]) == 6
    assert change_set.rows[Compartment][LOCKER, "a"] == compartment("a", 5)
    assert len(ids_of(change_set)) == 16, "10 events and 6 compartments"


def test_a_written_checkpoint_leaves_no_changes_behind(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    save(cache, compartment("a", 1))
    cache.begin_checkpoint()
    cache.end_checkpoint(is_written=True)
    assert cache.checkpointed == cache.reached == Cursor(1)
    assert cache.lockers_added == set()
    assert cache.added(LOCKER) == (set(), [])
    assert cache.begin_checkpoint().rows == no_rows()


def test_a_second_checkpoint_in_flight_is_refused(store: DictRowStore) -> None:
    cache = RowCache(store)
    save(cache, compartment("a", 1))
    cache.begin_checkpoint()
    with pytest.raises(RuntimeError, match="in flight"):
        cache.begin_checkpoint()
    assert cache.added(LOCKER) == ({"a"}, [])


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


fault_cleared = FaultCleared("", "", LOCKER, FaultClearedPayload("new", "f"))


def test_rows_with_unused_ids_are_not_looked_up_in_the_row_store(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    rows = cache.fetch([about("new"), about_reservation("new"), fault_cleared])
    assert (rows.compartments[LOCKER, "new"], rows.reservations["new"], rows.faults["f"]) == (None, None, None)
    assert store.fetched == []


@pytest.mark.parametrize("is_compacted", [True, False])
def test_rows_with_used_ids_are_looked_up_in_the_row_store(store: DictRowStore, is_compacted: bool) -> None:
    ids = IdIndex(memtable=[NewIds([f"{LOCKER}/a", "/r", "f"], [1, 2, 3])])
    if is_compacted:
        ids = IdIndex(ids.begin_compaction().merge())
    store.rows[Compartment][LOCKER, "a"] = compartment("a", 1)
    store.rows[Reservation]["r"] = reservation = Reservation("r", LOCKER, "a")
    store.rows[Fault]["f"] = fault = Fault("f", LOCKER, "a", 3)

    rows = RowCache(store, ids=ids).fetch([about("a"), about_reservation("r"), fault_cleared])

    assert rows.compartments[LOCKER, "a"] == compartment("a", 1)
    assert (rows.reservations["r"], rows.faults["f"]) == (reservation, fault)


def test_new_rows_are_found_again_after_they_were_written_and_dropped(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    reservation = Reservation("r", LOCKER, "a")
    created = ReservationCreated("a-1", "", LOCKER, NewReservationPayload("r", "a"))
    rows = cache.fetch([about("a"), created])
    rows.save([compartment("a", 1), reservation])
    cache.apply(rows, [about("a"), created], Cursor(2))
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


def test_added_rows_are_those_of_all_change_sets(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    fault = Fault("f", LOCKER, "a", 3)
    save(cache, compartment("a", 1))
    cache.begin_checkpoint()
    reported = FaultReported("f", "", LOCKER, FaultPayload("a", 3))
    rows = cache.fetch([reported])
    rows.save([compartment("a", 2), fault])
    cache.apply(rows, [reported], Cursor(2))

    assert cache.added(LOCKER) == ({"a"}, [fault])
    cache.end_checkpoint(is_written=True)
    assert cache.added(LOCKER) == (set(), [fault])
    assert cache.lockers_added == {LOCKER}


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
    cache = cache_over_written_rows(store, capacity=2)
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


def test_new_ids_are_handed_over_in_slices(store: DictRowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "SLICE_IDS", 3)
    cache = RowCache(store)
    for name in NAMES[:5]:
        save(cache, compartment(name, 1))
    slices = list(cache.begin_checkpoint().new_ids())
    assert [len(each.ids) for each in slices] == [4, 4, 2]
    assert [each.positions for each in slices] == [[1, 1, 2, 2], [3, 3, 4, 4], [5, 5]]


def test_a_checkpoint_is_needed_once_enough_rows_have_changed(
    store: DictRowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "CHECKPOINT_ROWS", 3)
    cache = RowCache(store, capacity=100)
    save(cache, *(compartment(name, 1) for name in NAMES[:3]))
    save(cache, compartment("c0", 2))
    assert not cache.needs_checkpoint, "a row that changed twice counts once"
    save(cache, compartment("c3", 1))
    assert cache.needs_checkpoint


def test_a_small_cache_needs_a_checkpoint_earlier(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    save(cache, compartment("a", 1))
    assert not cache.needs_checkpoint
    save(cache, compartment("b", 1))
    assert cache.needs_checkpoint


def test_a_cache_is_full_of_changed_rows_only(store: DictRowStore) -> None:
    cache = cache_over_written_rows(store, capacity=2)
    for name in NAMES:
        version(cache, name)
    assert not cache.is_full
    save(cache, compartment("c0", 2), compartment("c1", 2))
    assert not is_full(cache)
    cache.begin_checkpoint()
    save(cache, compartment("c2", 2))
    assert is_full(cache), "rows in flight count, too"
    cache.end_checkpoint(is_written=True)
    assert not is_full(cache)


def test_a_cache_is_overloaded_if_checkpoints_fall_far_behind(
    store: DictRowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "OVERLOAD_ROWS", 2)
    cache = RowCache(store)
    save(cache, compartment("a", 1), compartment("b", 1))
    cache.begin_checkpoint()
    save(cache, compartment("c", 1), compartment("d", 1))
    assert not cache.is_overloaded
    save(cache, compartment("e", 1))
    assert cache.is_overloaded


def ids_of(change_set: ChangeSet) -> dict[str, int]:
    """Return the new ids of a change set with their positions."""
    return {used: at for new in change_set.new_ids() for used, at in zip(new.ids, new.positions, strict=True)}


def is_full(cache: RowCache) -> bool:
    """Return the property through a function, since a type checker does not expect a property to change."""
    return cache.is_full


def cache_over_written_rows(store: DictRowStore, capacity: int, names: list[str] = NAMES) -> RowCache:
    """Return an empty cache over a row store that holds version 1 of all compartments."""
    first = RowCache(store)
    save(first, *(compartment(name, 1) for name in names))
    store.write(first.begin_checkpoint())
    return RowCache(store, first.reached, capacity, first.ids)
