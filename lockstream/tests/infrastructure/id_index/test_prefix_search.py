"""Prefix search: events in a run are found by the beginning of their ids, in order and with few reads of the log."""

from collections.abc import Iterator, Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.id_index.index import BLOCK_POSITIONS, IdIndex, SortedRun
from lockstream.infrastructure.id_index.prefix_search import SEARCHED_BLOCKS, find_events
from lockstream.tests.infrastructure.id_index.compacted import in_memory
from lockstream.tests.support.budgets import budget

MATCHES = 20

_DIGITS = st.text("0af", min_size=32, max_size=32)
"""Digits of ids that often have the same beginning."""

IDS = st.one_of(_DIGITS, st.integers(0, 99).map("{:032d}".format), st.uuids().map(lambda one: one.hex))


class Log:
    """Events by position, and the reads of their blocks."""

    def __init__(self, *ids: str, distance: int = 1) -> None:
        """The events have every `distance`th position. Other events, with random ids, have no entry in the index."""
        self.positions = {used: 1 + number * distance for number, used in enumerate(ids)}
        self.reads: list[int] = []

    def read_block(self, first: int, count: int) -> Mapping[str, int]:
        self.reads.append(first)
        assert (first % BLOCK_POSITIONS, count) == (1, BLOCK_POSITIONS)
        return {used: at for used, at in self.positions.items() if first <= at < first + count}

    def run(self, compactions: int = 1) -> SortedRun:
        """Return a run that holds all ids, after as many compactions."""
        ids = IdIndex()
        for part in range(compactions):
            ids.add({used: at for used, at in self.positions.items() if at % compactions == part})
            ids.end_compaction(in_memory(ids.begin_compaction()))
        return ids._run

    def expected(self, prefix: str) -> dict[str, int]:
        """Return the events whose ids begin with `prefix`, sorted by id."""
        return {used: at for used, at in sorted(self.positions.items()) if used.startswith(prefix)}


