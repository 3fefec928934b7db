"""Change sets of the row cache: checkpoints and rollbacks lose no change, and changed rows are bounded."""

import pytest

from lockstream.core.entities.events import (
    FaultPayload,
    FaultReported,
)
from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault
from lockstream.core.row_set import no_rows
from lockstream.infrastructure.sqlite import row_cache
from lockstream.infrastructure.sqlite.row_cache import ChangeSet, RowCache
from lockstream.tests.infrastructure.sqlite.row_stores import (
    LOCKER,
    NAMES,
    DictRowStore,
    cache_over_written_rows,
    compartment,
    save,
    version,
)

capacities = pytest.mark.parametrize("capacity", [1, 2, 5, 100])


@pytest.fixture
def store() -> DictRowStore:
    return DictRowStore()


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


def test_added_rows_are_those_of_all_change_sets(store: DictRowStore) -> None:
    cache = RowCache(store, capacity=1)
    fault = Fault("f", LOCKER, "a", 3)
    save(cache, compartment("a", 1))
    cache.begin_checkpoint()
    reported = FaultReported("f", "", LOCKER, FaultPayload("a", 3))
    rows = cache.fetch([reported])
    rows.save([compartment("a", 2), fault])
    cache.apply(rows, [reported], [], Cursor(2))

    assert cache.added(LOCKER) == ({"a"}, [fault])
    cache.end_checkpoint(is_written=True)
    assert cache.added(LOCKER) == (set(), [fault])
    assert cache.lockers_added == {LOCKER}


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
