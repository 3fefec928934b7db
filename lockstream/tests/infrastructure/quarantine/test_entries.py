"""The tally of shares, and the bounds in memory, against models that count everything anew."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstream.core.entities.quarantine import ENTRY_BYTES, Entry, EntryKind, QuarantineLimits, QuarantineQuery
from lockstream.infrastructure.quarantine import entries as module
from lockstream.infrastructure.quarantine.entries import BoundedEntries, _Tally
from lockstream.tests.support.quarantine import id_of, numbers_of, refused, reused, time_at

NAMES = st.sampled_from("abcde")


@given(st.lists(st.tuples(NAMES, st.integers(-3, 3)), max_size=200), st.sampled_from([0, 5, 1_024]))
def test_the_tally_knows_the_name_with_the_largest_number(changes: list[tuple[str, int]], stale_items: int) -> None:
    before, module.STALE_ITEMS = module.STALE_ITEMS, stale_items
    try:
        tally, model = _Tally(), Counter[str]()
        for name, number in changes:
            if model[name] + number >= 0:  # as of entries, there is never less than none
                tally.add(name, number)
                model[name] += number
            if any(model.values()):
                most = max(model.values())
                assert tally.largest() == min(name for name in model if model[name] == most)
    finally:
        module.STALE_ITEMS = before


def test_the_tally_does_not_grow_with_the_number_of_changes() -> None:
    tally = _Tally()
    for _ in range(10_000):
        tally.add("a", 1)
        tally.add("a", -1)
    assert len(tally._heap) <= module.STALE_ITEMS + 2


ARRIVALS = st.tuples(
    st.integers(0, 12), st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from(["", "é" * 50, "y" * 400])
)
DECISIONS = st.tuples(st.sampled_from(["decide", "accept"]), st.integers(0, 12))


@given(st.lists(ARRIVALS | DECISIONS, max_size=60), st.integers(1, 8), st.sampled_from([1_500, 1_000_000]))
def test_bounded_entries_drop_what_a_model_drops(steps: list[tuple[object, ...]], count: int, size: int) -> None:
    entries, model = BoundedEntries(QuarantineLimits(count, size)), dict[str, Entry]()
    for second, step in enumerate(steps):
        match step:
            case ("accept", int(number)):
                entries.remove(id_of(number))
                model.pop(id_of(number), None)
            case ("decide", int(number)):
                entries.merge(reused(number, second, count=0))
                if earlier := model.get(id_of(number)):
                    model[earlier.event_id] = replace(earlier, kind=EntryKind.REUSED_ID, code="event_id_reused")
            case (int(number), str(address), str(locker), str(body)):
                arrival = refused(number, second, address=address, locker_id=locker, body=body)
                entries.merge(arrival)
                earlier = model.pop(arrival.event_id, None)
                is_again = bool(earlier and earlier.locker_id == locker)
                model[arrival.event_id] = replace(arrival, count=earlier.count + 1 if earlier and is_again else 1)
                assert [one.event_id for one in entries.drop_excess("")] == list(drop_from(model, count, size))
            case _:
                raise AssertionError(step)
        assert {one.event_id: (one.count, one.kind) for one in entries.by_id.values()} == {
            one.event_id: (one.count, one.kind) for one in model.values()
        }
        assert list(entries.by_id) == list(model)
        assert set(entries.refused_ids) == {one.event_id for one in model.values() if one.kind is EntryKind.REFUSED}
        assert entries.bytes == size_of(model)


def drop_from(model: dict[str, Entry], count: int, size: int) -> list[str]:
    """Remove entries from a model until its bounds hold, and return their ids."""
    dropped = []
    while len(model) > count or size_of(model) > size:
        by_address, by_locker = Counter[str](), Counter[str]()
        for entry in model.values():
            by_address[entry.address] += bytes_of(entry)
        address = min(name for name in by_address if by_address[name] == max(by_address.values()))
        for entry in model.values():
            if entry.address == address:
                by_locker[entry.locker_id] += bytes_of(entry)
        locker = min(name for name in by_locker if by_locker[name] == max(by_locker.values()))
        oldest = next(one for one in model.values() if (one.address, one.locker_id) == (address, locker))
        dropped.append(oldest.event_id)
        del model[oldest.event_id]
    return dropped


def size_of(model: dict[str, Entry]) -> int:
    return sum(map(bytes_of, model.values()))


def bytes_of(entry: Entry) -> int:
    return len(entry.body.encode()) + ENTRY_BYTES


def test_entries_are_listed_by_number_after_their_events_came_again() -> None:
    entries = BoundedEntries(QuarantineLimits())
    for second, number in enumerate((1, 2, 3, 1, 2)):
        entries.merge(refused(number, second, body="x" * second))
    assert [one.number for one in entries.list(QuarantineQuery(descending=False), None, 10)] == [1, 2, 3]
    assert [one.number for one in entries.list(QuarantineQuery(), 3, 10)] == [2, 1]


def test_old_entries_leave_even_if_decisions_were_made_since() -> None:
    entries = BoundedEntries(QuarantineLimits())
    for number in range(3):
        entries.merge(refused(number))
    entries.merge(reused(0, 10, count=0))
    assert [one.event_id for one in entries.drop_excess(time_at(2))] == [id_of(0), id_of(1)]


def test_two_entries_to_which_a_damaged_file_gives_one_number_are_both_listed() -> None:
    entries = BoundedEntries(QuarantineLimits())
    for number, of_file in ((1, 1), (2, 3), (3, 3), (1, 4)):
        entries.put(replace(refused(number), number=of_file))
    entries.sort()
    query = QuarantineQuery(descending=False)
    assert numbers_of(entries.list(query, None, 10)) == [2, 3, 1]
    entries.remove(id_of(3))
    assert numbers_of(entries.list(query, None, 10)) == [2, 1]
