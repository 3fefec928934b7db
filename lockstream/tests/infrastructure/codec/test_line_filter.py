"""Filters of lines: each selects the lines whose decoded events have the wanted fields."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import force_setattr

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import EVENT_TYPES, KeyId
from lockstream.core.entities.feed import FeedFilter, Partition
from lockstream.core.entities.log import START
from lockstream.infrastructure.codec.line_filter import line_filter
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.tests.support.builders import (
    RECORDED_AT,
    Body,
    deposited,
    event,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

LOCKERS = ["a", 'quoted"locker', "back\\slash", "Bahnhof Zürich", "駅", 'x","type":"ParcelDeposited', "a ", "A"]


def story(locker: str) -> list[Body]:
    """Return events of a locker. The payload of the first one contains what looks like other members of a line."""
    return [
        registered("c", locker=locker, note='"locker_id":"a","type":"ParcelPickedUp","payload":'),
        reserved("r", "c", locker=locker),
        deposited("r", locker=locker),
        picked_up("r", locker=locker),
        fault_reported(3, "c", locker=locker),
    ]


BODIES = [body for locker in LOCKERS for body in story(locker)]


def lines_of(bodies: list[Body]) -> list[bytes]:
    """Return the lines of events. A key has reported every second one."""
    events = [event(body) for body in bodies]
    for one in events[::2]:
        force_setattr(one, "recorded_by", KeyId("k3y8char"))
    return encode_lines(events, RECORDED_AT, START)[0]


def selected(wanted: FeedFilter, bodies: list[Body]) -> list[Body]:
    matches = line_filter(wanted)
    assert matches is not None
    return [body for body, line in zip(bodies, lines_of(bodies), strict=True) if matches(line)]


def test_a_reader_that_wants_all_events_needs_no_filter() -> None:
    assert line_filter(FeedFilter()) is None


@pytest.mark.parametrize("locker_id", [*LOCKERS, "b", "."])
def test_events_of_a_locker_are_selected(locker_id: str) -> None:
    wanted = [body for body in BODIES if body["locker_id"] == locker_id]
    assert selected(FeedFilter(locker_id=locker_id), BODIES) == wanted


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_events_of_a_type_are_selected(event_type: str) -> None:
    wanted = [body for body in BODIES if body["type"] == event_type]
    assert selected(FeedFilter(event_type=event_type), BODIES) == wanted


PARTITIONS = st.integers(1, 5).flatmap(lambda count: st.builds(Partition, st.integers(0, count - 1), st.just(count)))
PATTERNS = st.sampled_from([locker[:length] for locker in LOCKERS for length in range(1, len(locker) + 1)])


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["a"], ["a"]),
        (["a*"], ["a", "a "]),
        (["quoted*", "A"], ['quoted"locker', "A"]),
        (['quoted"*'], ['quoted"locker']),
        (["back\\*"], ["back\\slash"]),
        (['back"*', "back\\"], []),
        (['x"*'], ['x","type":"ParcelDeposited']),
        (["Bahnhof Z*", "駅*"], ["Bahnhof Zürich", "駅"]),
        (["*"], LOCKERS),
        ([], []),
    ],
)
def test_events_of_the_lockers_of_a_reader_are_selected(patterns: list[str], wanted: list[str]) -> None:
    found = selected(FeedFilter(lockers=Lockers.of(patterns)), BODIES)
    assert found == [body for body in BODIES if body["locker_id"] in wanted]


@given(
    st.sampled_from([None, *EVENT_TYPES]),
    st.sampled_from([None, *LOCKERS]),
    PARTITIONS | st.none(),
    st.lists(PATTERNS | PATTERNS.map(lambda prefix: f"{prefix}*")).map(Lockers.of) | st.none(),
)
def test_filters_are_combined(
    event_type: str | None, locker_id: str | None, partition: Partition | None, lockers: Lockers | None
) -> None:
    wanted = FeedFilter(event_type, locker_id, partition, lockers)
    assume(wanted != FeedFilter())
    assert selected(wanted, BODIES) == [
        body
        for body in BODIES
        if event_type in (None, body["type"])
        and locker_id in (None, body["locker_id"])
        and (partition is None or partition.contains(body["locker_id"]))
        and (lockers is None or lockers.allow(body["locker_id"]))
    ]
