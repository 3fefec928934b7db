"""The id index: an id that was used is found while it is in the memtable, in a compaction, or only in the run."""

from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.id_index.index import (
    BLOCK_POSITIONS,
    EMPTY_RUN,
    Compaction,
    Entries,
    IdIndex,
    NewIds,
    SortedRun,
    _hashes,
)
from lockstream.tests.infrastructure.id_index.compacted import in_memory
from lockstream.tests.support.budgets import budget


def run_of(*ids: str, first: int = 1) -> SortedRun:
    """Return a run that holds `ids`, of events from position `first` on."""
    memtable = NewIds(list(ids), list(range(first, first + len(ids))))
    return in_memory(IdIndex(memtable=[memtable]).begin_compaction())


def hashed(hashes: Entries) -> SortedRun:
    """Return a run with these entries as its hashes."""
    return SortedRun(np.sort(hashes), EMPTY_RUN.prefixes)


def block_of(position: int) -> int:
    """Return the first position of the block that contains `position`."""
    return position - (position - 1) % BLOCK_POSITIONS


class IndexMachine(RuleBasedStateMachine):
    """Ids are added, compacted and dropped from the memtable in any order; `used` has them all."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = IdIndex()
        self.used: dict[str, int] = {}
        self.compaction: Compaction | None = None

    @rule(count=st.integers(1, 30), distance=st.integers(1, 100))
    def add(self, count: int, distance: int) -> None:
        first = max(self.used.values(), default=0)
        numbers = range(len(self.used) + 1, len(self.used) + 1 + count)
        names = [str(uuid5(NAMESPACE_OID, str(number))) if number % 3 else f"/id-{number}" for number in numbers]
        new = {name: first + number * distance for number, name in enumerate(names, 1)}
        self.ids.add(new)
        self.used |= new

    @precondition(lambda self: self.compaction is None)
    @rule()
    def begin_compaction(self) -> None:
        self.compaction = self.ids.begin_compaction()

    @precondition(lambda self: self.compaction is not None)
    @rule(fails=st.booleans())
    def end_compaction(self, fails: bool) -> None:
        assert self.compaction is not None
        self.ids.end_compaction(None if fails else in_memory(self.compaction))
        self.compaction = None

    @precondition(lambda self: self.compaction is None)
    @rule()
    def restart(self) -> None:
        memtable = NewIds(list(self.ids.memtable), list(self.ids.memtable.values()))
        self.ids = IdIndex(self.ids._run, [memtable])

    @invariant()
    def every_used_id_is_found(self) -> None:
        assert self.ids.missing(self.used) == []
        candidates = self.ids.candidate_blocks([*self.used, "/new", "/id-"])
        assert not {"/new", "/id-"} & candidates.keys()
        for used, position in self.used.items():
            if used in self.ids.memtable:
                assert self.ids.memtable[used] == position
            else:
                assert block_of(position) in candidates[used]


def test_every_used_id_is_found_after_any_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "HASHED_AT_ONCE", 7)
    monkeypatch.setattr(index, "MERGED_AT_ONCE", 11)
    run_state_machine_as_test(IndexMachine, settings=budget(60, stateful_step_count=25))


def test_an_index_without_a_run_has_no_candidate_blocks() -> None:
    ids = IdIndex(memtable=[NewIds(["/a"], [1])])
    assert ids.candidate_blocks(["/a", "/b"]) == {}
    assert ids.missing({"/a": 1, "/b": 2}) == ["/b"]


def test_every_block_that_may_contain_an_id_is_a_candidate() -> None:
    run = hashed(np.concatenate([run_of("/used", first=position).hashes for position in (1, 64, 65, 1_000_000)]))
    assert IdIndex(run).candidate_blocks(["/new", "/used"]) == {"/used": [1, 1, 65, block_of(1_000_000)]}


def test_an_id_with_the_same_36_bits_as_another_has_a_candidate_block() -> None:
    [like] = _hashes(["/new"])
    run = hashed(np.append(run_of("/old").hashes, np.uint64(like | 3)))
    assert IdIndex(run).candidate_blocks(["/new", "/old", "/other"]) == {"/new": [3 * BLOCK_POSITIONS + 1], "/old": [1]}


def test_the_first_and_the_last_entry_of_a_run_are_found() -> None:
    used = [f"/id-{number}" for number in range(100)]
    ids = IdIndex(run_of(*used))
    for position, one in enumerate(used, 1):
        assert ids.candidate_blocks([one]) == {one: [block_of(position)]}


def needs_compaction(ids: IdIndex) -> bool:
    """Return the property through a function, since a type checker does not expect a property to change."""
    return ids.needs_compaction


def test_a_compaction_is_needed_once_the_memtable_exceeds_a_share_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MEMTABLE_MIN", 10)
    ids = IdIndex(run_of(*(f"/old-{number}" for number in range(64 * 20))))
    for number in range(20):
        ids.add({f"/new-{number}": 2_000 + number})
        assert not needs_compaction(ids)
    ids.add({"/one more": 3_000})
    assert needs_compaction(ids)

    compaction = ids.begin_compaction()
    assert not needs_compaction(ids), "one compaction runs at a time"
    ids.end_compaction(None)
    assert needs_compaction(ids), "a failed compaction is tried again"
    ids.begin_compaction()
    ids.end_compaction(in_memory(compaction))
    assert not needs_compaction(ids), "compacted ids that are still in the memtable do not count"


def test_a_compaction_merges_the_ids_that_the_memtable_had_when_it_began() -> None:
    ids = IdIndex(memtable=[NewIds(["/before"], [1])])
    compaction = ids.begin_compaction()
    ids.add({"/meanwhile": 2})
    run = in_memory(compaction)
    ids.end_compaction(run)
    ids.add({"/later": 3})
    assert ids.memtable == {"/meanwhile": 2, "/later": 3}
    assert IdIndex(run).candidate_blocks(["/before", "/meanwhile"]) == {"/before": [1]}


@pytest.mark.parametrize("merged_at_once", [1, 2, 1_000])
def test_an_id_that_is_compacted_again_keeps_one_entry_in_each_section(
    merged_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rebuild, the memtable also holds ids of the last change set that are in the run already."""
    monkeypatch.setattr(index, "MERGED_AT_ONCE", merged_at_once)
    used = {str(uuid5(NAMESPACE_OID, str(number))): number for number in range(1, 9)}
    ids = IdIndex(run_of(*used))
    ids.add(used)
    run = in_memory(ids.begin_compaction())
    assert len(run.hashes) == len(run.prefixes) == len(used)


def test_compacted_ids_leave_the_memtable_gradually_and_before_the_next_compaction() -> None:
    old = [f"/old-{number}" for number in range(100)]
    ids = IdIndex(memtable=[NewIds(old, list(range(1, 101)))])
    ids.end_compaction(in_memory(ids.begin_compaction()))
    for number in range(50):
        ids.add({f"/new-{number}": 101 + number})
        assert len(ids.memtable) == 100 - (number + 1)
    assert ids.memtable.keys().isdisjoint(old)
