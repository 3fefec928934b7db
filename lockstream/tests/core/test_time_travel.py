"""Time travel: each subject is shown as it was when a position was the last one."""

from typing import NamedTuple

import pytest

from lockstream.core.entities.state import Compartment, Fault, LockerState, Reservation, Status
from lockstream.core.errors import StoreUnavailable
from lockstream.core.past import LastingRows
from lockstream.core.ports import Reads
from lockstream.core.use_cases.ingest import ingest
from lockstream.core.use_cases.time_travel import past_compartment, past_locker, past_reservation
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.infrastructure.stores.memory_listings import MemoryListings
from lockstream.tests.core.story import EVENTS, OTHER
from lockstream.tests.support.builders import COMPARTMENT, LOCKER
from lockstream.tests.support.gaps import without_gaps

LOCKERS = (LOCKER, OTHER)
PLACES = ((LOCKER, "A"), (LOCKER, "B"), (OTHER, "A"))
RESERVATIONS = (
    *("picked up", "long", "expired", "expired with a parcel", "of the other locker", "waiting", "occupied"),
    "unknown",
)


class Shown(NamedTuple):
    """The results of all reads of subjects."""

    lockers: list[LockerState | None]
    compartments: list[Compartment | None]
    reservations: list[Reservation | None]


def shown_by(reads: Reads) -> Shown:
    return Shown(
        [without_gaps(reads.locker_state(locker_id)) for locker_id in LOCKERS],
        [reads.compartment(*place) for place in PLACES],
        [reads.reservation(reservation_id) for reservation_id in RESERVATIONS],
    )


def shown_at(listings: MemoryListings, position: int) -> Shown:
    return Shown(
        [past_locker(listings, locker_id, position) for locker_id in LOCKERS],
        [past_compartment(listings, *place, position) for place in PLACES],
        [past_reservation(listings, reservation_id, position) for reservation_id in RESERVATIONS],
    )


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def live(store: MemoryStore) -> list[Shown]:
    """The states that the store has shown at each position, from 0 on, while it ingested the story."""
    shown = [shown_by(store.reads)]
    for event in EVENTS:
        ingest([event], store.unit_of_work())
        shown.append(shown_by(store.reads))
    return shown


@pytest.mark.parametrize("position", range(len(EVENTS) + 1))
def test_the_past_is_what_was_shown_then(store: MemoryStore, live: list[Shown], position: int) -> None:
    assert shown_at(store.listings, position) == live[position]


def test_before_the_first_event_nothing_exists(store: MemoryStore, live: list[Shown]) -> None:
    assert shown_at(store.listings, 0) == Shown([None] * 2, [None] * 3, [None] * 8)
    assert shown_at(store.listings, -1) == live[0]


def test_a_position_beyond_the_last_event_shows_the_present(store: MemoryStore, live: list[Shown]) -> None:
    assert shown_at(store.listings, len(EVENTS) + 1) == live[-1]
    assert shown_at(store.listings, 2**63) == live[-1]


def test_an_unknown_subject_never_existed(store: MemoryStore, live: list[Shown]) -> None:
    position = len(EVENTS)
    assert past_locker(store.listings, "unknown", position) is None
    assert past_compartment(store.listings, "unknown", "A", position) is None
    assert past_compartment(store.listings, LOCKER, "unknown", position) is None
    assert past_reservation(store.listings, "unknown", position) is None


class DamagedListings(MemoryListings):
    """Lists of a projection whose rows were changed by another program."""

    def __init__(self, rows: LastingRows) -> None:
        store = MemoryStore()
        super().__init__(store.cache, store.log.records)
        self._rows = rows

    def lasting_rows(self, locker_id: str, compartment_id: str | None, position: int) -> LastingRows:
        return self._rows

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._rows.reservations[0]


REGISTERED = Compartment(LOCKER, COMPARTMENT, None, 0, 1, 1)
BACKWARDS = Reservation("r", LOCKER, COMPARTMENT, Status.DEPOSITED, 4, 3, 3)


@pytest.mark.parametrize(
    "rows",
    [
        LastingRows([], [], [Fault("f", LOCKER, COMPARTMENT, 3, 2)]),
        LastingRows([REGISTERED], [BACKWARDS], []),
        LastingRows([Compartment(OTHER, COMPARTMENT, None, 0, 1, 1)], [], []),
        LastingRows([REGISTERED, Compartment(OTHER, COMPARTMENT, None, 0, 2, 2)], [], []),
    ],
    ids=["a row is missing", "two events changed places", "another locker", "two lockers"],
)
def test_rows_that_contradict_each_other_make_the_past_of_a_locker_unavailable(rows: LastingRows) -> None:
    listings = DamagedListings(rows)
    with pytest.raises(StoreUnavailable, match=rf"rows of locker '{LOCKER}' contradict each other.*lockstream rebuild"):
        past_locker(listings, LOCKER, 9)
    with pytest.raises(StoreUnavailable, match=rf"rows of locker '{LOCKER}' contradict each other.*lockstream rebuild"):
        past_compartment(listings, LOCKER, COMPARTMENT, 9)


def test_a_reservation_that_contradicts_itself_makes_its_past_unavailable() -> None:
    listings = DamagedListings(LastingRows([], [BACKWARDS], []))
    with pytest.raises(StoreUnavailable, match=r"rows of reservation 'r' contradict each other.*lockstream rebuild"):
        past_reservation(listings, "r", 9)
