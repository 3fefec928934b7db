"""Ranges of locker ids: they have the ids that the patterns allow, in order, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.bound.locker_ranges import LockerRange, locker_ranges
from lockstream.core.entities.access import Lockers

IDS = st.text('ab"é\U0001f512', min_size=1, max_size=4)
PATTERNS = st.lists(IDS | IDS.map(lambda prefix: f"{prefix}*") | st.just("*"), max_size=8)


@pytest.mark.parametrize(
    ("patterns", "ranges"),
    [
        ([], []),
        (["b", "a", "b"], [("a", False), ("b", False)]),
        (["a", "a*", "ab*", "abc"], [("a", True)]),
        (["b", "a*", "bc*"], [("a", True), ("b", False), ("bc", True)]),
        (["*", "a*", "a"], [("", True)]),
    ],
)
def test_ranges_are_sorted_and_do_not_overlap(patterns: list[str], ranges: list[tuple[str, bool]]) -> None:
    assert locker_ranges(Lockers.of(patterns)) == ranges


@given(PATTERNS, st.sets(IDS), st.text('ab"', max_size=2), st.none() | IDS, st.booleans())
def test_ranges_have_the_allowed_ids_in_order(
    patterns: list[str], locker_ids: set[str], prefix: str, after: str | None, descending: bool
) -> None:
    lockers = Lockers.of(patterns)

    def is_behind(one: str) -> bool:
        return after is None or (one < after if descending else one > after)

    ordered = sorted(locker_ids, reverse=descending)
    wanted = [one for one in ordered if lockers.allow(one) and one.startswith(prefix) and is_behind(one)]

    ranges = locker_ranges(lockers)
    parts = [part.within(prefix) for part in (reversed(ranges) if descending else ranges)]
    kept = [part for part in parts if part and part.has_ids_behind(after, descending=descending)]
    assert [one for part in kept for one in ordered if _is_in(one, part) and is_behind(one)] == wanted


def _is_in(locker_id: str, part: LockerRange) -> bool:
    return locker_id.startswith(part.start) if part.is_prefix else locker_id == part.start
