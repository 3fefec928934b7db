"""Silent lockers that all stores find alike, after restarts and rebuilds, and on two nodes."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lockstream.core.bound.listings import BoundListings
from lockstream.core.entities.access import Lockers
from lockstream.core.entities.listings import ListedLocker, LockerQuery
from lockstream.core.entities.log import microseconds_of
from lockstream.core.entities.silence import NO_SILENCE, Silence, SilenceLimits
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings
from lockstream.core.use_cases.silent_lockers import (
    SilentLocker,
    SilentLockers,
    listed_lockers,
    silence_at,
    silent_lockers,
)
from lockstream.infrastructure.postgres import unit_of_work as shared_log
from lockstream.infrastructure.stores import unit_of_work as own_log
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.infrastructure.stores.network import EmbeddedNetwork, Network, PostgresNetwork, lists_of
from lockstream.tests.support.builders import Body, fault_reported, registered

START = datetime(2026, 1, 5, tzinfo=UTC)
BUSY, SLOW, YOUNG, QUIET = "busy", "slow", "young", "quiet"
OTHERS = [f"other-{number}" for number in range(6)]
LIMITS = SilenceLimits.of(60, 30)
ALL = 100


class History:
    """A network whose events are recorded at chosen hours after its start."""

    def __init__(self, network: Network[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.network = network
        self._hour = 0.0
        for module in (own_log, shared_log):
            monkeypatch.setattr(module, "utc_now", lambda: f"{self.time.isoformat(timespec='microseconds')[:26]}Z")

    @property
    def time(self) -> datetime:
        return START + timedelta(hours=self._hour)

    def record(self, hour: float, lockers: Sequence[str], rounds: int = 1) -> None:
        """Record an event of each of `lockers`, in turns, all at once at an hour."""
        self._hour = hour
        self.network.ingest(*(fault_reported(1, locker=locker) for _ in range(rounds) for locker in lockers))

    def silence(self, hour: float, limits: SilenceLimits = LIMITS) -> Silence:
        return lists_of(self.network, lambda lists: silence_at(lists, microsecond(hour), limits))  # type: ignore[no-any-return]

    def silent(self, hour: float, limits: SilenceLimits = LIMITS) -> tuple[list[str], list[str]]:
        """Return the ids of silent lockers and of those that are gone, at an hour."""
        silence = self.silence(hour, limits)
        found = self.listed(LockerQuery(silence=silence))
        silent = [one.locker_id for one in found if one.silent]
        gone = [one.locker_id for one in found if one.gone]
        assert silent == [one.locker_id for one in self.listed(LockerQuery(silent=True, silence=silence))]
        assert gone == [one.locker_id for one in self.listed(LockerQuery(gone=True, silence=silence))]
        assert lists_of(self.network, lambda lists: lists.silent_counts(silence)) == (len(silent), len(gone))
        return silent, gone

    def listed(self, query: LockerQuery) -> list[ListedLocker]:
        return lists_of(self.network, lambda lists: listed_lockers(lists, query, None, ALL))  # type: ignore[no-any-return]


def microsecond(hour: float) -> int:
    return microseconds_of(START + timedelta(hours=hour))


@pytest.fixture
def history(network: Network[Any], monkeypatch: pytest.MonkeyPatch) -> History:
    """Nine lockers. One is young, and the others are regular for 120 hours: the slow one in even hours alone."""
    history = History(network, monkeypatch)
    bodies: list[Body] = [registered(locker=locker) for locker in (BUSY, SLOW, YOUNG, *OTHERS)]
    network.ingest(*bodies)
    history.record(0.1, [YOUNG], rounds=5)
    for hour in range(1, 120):
        history.record(hour, [*OTHERS, BUSY] if hour % 2 else [*OTHERS, SLOW, BUSY])
    return history


def test_a_locker_is_silent_after_several_usual_gaps_until_its_next_event(history: History) -> None:
    # given the busy locker is quiet from hour 119 on, and the others go on
    for hour in range(120, 124):
        history.record(hour, OTHERS)
        assert history.silent(hour) == ([], [])
    # when it has missed several of its gaps
    for hour in range(124, 131):
        history.record(hour, OTHERS)
    assert history.silent(130) == ([BUSY], [])
    # then it stays silent over restarts and a rebuild
    for name in history.network.restarts:
        getattr(history.network, name)()
        assert history.silent(130) == ([BUSY], [])
    # and until its next event
    history.record(131, OTHERS)
    assert history.silent(131) == ([BUSY], [])
    history.record(131.1, [BUSY])
    assert history.silent(131.2) == ([], [])


def test_a_network_without_events_makes_no_locker_silent(history: History) -> None:
    """The young locker alone was quiet before the others were."""
    for hour in (120, 125, 160):
        assert history.silent(hour) == ([], []), hour
    assert history.silent(24 * 20) == ([YOUNG], [])
    assert history.silent(24 * 60) == ([], [YOUNG])


def test_no_locker_is_silent_before_the_floor(history: History) -> None:
    """A hundred rounds of the others come in one burst. The slow locker was heard of an hour before the busy one."""
    history.record(119.5, OTHERS, rounds=100)
    assert history.silent(119.99) == ([SLOW], [])
    assert history.silent(120.01) == ([BUSY, SLOW], [])
    assert history.silent(120.01, SilenceLimits.of(62, 30)) == ([SLOW], [])


def test_the_burst_of_a_few_lockers_makes_no_other_locker_silent(history: History) -> None:
    history.record(121, OTHERS[:2], rounds=300)
    assert BUSY not in history.silent(122)[0]
    history.record(122, OTHERS[2:3])
    assert BUSY in history.silent(122)[0]


def test_a_slow_locker_is_silent_later_than_a_busy_one(history: History) -> None:
    found: dict[str, int] = {}
    for hour in range(120, 170):
        history.record(hour, OTHERS)
        for locker in history.silent(hour)[0]:
            found.setdefault(locker, hour)
    assert 6 <= found[BUSY] - 119 <= 9
    assert 12 <= found[SLOW] - 118 <= 17
    assert 7 * 24 <= found[YOUNG] <= 7 * 24 + 1


def test_a_locker_without_a_rhythm_is_silent_after_a_week(history: History) -> None:
    history.record(24 * 7, OTHERS)
    assert YOUNG not in history.silent(24 * 7 + 0.05)[0]
    assert YOUNG in history.silent(24 * 7 + 0.15)[0]
    [young] = history.listed(LockerQuery(YOUNG, silence=history.silence(24 * 7)))
    assert young.usual_silence_seconds is None


def test_a_locker_that_is_silent_for_long_is_gone(history: History) -> None:
    for hour in (160, 260, 24 * 31, 24 * 40):
        history.record(hour, OTHERS, rounds=50)
    before, after = history.silent(119 + 24 * 30 - 0.1), history.silent(119 + 24 * 30 + 0.1)
    assert (BUSY in before[0], BUSY in before[1]) == (True, False)
    assert (BUSY in after[0], BUSY in after[1]) == (False, True)
    # until it comes back
    history.record(24 * 41, [BUSY])
    assert all(BUSY not in found for found in history.silent(24 * 41))


def test_the_filter_goes_together_with_the_others(history: History) -> None:
    history.record(130, OTHERS, rounds=100)
    silence = history.silence(132)
    assert history.silent(132)[0] == [BUSY, SLOW]
    for query, expected in (
        (LockerQuery("b", silent=True), [BUSY]),
        (LockerQuery("b", silent=False), []),
        (LockerQuery(available=True, silent=True), [BUSY, SLOW]),
        (LockerQuery(available=False, silent=True), []),
        (LockerQuery(degraded=True, silent=False), []),
        (LockerQuery(silent=False), [*OTHERS, YOUNG]),
        (LockerQuery(silent=True, gone=True), []),
    ):
        wanted = LockerQuery(query.prefix, query.available, query.degraded, query.silent, query.gone, silence)
        assert [one.locker_id for one in history.listed(wanted)] == expected


def test_the_first_silent_lockers_have_their_last_time_and_usual_silence(history: History) -> None:
    history.record(130, OTHERS, rounds=100)
    silence = history.silence(132)

    def find(lists: Listings) -> list[SilentLockers]:
        return [silent_lockers(lists, silence, limit) for limit in (0, 1, 9)]

    counted, one, both = lists_of(history.network, find)
    assert counted == SilentLockers(2, 0, [])
    assert one == SilentLockers(2, 0, both.first[:1])
    assert [(found.locker_id, found.last_event_at) for found in both.first] == [
        (BUSY, microsecond(119)),
        (SLOW, microsecond(118)),
    ]
    usual = [found.usual_silence_seconds or 0 for found in both.first]
    assert 0 < usual[0] < usual[1]
    assert isinstance(both.first[0], SilentLocker)


def test_a_bound_caller_sees_and_counts_its_own_lockers(history: History) -> None:
    history.record(130, OTHERS, rounds=100)
    silence = history.silence(132)

    def find(lists: Listings) -> list[tuple[tuple[int, int], list[str]]]:
        bound = [BoundListings(lists, Lockers.of(patterns)) for patterns in (["b*"], ["other-*", SLOW], [YOUNG], [])]
        query = LockerQuery(silent=True, silence=silence)
        return [(one.silent_counts(silence), [row.locker_id for row in one.lockers(query, None, ALL)]) for one in bound]

    assert lists_of(history.network, find) == [((1, 0), [BUSY]), ((1, 0), [SLOW]), ((0, 0), []), ((0, 0), [])]


def test_an_empty_network_and_one_locker_are_never_silent(
    network: Network[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(network, monkeypatch)
    assert history.silence(10**5) == NO_SILENCE
    network.ingest(registered(locker=BUSY))
    history.record(1, [BUSY], rounds=100)
    assert history.silent(10**5) == ([], [])


@pytest.fixture
def second_node(history: History, database: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(database)) as store:
        yield store


@pytest.mark.parametrize("network", ["postgres"], indirect=True)
def test_two_nodes_find_the_same(history: History, second_node: PostgresStore) -> None:
    assert isinstance(history.network, PostgresNetwork)
    history.record(130, OTHERS, rounds=100)
    found = second_node.list(lambda lists: silence_at(lists, microsecond(132), LIMITS)).value
    assert found == history.silence(132)
    assert second_node.list(lambda lists: lists.silent_counts(found)).value == (2, 0)


@pytest.mark.parametrize("network", ["embedded"], indirect=True)
@pytest.mark.parametrize("damage", ["gap_sum = 0", "gap_squares = -1", "gap_sum = 'x'"])
def test_damaged_gaps_make_the_list_unavailable_until_a_rebuild(
    history: History, network: EmbeddedNetwork, damage: str
) -> None:
    history.record(130, OTHERS, rounds=100)
    with closing(sqlite3.connect(projection_path(network.path))) as database:
        database.execute(f"UPDATE lockers SET {damage} WHERE locker_id = '{BUSY}'")
        database.commit()
    for query in (LockerQuery(), LockerQuery(silent=False, silence=Silence(10**6))):
        with pytest.raises(StoreUnavailable, match="lockstream rebuild"):
            history.listed(query)
    network.rebuild()
    assert history.silent(132) == ([BUSY, SLOW], [])
