"""What was ever given is never taken for new, while it is recent, being merged, merged, or only in the run."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lockstream.infrastructure.id_index import index as known_keys
from lockstream.infrastructure.id_index.index import BLOCK, IdIndex, Merge, Recent, Run, _hashes
from lockstream.tests.support.budgets import budget


def merged(*keys: str, first: int = 1) -> Run:
    """The run of keys that were given one after the other."""
    known = IdIndex(recent=[Recent(list(keys), list(range(first, first + len(keys))))])
    return known.begin_compaction().run()


def block_of(position: int) -> int:
    return position - (position - 1) % BLOCK


class Lives(RuleBasedStateMachine):
    """Keys are given, merged and let go of in any order; `given` knows them all."""

    def __init__(self) -> None:
        super().__init__()
        self.known = IdIndex()
        self.given: dict[str, int] = {}
        self.merge: Merge | None = None

    @rule(count=st.integers(1, 30), apart=st.integers(1, 100))
    def give(self, count: int, apart: int) -> None:
        first = max(self.given.values(), default=0)
        new = {f"key-{len(self.given) + number}": first + number * apart for number in range(1, count + 1)}
        self.known.add(new)
        self.given |= new

    @precondition(lambda self: self.merge is None)
    @rule()
    def begin_to_merge(self) -> None:
        self.merge = self.known.begin_compaction()

    @precondition(lambda self: self.merge is not None)
    @rule(fails=st.booleans())
    def end_merging(self, fails: bool) -> None:
        assert self.merge is not None
        self.known.end_compaction(None if fails else self.merge.run())
        self.merge = None

    @precondition(lambda self: self.merge is None)
    @rule()
    def restart(self) -> None:
        recent = Recent(list(self.known.recent), list(self.known.recent.values()))
        self.known = IdIndex(self.known._run, [recent])

    @invariant()
    def nothing_that_was_given_is_taken_for_new(self) -> None:
        assert self.known.lacking(self.given) == []
        places = self.known.places([*self.given, "new", "key-"])
        assert not {"new", "key-"} & places.keys()
        for key, position in self.given.items():
            if key in self.known.recent:
                assert self.known.recent[key] == position
            else:
                assert block_of(position) in places[key]


def test_keys_stay_known_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "HASHED_IN_ONE_GO", 7)
    run_state_machine_as_test(Lives, settings=budget(60, stateful_step_count=25))


def test_without_a_run_there_is_nowhere_to_look() -> None:
    known = IdIndex(recent=[Recent(["a"], [1])])
    assert known.places(["a", "b"]) == {}
    assert known.lacking({"a": 1, "b": 2}) == ["b"]


def test_each_block_that_may_have_given_a_key_is_looked_at() -> None:
    run = np.sort(np.concatenate([merged("twice", first=position) for position in (1, 64, 65, 1_000_000)]))
    assert IdIndex(run).places(["once", "twice"]) == {"twice": [1, 1, 65, block_of(1_000_000)]}


def test_a_key_that_shares_its_36_bits_with_another_is_looked_for_in_vain() -> None:
    (like,) = _hashes(["new"])
    run = np.sort(np.append(merged("old"), np.uint64(like | 3)))
    assert IdIndex(run).places(["new", "old", "other"]) == {"new": [3 * BLOCK + 1], "old": [1]}


def test_hits_at_either_end_of_a_run_are_found() -> None:
    keys = [f"key-{number}" for number in range(100)]
    known = IdIndex(merged(*keys))
    for key in keys:
        assert known.places([key]) == {key: [block_of(1 + keys.index(key))]}


def crowded(known: IdIndex) -> bool:
    """Asked anew each time, as the type checker does not expect of a property."""
    return known.crowded


def test_there_is_enough_to_merge_beyond_a_share_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MEMTABLE_MIN", 10)
    known = IdIndex(merged(*(f"old-{number}" for number in range(64 * 20))))
    for number in range(20):
        known.add({f"new-{number}": 2_000 + number})
        assert not crowded(known)
    known.add({"one more": 3_000})
    assert crowded(known)
    merge = known.begin_compaction()
    assert not crowded(known), "one merge at a time"
    known.end_compaction(None)
    assert crowded(known), "it is tried again"
    known.begin_compaction()
    known.end_compaction(merge.run())
    assert not crowded(known), "what is merged and not let go of yet is not merged again"


def test_a_merge_holds_what_there_was_when_it_began() -> None:
    known = IdIndex(recent=[Recent(["before"], [1])])
    merge = known.begin_compaction()
    known.add({"meanwhile": 2})
    run = merge.run()
    known.end_compaction(run)
    known.add({"later": 3})
    assert known.recent == {"meanwhile": 2, "later": 3}
    assert IdIndex(run).places(["before", "meanwhile"]) == {"before": [1]}


def test_what_has_been_merged_is_let_go_of_little_by_little_and_before_the_next_merge() -> None:
    old = [f"old-{number}" for number in range(100)]
    known = IdIndex(recent=[Recent(old, list(range(1, 101)))])
    known.end_compaction(known.begin_compaction().run())
    for number in range(50):
        known.add({f"new-{number}": 101 + number})
        assert len(known.recent) == 100 - (number + 1)
    assert known.recent.keys().isdisjoint(old)