def id_at(milliseconds: int, number: int) -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7) with this time since 1970."""
    return str(UUID(int=milliseconds << 80 | 7 << 76 | number % 4096 << 64 | 2 << 62 | number))


def sequential(count: int) -> Iterator[str]:
    return (f"00000000-0000-4000-8000-{number:012d}" for number in range(count))


def random_ids(count: int) -> Iterator[str]:
    """Return ids that are spread evenly over all UUIDs, in no order: multiples of 2^128 divided by the golden ratio."""
    return (str(UUID(int=number * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835 % 2**128)) for number in range(count))


@budget(150)
@given(
    digits=st.lists(IDS, min_size=1, max_size=60, unique=True),
    distance=st.integers(1, 100),
    compactions=st.integers(1, 4),
    data=st.data(),
)
def test_the_first_events_with_any_beginning_of_their_ids_are_found(
    digits: list[str], distance: int, compactions: int, data: st.DataObject
) -> None:
    log = Log(*(str(UUID(one)) for one in digits), distance=distance)
    run, limit = log.run(compactions), data.draw(st.integers(1, 70))
    prefix = data.draw(st.sampled_from(list(log.positions)))[: data.draw(st.integers(0, 36))]
    found, expected = find_events(run, prefix, limit, log.read_block), log.expected(prefix)
    assert found.items() <= expected.items()
    assert sorted(found.items())[:limit] == list(expected.items())[:limit]


@pytest.mark.parametrize("merged_at_once", [1, 2, 7])
def test_events_are_found_in_sections_that_were_merged_in_parts(
    merged_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MERGED_AT_ONCE", merged_at_once)
    log = Log(*random_ids(50), *sequential(50))
    run = log.run(compactions=5)
    assert find_events(run, "", 1_000, log.read_block) == log.expected("")
    assert sorted(run.prefixes[:]) == list(run.prefixes[:])
    assert len(set(run.hashes)) == len(run.hashes) == 100


def test_a_search_for_random_ids_reads_a_block_for_each_match() -> None:
    log = Log(*random_ids(5_000), distance=1_000)
    run = log.run()
    for prefix in "", "0", "a", "ff", "b1c":
        log.reads.clear()
        found, expected = (
            find_events(run, prefix, MATCHES, log.read_block),
            list(log.expected(prefix).items())[:MATCHES],
        )
        assert sorted(found.items()) == expected
        assert len(log.reads) == len(expected)


def test_ids_in_other_blocks_are_found_before_higher_ones_in_the_same_block() -> None:
    log = Log(*random_ids(50 * BLOCK_POSITIONS))
    for prefix in "", "7":
        found = find_events(log.run(), prefix, MATCHES, log.read_block)
        assert sorted(found.items())[:MATCHES] == list(log.expected(prefix).items())[:MATCHES]


def test_ids_that_begin_with_a_time_are_found_in_order_up_to_thousands_in_four_seconds() -> None:
    start = 0x19A_0000_0000  # milliseconds; the first 36 bits are the same for 4,096 of them
    log = Log(*(id_at(start + number * 7 % 4_096, number) for number in range(SEARCHED_BLOCKS * BLOCK_POSITIONS)))
    run = log.run()
    for prefix in "", "019a0000", "019a0000-00", "019a0000-0fff":
        found = sorted(find_events(run, prefix, MATCHES, log.read_block).items())[:MATCHES]
        assert found == list(log.expected(prefix).items())[:MATCHES]
    assert len(run.prefixes) == SEARCHED_BLOCKS, "an entry for each block, and not for each id"


def test_a_search_reads_a_bounded_number_of_blocks_and_finds_a_whole_id_behind_them() -> None:
    # given more ids with the same beginning than one search looks through
    log = Log(*random_ids(1_000), *sequential(BLOCK_POSITIONS * (SEARCHED_BLOCKS + 10)))
    run, last = log.run(), max(log.positions.items(), key=lambda one: one[1])
    # when events are searched by the beginning of their ids
    found = find_events(run, "00000000-0000-4000-8000", MATCHES, log.read_block)
    # then some are found, with a bounded number of reads
    assert len(found) >= MATCHES
    assert found.items() <= log.expected("00000000-0000-4000-8000").items()
    assert len(log.reads) == SEARCHED_BLOCKS
    assert find_events(run, last[0][:-1], MATCHES, log.read_block) == {}
    # and a whole id is found with a single read
    log.reads.clear()
    assert find_events(run, last[0], MATCHES, log.read_block) == dict([last])
    assert len(log.reads) == 1


def test_a_whole_id_that_was_never_used_is_not_found() -> None:
    log = Log(*sequential(1_000))
    assert find_events(log.run(), "00000000-0000-4000-8000-00000000000f", MATCHES, log.read_block) == {}
    assert log.reads == []


def test_compartments_and_reservations_are_not_among_the_prefixes() -> None:
    ids, event_id = IdIndex(), "0190a5e0-0000-4000-8000-000000000001"
    ids.add({event_id: 1, f"/{event_id}": 1, f"{event_id}/{event_id}": 65})
    run = in_memory(ids.begin_compaction())
    assert (len(run.hashes), len(run.prefixes)) == (3, 1)
    assert ids.missing({event_id: 1}) == []


def test_an_empty_run_has_no_events() -> None:
    for prefix in "", "0190a5e0", "0190a5e0-0000-4000-8000-000000000001":
        assert find_events(IdIndex()._run, prefix, MATCHES, Log().read_block) == {}


def test_the_last_block_of_the_longest_log_is_found() -> None:
    log, position = Log(), BLOCK_POSITIONS << index.BLOCK_NUMBER_BITS
    log.positions = dict.fromkeys(["ffffffff-ffff-4fff-bfff-ffffffffffff"], position)
    assert find_events(log.run(), "f", MATCHES, log.read_block) == log.positions
    assert index.first_position(int(log.run().prefixes[:][0])) == position - BLOCK_POSITIONS + 1
