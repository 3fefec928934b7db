"""Refused requests are summed up in bounded memory."""

from lockstream.services.running.access.refusals import INTERVAL_SECONDS, MAX_KINDS, Refusal, Refusals


def test_a_first_refusal_is_due_at_once_and_equal_ones_after_a_minute() -> None:
    refusals = Refusals()
    refusals.note(Refusal("", "a", "get", "code"), 100)
    [first] = refusals.due(100.5)
    assert (first.count, first.address, first.at) == (1, "a", "1970-01-01T00:01:40.000000Z")
    for second in range(30):
        refusals.note(Refusal("", "a", "get", "code"), 101 + second)
        assert refusals.due(101 + second) == []
    [second_entry] = refusals.due(100.5 + INTERVAL_SECONDS)
    assert (second_entry.count, second_entry.at) == (30, "1970-01-01T00:02:10.000000Z")
    assert refusals.due(100.5 + 2 * INTERVAL_SECONDS) == []


def test_a_key_is_one_kind_whatever_its_address_and_an_address_whatever_its_wrong_keys() -> None:
    refusals = Refusals()
    for number in range(10):
        refusals.note(Refusal("key", f"address {number}", "get", "code"), 1)
        refusals.note(Refusal("", "address", f"operation {number % 2}", "code"), 1)
    assert sorted(entry.count for entry in refusals.due(2)) == [5, 5, 10]


def test_memory_is_bounded_and_no_refusal_is_lost() -> None:
    refusals = Refusals()
    for number in range(10 * MAX_KINDS):
        refusals.note(Refusal("", f"address {number}", "get", f"code {number % 2}"), 1)
    entries = refusals.due(2)
    assert len(entries) == MAX_KINDS + 2
    assert sum(entry.count for entry in entries) == 10 * MAX_KINDS
    others = [entry for entry in entries if not entry.address]
    assert {(entry.code, entry.count) for entry in others} == {
        ("code 0", 9 * MAX_KINDS // 2),
        ("code 1", 9 * MAX_KINDS // 2),
    }


def test_kinds_that_do_not_come_again_are_forgotten() -> None:
    refusals = Refusals()
    for number in range(MAX_KINDS):
        refusals.note(Refusal("", f"address {number}", "get", "code"), 1)
    assert len(refusals.due(2)) == MAX_KINDS
    assert refusals.due(2 + INTERVAL_SECONDS) == []
    refusals.note(Refusal("", "a new one", "get", "code"), 100)
    assert [entry.address for entry in refusals.due(100)] == ["a new one"]


def test_entries_that_were_not_written_are_counted_again() -> None:
    refusals = Refusals()
    refusals.note(Refusal("", "a", "get", "code"), 1, count=7)
    entries = refusals.due(2)
    refusals.restore(entries, 2)
    refusals.note(Refusal("", "a", "get", "code"), 3)
    assert [entry.count for entry in refusals.due(2 + INTERVAL_SECONDS)] == [8]
